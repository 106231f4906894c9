from services.clock_parts import TICK

HOUR = 3600 * TICK
