"""What breaks, and when: each kind of fault is a function of the world. A seed uses some of the
kinds only, so that rare ones meet each other."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from flowc_engine.sim import system

if TYPE_CHECKING:
    from flowc_engine.sim.clients import Client
    from flowc_engine.sim.world import World

Fault = Callable[["World"], bool]
"""Do it; False if it could not happen now."""


def _span_ms(dice: random.Random) -> float:
    """Mostly short, at times over every timeout."""
    return dice.choice((50, 300, 1_500, 1_500, 6_000, 13_000)) * (0.5 + dice.random())


def _some(world: World) -> Client:
    return world.dice.choice([world.source, *world.processes.values()])


def kill_broker(world: World) -> bool:
    """`kill -9` now: the page cache stays."""
    return world.broker_dies()


def kill_broker_in_call(world: World) -> bool:
    """`kill -9` in one of its next calls of the disk."""
    world.disk.kill_in = world.dice.randint(1, 12)
    world.killed_by_power = False
    return True


def cut_power(world: World) -> bool:
    """The broker's machine stops; at times with all that runs on it."""
    died = world.broker_dies(power=True)
    if died and world.dice.random() < 0.4:
        for client in (world.source, *world.processes.values()):
            world.kill(client)
    return died


def cut_power_in_call(world: World) -> bool:
    """The machine stops in one of the broker's next calls of the disk."""
    world.disk.kill_in = world.dice.randint(1, 12)
    world.killed_by_power = True
    return True


def fail_sync(world: World) -> bool:
    """`EIO` at the next `fdatasync`; at times the power is cut soon after."""
    world.disk.fail_sync = True
    if world.dice.random() < 0.5:
        world.later(world.dice.random() * 1_500, world.cut_power)
    return True


def fail_read(world: World) -> bool:
    """`EIO` at the next read."""
    world.disk.fail_read = True
    return True


def fill_disk(world: World) -> bool:
    """No room for new blocks, for a while."""
    if world.disk.full:
        return False
    world.disk.full = True
    world.later(_span_ms(world.dice) / 2, world.empty_disk)
    return True


def write_short(world: World) -> bool:
    """Writes that take less than they are given, for a while."""
    world.disk.short_writes = 0.2
    world.later(_span_ms(world.dice), world.write_whole)
    return True


def rot(world: World) -> bool:
    """A bit flips in what was durable before the last commit."""
    return world.rot()


def slow_disk(world: World) -> bool:
    """One sync takes long."""
    world.stall_broker(world.dice.choice((100, 500)))
    return True


def pause_broker(world: World) -> bool:
    """SIGSTOP of the broker; its clock goes on."""
    world.stall_broker(_span_ms(world.dice))
    return True


def jump_clock(world: World) -> bool:
    """The machine's clock is set; the next broker sees it."""
    world.skew_ms = world.dice.choice((-86_400_000, -60_000, 0, 60_000, 86_400_000))
    return True


def cut_link(world: World) -> bool:
    """A connection breaks, and is made again."""
    return world.cut(_some(world))


def partition(world: World) -> bool:
    """Nothing passes for a while, both ways or one; over the timeout the link breaks."""
    client = _some(world)
    ways = world.dice.choice(((0,), (1,), (0, 1)))
    world.partition(client, ways, _span_ms(world.dice))
    return True


def delay(world: World) -> bool:
    """All messages take long for a while, each its own time."""
    world.slow_until_ms = world.now_ms + _span_ms(world.dice)
    return True


def duplicate(world: World) -> bool:
    """What clients say arrives twice, for a while."""
    world.doubling_until_ms = world.now_ms + _span_ms(world.dice)
    return True


def junk(world: World) -> bool:
    """A stranger says anything."""
    frames = [
        world.dice.randbytes(world.dice.randrange(40)) for _ in range(world.dice.randrange(3))
    ]
    world.to_broker(b"stranger", frames)
    return True


def kill_client(world: World) -> bool:
    """`kill -9` of a service's or the source's process; what it said last may arrive."""
    return world.kill(_some(world))


def kill_before_sending(world: World) -> bool:
    """A process with a store is killed between its next commit and the send."""
    world.fatal_commits += 1
    return True


def pause_client(world: World) -> bool:
    """SIGSTOP of a process."""
    client = _some(world)
    client.paused_until = world.now_ms + _span_ms(world.dice)
    return True


def replace_client(world: World) -> bool:
    """A process is given up while it is stopped, and another takes its place; then it goes on."""
    return world.replace(_some(world), _span_ms(world.dice))


def rescale(world: World) -> bool:
    """A service gets another number of replicas."""
    return world.rescale(world.dice.choice(system.SCALED))


def pack(world: World) -> bool:
    """The log process packs a segment: no fault by itself, but one may come soon after it."""
    return world.pack()


KINDS: Final[dict[str, tuple[Fault, int]]] = {
    "kill": (kill_broker, 3),
    "kill in a call": (kill_broker_in_call, 4),
    "power": (cut_power, 3),
    "power in a call": (cut_power_in_call, 4),
    "EIO of fsync": (fail_sync, 3),
    "EIO of a read": (fail_read, 1),
    "ENOSPC": (fill_disk, 2),
    "short writes": (write_short, 1),
    "bit rot": (rot, 4),
    "slow sync": (slow_disk, 2),
    "broker stopped": (pause_broker, 1),
    "clock": (jump_clock, 1),
    "link cut": (cut_link, 5),
    "partition": (partition, 4),
    "delay": (delay, 2),
    "duplicates": (duplicate, 2),
    "junk": (junk, 1),
    "client killed": (kill_client, 5),
    "killed after commit": (kill_before_sending, 2),
    "client stopped": (pause_client, 3),
    "client replaced": (replace_client, 3),
    "replicas changed": (rescale, 2),
    "segment packed": (pack, 3),
}
"""Each kind with its weight."""
ROT: Final = "bit rot"


def choose(dice: random.Random) -> dict[str, int]:
    """The kinds that a seed has, with their weights. Rot is in few seeds: it ends them."""
    kinds = {
        name: weight for name, (_, weight) in KINDS.items() if dice.random() < 0.6 and name != ROT
    }
    if dice.random() < 0.15:
        kinds[ROT] = KINDS[ROT][1]
    return kinds or {"link cut": 1}
