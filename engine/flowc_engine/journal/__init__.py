"""The journal: what was acknowledged, in order, durable before anyone hears of it.

`record` is the format, `segments` the files, `writer` appends, `recovery` finds the end after a
crash, and `reader` is how the broker (for those who lag) and the log process read what is
durable.
"""
