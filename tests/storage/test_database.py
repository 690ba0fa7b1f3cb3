"""What only the driver `database` does: pieces, and what becomes of those without a row."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from penstock.database.engine import Database
from penstock.kit.ids import ulid
from penstock.storage.base import StorageUnavailable
from penstock.storage.database import KEYS_AT_ONCE, PIECE_BYTES, DatabaseStorage
from penstock.storage.tables import BlobPieceRow, BlobRow
from tests.coordination.clock import MovableClock
from tests.storage.stores import content_of, listed, pieces

DAY_S = 24 * 3600.0


async def test_pieces_are_small_enough_for_every_server(database: Database) -> None:
    storage = DatabaseStorage(database)
    await storage.put("f/t/1", pieces(b"x" * (3 * PIECE_BYTES + 1)))
    async with database.reading() as tx:
        sizes = list(
            await tx.scalars(select(func.length(BlobPieceRow.content)).order_by(BlobPieceRow.position)),
        )
    assert sizes == [PIECE_BYTES] * 3 + [1]


async def test_pieces_of_dead_uploads_are_removed_after_a_day(database: Database) -> None:
    clock = MovableClock()
    storage = DatabaseStorage(database, clock)
    await storage.put("f/t/1", pieces(b"x" * (2 * PIECE_BYTES)))
    async with database.transaction() as tx:
        for position in range(3):
            tx.add(_piece("a" * 26, position, clock))
    clock.move(DAY_S - 1)
    async with database.transaction() as tx:
        tx.add(_piece(ulid(), 0, clock))
    assert await storage.sweep() == 0
    clock.move(2)
    assert await storage.sweep() == 1
    assert await _count(database) == 3
    assert await storage.sweep() == 0
    clock.move(DAY_S)
    assert await storage.sweep() == 1
    assert await content_of(storage, "f/t/1") == b"x" * (2 * PIECE_BYTES)


async def test_a_content_with_a_missing_piece_is_never_short(database: Database) -> None:
    storage = DatabaseStorage(database)
    await storage.put("f/t/1", pieces(b"x" * (2 * PIECE_BYTES)))
    async with database.transaction() as tx:
        await tx.delete((await tx.scalars(select(BlobPieceRow).where(BlobPieceRow.position == 1))).one())
    with pytest.raises(StorageUnavailable):
        await content_of(storage, "f/t/1")


async def test_more_keys_than_are_read_at_once_are_listed_once_each(database: Database) -> None:
    storage = DatabaseStorage(database)
    keys = [f"f/{number % 2}/{number:04}" for number in range(2 * KEYS_AT_ONCE + 1)]
    async with database.transaction() as tx:
        now = MovableClock().now()
        tx.add_all(BlobRow(key=key, upload=ulid(), size_bytes=0, created_at=now) for key in keys)
    assert await listed(storage) == sorted(keys)
    assert await listed(storage, "f/1") == [key for key in keys if key.startswith("f/1/")]


def _piece(upload: str, position: int, clock: MovableClock) -> BlobPieceRow:
    created_at = clock.now() + timedelta(0)
    return BlobPieceRow(upload=upload, position=position, created_at=created_at, content=b"x")


async def _count(database: Database) -> int:
    async with database.reading() as tx:
        return await tx.scalar(select(func.count()).select_from(BlobPieceRow)) or 0
