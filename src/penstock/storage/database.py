"""The driver for demonstrations and small installations: blobs in the database, in pieces, up to some gigabytes.

Every piece is written and read in a short transaction of its own. The row of the blob is written last: what has none
is invisible, and is swept up when its upload died.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import datetime, timedelta

from sqlalchemy import Select, delete, exists, select

from penstock.database.engine import Database, Transaction
from penstock.database.failures import AlreadyExists, DatabaseUnavailable, WriteConflict
from penstock.kit.clock import Clock, SystemClock
from penstock.kit.ids import ulid
from penstock.kit.tasks import to_the_end
from penstock.storage.base import Storage, StorageUnavailable, below, checked, not_found
from penstock.storage.tables import BlobPieceRow, BlobRow

PIECE_BYTES = 512 * 1024
_ATTEMPTS = 5
KEYS_AT_ONCE = 500
_UPLOADS_AT_ONCE = 100
_DEAD_AFTER = timedelta(days=1)


class DatabaseStorage(Storage):
    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()

    async def put(self, key: str, content: AsyncIterator[bytes]) -> int:
        checked(key)
        upload, size_bytes, position = ulid(), 0, 0
        try:
            async with aclosing(_in_pieces(content)) as pieces:
                async for piece in pieces:
                    await self._add_piece(upload, position, piece)
                    size_bytes, position = size_bytes + len(piece), position + 1
            replaced = await self._show(key, upload, size_bytes)
        except BaseException:
            await to_the_end(self._forget(key, upload))
            raise
        if replaced is not None:
            await self._forget(key, replaced)
        return size_bytes

    @asynccontextmanager
    async def open(self, key: str) -> AsyncIterator[AsyncIterator[bytes]]:
        async with self._reading() as tx:
            blob = await tx.get(BlobRow, checked(key))
        if blob is None:
            raise not_found()
        async with aclosing(self._pieces(blob)) as pieces:
            yield pieces

    async def delete(self, key: str) -> None:
        async with self._transaction() as tx:
            blob = await tx.get(BlobRow, checked(key), with_for_update=True)
            if blob is not None:
                await tx.delete(blob)
                await tx.execute(delete(BlobPieceRow).where(BlobPieceRow.upload == blob.upload))

    async def keys(self, prefix: str = "") -> AsyncIterator[str]:
        begins = below(prefix)
        wanted = select(BlobRow.key).order_by(BlobRow.key).limit(KEYS_AT_ONCE)
        if begins:
            wanted = wanted.where(BlobRow.key < begins[:-1] + chr(ord("/") + 1))
        last = begins
        while True:
            async with self._reading() as tx:
                found = list(await tx.scalars(wanted.where(BlobRow.key > last)))
            for key in found:
                yield key
            if len(found) < KEYS_AT_ONCE:
                return
            last = found[-1]

    async def sweep(self) -> int:
        async with self._reading() as tx:
            dead = list(await tx.scalars(_dead(self._clock.now() - _DEAD_AFTER)))
        for upload in dead:
            async with self._transaction() as tx:
                await tx.execute(delete(BlobPieceRow).where(BlobPieceRow.upload == upload))
        return len(dead)

    async def ping(self) -> None:
        async with self._transaction() as tx:  # a server that only reads refuses even this
            await tx.execute(delete(BlobPieceRow).where(BlobPieceRow.upload == ""))

    async def aclose(self) -> None:
        """The database is its owner's to close."""

    async def _add_piece(self, upload: str, position: int, content: bytes) -> None:
        async with self._transaction() as tx:
            tx.add(BlobPieceRow(upload=upload, position=position, created_at=self._clock.now(), content=content))

    async def _show(self, key: str, upload: str, size_bytes: int) -> str | None:
        """From now on readers see this upload. The one that they saw before, if any."""
        for _ in range(_ATTEMPTS):
            with suppress(AlreadyExists, WriteConflict):  # somebody else writes the same key
                async with self._named(), self._database.transaction() as tx:
                    return await _take_place(tx, BlobRow(key=key, upload=upload, size_bytes=size_bytes), self._clock)
        raise _unavailable("Others are writing this content all the time.")

    async def _forget(self, key: str, upload: str) -> None:
        """Remove the pieces of an upload that is not, or no longer, the content of `key`. What stays is swept up."""
        is_shown = exists().where(BlobRow.key == key, BlobRow.upload == upload)
        with suppress(StorageUnavailable):
            async with self._transaction() as tx:
                await tx.execute(delete(BlobPieceRow).where(BlobPieceRow.upload == upload, ~is_shown))

    async def _pieces(self, blob: BlobRow) -> AsyncGenerator[bytes, None]:
        position, left = 0, blob.size_bytes
        while left > 0:
            async with self._reading() as tx:
                piece = await tx.get(BlobPieceRow, (blob.upload, position))
            if piece is None:
                raise _unavailable("The content was replaced or deleted while it was read.")
            yield piece.content
            position, left = position + 1, left - len(piece.content)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Transaction]:
        try:
            async with self._named(), self._database.transaction() as tx:
                yield tx
        except WriteConflict as error:
            raise _unavailable(error.message) from error

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[Transaction]:
        try:
            async with self._named(), self._database.reading() as tx:
                yield tx
        except WriteConflict as error:
            raise _unavailable(error.message) from error

    @asynccontextmanager
    async def _named(self) -> AsyncIterator[None]:
        try:
            yield
        except DatabaseUnavailable as error:
            raise _unavailable(f"{error.message} {error.explanation or ''}".rstrip()) from error


async def _take_place(tx: Transaction, blob: BlobRow, clock: Clock) -> str | None:
    found = await tx.get(BlobRow, blob.key, with_for_update=True)
    blob.created_at = clock.now()
    if found is None:
        tx.add(blob)
        await tx.flush()
        return None
    replaced = found.upload
    found.upload, found.size_bytes, found.created_at = blob.upload, blob.size_bytes, blob.created_at
    return replaced


def _dead(before: datetime) -> Select[str]:
    """Uploads that began before then, and that no row names. The first piece of each is there as long as any is."""
    is_shown = exists().where(BlobRow.upload == BlobPieceRow.upload)
    first = select(BlobPieceRow.upload).where(BlobPieceRow.created_at < before, BlobPieceRow.position == 0)
    return first.where(~is_shown).limit(_UPLOADS_AT_ONCE)


async def _in_pieces(content: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    waiting = bytearray()
    async for piece in content:
        waiting += piece
        while len(waiting) >= PIECE_BYTES:
            yield bytes(waiting[:PIECE_BYTES])
            del waiting[:PIECE_BYTES]
    if waiting:
        yield bytes(waiting)


def _unavailable(explanation: str) -> StorageUnavailable:
    return StorageUnavailable(
        "The files in the database cannot be used (STORAGE_DRIVER is database).",
        explanation=explanation,
        action="Try again in a moment. If it lasts, look at the database server and its log.",
    )
