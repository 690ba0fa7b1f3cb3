"""SIGHUP: providers and models are read again, unless a terminal stands behind it (`spec/editor-api.md` W-04)."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.gateway.catalog.service import Catalog


def asks_to_reload() -> bool:
    """Whoever closes their terminal means the usual thing by it; under `nohup` it means nothing."""
    return not os.isatty(0) and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN


@contextlib.contextmanager
def reloading(catalog: "Catalog") -> Iterator[None]:
    """Within the block SIGHUP reloads; after it, it is ignored: what is being closed must not be killed."""
    if not asks_to_reload():
        yield
        return
    running: set[asyncio.Task[bool]] = set()

    def reload() -> None:
        running.add(task := asyncio.create_task(catalog.read_again("SIGHUP")))
        task.add_done_callback(running.discard)

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
