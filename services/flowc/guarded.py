"""The connection to a store that handlers are given: SQLite's own, without what would take the
transaction out of flowc's hands.

What a handler does to its store is committed together with where its service is in the log, and
undone when the handler fails. So a handler neither commits nor rolls back.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterable
from typing import Any, Final, NoReturn, TypeVar

from flowc.errors import StoreUseError

OWN_PREFIX: Final = "_flowc_"
"""Of flowc's own tables in a store."""
_SAVEPOINT: Final = f"{OWN_PREFIX}{secrets.token_hex(8)}"
_PRAGMAS: Final = frozenset({
    "table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo",
    "foreign_key_list", "foreign_key_check", "user_version", "integrity_check", "quick_check",
    "compile_options", "function_list", "defer_foreign_keys", "optimize", "data_version",
})  # fmt: skip
_CHANGES: Final = frozenset({
    sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE, sqlite3.SQLITE_DROP_TABLE,
    sqlite3.SQLITE_CREATE_TABLE,
})  # fmt: skip
_TOGETHER: Final = "flowc commits what a handler did together with the handler's events"
T = TypeVar("T")


class GuardedCursor(sqlite3.Cursor):
    """Says why a statement is refused. Raises `StoreUseError` for one."""

    def execute(self, sql: str, parameters: Any = (), /) -> GuardedCursor:
        """See `sqlite3.Cursor`."""
        try:
            super().execute(sql, parameters)
        except sqlite3.DatabaseError as error:
            _explain(self.connection, error)
        return self

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> GuardedCursor:
        """See `sqlite3.Cursor`."""
        try:
            super().executemany(sql, parameters)
        except sqlite3.DatabaseError as error:
            _explain(self.connection, error)
        return self

    def executescript(self, script: str, /) -> GuardedCursor:
        """Statement by statement, within the transaction that there is."""
        for statement in _statements(script):
            self.execute(statement)
        return self


class GuardedConnection(sqlite3.Connection):
    """A `sqlite3.Connection`. What begins with `own_` is flowc's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_own = True
        self.refused = ""
        self._own_cursor = sqlite3.Cursor(self)
        super().set_authorizer(self._authorize)

    def cursor(self, factory: Any = None, /) -> Any:
        """See `sqlite3.Connection`."""
        return super().cursor(factory or GuardedCursor)

    def execute(self, sql: str, parameters: Any = (), /) -> GuardedCursor:
        """See `sqlite3.Connection`."""
        return GuardedCursor(self).execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> GuardedCursor:
        """See `sqlite3.Connection`."""
        return GuardedCursor(self).executemany(sql, parameters)

    def executescript(self, script: str, /) -> GuardedCursor:
        """Statement by statement, within the transaction that there is."""
        found: GuardedCursor = self.cursor().executescript(script)
        return found

    def commit(self) -> NoReturn:
        """Not a handler's to do."""
        raise StoreUseError(f"a handler can't commit its store: {_TOGETHER}")

    def rollback(self) -> NoReturn:
        """Not a handler's to do."""
        raise StoreUseError(
            "a handler can't roll its store back: raise an exception, and all that it did is undone"
        )

    def close(self) -> NoReturn:
        """Not a handler's to do."""
        raise StoreUseError("a handler can't close its store: other events come")

    def __enter__(self) -> NoReturn:
        raise StoreUseError(f"`with` commits a connection, and a handler can't: {_TOGETHER}")

    def set_authorizer(self, *_: Any) -> NoReturn:
        """It has one."""
        raise StoreUseError("a store has its own authorizer")

    # ---- flowc's own

    def own(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        """Execute a statement of flowc's. Raises `sqlite3.Error`."""
        self._is_own = True
        try:
            return self._own_cursor.execute(sql, parameters)
        finally:
            self._is_own = False

    def own_save(self) -> None:
        """Begin what `own_undo` undoes and `own_keep` keeps."""
        self.own(f"SAVEPOINT {_SAVEPOINT}")

    def own_keep(self) -> None:
        """What was done since `own_save` is part of the transaction."""
        self.own(f"RELEASE {_SAVEPOINT}")

    def own_undo(self) -> None:
        """What was done since `own_save` was not."""
        self.own(f"ROLLBACK TO {_SAVEPOINT}")
        self.own(f"RELEASE {_SAVEPOINT}")

    def own_close(self) -> None:
        """Close; a transaction that was not committed never was."""
        self._is_own = True
        super().close()

    def _authorize(
        self, action: int, first: str | None, second: str | None, _db: str | None, _by: str | None
    ) -> int:
        if self._is_own:
            return sqlite3.SQLITE_OK
        self.refused = _refusal(action, first or "", second or "")
        return sqlite3.SQLITE_DENY if self.refused else sqlite3.SQLITE_OK


def _refusal(action: int, first: str, second: str) -> str:
    """Why a handler may not do this; "" where it may."""
    match action:
        case sqlite3.SQLITE_TRANSACTION:
            return f"a handler can't {first} its store: {_TOGETHER}"
        case sqlite3.SQLITE_SAVEPOINT if second == _SAVEPOINT:
            return "this savepoint is flowc's"
        case sqlite3.SQLITE_ATTACH | sqlite3.SQLITE_DETACH:
            return "a store is one file: ATTACH and DETACH are not for handlers"
        case sqlite3.SQLITE_PRAGMA if first.lower() not in _PRAGMAS:
            return f"PRAGMA {first} of a store is set by flowc"
        case _ if action in _CHANGES and first.startswith(OWN_PREFIX):
            return f"{first} is a table of flowc's"
        case sqlite3.SQLITE_ALTER_TABLE if second.startswith(OWN_PREFIX):
            return f"{second} is a table of flowc's"
    return ""


def _explain(connection: sqlite3.Connection, error: sqlite3.DatabaseError) -> NoReturn:
    assert isinstance(connection, GuardedConnection)
    refused, connection.refused = connection.refused, ""
    if refused and "not authorized" in str(error):
        raise StoreUseError(refused) from None
    raise error


def _statements(script: str) -> Iterable[str]:
    """The statements of a script, each with its `;`."""
    statement = ""
    for piece in script.split(";")[:-1]:
        statement += f"{piece};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    rest = statement + script.rpartition(";")[2]
    if rest.strip():
        yield rest
