"""The supervisor of a run.

`core` decides (pure: events and time in, effects out), `restarts` is its policy for what dies,
`idle` tells when all is consumed; `children` starts and watches processes, `driver` carries the
effects out; `view`, `plain` and `summary` show what happens. `compat` guards old state against
new declarations.
"""
