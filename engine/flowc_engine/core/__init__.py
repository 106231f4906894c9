"""The broker's core: state and steps, no I/O, no clock, no threads, no randomness.

`broker` decides what a message means, `session` is what it knows of a connection, `layout` deals
partitions out to replicas, `access` says who may emit what, and `effects` is what it asks its
driver to do. What survives is `flowc_engine.journal.state`.
"""
