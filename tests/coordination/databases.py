"""A database with nothing but the table of leases, on each server."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import create_async_engine

from penstock.coordination.tables import LeaseRow
from penstock.database.base import Base
from penstock.database.engine import Database, DatabaseOptions, open_database
from tests.conftest import need_server

_ADMINS = {
    "mariadb": "mysql+asyncmy://root@127.0.0.1/mysql",
    "postgresql": "postgresql+asyncpg://postgres@127.0.0.1/postgres",
}


@asynccontextmanager
async def leases_database(kind: str, folder: Path) -> AsyncIterator[Database]:
    """`kind` is sqlite, mariadb or postgresql. The database is removed when the block ends."""
    async with AsyncExitStack() as stack:
        if kind == "sqlite":
            options = DatabaseOptions(driver="sqlite", path=str(folder / "leases.db"))
        else:
            name = await stack.enter_async_context(_empty_database(kind))
            options = DatabaseOptions(
                driver="mysql" if kind == "mariadb" else "postgres",
                user="root" if kind == "mariadb" else "postgres",
                database=name,
                schema="public",
            )
        database = open_database(options)
        stack.push_async_callback(database.aclose)
        async with database.engine.begin() as connection:
            table = LeaseRow.__table__
            assert isinstance(table, Table)
            await connection.run_sync(Base.metadata.create_all, tables=[table])
        yield database


@asynccontextmanager
async def _empty_database(kind: str) -> AsyncIterator[str]:
    need_server(kind)
    name = f"penstock_leases_{secrets.token_hex(6)}"
    admin = create_async_engine(_ADMINS[kind], isolation_level="AUTOCOMMIT")
    try:
        async with admin.connect() as connection:
            await connection.execute(text(f"CREATE DATABASE {name}"))
            try:
                yield name
            finally:
                await connection.execute(text(f"DROP DATABASE {name}"))
    finally:
        await admin.dispose()
