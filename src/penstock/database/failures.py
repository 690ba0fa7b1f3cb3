"""What a database can do to us, in our words. The only place that knows the servers' error numbers."""

import copy
import sqlite3
from collections.abc import Iterator
from typing import Literal

from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from penstock.errors import Conflict, InvalidRequest, PenstockError, Unavailable

Dialect = Literal["sqlite", "mysql", "postgres"]

SERVER_NAMES: dict[Dialect, str] = {"sqlite": "SQLite", "mysql": "MySQL or MariaDB", "postgres": "PostgreSQL"}


class DatabaseUnavailable(Unavailable):
    """Not reachable, shutting down, full or out of connections. Nothing of the transaction was kept, unless the
    connection broke while it was being committed: then nobody knows."""

    code = "database_unavailable"


class WriteConflict(Unavailable):
    """Two transactions stood in each other's way and this one was rolled back. The same one may succeed next time."""

    code = "write_conflict"


class AlreadyExists(Conflict):
    """A unique key is taken."""

    code = "already_exists"


class BrokenReference(Conflict):
    """The row this one belongs to is gone, or other rows still belong to the one that should go."""

    code = "broken_reference"


class UnstorableText(InvalidRequest):
    code = "unstorable_text"


class TextTooLong(InvalidRequest):
    code = "text_too_long"


def is_conflict(error: BaseException) -> bool:
    """Whether doing the whole transaction again may succeed: a deadlock or a serialization failure."""
    return any(isinstance(one, WriteConflict) for one in causes(error))


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, the driver's own exception included; every one once."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        if isinstance(current, StatementError) and current.orig is not None:
            current = current.orig
        else:
            current = current.__cause__ or current.__context__


def sqlstate(error: BaseException) -> str:
    """PostgreSQL's five characters, empty when there are none. asyncmy carries MySQL's here, which says less."""
    found = getattr(error, "sqlstate", None)
    return found if isinstance(found, str) else ""


def error_number(error: BaseException) -> int:
    """MySQL's and MariaDB's error number (or the client's, from 2000), 0 when there is none."""
    is_numbered = type(error).__module__.startswith("asyncmy") and error.args and isinstance(error.args[0], int)
    return int(error.args[0]) if is_numbered else 0


def is_locked(error: BaseException) -> bool:
    """SQLite: another process is writing."""
    return any(getattr(one, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY for one in causes(error))


def is_elsewhere(error: BaseException) -> bool:
    """The server is well but not, or no longer, the one that writes: connecting again may lead to the right one."""
    return sqlstate(error) == "25006" or error_number(error) in {1047, 1290, 1792, 1836}


def translate(dialect: Dialect, error: BaseException, *, is_disconnect: bool = False) -> PenstockError | None:
    """Our error for a driver's or SQLAlchemy's, None for what is a bug. The caller sets `__cause__`."""
    if isinstance(error, PenstockError):
        # A column type refused a value. A copy, because an exception must not become its own cause.
        return copy.copy(error)
    if isinstance(error, PoolTimeout):
        return unavailable(dialect, "All connections to it are in use.")
    if isinstance(error, DBAPIError) and error.orig is not None:
        return translate(dialect, error.orig, is_disconnect=is_disconnect or error.connection_invalidated)
    if isinstance(error, StatementError) and isinstance(error.orig, PenstockError):
        return copy.copy(error.orig)
    if isinstance(error, SQLAlchemyError):
        return None
    named = _NAMED[dialect](error)
    if named is None and (is_disconnect or isinstance(error, OSError)):
        return unavailable(dialect, "The connection to it was lost.")
    return named


def unavailable(dialect: Dialect, explanation: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"The database ({SERVER_NAMES[dialect]}) is not available.",
        explanation=explanation,
        action="Try again in a moment. If it lasts, look at the database server and its log.",
    )


def _taken() -> AlreadyExists:
    return AlreadyExists("Something with this key exists already.")


def _reference() -> BrokenReference:
    return BrokenReference(
        "The change does not fit what is stored.",
        explanation="What it belongs to was deleted meanwhile, or something else still belongs to it.",
        action="Load the present state and try again.",
    )


def _conflict(dialect: Dialect) -> WriteConflict:
    return WriteConflict(
        "Two changes met in the database and this one was undone.",
        explanation=f"{SERVER_NAMES[dialect]} resolved a deadlock or a conflict between transactions.",
        action="Try again.",
    )


def _sqlite(error: BaseException) -> PenstockError | None:
    if not isinstance(error, sqlite3.Error):
        return None
    code = getattr(error, "sqlite_errorcode", 0)
    if code in {
        sqlite3.SQLITE_CONSTRAINT_UNIQUE,
        sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
        sqlite3.SQLITE_CONSTRAINT_ROWID,
    }:
        return _taken()
    if code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        return _reference()
    if code == sqlite3.SQLITE_BUSY_SNAPSHOT:
        return _conflict("sqlite")
    explanation = _SQLITE_UNAVAILABLE.get(code & 0xFF)
    return unavailable("sqlite", explanation) if explanation else None


def _postgres(error: BaseException) -> PenstockError | None:
    state = sqlstate(error)
    if state == "23505":
        return _taken()
    if state in {"23503", "23001"}:
        return _reference()
    if state in {"40001", "40P01", "55P03"}:
        return _conflict("postgres")
    if state == "53300":
        return unavailable("postgres", "The server has no connection left for us (max_connections).")
    if state.startswith("53"):
        return unavailable("postgres", "The server is out of memory or disk space.")
    if state.startswith(("08", "57P")):
        return unavailable(
            "postgres", "The server closed the connection; it is stopping, starting or being failed over."
        )
    if state == "25006":
        return unavailable("postgres", "The server only reads at present (a standby, or a failover is under way).")
    return None


def _mysql(error: BaseException) -> PenstockError | None:
    number = error_number(error)
    if number in {1062, 1586}:
        return _taken()
    if number in {1216, 1217, 1451, 1452}:
        return _reference()
    if number in {1020, 1205, 1213}:
        return _conflict("mysql")
    explanation = _MYSQL_UNAVAILABLE.get(number)
    return unavailable("mysql", explanation) if explanation else None


_NAMED = {"sqlite": _sqlite, "postgres": _postgres, "mysql": _mysql}

_SQLITE_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY: "Another process has been writing for too long (database is locked).",
    sqlite3.SQLITE_LOCKED: "Another connection holds a lock (database table is locked).",
    sqlite3.SQLITE_READONLY: "The database file is read-only.",
    sqlite3.SQLITE_IOERR: "Reading or writing the database file failed.",
    sqlite3.SQLITE_FULL: "The disk is full.",
    sqlite3.SQLITE_CANTOPEN: "The database file cannot be opened.",
    sqlite3.SQLITE_NOMEM: "There is no memory left.",
}

_LOST = "The connection to it was lost."
_FULL = "The server has no connection left for us."
_MYSQL_UNAVAILABLE = {
    1021: "The server's disk is full.",
    1040: _FULL,
    1041: "The server is out of memory.",
    # Galera refuses every statement on a node that has lost the majority of its cluster or is still joining it.
    1047: "This node is not ready: its Galera cluster has no majority, or it is still joining (WSREP).",
    1053: "The server is shutting down.",
    1114: "The server's disk is full.",
    1129: "The server blocked this host after too many connection errors (FLUSH HOSTS frees it).",
    1203: _FULL,
    1226: _FULL,
    1290: "The server only reads at present (read_only).",
    1792: "The server only reads at present.",
    1836: "The server only reads at present (read_only).",
    1927: _LOST,
    2003: "It cannot be reached.",
    2006: _LOST,
    2013: _LOST,
    2055: _LOST,
    4031: _LOST,
}
