"""Databases for tests: a fresh one on every supported server, and nothing left behind.

`database` gives an empty `Database` with every table, once per server. `fresh_database_env` gives the environment
variables of a database without any table, for tests that start the real process.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import msgspec
import pytest
from sqlalchemy import MetaData, text

from penstock.database.engine import DEFAULT_PORTS, DatabaseOptions, open_database, quoted
from penstock.database.engine import Database as Database

KINDS = ("sqlite", "mysql", "postgres")
_SERVERS = {"mysql": "mariadb", "postgres": "postgresql"}
_USERS = {"mysql": "root", "postgres": "postgres"}
_MARKS = {"mysql": "`", "postgres": '"'}

T = TypeVar("T")


def blocking(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run to the end on a loop of its own, from anywhere: other loops and their tests are not disturbed."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(lambda: asyncio.run(work())).result()


@contextmanager
def fresh_options(kind: str) -> Iterator[DatabaseOptions]:
    """A new database without tables (on PostgreSQL without the schema too), dropped afterwards."""
    if kind == "sqlite":
        with TemporaryDirectory(prefix="penstock_test_") as folder:
            yield DatabaseOptions(driver="sqlite", path=str(Path(folder) / "penstock.db"))
        return
    from tests.conftest import need_server  # which imports the fixtures below

    need_server(_SERVERS[kind])
    options = DatabaseOptions(
        driver=kind,  # type: ignore[arg-type]
        user=_USERS[kind],
        database=f"penstock_test_{os.getpid()}_{secrets.token_hex(4)}",
    )
    name = quoted(options.database, _MARKS[kind])
    blocking(lambda: administer(kind, f"CREATE DATABASE {name}"))
    try:
        yield options
    finally:
        force = " WITH (FORCE)" if kind == "postgres" else ""
        blocking(lambda: administer(kind, f"DROP DATABASE IF EXISTS {name}{force}"))


@contextmanager
def fresh_database_env(kind: str) -> Iterator[dict[str, str]]:
    """`fresh_options` as the environment variables of `penstock serve`."""
    with fresh_options(kind) as options:
        yield environment(options)


def environment(options: DatabaseOptions) -> dict[str, str]:
    if options.driver == "sqlite":
        return {"DATABASE_DRIVER": "sqlite", "DATABASE_DATABASE": options.path}
    return {
        "DATABASE_DRIVER": options.driver,
        "DATABASE_HOST": options.host,
        "DATABASE_PORT": str(options.port or DEFAULT_PORTS[options.driver]),
        "DATABASE_USER": options.user,
        "DATABASE_PASSWORD": options.password,
        "DATABASE_DATABASE": options.database,
        **({"DATABASE_SCHEMA": options.schema} if options.driver == "postgres" else {}),
    }


async def administer(kind: str, *statements: str, database: str | None = None) -> None:
    """As the server's owner, outside of any transaction."""
    options = DatabaseOptions(
        driver=kind,  # type: ignore[arg-type]
        user=_USERS[kind],
        database=database or {"mysql": "mysql", "postgres": "postgres"}[kind],
    )
    async with (
        aclosing(open_database(options)) as admin,
        admin.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection,
    ):
        for statement in statements:
            await connection.exec_driver_sql(statement)


async def create_tables(database: Database, metadata: MetaData) -> None:
    async with database.engine.begin() as connection:
        if database.dialect == "postgres":
            await connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {quoted(database.options.schema)}"))
        await connection.run_sync(metadata.create_all)


async def empty_tables(database: Database, metadata: MetaData) -> None:
    names = [quoted(name, _MARKS[database.dialect]) for name in metadata.tables]
    # Tables may refer to each other in a circle, so there is no order that always works.
    off = {"postgres": "SET LOCAL session_replication_role = replica", "mysql": "SET foreign_key_checks = 0"}
    on = {"postgres": "SELECT 1", "mysql": "SET foreign_key_checks = 1"}
    async with database.transaction() as tx:
        await tx.execute(text(off[database.dialect]))
        for name in names:
            await tx.execute(text(f"DELETE FROM {name}"))
        await tx.execute(text(on[database.dialect]))


class Prepared:
    """One database per server and metadata, with its tables, kept until the end of the session."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._known: dict[tuple[str, int], DatabaseOptions] = {}

    def options(self, kind: str, metadata: MetaData) -> DatabaseOptions:
        key = (kind, id(metadata))
        if key not in self._known:
            options = self._stack.enter_context(fresh_options(kind))
            blocking(lambda: self._create(options, metadata))
            self._known[key] = options
        return self._known[key]

    async def _create(self, options: DatabaseOptions, metadata: MetaData) -> None:
        async with aclosing(open_database(options)) as database:
            await create_tables(database, metadata)

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="session")
def prepared_databases() -> Iterator[Prepared]:
    prepared = Prepared()
    yield prepared
    prepared.close()


@pytest.fixture(params=KINDS)
async def database(
    request: pytest.FixtureRequest, prepared_databases: Prepared, tmp_path: Path
) -> AsyncIterator[Database]:
    """An empty database with every room's tables, on every server in turn."""
    from penstock.tables import metadata

    async with empty_database(prepared_databases, request.param, metadata, tmp_path) as opened:
        yield opened


@asynccontextmanager
async def empty_database(prepared: Prepared, kind: str, metadata: MetaData, folder: Path) -> AsyncIterator[Database]:
    """A `Database` with the tables of `metadata` and no rows. SQLite gets a file of its own in `folder`."""
    options = prepared.options(kind, metadata)
    if options.driver == "sqlite":
        mine = folder / "penstock.db"
        copyfile(options.path, mine)
        options = msgspec.structs.replace(options, path=str(mine))
    async with aclosing(open_database(options)) as opened:
        if options.driver != "sqlite":
            await empty_tables(opened, metadata)
        yield opened
