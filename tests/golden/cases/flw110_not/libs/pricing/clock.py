from helpers import TICK

HOUR = 3600 * TICK
