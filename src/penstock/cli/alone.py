"""One service for one SQLite file: a second one would not see the locks that the first one keeps in memory."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


class AlreadyServed(Exception):
    """Another service runs on this file. `process` is its number, when it left one."""

    def __init__(self, process: str) -> None:
        super().__init__(process)
        self.process = process


@contextlib.contextmanager
def alone_on(path: str) -> Iterator[None]:
    """Hold the database file for this service. A killed one lets go by itself; commands beside it are not kept out."""
    held = Path(f"{path}.served")
    held.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(held, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyServed(os.read(descriptor, 20).decode("ascii", "replace").strip()) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)
