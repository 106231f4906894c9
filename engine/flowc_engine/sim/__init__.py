"""The simulator of the broker: the core, the journal and recovery that ship, on a virtual clock,
network and disk. One seed decides all (spec: 12).

`disk` is the disk, `network` the links, `clients` follow the protocol as sources and services do,
`chaos` breaks things, `world` runs it, `oracle` judges, `sweep` runs many seeds. The system that is
simulated is `system`.
"""
