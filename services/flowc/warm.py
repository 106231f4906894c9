"""The warm parent: it has imported everything heavy, opened nothing, and forks processes.

    python -I -m flowc.warm

A process that starts from here shares the memory of all imported code, and is there in a few ms.
Forking is safe only while there are no threads, sockets or database handles, and that is asserted
before each fork.

Protocol: one JSON object a line. On stdin:

    {"id": 1, "module": "flowc.host", "argv": ["--plan", …], "log": "/path/of/its.log"}
    {"signal": 15, "pid": 123}        sent only to a child that has not ended

On stdout:

    {"ready": true}                   first: everything is imported
    {"id": 1, "pid": 123}             a child runs; `id` is the caller's, any JSON value
    {"id": 1, "error": "why"}         it could not be started
    {"pid": 123, "exit": 0}           a child ended with this exit code (`flowc.exits`)
    {"pid": 123, "signal": 9}         a child was killed by this signal

A child calls `main(argv) -> int` of its module, which is one of `MODULES`. It has stdin from
/dev/null, stdout and stderr appended to the file `log` (made with mode 0600), a session of its
own, SIGINT ignored, and is killed by the kernel when the warm parent ends. The warm parent ends
at the end of its stdin, and is itself killed when its parent ends.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import select
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, Final, NoReturn

MODULES: Final = ("flowc.host", "flowc.source")
_WARMED: Final = ("pyarrow", "pyarrow.compute", "zmq", "msgspec", "xxhash", *MODULES)
_ENVIRONMENT: Final = {
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "OPENBLAS_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # gives memory back; as fast at our sizes
}
"""Without these, importing Arrow and numpy starts threads."""
_LINE_BYTES_MAX: Final = 1024 * 1024


def main() -> int:
    """Serve until stdin ends."""
    from flowc_engine.process import die_with_parent, starter

    die_with_parent(starter())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0o077)
    os.environ.update(_ENVIRONMENT)
    for name in _WARMED:
        importlib.import_module(name)
    sys.modules["pyarrow"].array([0])  # its first array imports pandas, where that is installed
    gc.collect()
    gc.freeze()  # a collection in a child would write to, and so copy, every shared page
    WarmParent().run()
    return 0


class WarmParent:
    """Reads commands, forks, reaps."""

    def __init__(self) -> None:
        self._children: set[int] = set()
        self._wake, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._write_end = write_end
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)

    def run(self) -> None:
        """Serve until stdin ends."""
        _say({"ready": True})
        rest = b""
        while True:
            readable, _, _ = select.select([0, self._wake], [], [])
            if self._wake in readable:
                os.read(self._wake, 4096)
                self._reap()
            if 0 not in readable:
                continue
            data = os.read(0, 65536)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._command(line)
            assert len(rest) <= _LINE_BYTES_MAX, "a command without an end"

    def _command(self, line: bytes) -> None:
        command: dict[str, Any] = json.loads(line)
        if "signal" in command:
            if command["pid"] in self._children:
                os.kill(command["pid"], command["signal"])
            return
        try:
            pid = self._fork(command)
        except (OSError, KeyError, ValueError) as error:
            _say({"id": command.get("id"), "error": f"{type(error).__name__}: {error}"})
        else:
            self._children.add(pid)
            _say({"id": command["id"], "pid": pid})

    def _fork(self, command: dict[str, Any]) -> int:
        module, argv, log = command["module"], command["argv"], command["log"]
        if module not in MODULES:
            raise ValueError(f"{module} is none of {', '.join(MODULES)}")
        threads = sum(1 for _ in Path("/proc/self/task").iterdir())
        assert threads == 1, f"{threads} threads: a fork would be unsafe"
        log_fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        parent = os.getpid()
        try:
            pid = os.fork()
            if pid == 0:
                self._child(module, argv, log_fd, parent)
        finally:
            os.close(log_fd)
        return pid

    def _child(self, module: str, argv: list[str], log_fd: int, parent: int) -> NoReturn:
        """Become the process that was asked for. Never returns, and never unwinds into the loop."""
        code = 1
        try:
            from flowc_engine.process import die_with_parent

            die_with_parent(parent)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            null = os.open(os.devnull, os.O_RDONLY)
            for source, target in ((null, 0), (log_fd, 1), (log_fd, 2)):
                os.dup2(source, target)
            for fd in (null, self._wake, self._write_end):
                os.close(fd)
            sys.argv = [module, *argv]
            code = importlib.import_module(module).main(argv)
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else 1
        except BaseException:  # noqa: BLE001 - the boundary of a process: all is written to its log
            traceback.print_exc()
        finally:
            atexit._run_exitfuncs()  # noqa: SLF001 - os._exit skips what the user registered
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._children.discard(pid)
            code = os.waitstatus_to_exitcode(status)
            _say({"pid": pid, "exit": code} if code >= 0 else {"pid": pid, "signal": -code})


def _say(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
