"""What a test of the seeds does with a mutant: it is to be caught by one of them."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from flowc_engine.core import layout

Patch = pytest.MonkeyPatch
Mutant = Callable[[Patch], None]


def assert_caught(
    mutant: Mutant,
    patch: Patch,
    good: Callable[[int], bool],
    seeds: int,
    deaths: tuple[type[Exception], ...] = (AssertionError,),
) -> None:
    """A seed catches it by not being ``good``, or by one of ``deaths`` on the way."""
    mutant(patch)
    logging.disable(logging.CRITICAL)
    try:
        for seed in range(seeds):
            try:
                caught = not good(seed)
            except deaths as error:
                print(repr(error)[:200])
                caught = True
            if caught:
                print(f"caught by seed {seed}")
                return
    finally:
        logging.disable(logging.NOTSET)
    raise AssertionError(f"{mutant.__name__} was not caught by {seeds} seeds")


def what_is_deferred_stays_behind(patch: Patch) -> None:
    """A change of replicas that forgets what is deferred."""
    real = layout._relay

    def relay(service, replicas, partitions, old):
        slots = real(service, replicas, partitions, old)
        for slot in slots if len(old) != replicas else ():
            slot.deferred, slot.deferred_in = [], {}
        return slots

    patch.setattr(layout, "_relay", relay)
