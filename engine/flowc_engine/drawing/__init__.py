"""The edges of drawing: which engine draws, in which process, and for how long."""
