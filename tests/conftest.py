"""What holds for every test: no process is left behind, and property tests repeat in CI."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import psutil
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50
)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, print_blob=True)
settings.register_profile("deep", settings.get_profile("default"), max_examples=2_000)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default")
)

LEFT_BEHIND_S = 5.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Short tests first: a broken build shows at once."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@pytest.fixture(autouse=True, scope="module")
def _no_process_is_left_behind() -> Iterator[None]:
    """A module's tests end what they start. What lives on is killed, and fails the module."""
    process = psutil.Process()
    before = {child.pid for child in process.children()}
    yield
    until = time.monotonic() + LEFT_BEHIND_S
    while left := [c for c in process.children(recursive=True) if c.pid not in before]:
        if time.monotonic() > until:
            names = [" ".join(c.cmdline()) or c.name() for c in left]
            for child in left:
                child.kill()
            pytest.fail(f"left behind: {names}")
        time.sleep(0.02)
