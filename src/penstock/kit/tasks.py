"""What asyncio leaves to write: clean-up that finishes, and waiting that gives up."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Let `work` run to its end even if this task is cancelled while it waits; then the cancellation goes on.

    What `work` raises after a cancellation is kept as the note of the CancelledError: nobody is left to catch it.
    """
    running = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError as cancelled:
        await asyncio.wait((running,))
        if not running.cancelled() and (error := running.exception()) is not None:
            cancelled.add_note(f"a clean-up failed meanwhile: {error!r}")
        raise


async def set_within(seconds: float, event: asyncio.Event) -> bool:
    """Whether `event` was set in time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
