"""The keys of a system: who may come over TCP, and as whom.

`keys/` in the folder of a system's state, 0700, its files 0600:

    broker.key              the broker's pair
    service-NAME.key        the pair of a service, until it is revoked
    source-NAME.key         the pair of a source
    allowed.json            the public keys that are let in, and those that were

A file that others may read or write is not used. Secrets are written to key files, and shown
nowhere. `flowc keys` makes and changes all of this; the broker reads it, and sees changes.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

from flowc_engine import limits
from flowc_engine.bus.curve import Credentials, Pair
from flowc_engine.core.access import Principal
from flowc_engine.files import write_atomically

FORMAT: Final = 1
BROKER: Final = "broker"
_LOOSE: Final = 0o077


class KeysError(Exception):
    """Keys that are missing or can't be used; the text says which command mends that."""


class Entry(msgspec.Struct, frozen=True):
    """One party. `added`, `revoked`: when, as ISO 8601; `revoked` is "" while it is let in."""

    role: Literal["service", "source"]
    name: str
    public: str
    added: str
    revoked: str = ""

    @property
    def principal(self) -> Principal:
        """Whom the key makes its owner."""
        return Principal(self.role, self.name)


class KeyFile(msgspec.Struct, frozen=True):
    """A pair, and whose. An exported one has the broker's public key in `broker`."""

    format: int
    system: str
    role: Literal["broker", "service", "source"]
    name: str
    public: str
    secret: str
    broker: str = ""

    def credentials(self, system: str, wanted: Principal, path: Path) -> Credentials:
        """What a client of `system` needs. Raises `KeysError` if it is no key for that."""
        if not self.broker:
            raise KeysError(
                f"{path} has no key of a broker: take a file that `flowc keys export` has written"
            )
        whose = f"{self.role} {self.name}".strip()
        if self.system != system or (self.role, self.name) != wanted:
            raise KeysError(f"{path} is the key of {whose} of {self.system}, not of {wanted}")
        return Credentials(Pair(self.public, self.secret), self.broker)

    def __repr__(self) -> str:
        return f"KeyFile({self.role} {self.name})"  # a secret is in no traceback


class _Allowed(msgspec.Struct):
    format: int
    keys: list[Entry]


class KeyRing:
    """The keys of a system, in `folder`. All methods raise `KeysError`, and `OSError`."""

    def __init__(self, folder: Path, system: str) -> None:
        self.folder, self.system = folder, system

    @property
    def allow_file(self) -> Path:
        """The list of who is let in."""
        return self.folder / "allowed.json"

    def exists(self) -> bool:
        """Whether keys were made."""
        return self.allow_file.exists()

    def file_of(self, who: Principal) -> Path:
        """Where a party's pair is."""
        return self.folder / f"{who.role}-{who.name}.key"

    # ---- reading

    def broker(self) -> Pair:
        """The broker's pair."""
        found = read_key(self._checked() / "broker.key")
        return Pair(found.public, found.secret)

    def entries(self) -> list[Entry]:
        """Every party that ever had a key, in the order of roles and names."""
        return _entries(_read_private(self._checked() / self.allow_file.name), self.allow_file)

    def allowed(self) -> dict[str, Principal]:
        """Who is let in, by public key."""
        return {e.public: e.principal for e in self.entries() if not e.revoked}

    def _checked(self) -> Path:
        """The folder, if it is the user's alone."""
        try:
            found = self.folder.stat()
        except FileNotFoundError:
            raise KeysError(
                f"{self.system} has no keys yet; `flowc keys init FILE` makes them"
            ) from None
        _check_private(self.folder, found, "700")
        return self.folder

    # ---- changing

    def init(self, parties: Iterable[Principal]) -> list[Principal]:
        """Make the broker's pair, and one for each party that never had one; which, comes back."""
        with self._change() as entries:
            if not (self.folder / "broker.key").exists():
                self._write(KeyFile(FORMAT, self.system, BROKER, "", *Pair.make()))
            known = {e.principal for e in entries}
            missing = [who for who in dict.fromkeys(parties) if who not in known]
            for who in missing:
                self._make(entries, who)
        return missing

    def add(self, who: Principal) -> None:
        """Let a party in that has no key, or whose key was revoked."""
        with self._change() as entries:
            if any(e.principal == who and not e.revoked for e in entries):
                raise KeysError(f"{who} has a key; `flowc keys rotate` replaces it")
            self._make(entries, who)

    def revoke(self, who: Principal) -> None:
        """Let a party in no more; its secret is deleted here."""
        with self._change() as entries:
            self._revoke(entries, who)

    def rotate(self, who: Principal) -> None:
        """Replace a party's key; the old one is let in no more."""
        with self._change() as entries:
            self._revoke(entries, who)
            self._make(entries, who)

    def rotate_broker(self) -> None:
        """Replace the broker's key: it has to be restarted, and all keys exported again."""
        with self._change():
            self._write(KeyFile(FORMAT, self.system, BROKER, "", *Pair.make()))

    def export(self, who: Principal, out: Path) -> None:
        """Write what another machine needs to be this party to a new file."""
        if who not in self.allowed().values():
            raise KeysError(f"{who} has no key that is let in; `flowc keys add` makes one")
        file = msgspec.structs.replace(read_key(self.file_of(who)), broker=self.broker().public)
        data = msgspec.json.format(msgspec.json.encode(file))
        try:
            handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise KeysError(f"{out} exists; delete it first, or name another with -o") from None
        with os.fdopen(handle, "wb") as stream:
            stream.write(data + b"\n")

    @contextmanager
    def _change(self) -> Iterator[list[Entry]]:
        """The list, to be changed by one command at a time; written when all went well."""
        os.umask(_LOOSE)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(self._checked(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            entries = self.entries() if self.exists() else []
            yield entries
            entries.sort(key=lambda e: (e.role, e.name, e.added))
            data = msgspec.json.format(msgspec.json.encode(_Allowed(FORMAT, entries)))
            write_atomically(self.allow_file, data + b"\n")
        finally:
            os.close(lock)

    def _make(self, entries: list[Entry], who: Principal) -> None:
        pair = Pair.make()
        self._write(KeyFile(FORMAT, self.system, who.role, who.name, *pair))
        entries[:] = [e for e in entries if e.principal != who]
        entries.append(Entry(who.role, who.name, pair.public, _now()))

    def _revoke(self, entries: list[Entry], who: Principal) -> None:
        for index, entry in enumerate(entries):
            if entry.principal == who and not entry.revoked:
                entries[index] = msgspec.structs.replace(entry, revoked=_now())
                with suppress(FileNotFoundError):
                    self.file_of(who).unlink()
                return
        raise KeysError(f"{who} has no key that is let in; `flowc keys list` shows who has")

    def _write(self, file: KeyFile) -> None:
        name = "broker.key" if file.role == BROKER else f"{file.role}-{file.name}.key"
        data = msgspec.json.format(msgspec.json.encode(file))
        write_atomically(self.folder / name, data + b"\n")


class AllowList:
    """Who is let in now: follows the list of a key ring while it changes.

    Where it can't be read, nobody is let in, and `fault` says why.
    """

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        self._seen: tuple[int, ...] | None = None
        self.keys: dict[str, Principal] = {}
        self.fault = ""

    def refresh(self) -> bool:
        """Look whether the file has changed, and read it if so; whether it had."""
        seen = _stamp(self._ring.allow_file)
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            self.keys, self.fault = self._ring.allowed(), ""
        except (KeysError, OSError) as error:
            self.keys, self.fault = {}, str(error)
        return True


def read_key(path: Path) -> KeyFile:
    """The pair in a file. Raises `KeysError`, also where others may read it."""
    try:
        found = msgspec.json.decode(_read_private(path), type=KeyFile)
    except msgspec.DecodeError:
        raise KeysError(f"{path} is no key file of flowc, or it is damaged") from None
    if found.format != FORMAT:
        raise KeysError(f"{path} has format {found.format}, this flowc reads {FORMAT}")
    return found


def _entries(data: bytes, path: Path) -> list[Entry]:
    try:
        found = msgspec.json.decode(data, type=_Allowed)
    except msgspec.DecodeError as error:
        raise KeysError(f"{path} is damaged ({error}); nobody is let in") from None
    if found.format != FORMAT:
        raise KeysError(f"{path} has format {found.format}, this flowc reads {FORMAT}")
    return found.keys


def _read_private(path: Path) -> bytes:
    """The bytes of a regular file that is the user's alone."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise KeysError(f"there is no key file {path}") from None
    except OSError as error:
        raise KeysError(f"{path}: {error.strerror}") from None
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise KeysError(f"{path} is no regular file")
    with os.fdopen(handle, "rb") as stream:
        _check_private(path, found, "600")
        data = stream.read(limits.KEYS_BYTES_MAX + 1)
    if len(data) > limits.KEYS_BYTES_MAX:
        raise KeysError(f"{path} is over {limits.KEYS_BYTES_MAX:,} bytes")
    return data


def _check_private(path: Path, found: os.stat_result, mode: str) -> None:
    if found.st_uid not in (os.geteuid(), 0):
        raise KeysError(f"{path} belongs to another user (uid {found.st_uid}): it is not used")
    if found.st_mode & _LOOSE:
        raise KeysError(
            f"{path} is open to others (mode {stat.S_IMODE(found.st_mode):04o}): "
            f"`chmod {mode} {path}`, and `flowc keys rotate` for a key that somebody may have read"
        )


def _stamp(path: Path) -> tuple[int, ...]:
    """Changes whenever the file does."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
