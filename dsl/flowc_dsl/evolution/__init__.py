"""What a change of the declaration means for whom: an older system held against a newer one.

- `change`: one change as data, with its verdict and who is affected
- `fields`, `events`, `services`: what changed in each; `ranges`: what a field may hold that it
  could not hold before; `stored`: whether what is stored can be read, and what of it is lost
- `compare`: all of it; and what has to be done, or known, as diagnostics

Whether stored events can be read as they are declared now is decided by `flowc_dsl.lifting`, which
the engine uses too: what is safe here is what the engine takes.
"""
