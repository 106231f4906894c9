"""Which event a process was at when it died.

A handler can kill its process: a crash in native code, too much memory, `os._exit`. Nobody is left
to say which event did it, and the next process would be delivered the same one. So a process that
follows one which died handles events one by one and notes each beforehand, in a file that a killed
process leaves behind. An event at which `DEATHS_NOTED_MAX` processes of a row have died is parked
by the next one, unhandled.

The file is mapped into memory: a note is a few bytes copied, and survives `kill -9` (not a crash of
the machine, after which nothing is suspected).
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path
from typing import Final

DEATHS_NOTED_MAX: Final = 2
"""The first death of a row is nobody's: only a process that follows one which died takes notes. So
an event is given up after three deaths."""
CAUTIOUS_ROWS_MAX: Final = 20_000
"""So many events after a death, all is as before."""
_NOTHING: Final = -1
_FORM: Final = struct.Struct("<qqqq")  # running, the event at hand, the suspect, deaths at it


class Suspects:
    """The notes of one replica's processes, in the file at `path`. Each process makes it once.

    Raises `OSError`.
    """

    def __init__(self, path: Path) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(fd).st_size != _FORM.size:
                os.ftruncate(fd, 0)
                os.pwrite(fd, _FORM.pack(0, _NOTHING, _NOTHING, 0), 0)
            self._notes = mmap.mmap(fd, _FORM.size)
        finally:
            os.close(fd)
        self._suspect: int
        self._deaths: int
        died, at, self._suspect, self._deaths = _FORM.unpack_from(self._notes)
        if died and at != _NOTHING:
            self._deaths = self._deaths + 1 if at == self._suspect else 1
            self._suspect = at
        self._rows = 0
        self._pid = os.getpid()
        self.cautious = bool(died)
        self._note(_NOTHING)

    def condemned(self, offset: int) -> bool:
        """Whether this event has killed so many processes that it is not tried again."""
        return offset == self._suspect and self._deaths >= DEATHS_NOTED_MAX

    def enter(self, offset: int) -> None:
        """This event is handled next. Only while `cautious`."""
        self._note(offset)

    def leave(self) -> None:
        """It was handled, and the process lives."""
        self._rows += 1
        self.cautious = self._rows < CAUTIOUS_ROWS_MAX
        self._note(_NOTHING)

    def close(self) -> None:
        """The process ends as it should; not a child that it forked, which shares the notes."""
        if os.getpid() == self._pid:
            _FORM.pack_into(self._notes, 0, 0, _NOTHING, _NOTHING, 0)
        self._notes.close()

    def _note(self, at: int) -> None:
        _FORM.pack_into(self._notes, 0, 1, at, self._suspect, self._deaths)
