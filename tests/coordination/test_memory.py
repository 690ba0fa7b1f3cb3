"""The driver for one process, with time that the test moves."""

import asyncio

import pytest

from penstock.coordination.inbox import MAX_WAITING, Inbox
from penstock.coordination.memory import MAX_CACHED, Memory
from penstock.coordination.shelf import Shelf
from tests.coordination.clock import MovableClock


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def store(clock: MovableClock) -> Memory:
    return Memory(clock)


async def test_windows_are_aligned_to_the_epoch(store: Memory, clock: MovableClock) -> None:
    clock.move(20)  # 10:30:20
    assert (await store.counters.add("c", 1, 60)).resets_in_s == 40
    clock.move(39.999)
    assert (await store.counters.peek("c", 60)).total == 1
    clock.move(0.001)
    count = await store.counters.peek("c", 60)
    assert (count.total, count.resets_in_s) == (0, 60)


async def test_a_lease_ends_when_its_time_is_over_and_not_before(store: Memory, clock: MovableClock) -> None:
    lease = await store.leases.acquire("k", 10, b"me")
    assert lease is not None
    clock.move(9.9)
    assert await store.leases.renew(lease, 10)
    clock.move(9.9)
    assert await store.leases.acquire("k", 10) is None
    clock.move(0.1)
    assert await store.leases.holder("k") is None
    assert not await store.leases.renew(lease, 10)


async def test_fences_grow_when_the_wall_clock_steps_back(store: Memory, clock: MovableClock) -> None:
    first = await store.leases.acquire("k", 1)
    clock.move(5)
    clock._now = clock._now.replace(year=2025)
    second = await store.leases.acquire("k", 1)
    assert first is not None
    assert second is not None
    assert second.fence > first.fence


async def test_the_cache_has_a_bound_and_the_oldest_gives_way(store: Memory) -> None:
    for number in range(MAX_CACHED + 5):
        await store.cache.set(f"v{number}", b"value", 60)
    assert await store.cache.get("v4") is None
    assert await store.cache.get("v5") == b"value"
    assert await store.cache.get(f"v{MAX_CACHED + 4}") == b"value"


def test_expired_entries_do_not_accumulate(clock: MovableClock) -> None:
    shelf: Shelf[int] = Shelf(clock)
    largest = 0
    for number in range(20_000):
        shelf.put(f"key {number}", number, ttl_s=100)
        clock.move(1)
        largest = max(largest, len(shelf))
    assert largest < 2_000


def test_living_entries_survive_every_sweep(clock: MovableClock) -> None:
    shelf: Shelf[int] = Shelf(clock)
    shelf.put("kept", 1, ttl_s=1e9)
    for number in range(5_000):
        shelf.put(f"key {number}", number, ttl_s=1)
        clock.move(1)
    assert shelf.get("kept") == 1


async def test_a_slow_subscriber_loses_the_oldest_messages() -> None:
    inbox = Inbox()
    for number in range(MAX_WAITING + 3):
        inbox.put(str(number).encode())
    inbox.close()
    received = [message async for message in inbox]
    assert len(received) == MAX_WAITING
    assert received[0] == b"3"


async def test_a_waiting_subscriber_hears_the_end() -> None:
    inbox = Inbox()
    waiting = asyncio.ensure_future(anext(inbox))
    await asyncio.sleep(0)
    inbox.close()
    with pytest.raises(StopAsyncIteration):
        await waiting
