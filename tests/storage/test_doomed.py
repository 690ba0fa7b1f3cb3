"""Contents that nobody asks for any more are deleted, and nothing stays behind whenever a process dies."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from penstock.database.engine import Database
from penstock.storage.base import Storage
from penstock.storage.doomed import DoomedBlobs, UploadTooSlow
from penstock.storage.drivers import open_storage
from penstock.storage.options import StorageOptions
from penstock.storage.tables import DoomedBlobRow
from tests.coordination.clock import MovableClock
from tests.storage.stores import listed, pieces

HOUR = timedelta(hours=1)
HOUR_S = 3600.0


@pytest.fixture
async def storage(database: Database, tmp_path: Path) -> Storage:
    return await open_storage(StorageOptions(location=tmp_path / "files"), database)


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def doomed(database: Database, storage: Storage, clock: MovableClock) -> DoomedBlobs:
    return DoomedBlobs(database, storage, clock)


async def on_the_list(database: Database) -> list[str]:
    async with database.reading() as tx:
        return sorted(await tx.scalars(select(DoomedBlobRow.key)))


async def test_what_is_due_is_deleted_and_what_is_not_stays(
    database: Database, storage: Storage, doomed: DoomedBlobs, clock: MovableClock
) -> None:
    keys = [f"f/t/{number}" for number in range(120)]
    for key in keys:
        await storage.put(key, pieces(b"x"))
    async with database.transaction() as tx:
        await doomed.doom(tx, keys[:110], clock.now())
        await doomed.doom(tx, keys[110:115], clock.now() + HOUR)
    assert await doomed.sweep() == 110
    assert await listed(storage) == sorted(keys[110:])
    assert await doomed.sweep() == 0
    clock.move(HOUR_S)
    assert await doomed.sweep() == 5
    assert await listed(storage) == sorted(keys[115:])
    assert await on_the_list(database) == []


async def test_what_is_rolled_back_dooms_nothing(
    database: Database, storage: Storage, doomed: DoomedBlobs, clock: MovableClock
) -> None:
    await storage.put("f/t/1", pieces(b"x"))
    async with database.transaction() as tx:
        await doomed.doom(tx, ["f/t/1"], clock.now())
        await tx.rollback()
    assert await doomed.sweep() == 0
    assert await listed(storage) == ["f/t/1"]


async def test_an_upload_whose_process_died_is_swept_up(
    database: Database, storage: Storage, doomed: DoomedBlobs, clock: MovableClock
) -> None:
    async with database.transaction() as tx:
        await doomed.doom(tx, ["f/t/1", "f/t/never-written"], clock.now() + HOUR)
    await storage.put("f/t/1", pieces(b"x"))
    clock.move(HOUR_S)
    assert await doomed.sweep() == 2
    assert await listed(storage) == []


async def test_an_upload_that_has_its_row_is_spared(
    database: Database, storage: Storage, doomed: DoomedBlobs, clock: MovableClock
) -> None:
    async with database.transaction() as tx:
        await doomed.doom(tx, ["f/t/1"], clock.now() + HOUR)
    await storage.put("f/t/1", pieces(b"x"))
    async with database.transaction() as tx:
        await doomed.spare(tx, "f/t/1")
    clock.move(2 * HOUR_S)
    assert await doomed.sweep() == 0
    assert await listed(storage) == ["f/t/1"]


@pytest.mark.parametrize("after_s", [HOUR_S - 30, HOUR_S, 2 * HOUR_S])
async def test_an_upload_that_is_due_or_nearly_is_refused_even_before_it_is_swept(
    database: Database, doomed: DoomedBlobs, clock: MovableClock, after_s: float
) -> None:
    async with database.transaction() as tx:
        await doomed.doom(tx, ["f/t/1"], clock.now() + HOUR)
    clock.move(after_s)
    with pytest.raises(UploadTooSlow):
        async with database.transaction() as tx:
            await doomed.spare(tx, "f/t/1")
    assert await on_the_list(database) == ["f/t/1"]


async def test_the_earlier_instant_counts_when_a_key_is_doomed_twice(
    database: Database, storage: Storage, doomed: DoomedBlobs, clock: MovableClock
) -> None:
    async with database.transaction() as tx:
        await doomed.doom(tx, ["f/t/1", "f/t/1"], clock.now() + 2 * HOUR)
        await doomed.doom(tx, ["f/t/2"], clock.now() + HOUR)
    async with database.transaction() as tx:
        await doomed.doom(tx, ["f/t/1", "f/t/2"], clock.now() + 1.5 * HOUR)
    clock.move(HOUR_S)
    assert await doomed.sweep() == 1
    assert await on_the_list(database) == ["f/t/1"]
    clock.move(HOUR_S / 2)
    assert await doomed.sweep() == 1


async def test_several_may_doom_the_same_keys_and_sweep_at_once(
    database: Database, storage: Storage, doomed: DoomedBlobs, clock: MovableClock
) -> None:
    keys = [f"f/t/{number}" for number in range(60)]
    for key in keys:
        await storage.put(key, pieces(b"x"))

    async def forget() -> None:
        async with database.transaction() as tx:
            await doomed.doom(tx, keys, clock.now())

    await asyncio.gather(forget(), forget(), forget())
    swept = await asyncio.gather(doomed.sweep(), doomed.sweep(), doomed.sweep())
    assert sum(swept) >= 60
    assert await listed(storage) == []
    assert await on_the_list(database) == []


async def test_what_is_no_key_is_refused_before_it_is_on_the_list(
    database: Database, doomed: DoomedBlobs, clock: MovableClock
) -> None:
    with pytest.raises(ValueError):
        async with database.transaction() as tx:
            await doomed.doom(tx, ["f/t/1", "../x"], clock.now())
    assert await on_the_list(database) == []


async def test_storage_that_is_away_keeps_the_list_for_the_next_time(
    database: Database, clock: MovableClock, tmp_path: Path
) -> None:
    root = tmp_path / "files"
    storage = await open_storage(StorageOptions(location=root), database)
    doomed = DoomedBlobs(database, storage, clock)
    await storage.put("f/t/1", pieces(b"x"))
    async with database.transaction() as tx:
        await doomed.doom(tx, ["f/t/1"], clock.now())
    root.rename(tmp_path / "away")
    root.write_text("a file in its place")
    assert await doomed.sweep() == 0
    assert await on_the_list(database) == ["f/t/1"]
    root.unlink()
    (tmp_path / "away").rename(root)
    assert await doomed.sweep() == 1
    assert await listed(storage) == []
