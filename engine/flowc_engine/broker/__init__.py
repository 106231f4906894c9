"""The broker's process: the core driven by a ROUTER socket, the journal's files and the clock.

`python -I -m flowc_engine.broker --help` says how it is started. `driver` is the loop, `fetch`
looks events up for deliveries, `verify` looks into what peers send before the core sees it.
"""
