"""A system on two machines: a broker in one folder, services in others; and networks for them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from support.secure import free_port
from support.tiny import FLOWC, Tiny, until


class Elsewhere:
    """`here`: the broker's project. Each service has a copy of it, and a key. `prefixes`: what
    stands before the commands of the broker's machine and of the services'."""

    def __init__(
        self, root: Path, host: str = "127.0.0.1", prefixes: Sequence[Sequence[str]] = ((), ())
    ) -> None:
        self.root = root
        self.here = Tiny(root / "here")
        self.prefixes = prefixes
        self.endpoint = f"tcp://{host}:{free_port()}"
        self.processes: list[subprocess.Popen[str]] = []
        assert self.here.flowc("keys", "init", "main.flow").returncode == 0

    def machine(self, name: str) -> Path:
        """The folder of a service's machine, with the program as it is now."""
        there = self.root / f"there-{name}"
        there.mkdir(exist_ok=True)
        for path in ("main.flow", "app"):
            source = self.here.root / path
            if source.is_dir():
                shutil.copytree(source, there / path, dirs_exist_ok=True)
            else:
                shutil.copy(source, there / path)
        key = there / f"{name}.key"
        if not key.exists():
            done = self.here.flowc("keys", "export", "main.flow", name, "-o", str(key))
            assert done.returncode == 0, done.stderr
        return there

    def broker(self, *args: str) -> subprocess.Popen[str]:
        """`flowc run --listen`, or another command, on the broker's machine."""
        words = args if args[0] == "broker" else ("run", *args)
        command = [words[0], "main.flow", "--listen", self.endpoint, *words[1:]]
        return self._start([*self.prefixes[0], str(FLOWC), *command], self.here.root)

    def service(self, name: str, *args: str) -> subprocess.Popen[str]:
        """`flowc service` on a machine of its own."""
        there = self.machine(name)
        command = ["service", "main.flow", name, "--connect", self.endpoint, "--key", f"{name}.key"]
        return self._start([*self.prefixes[1], str(FLOWC), *command, *args], there)

    def _start(self, command: Sequence[str], folder: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self.processes.append(process)
        return process

    def stop(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        """Ctrl-C; its exit code and what it wrote."""
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        return process.returncode, out + err

    def wait_connected(self, *names: str, ready: bool = True) -> None:
        """Until these services are ready at the broker, or away."""

        def look() -> bool:
            status = self.here.status()
            found = {s.service: s.ready and s.connected for s in status.slots} if status else {}
            return bool(found) and all(found[name] == ready for name in names)

        until(f"{names} ready: {ready}", look, self.logs)

    def logs(self) -> str:
        """All that the processes wrote, on all machines."""
        files = sorted(self.root.glob("**/logs/*.log"))
        return "".join(f"--- {p.relative_to(self.root)}\n{p.read_text()}" for p in files)

    def close(self) -> None:
        """Kill what still runs."""
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def host_pid(machine: Path, service: str) -> int:
    """The process of a service on its machine: who writes to its log."""
    log = machine / f".flow/Tiny/services/{service}-0/logs/service-{service}-0.log"
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                if (folder / "fd/2").readlink() == log:
                    return int(folder.name)
    return 0


@contextmanager
def two_networks() -> Iterator[tuple[str, str, str]]:
    """Two network namespaces with a cable between them: their names, and the first one's address.

    Skips where the machine does not allow that.
    """
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root, and iproute2")
    one, two = (f"flowc-{os.getpid()}-{i}" for i in (1, 2))
    made: list[str] = []
    try:
        for name in (one, two):
            done = ip("netns", "add", name)
            if done.returncode != 0:
                pytest.skip(f"no network namespaces here: {done.stderr.strip()}")
            made.append(name)
        for words in (
            ("link", "add", "v1", "netns", one, "type", "veth", "peer", "name", "v2", "netns", two),
            ("-n", one, "addr", "add", "10.77.0.1/24", "dev", "v1"),
            ("-n", two, "addr", "add", "10.77.0.2/24", "dev", "v2"),
            ("-n", one, "link", "set", "v1", "up"),
            ("-n", two, "link", "set", "v2", "up"),
            ("-n", one, "link", "set", "lo", "up"),
            ("-n", two, "link", "set", "lo", "up"),
        ):
            done = ip(*words)
            if done.returncode != 0:
                pytest.skip(f"no virtual cables here: {done.stderr.strip()}")
        yield one, two, "10.77.0.1"
    finally:
        for name in made:
            ip("netns", "del", name)


def ip(*words: str) -> subprocess.CompletedProcess[str]:
    """The command `ip`."""
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
