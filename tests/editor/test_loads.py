"""Files on their way to models: bounded all together, in turn, and nothing of the bound is ever lost."""

import asyncio

import pytest

from penstock.editor.conversations.loads import Loads, TooManyFilesAtOnce


async def test_what_does_not_fit_waits_for_what_is_on_its_way_and_goes_in_turn() -> None:
    loads, order, go = Loads(10, within_s=30), [], asyncio.Event()

    async def carry(name: str, size: int) -> None:
        async with loads.carrying(size):
            order.append(name)
            await go.wait()

    async with asyncio.TaskGroup() as tasks:
        for name, size in (("a", 6), ("b", 3), ("c", 5), ("d", 1), ("none", 0), ("large", 99)):
            tasks.create_task(carry(name, size))
            await asyncio.sleep(0)
        assert order == ["a", "b", "none"]  # d could go, but c is first
        go.set()
    assert order == ["a", "b", "none", "c", "d", "large"]
    async with loads.carrying(10):
        pass


async def test_who_waits_too_long_is_told_and_who_leaves_takes_no_room_along() -> None:
    loads = Loads(10, within_s=0.01)
    async with loads.carrying(8):
        with pytest.raises(TooManyFilesAtOnce) as refused:
            async with loads.carrying(8):
                pytest.fail("there is no room")
        assert refused.value.status == 503
        leaving = asyncio.create_task(loads.carrying(8).__aenter__())
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        async with loads.carrying(2):
            pass
    async with loads.carrying(10):
        pass


async def test_leaving_in_the_moment_of_being_let_in_gives_the_room_back() -> None:
    loads = Loads(10, within_s=30)
    first = loads.carrying(10)
    await first.__aenter__()
    second = asyncio.create_task(loads.carrying(10).__aenter__())
    await asyncio.sleep(0)
    await first.__aexit__(None, None, None)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    async with loads.carrying(10):
        pass
