"""A store whose failures are counted, by what it was asked to do."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from penstock.storage.base import Storage, StorageUnavailable
from penstock.telemetry.meters import STORAGE_FAILURES


class CountedStorage:
    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def put(self, key: str, content: AsyncIterator[bytes]) -> int:
        with _counted("put"):
            return await self._storage.put(key, content)

    @asynccontextmanager
    async def open(self, key: str) -> AsyncIterator[AsyncIterator[bytes]]:
        with _counted("open"):
            async with self._storage.open(key) as pieces:
                yield pieces

    async def delete(self, key: str) -> None:
        with _counted("delete"):
            await self._storage.delete(key)

    def keys(self, prefix: str = "") -> AsyncIterator[str]:
        """Not counted: no request asks for them."""
        return self._storage.keys(prefix)

    async def sweep(self) -> int:
        with _counted("sweep"):
            return await self._storage.sweep()

    async def ping(self) -> None:
        with _counted("ping"):
            await self._storage.ping()

    async def aclose(self) -> None:
        await self._storage.aclose()


@contextmanager
def _counted(operation: str) -> Iterator[None]:
    try:
        yield
    except StorageUnavailable:
        STORAGE_FAILURES.add(operation)
        raise
