"""The storage port: blobs, by key. Drivers: `database`, `filesystem`, `s3`, `azure`.

All of them pass `tests/contracts/test_storage.py`. Both directions are streams; at most a few parts of 5 MiB are in
memory at once. Keys are plain text, `room/tenant/id`; no key may begin with another key and a slash (a directory
cannot be a file too). Keys that are never used twice never meet the little that drivers do differently.

When a driver cannot reach or use its store every method raises a `StorageUnavailable`; the next call tries again, so
recovery needs nobody.
"""

import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from penstock.errors import NotFound, Unavailable
from penstock.storage.tables import KEY_LENGTH

_KEY = re.compile(r"(?!\.)[A-Za-z0-9_.-]+(?:/(?!\.)[A-Za-z0-9_.-]+)*", re.ASCII)


class BlobNotFound(NotFound):
    code = "blob_not_found"


class StorageUnavailable(Unavailable):
    """The store cannot be used for now. Subclasses say why, for tests and probes; to callers they are one failure."""

    code = "storage_unavailable"


class BucketMissing(StorageUnavailable):
    """The store is there; the bucket or container that is configured is not."""


class StorageDenied(StorageUnavailable):
    """The store refuses our key or identity, or there is none, or it may not do what was asked."""


class StorageUnreachable(StorageUnavailable):
    """Nobody answers, or not in time, or the store says that it is down."""


class StorageFull(StorageUnavailable):
    """No space is left."""


class StorageNotWritable(StorageUnavailable):
    """A directory that is not ours."""


class Storage(Protocol):
    async def put(self, key: str, content: AsyncIterator[bytes]) -> int:
        """Store `content`, replacing what is there; the number of bytes.

        Until it returns a reader sees the old content, or none. When `content` raises, the store fails or the caller
        is cancelled, the old content stays and unfinished parts are removed; only a failure or a cancellation that
        meets the very last step may leave the new content, whole. Of two at once one may fail, never both. `content`
        is read in the caller's task, and the caller closes it. Raises ValueError for a key that is none.
        """

    def open(self, key: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The content in pieces, read as they are asked for. Entering raises BlobNotFound.

        A content that cannot be read to its end raises StorageUnavailable: a short one never looks complete.
        """

    async def delete(self, key: str) -> None:
        """Nothing happens when it is not there."""

    def keys(self, prefix: str = "") -> AsyncIterator[str]:
        """The keys below `prefix/` (a whole part of a key: `a/b` is none of `a/bc`), in no order that is promised."""

    async def sweep(self) -> int:
        """Remove what uploads left that died with their process more than a day ago; how many there were.

        Buckets do this themselves: S3 with a lifecycle rule (AbortIncompleteMultipartUpload), Azure after a week.
        """

    async def ping(self) -> None:
        """Raises StorageUnavailable unless the store can be reached and written."""

    async def aclose(self) -> None: ...


def checked(key: str) -> str:
    """The key itself. Raises ValueError unless it is made of parts of `[A-Za-z0-9_.-]` that begin with no dot."""
    if len(key) > KEY_LENGTH or not _KEY.fullmatch(key):
        raise ValueError(f"not a key of a blob: {key[:80]!r}")
    return key


def below(prefix: str) -> str:
    """What keys below `prefix` begin with, its slash included; empty for all. Raises ValueError."""
    return checked(prefix.removesuffix("/")) + "/" if prefix else ""


def not_found() -> BlobNotFound:
    return BlobNotFound(
        "The content of this file is not stored here.",
        explanation="It was deleted, or it was never stored completely.",
        action="Upload the file again.",
    )
