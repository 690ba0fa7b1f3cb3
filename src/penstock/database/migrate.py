"""Bring the database to the schema this version knows. Safe to run in every replica at every start.

The recorded revision is compared with plain SQL first; Alembic, slow to import, is loaded only when they differ.
Then one process at a time works under a lock, and those who waited find nothing left to do.

A revision that we do not know belongs to a newer version. It is accepted with a warning: during a rolling upgrade old
replicas restart next to new ones, and migrations are backward compatible for one version.
"""

import asyncio
import fcntl
import os
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.database.blockers import blockers, limit_of_waiting, waited_too_long
from penstock.database.diagnosis import CannotPrepare, diagnose, failed_migration, missing_schema, unusable_tls_file
from penstock.database.engine import Database, quoted, tls_context

if TYPE_CHECKING:
    from alembic.config import Config

Say = Callable[[str], None]

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 8.0
_LOCK_POLL_S = 0.2


async def prepare(
    database: Database,
    *,
    scripts: str,
    head: str,
    say: Say,
    retry_for_s: float = 60.0,
    lock_for_s: float = 600.0,
) -> None:
    """Wait for the server, create the schema and the tables that are missing. Raises CannotPrepare.

    `scripts` is the folder of the migrations (`penstock:migrations` or a path), `head` their last revision. `say`
    gets one sentence about everything that takes time. `retry_for_s` bounds the wait for the server, `lock_for_s`
    the wait for another process's migration.
    """
    _check_tls_files(database)
    if await _reach(database, say, retry_for_s) == head:
        return
    try:
        async with _alone(database, say, lock_for_s) as connection:
            await _upgrade(database, connection, scripts, head, say)
    except CannotPrepare:
        raise
    except Exception as error:
        raise diagnose(database.options, error).problem from error


def _check_tls_files(database: Database) -> None:
    try:
        tls_context(database.options)
    except OSError as error:  # ssl.SSLError is one
        raise unusable_tls_file(database.options, error) from error


async def _reach(database: Database, say: Say, retry_for_s: float) -> str | None:
    """Wait until the server answers; the revision it records, None when there is none."""
    deadline, pause_s = time.monotonic() + retry_for_s, _FIRST_PAUSE_S
    while True:
        try:
            async with database.engine.connect() as connection:
                return await _recorded(connection)
        except Exception as error:
            found = diagnose(database.options, error)
            if not found.heals or time.monotonic() + pause_s > deadline:
                raise found.problem from error
            say(f"Waiting for the database. {found.problem.sentences[0]}")
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


async def _recorded(connection: AsyncConnection) -> str | None:
    if not await connection.run_sync(lambda sync: inspect(sync).has_table("alembic_version")):
        return None
    revision: str | None = await connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


async def _upgrade(database: Database, connection: AsyncConnection, scripts: str, head: str, say: Say) -> None:
    await _create_schema(database, connection)
    recorded = await _recorded(connection)
    await connection.rollback()
    if recorded == head:
        return
    if database.dialect == "sqlite":
        await _suspend_foreign_keys(connection)
    if limit := limit_of_waiting(database):
        await connection.execute(text(limit))
        await connection.commit()
    from alembic import command
    from alembic.script import ScriptDirectory

    config = _config(scripts)
    script = ScriptDirectory.from_config(config)
    if recorded is not None and recorded not in {known.revision for known in script.walk_revisions()}:
        say(f"The database has the revision {recorded}, which is newer than {head}, the last one this version knows.")
        return
    steps = [step.revision for step in script.iterate_revisions(head, recorded or "base")][::-1]
    for step in steps:
        say(f"Migrating the database to revision {step}.")
        try:
            await connection.run_sync(_run, config, partial(command.upgrade, config, step))
        except Exception as error:
            held_by = await blockers(database) if waited_too_long(error) else None
            raise failed_migration(database.options, step, error, held_by) from error


def _config(scripts: str) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", scripts.replace("%", "%%"))
    return config


def _run(connection: Connection, config: "Config", command: Callable[[], None]) -> None:
    """`migrations/env.py` finds the connection, and with it our lock, in the attributes."""
    config.attributes["connection"] = connection
    command()
    connection.commit()


async def _suspend_foreign_keys(connection: AsyncConnection) -> None:
    """SQLite changes a table by copying it, and dropping the old one would delete what refers to it.

    Not possible inside a transaction, so it goes past SQLAlchemy, to the driver.
    """
    raw = await connection.get_raw_connection()
    assert raw.driver_connection is not None
    await raw.driver_connection.execute("PRAGMA foreign_keys = OFF")


async def _create_schema(database: Database, connection: AsyncConnection) -> None:
    if database.dialect != "postgres":
        return
    schema = database.options.schema
    if await connection.scalar(text("SELECT 1 FROM pg_namespace WHERE nspname = :name"), {"name": schema}):
        return
    try:
        await connection.execute(text(f"CREATE SCHEMA {quoted(schema)}"))
        await connection.commit()
    except Exception as error:
        raise missing_schema(database.options, error) from error


@asynccontextmanager
async def _alone(database: Database, say: Say, wait_for_s: float) -> AsyncIterator[AsyncConnection]:
    """A connection that no other process migrates beside. It is closed for good afterwards, and the lock with it."""
    lock = {"sqlite": _file_lock, "mysql": _named_lock, "postgres": _advisory_lock}[database.dialect]
    async with database.engine.connect() as connection:
        try:
            with lock(database) as attempt:
                await _wait_for(lambda: attempt(connection), say, wait_for_s)
                yield connection
        finally:
            await connection.invalidate()


async def _wait_for(attempt: Callable[[], Awaitable[bool]], say: Say, wait_for_s: float) -> None:
    deadline = time.monotonic() + wait_for_s
    is_told = False
    while not await attempt():
        if time.monotonic() > deadline:
            raise CannotPrepare(
                f"Another process has been migrating this database for more than {wait_for_s:g} s.",
                "Look at its log. When it is gone, its lock is gone too and a restart goes on.",
            )
        if not is_told:
            say("Another process is migrating the database; waiting for it.")
            is_told = True
        await asyncio.sleep(_LOCK_POLL_S)


Attempt = Callable[[AsyncConnection], Awaitable[bool]]


@contextmanager
def _file_lock(database: Database) -> Iterator[Attempt]:
    """Beside the database file. It stays there: removing a lock file lets two processes in."""
    with open(f"{database.options.path}.lock", "wb", opener=_private) as file:

        async def attempt(_connection: AsyncConnection) -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        yield attempt


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@contextmanager
def _advisory_lock(database: Database) -> Iterator[Attempt]:
    # PostgreSQL keeps these locks per database already; the schema tells installations in one database apart.
    key = zlib.crc32(f"penstock migration {database.options.schema}".encode())

    async def attempt(connection: AsyncConnection) -> bool:
        granted = await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key})
        await connection.rollback()  # the lock belongs to the session; nobody is kept waiting by an open transaction
        return bool(granted)

    yield attempt


@contextmanager
def _named_lock(database: Database) -> Iterator[Attempt]:
    # Server-wide, so the database's name is in it; at most 64 characters.
    name = f"penstock migration {zlib.crc32(database.options.database.encode()):08x}"

    async def attempt(connection: AsyncConnection) -> bool:
        granted = await connection.scalar(text("SELECT GET_LOCK(:name, 0)"), {"name": name})
        await connection.rollback()
        return bool(granted)

    yield attempt
