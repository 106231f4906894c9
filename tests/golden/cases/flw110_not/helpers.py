TICK = 1  # of the library alone
