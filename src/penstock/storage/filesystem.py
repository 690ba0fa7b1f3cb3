"""A directory: for one instance, or several on one shared volume.

A content is written beside its place and renamed, then flushed to the disk with the directories above it: what a user
was told is stored survives a power cut. Keys cannot leave the directory (`base.checked`). It is made for us alone;
one that exists keeps its mode, and no world-writable one is ever needed.
"""

import asyncio
import os
import re
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from obstore.store import LocalStore

from penstock.storage.buckets import Bucket
from penstock.storage.failures import not_writable
from penstock.storage.options import StorageOptions

_DAY_S = 24 * 60 * 60
_DRAFT = re.compile(r".+#\d+")  # how object_store names what is not complete yet


class Filesystem(Bucket):
    def __init__(self, options: StorageOptions) -> None:
        """The directory must be there: `prepare` makes it."""
        self._root = options.location.resolve()
        super().__init__(LocalStore(self._root, automatic_cleanup=True), options, trust_writing_s=0)

    async def put(self, key: str, content: AsyncIterator[bytes]) -> int:
        size_bytes = await super().put(key, content)
        try:
            await asyncio.to_thread(_flush, self._root, self._root / key)
        except FileNotFoundError:  # deleted meanwhile
            pass
        except OSError as error:
            raise not_writable(self._options, error) from error
        return size_bytes

    async def sweep(self) -> int:
        return await asyncio.to_thread(_remove_drafts, self._root, time.time() - _DAY_S)


def prepare(options: StorageOptions) -> None:
    """Make the directory, and a file in it for a moment. Raises StorageNotWritable or StorageFull."""
    try:
        options.location.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=options.location) as file:
            file.write(b"\0")
    except OSError as error:
        raise not_writable(options, error) from error


def _flush(root: Path, path: Path) -> None:
    for one in (path, *_up_to(root, path)):
        descriptor = os.open(one, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _up_to(root: Path, path: Path) -> Iterator[Path]:
    for parent in path.parents:
        yield parent
        if parent == root:
            return


def _remove_drafts(root: Path, before: float) -> int:
    removed = 0
    for folder, _, names in os.walk(root):
        for name in filter(_DRAFT.fullmatch, names):
            path = Path(folder) / name
            try:
                if path.stat().st_mtime < before:
                    path.unlink()
                    removed += 1
            except FileNotFoundError:
                continue
    return removed
