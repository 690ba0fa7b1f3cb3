"""Clean-up that finishes, and waiting that gives up."""

import asyncio

import pytest

from penstock.kit.tasks import set_within, to_the_end


async def test_a_clean_up_finishes_although_its_task_is_cancelled() -> None:
    done = asyncio.Event()
    begun = asyncio.Event()

    async def clean_up() -> None:
        begun.set()
        await asyncio.sleep(0.05)
        done.set()

    task = asyncio.create_task(to_the_end(clean_up()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.is_set()


async def test_a_clean_up_that_fails_after_the_cancellation_leaves_a_note() -> None:
    begun = asyncio.Event()

    async def clean_up() -> None:
        begun.set()
        await asyncio.sleep(0.01)
        raise ValueError("no room")

    task = asyncio.create_task(to_the_end(clean_up()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert "no room" in "".join(caught.value.__notes__)


async def test_what_the_work_gives_and_raises_comes_through() -> None:
    async def give() -> int:
        return 7

    async def fail() -> int:
        raise ValueError

    assert await to_the_end(give()) == 7
    with pytest.raises(ValueError):
        await to_the_end(fail())


async def test_an_event_is_waited_for_no_longer_than_said() -> None:
    event = asyncio.Event()
    assert not await set_within(0.01, event)
    event.set()
    assert await set_within(0.01, event)
