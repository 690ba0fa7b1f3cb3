"""Work that runs beside the requests, for as long as the service does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from penstock.telemetry.logs import log

_AGAIN_AFTER_S = 1.0

Work = Callable[[], Awaitable[None]]


@asynccontextmanager
async def background(*works: Work) -> AsyncIterator[None]:
    """Run `works` beside the block, and end them with it."""
    tasks = [asyncio.create_task(_kept_running(work)) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _kept_running(work: Work) -> None:
    """A watcher that fails has a bug; without it revoked keys would live on. So it is logged, and started again."""
    while True:
        try:
            return await work()
        except Exception as error:
            log.error("a background task failed and starts again", exc_info=error)
        await asyncio.sleep(_AGAIN_AFTER_S)
