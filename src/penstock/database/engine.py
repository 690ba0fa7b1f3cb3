"""Connections and transactions. One `Database` per process; rooms get it from `app.py` and open short transactions.

No exception of a driver or of SQLAlchemy that an operator or a caller can do something about leaves a transaction:
`failures.translate` names it at the statement that failed, so a repository can catch `AlreadyExists` where it happens.
What stays untranslated is a bug of ours.
"""

import asyncio
import logging
import os
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
from sqlalchemy import URL, Connection, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.engine.interfaces import Dialect as SqlAlchemyDialect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from penstock.database.failures import DatabaseUnavailable, Dialect, is_elsewhere, is_locked, translate, unavailable
from penstock.kit.secret import Secret

Transaction = AsyncSession

DEFAULT_PORTS = {"mysql": 3306, "postgres": 5432}
DEFAULT_SCHEMA = "cs-on-premises"

# Strict: a value that does not fit is refused and never cut, whatever the server's own default is.
_SQL_MODE = "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
# SQLite waits for a lock in a thread that cannot be interrupted, so it waits in small pieces.
_SQLITE_ATTEMPT_S = 0.5
_RECYCLE_AFTER_S = 1800  # below the idle limits of managed servers and their proxies


class DatabaseOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where the database is. `path` is for sqlite, `schema` for postgres, the rest for the two servers.

    `ssl_ca` turns verified TLS on; `ssl_cert` and `ssl_key` add our own certificate. `connect_timeout_s` bounds one
    attempt to connect, `wait_s` the wait for a free connection and, on SQLite, for another writer.
    """

    driver: Dialect
    path: str = "penstock.db"
    host: str = "127.0.0.1"
    port: int | None = None
    user: str = ""
    password: str = ""
    database: str = ""
    schema: str = DEFAULT_SCHEMA
    ssl_ca: str | None = None
    ssl_cert: str | None = None
    ssl_key: str | None = None
    pool_size: int = 10
    connect_timeout_s: float = 10.0
    wait_s: float = 10.0

    def __repr__(self) -> str:
        return f"DatabaseOptions({self.where()})"

    def where(self) -> str:
        """For people and logs: never a password."""
        if self.driver == "sqlite":
            return f"sqlite at {self.path}"
        return f"{self.driver} at {self.host}:{self.port or DEFAULT_PORTS[self.driver]}, database {self.database}"


class Database:
    """A pool of connections. Nothing is connected before the first statement.

    `options` and `engine` are for the migrations; rooms need `transaction()` and `reading()` only.
    """

    def __init__(self, options: DatabaseOptions) -> None:
        self.options = options
        self.engine: AsyncEngine = _engine(options)
        self._readers = _sessions(self.engine)
        self._writers = _sessions(self.engine.execution_options(begin="IMMEDIATE"))
        # SQLite has one writer at a time. Its own waiting is by polling and not in turn, so we queue in front of it.
        self._turn = asyncio.Lock()

    @property
    def dialect(self) -> Dialect:
        return self.options.driver

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Commit when the block ends, roll back when it raises. Never open one inside another.

        Raises DatabaseUnavailable, WriteConflict, AlreadyExists, BrokenReference and what the column types refuse.
        """
        async with self._in_turn(), self._session(self._writers) as tx:
            yield tx

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Transaction]:
        """A transaction that only reads: on SQLite it waits for no writer and must not write."""
        async with self._session(self._readers) as tx:
            yield tx

    async def ping(self) -> None:
        """Raises DatabaseUnavailable."""
        async with self.reading() as tx:
            await tx.execute(text("SELECT 1"))

    async def aclose(self) -> None:
        await self.engine.dispose()

    @asynccontextmanager
    async def _session(self, sessions: async_sessionmaker[AsyncSession]) -> AsyncIterator[Transaction]:
        try:
            async with sessions.begin() as session:
                yield session
        except SQLAlchemyError as error:
            ours = translate(self.dialect, error)
            if ours is None:
                raise
            raise ours from error

    @asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        if self.dialect != "sqlite":
            yield
            return
        try:
            async with asyncio.timeout(self.options.wait_s):
                await self._turn.acquire()
        except TimeoutError as error:
            raise unavailable("sqlite", "Another transaction has been writing for too long.") from error
        try:
            yield
        finally:
            self._turn.release()


def locks_rows(tx: Transaction) -> bool:
    """Whether rows are locked one by one. SQLite has a single writer: whoever writes has everything locked."""
    return tx.get_bind().dialect.name != "sqlite"


def open_database(options: DatabaseOptions) -> Database:
    """No file, name or server is touched yet."""
    return Database(options)


def tls_context(options: DatabaseOptions) -> ssl.SSLContext | None:
    """Verified TLS when a certificate is configured. Raises OSError or ssl.SSLError for files that cannot be used."""
    if options.driver == "sqlite" or not (options.ssl_ca or options.ssl_cert):
        return None
    context = ssl.create_default_context(cafile=options.ssl_ca)
    if options.ssl_cert:
        context.load_cert_chain(options.ssl_cert, options.ssl_key)
    return context


def _sessions(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    # Rows stay readable after the commit: answers are made from them when the transaction is over.
    return async_sessionmaker(engine, expire_on_commit=False)


def _engine(options: DatabaseOptions) -> AsyncEngine:
    engine = create_async_engine(_url(options), **_ENGINE_ARGUMENTS[options.driver](options))
    _name_failures(engine, options.driver)
    _name_failures_to_connect(engine, options)
    if options.driver == "sqlite":
        _prepare_sqlite(engine, options.wait_s)
    return engine


def _url(options: DatabaseOptions) -> URL:
    if options.driver == "sqlite":
        from penstock.database.sqlite import DRIVER

        return URL.create(DRIVER, database=options.path)
    return URL.create(
        "mysql+asyncmy" if options.driver == "mysql" else "postgresql+asyncpg",
        username=options.user or None,
        password=_plain(options.password) or None,
        host=options.host,
        port=options.port or DEFAULT_PORTS[options.driver],
        database=options.database or None,
    )


def _plain(password: str) -> str:
    return password.reveal() if isinstance(password, Secret) else password


def _pool(options: DatabaseOptions) -> dict[str, Any]:
    # LIFO, so that connections nobody needs grow old and are replaced instead of being kept warm for nothing.
    return {
        "pool_size": options.pool_size,
        "max_overflow": 0,
        "pool_timeout": options.wait_s,
        "pool_use_lifo": True,
        "hide_parameters": True,
    }


def _sqlite_arguments(options: DatabaseOptions) -> dict[str, Any]:
    # Without an isolation level the driver begins nothing by itself: `_prepare_sqlite` says how to begin.
    attempt_s = min(options.wait_s, _SQLITE_ATTEMPT_S)
    return _pool(options) | {"connect_args": {"timeout": attempt_s, "isolation_level": None}}


def _mysql_arguments(options: DatabaseOptions) -> dict[str, Any]:
    # It logs every note of the server as a warning ("name ignored for primary key").
    logging.getLogger("asyncmy").setLevel(logging.ERROR)
    return _pool(options) | {
        "pool_pre_ping": True,
        "pool_recycle": _RECYCLE_AFTER_S,
        "isolation_level": "READ COMMITTED",
        "connect_args": {
            "charset": "utf8mb4",
            "init_command": f"SET SESSION sql_mode = '{_SQL_MODE}'",
            "connect_timeout": options.connect_timeout_s,
            "async_creator_fn": _connect_to_mysql,
        },
    }


async def _connect_to_mysql(*, connect_timeout: float, **keywords: Any) -> Any:
    """The driver's own limit ends with TCP: it would wait without end for a server that accepts and says nothing."""
    import asyncmy

    async with asyncio.timeout(connect_timeout):
        return await asyncmy.connect(connect_timeout=connect_timeout, **keywords)


def _postgres_arguments(options: DatabaseOptions) -> dict[str, Any]:
    return _pool(options) | {
        "pool_pre_ping": True,
        "pool_recycle": _RECYCLE_AFTER_S,
        "connect_args": {
            "timeout": options.connect_timeout_s,
            # PgBouncer passes this on with `track_extra_parameters = search_path`.
            "server_settings": {"search_path": quoted(options.schema), "application_name": "penstock"},
            # Numbered names collide when PgBouncer gives one server connection to two clients.
            "prepared_statement_name_func": lambda: f"penstock_{uuid4().hex}",
            "statement_cache_size": 0,
        },
    }


_ENGINE_ARGUMENTS = {"sqlite": _sqlite_arguments, "mysql": _mysql_arguments, "postgres": _postgres_arguments}


def quoted(name: str, mark: str = '"') -> str:
    """An SQL identifier. `mark` is a backtick for MySQL."""
    return mark + name.replace(mark, mark * 2) + mark


def _name_failures(engine: AsyncEngine, dialect: Dialect) -> None:
    @event.listens_for(engine.sync_engine, "handle_error")
    def name_it(context: ExceptionContext) -> BaseException | None:
        if context.is_pre_ping:
            return None  # the pool asks whether a connection is alive, and replaces it when it is not
        if not isinstance(context.original_exception, Exception):
            return None  # cancelled, not failed
        if is_elsewhere(context.original_exception):
            context.is_disconnect = True  # empties the pool: after a failover every connection in it is to the old node
        return translate(dialect, context.original_exception, is_disconnect=context.is_disconnect)


def _name_failures_to_connect(engine: AsyncEngine, options: DatabaseOptions) -> None:
    # A separate hook: a refused connection is an OSError, which SQLAlchemy does not show to "handle_error".
    @event.listens_for(engine.sync_engine, "do_connect")
    def connect(
        dialect: SqlAlchemyDialect, _record: object, arguments: list[Any], keywords: dict[str, Any]
    ) -> DBAPIConnection:
        try:
            if options.driver == "sqlite":
                _create_file(Path(options.path))
            elif (context := tls_context(options)) is not None:
                keywords["ssl"] = context
            return dialect.connect(*arguments, **keywords)
        except (OSError, dialect.loaded_dbapi.Error) as error:
            raise unavailable(options.driver, "It cannot be reached, or refuses us.") from error


def _create_file(path: Path) -> None:
    """For us alone, from the first byte: conversations and sealed secrets will be in it.

    A file that exists is not opened, not even for a moment: closing any descriptor of a file gives up all locks of the
    process on it, and the next process that leaves would remove the log under our feet (sqlite.org/howtocorrupt.html,
    2.2).
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _prepare_sqlite(engine: AsyncEngine, wait_s: float) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: DBAPIConnection, _record: object) -> None:
        cursor = connection.cursor()
        # With WAL and NORMAL, what was committed survives the death of the process (kill -9 included). A power cut
        # can take the last commits before it, but never damages the file.
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes the lock at once: one that first reads and then wants to write could only be refused.
        statement = f"BEGIN {connection.get_execution_options().get('begin', 'DEFERRED')}"
        deadline = time.monotonic() + wait_s
        while True:
            try:
                connection.exec_driver_sql(statement)
                return
            except DatabaseUnavailable as error:
                if not is_locked(error) or time.monotonic() >= deadline:
                    raise
