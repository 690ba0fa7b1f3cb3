"""What the three drivers on obstore have in common. obstore works in threads of its own: nothing waits in ours."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import obstore
from obstore.exceptions import BaseError

from penstock import __version__
from penstock.kit.tasks import to_the_end
from penstock.storage.base import BlobNotFound, Storage, below, checked
from penstock.storage.failures import translate
from penstock.storage.handover import Handover
from penstock.storage.options import StorageOptions

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

PART_BYTES = 5 * 1024 * 1024
"""S3 accepts no smaller part, except as the last one."""
_READ_BYTES = 256 * 1024
_PROBE = ".penstock-probe"  # no key begins with a dot
_LISTED_AT_ONCE = 500
_CONNECT_S = 5.0
_LONGEST = timedelta(hours=6)

T = TypeVar("T")


class Bucket(Storage):
    """`trust_writing_s`: for how long `ping` believes that a store which could be written still can.

    Requests to a bucket are paid for one by one, and those that write cost ten times as much as those that read.
    """

    def __init__(self, store: "ObjectStore", options: StorageOptions, trust_writing_s: float = 600.0) -> None:
        self._store = store
        self._options = options
        self._trust_writing_s = trust_writing_s
        self._trusted_until = 0.0

    async def put(self, key: str, content: AsyncIterator[bytes]) -> int:
        checked(key)
        head, size_bytes = list[bytes](), 0
        async for piece in content:
            head.append(piece)
            size_bytes += len(piece)
            if size_bytes >= PART_BYTES:
                return await self._put_in_parts(key, head, content)
        await self._run(obstore.put_async(self._store, key, b"".join(head), use_multipart=False))
        return size_bytes

    @asynccontextmanager
    async def open(self, key: str) -> AsyncIterator[AsyncIterator[bytes]]:
        found = await self._run(obstore.get_async(self._store, checked(key)))
        async with aclosing(self._pieces(found.stream(min_chunk_size=_READ_BYTES))) as pieces:
            del found
            yield pieces

    async def delete(self, key: str) -> None:
        with suppress(BlobNotFound):
            await self._run(obstore.delete_async(self._store, checked(key)))

    async def keys(self, prefix: str = "") -> AsyncIterator[str]:
        listed = obstore.list(self._store, below(prefix).removesuffix("/") or None, chunk_size=_LISTED_AT_ONCE)
        while (found := await self._run(anext(listed, None))) is not None:
            for one in found:
                if one["path"] != _PROBE:
                    yield one["path"]

    async def sweep(self) -> int:
        return 0

    async def ping(self) -> None:
        with suppress(BlobNotFound):
            await self._run(obstore.get_async(self._store, _PROBE))
        if time.monotonic() >= self._trusted_until:
            await self._try_writing()
            self._trusted_until = time.monotonic() + self._trust_writing_s

    async def aclose(self) -> None:
        """Connections end with the object."""

    async def _put_in_parts(self, key: str, head: list[bytes], rest: AsyncIterator[bytes]) -> int:
        handover = Handover()
        parts: Any = {"use_multipart": True, "chunk_size": PART_BYTES, "max_concurrency": 1}
        writing = handover.begin(obstore.put_async(self._store, key, handover, **parts))
        size_bytes = 0
        try:
            async for piece in _chained(head, rest):
                if not await handover.give(piece):
                    break
                size_bytes += len(piece)
            handover.end()
            await self._run(writing)
        except BaseException:
            await to_the_end(handover.break_off(writing, self._options.limit_s))
            raise
        return size_bytes

    async def _pieces(self, stream: AsyncIterator[Any]) -> AsyncGenerator[bytes, None]:
        while (piece := await self._run(anext(stream, None))) is not None:
            yield bytes(piece)

    async def _try_writing(self) -> None:
        await self._run(obstore.put_async(self._store, _PROBE, b"", use_multipart=False))
        with suppress(BlobNotFound):  # another replica tries as well
            await self._run(obstore.delete_async(self._store, _PROBE))

    async def _run(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except (BaseError, OSError) as error:
            raise translate(error, self._options) from None


async def _chained(head: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    head.reverse()
    while head:
        yield head.pop()  # not kept: it has been given away
    async for piece in rest:
        yield piece


def client_options(options: StorageOptions) -> "ClientConfig":
    """Silence is bounded, the whole of a download is not: it takes as long as whoever asked for it takes to read."""
    return {
        "allow_http": (options.endpoint or "").startswith("http://"),
        "connect_timeout": timedelta(seconds=min(_CONNECT_S, options.limit_s)),
        "read_timeout": timedelta(seconds=options.limit_s),
        "timeout": _LONGEST,
        "user_agent": f"penstock/{__version__}",
    }


def retry_config(options: StorageOptions) -> "RetryConfig":
    backoff: Any = {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=1)}
    return {"max_retries": 2, "retry_timeout": timedelta(seconds=options.limit_s), "backoff": backoff}
