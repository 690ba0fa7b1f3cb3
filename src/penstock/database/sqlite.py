"""SQLite with one trip to its thread per statement.

aiosqlite runs every call in a thread of the connection. SQLAlchemy's adapter makes four calls of each statement (open a
cursor, execute, fetch, close), and what they cost is the way there and back, not SQLite: here it is one.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.aiosqlite import (
    AsyncAdapt_aiosqlite_connection,
    AsyncAdapt_aiosqlite_cursor,
    AsyncAdapt_aiosqlite_dbapi,
    SQLiteDialect_aiosqlite,
)
from sqlalchemy.util.concurrency import await_

DRIVER = "sqlite+penstock"


class _Done(msgspec.Struct, gc=False):
    """What is left of a cursor when all of it has been read."""

    description: Any = None
    rowcount: int = -1
    lastrowid: int | None = None
    arraysize: int = 1
    rows: Sequence[Any] = ()

    def close(self) -> None:
        """It was closed in its thread."""


class _Cursor(AsyncAdapt_aiosqlite_cursor):
    __slots__ = ()

    _awaitable_cursor_close = False

    def _make_new_cursor(self, connection: Any) -> Any:
        return _Done()

    def _aenter_cursor(self, cursor: Any) -> Any:
        return cursor

    async def _execute_async(self, operation: Any, parameters: Any) -> Any:
        async with self._adapt_connection._execute_mutex:
            await self._run("execute", operation, () if parameters is None else parameters)
        return self

    async def _executemany_async(self, operation: Any, seq_of_parameters: Any) -> Any:
        async with self._adapt_connection._execute_mutex:
            await self._run("executemany", operation, seq_of_parameters)
        return self

    async def _run(self, method: str, operation: Any, parameters: Any) -> None:
        connection: Any = self._connection
        done = await connection._execute(_run, connection._conn, method, operation, parameters)
        self._cursor = done
        self._rows = deque(done.rows)


def _run(connection: Any, method: str, operation: Any, parameters: Any) -> _Done:
    cursor = connection.cursor()
    try:
        getattr(cursor, method)(operation, parameters)
        rows = cursor.fetchall() if cursor.description else ()
        return _Done(cursor.description, cursor.rowcount, cursor.lastrowid, cursor.arraysize, rows)
    finally:
        cursor.close()


class _Connection(AsyncAdapt_aiosqlite_connection):
    __slots__ = ()

    _cursor_cls = _Cursor


class _Dbapi(AsyncAdapt_aiosqlite_dbapi):
    def connect(self, *arguments: Any, **keywords: Any) -> _Connection:
        connection = self.aiosqlite.connect(*arguments, **keywords)
        connection._thread.daemon = True  # a connection that nobody closed must not keep the process alive
        return _Connection(self, await_(connection))


class Dialect(SQLiteDialect_aiosqlite):
    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> _Dbapi:
        return _Dbapi(__import__("aiosqlite"), __import__("sqlite3"))


registry.register(DRIVER.replace("+", "."), __name__, "Dialect")
