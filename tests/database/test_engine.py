"""Transactions keep or lose everything, failures have our names, and a lost server is found again."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import func, select, text, update

from penstock.database.engine import Database, DatabaseOptions, Transaction, open_database
from penstock.database.failures import (
    AlreadyExists,
    BrokenReference,
    DatabaseUnavailable,
    WriteConflict,
    is_conflict,
)
from penstock.kit.secret import Secret
from tests.database.tables import Shelf, Thing
from tests.databases import Prepared, administer, empty_database

OWN_CONNECTION = {"mysql": "SELECT CONNECTION_ID()", "postgres": "SELECT pg_backend_pid()"}
KILL = {"mysql": "KILL {}", "postgres": "SELECT pg_terminate_backend({})"}


@pytest.fixture(params=["mysql", "postgres"])
async def server(
    request: pytest.FixtureRequest, prepared_databases: Prepared, tmp_path: Path
) -> AsyncIterator[Database]:
    async with empty_database(prepared_databases, request.param, Shelf.metadata, tmp_path) as opened:
        yield opened


@pytest.fixture
async def file(prepared_databases: Prepared, tmp_path: Path) -> AsyncIterator[Database]:
    async with empty_database(prepared_databases, "sqlite", Shelf.metadata, tmp_path) as opened:
        yield opened


async def names(db: Database) -> list[str]:
    async with db.reading() as tx:
        return list(await tx.scalars(select(Shelf.name).order_by(Shelf.name)))


async def test_what_a_transaction_did_is_kept_when_it_ends(db: Database) -> None:
    async with db.transaction() as tx:
        tx.add(Shelf(name="kept"))
    assert await names(db) == ["kept"]


async def test_nothing_is_kept_when_a_transaction_raises(db: Database) -> None:
    async def fail() -> None:
        async with db.transaction() as tx:
            tx.add(Shelf(name="lost"))
            await tx.flush()
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await names(db) == []


async def test_rows_can_be_read_after_their_transaction(db: Database) -> None:
    async with db.transaction() as tx:
        shelf = Shelf(name="kept")
        tx.add(shelf)
    assert shelf.name == "kept"


async def test_a_cancelled_transaction_keeps_nothing_and_blocks_nobody(db: Database) -> None:
    entered = asyncio.Event()

    async def hang() -> None:
        async with db.transaction() as tx:
            tx.add(Shelf(name="lost"))
            await tx.flush()
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with db.transaction() as tx:
        tx.add(Shelf(name="next"))
    assert await names(db) == ["next"]


SLEEPING = {
    "mysql": (
        "SELECT /* told apart */ SLEEP(60)",
        "SELECT COUNT(*) FROM information_schema.processlist WHERE id = {} AND info LIKE '%SLEEP(60)'",
    ),
    "postgres": (
        "SELECT pg_sleep(60)",
        "SELECT count(*) FROM pg_stat_activity WHERE pid = {} AND state = 'active' AND query LIKE '%pg_sleep(60)%'",
    ),
}


async def test_a_statement_that_is_cancelled_is_not_an_outage_and_the_pool_goes_on(server: Database) -> None:
    sleep, running = SLEEPING[server.dialect]
    pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def hang() -> None:
        async with server.transaction() as tx:
            pid.set_result(await tx.scalar(text(OWN_CONNECTION[server.dialect])))
            await tx.execute(text(sleep))

    task = asyncio.create_task(hang())
    async with server.reading() as tx:
        while not await tx.scalar(text(running.format(await pid))):
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with server.transaction() as tx:
        tx.add(Shelf(name="next"))
    assert await names(server) == ["next"]


async def test_a_writer_that_is_cancelled_while_it_waits_leaves_the_queue_on_sqlite(file: Database) -> None:
    async with aclosing(open_database(file.options)) as another_process, another_process.transaction() as tx:
        tx.add(Shelf(name="first"))
        await tx.flush()
        waiting = [asyncio.create_task(add_one(file)) for _ in range(3)]
        await asyncio.sleep(0.05)
        for task in waiting:
            task.cancel()
        for task in waiting:
            with pytest.raises(asyncio.CancelledError):
                await task
    async with file.transaction() as tx:
        tx.add(Shelf(name="second"))
    assert await names(file) == ["first", "second"]


async def test_a_taken_key_is_caught_where_it_happens_and_the_rest_goes_on(db: Database) -> None:
    async with db.transaction() as tx:
        tx.add(Shelf(name="a"))
    async with db.transaction() as tx:
        with pytest.raises(AlreadyExists):
            async with tx.begin_nested():
                tx.add(Shelf(name="a"))
        tx.add(Shelf(name="b"))
    assert await names(db) == ["a", "b"]


async def test_a_taken_primary_key_is_a_taken_key(db: Database) -> None:
    async with db.transaction() as tx:
        tx.add(Shelf(id=7, name="a"))
    with pytest.raises(AlreadyExists) as refused:
        async with db.transaction() as tx:
            tx.add(Shelf(id=7, name="b"))
    assert refused.value.status == 409


async def test_a_row_cannot_belong_to_nothing(db: Database) -> None:
    with pytest.raises(BrokenReference):
        async with db.transaction() as tx:
            tx.add(Thing(shelf_id=404))


async def test_a_row_that_others_belong_to_stays(db: Database) -> None:
    async with db.transaction() as tx:
        shelf = Shelf(name="a")
        tx.add(shelf)
        await tx.flush()
        tx.add(Thing(shelf_id=shelf.id))
    with pytest.raises(BrokenReference):
        async with db.transaction() as tx:
            await tx.delete(shelf)


async def test_a_mistake_in_our_sql_is_not_dressed_up_as_an_outage(db: Database) -> None:
    with pytest.raises(Exception, match="no_such_table") as failure:
        async with db.transaction() as tx:
            await tx.execute(text("SELECT * FROM no_such_table"))
    assert not isinstance(failure.value, DatabaseUnavailable)


async def test_ping_answers(db: Database) -> None:
    await db.ping()


async def test_an_idle_connection_that_the_server_closed_is_replaced(server: Database) -> None:
    kind = server.dialect
    async with server.reading() as tx:
        own = await tx.scalar(text(OWN_CONNECTION[kind]))
    await administer(kind, KILL[kind].format(own))
    async with server.transaction() as tx:
        tx.add(Shelf(name="after"))
        assert await tx.scalar(text(OWN_CONNECTION[kind])) != own
    assert await names(server) == ["after"]


async def write_and_lose_the_connection(tx: Transaction, kind: str, then: str | None = None) -> None:
    tx.add(Shelf(name="lost"))
    await tx.flush()
    own = await tx.scalar(text(OWN_CONNECTION[kind]))
    await administer(kind, KILL[kind].format(own))
    if then:
        await tx.execute(text(then))


async def test_a_connection_lost_inside_a_transaction_is_an_outage_and_the_next_one_works(server: Database) -> None:
    with pytest.raises(DatabaseUnavailable) as outage:
        async with server.transaction() as tx:
            await write_and_lose_the_connection(tx, server.dialect, then="SELECT 1")
    assert (outage.value.status, outage.value.retryable) == (503, True)
    async with server.transaction() as tx:
        tx.add(Shelf(name="after"))
    assert await names(server) == ["after"]


async def test_a_connection_lost_before_the_commit_is_an_outage(server: Database) -> None:
    with pytest.raises(DatabaseUnavailable):
        async with server.transaction() as tx:
            await write_and_lose_the_connection(tx, server.dialect)
    assert await names(server) == []


async def test_a_server_that_is_not_there_is_an_outage(server: Database, free_port: int) -> None:
    options = msgspec.structs.replace(server.options, port=free_port, password="hunter2")
    async with aclosing(open_database(options)) as nowhere:
        with pytest.raises(DatabaseUnavailable) as outage:
            await nowhere.ping()
    assert "hunter2" not in str(outage.value) + repr(outage.value.__cause__)


async def test_a_pool_that_is_used_up_is_an_outage(server: Database) -> None:
    options = msgspec.structs.replace(server.options, pool_size=1, wait_s=0.05)
    async with aclosing(open_database(options)) as narrow, narrow.reading() as tx:
        await tx.execute(text("SELECT 1"))
        with pytest.raises(DatabaseUnavailable, match="not available"):
            await narrow.ping()


async def test_a_deadlock_ends_one_of_the_two_and_says_that_trying_again_may_help(server: Database) -> None:
    async with server.transaction() as tx:
        tx.add_all([Shelf(id=1, name="a"), Shelf(id=2, name="b")])
    both_hold_one = asyncio.Barrier(2)

    async def take(first: int, second: int) -> None:
        async with server.transaction() as tx:
            await tx.execute(update(Shelf).where(Shelf.id == first).values(name=f"{first} by {first}"))
            await both_hold_one.wait()
            await tx.execute(update(Shelf).where(Shelf.id == second).values(name=f"{second} by {first}"))

    outcomes = await asyncio.gather(take(1, 2), take(2, 1), return_exceptions=True)
    failed = [outcome for outcome in outcomes if outcome is not None]
    assert [type(outcome) for outcome in failed] == [WriteConflict]
    assert is_conflict(failed[0])


NOT_THE_WRITER = {
    "mysql": "SIGNAL SQLSTATE '08S01' SET MYSQL_ERRNO = 1047, MESSAGE_TEXT = 'WSREP has not yet prepared node'",
    "postgres": "DO $$ BEGIN RAISE EXCEPTION 'read-only' USING ERRCODE = '25006'; END $$",
}


async def test_s013_a_node_that_cannot_write_is_named_and_left(server: Database) -> None:
    kind = server.dialect
    async with server.reading() as tx:
        own = await tx.scalar(text(OWN_CONNECTION[kind]))
    with pytest.raises(DatabaseUnavailable) as outage:
        async with server.transaction() as tx:
            await tx.execute(text(NOT_THE_WRITER[kind]))
    assert ("Galera" if kind == "mysql" else "standby") in str(outage.value.explanation)
    async with server.reading() as tx:
        assert await tx.scalar(text(OWN_CONNECTION[kind])) != own


async def add_one(db: Database) -> None:
    async with db.transaction() as tx:
        thing = (await tx.scalars(select(Thing))).one()
        await asyncio.sleep(0)
        thing.count = (thing.count or 0) + 1


async def test_writers_queue_on_sqlite_even_when_they_read_first(file: Database) -> None:
    async with file.transaction() as tx:
        tx.add(Thing(count=0))
    async with aclosing(open_database(file.options)) as another_process:
        await asyncio.gather(*(add_one(one) for one in (file, another_process) for _ in range(20)))
    async with file.reading() as tx:
        assert await tx.scalar(select(Thing.count)) == 40


async def test_readers_do_not_wait_for_a_writer_on_sqlite(file: Database) -> None:
    async with file.transaction() as tx:
        tx.add(Shelf(name="uncommitted"))
        await tx.flush()
        assert await names(file) == []


async def test_a_writer_that_never_ends_is_an_outage_for_the_others_on_sqlite(file: Database) -> None:
    options = msgspec.structs.replace(file.options, wait_s=0.05)
    async with aclosing(open_database(options)) as here, here.transaction() as tx:
        tx.add(Shelf(name="a"))
        await tx.flush()
        with pytest.raises(DatabaseUnavailable, match="SQLite"):
            async with here.transaction():
                pass
        async with aclosing(open_database(options)) as another_process:
            with pytest.raises(DatabaseUnavailable, match="SQLite"):
                await add_one(another_process)


async def test_a_killed_process_loses_nothing_it_committed(file: Database) -> None:
    script = """
import asyncio, os, signal, sys
from sqlalchemy import text
from penstock.database.engine import DatabaseOptions, open_database

async def main():
    db = open_database(DatabaseOptions(driver="sqlite", path=sys.argv[1]))
    for number in range(20):
        async with db.transaction() as tx:
            await tx.execute(text("INSERT INTO shelves (name) VALUES (:name)"), {"name": str(number)})
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
    killed = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script, file.options.path], check=False)
    assert killed.returncode == -9
    async with file.reading() as tx:
        assert await tx.scalar(select(func.count()).select_from(Shelf)) == 20


async def test_the_sqlite_file_is_made_with_its_folder_for_us_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state" / "penstock.db"
    async with aclosing(open_database(DatabaseOptions(driver="sqlite", path=str(path)))) as db:
        assert not path.parent.exists()
        await db.ping()
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_options_do_not_show_the_password() -> None:
    options = DatabaseOptions(driver="postgres", user="u", password="hunter2", database="d")
    assert "hunter2" not in repr(options) + str(options) + options.where()


def test_a_secret_password_reaches_the_driver() -> None:
    options = DatabaseOptions(driver="postgres", user="u", password=Secret("hunter2"), database="d")
    assert open_database(options).engine.url.password == "hunter2"
