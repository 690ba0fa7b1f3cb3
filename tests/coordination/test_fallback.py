"""Leases while the primary goes and comes back. The names say who sees what: A and B are two processes."""

import asyncio
from pathlib import Path

import pytest

from penstock.coordination.base import CoordinationUnavailable, Lease, Leases
from penstock.coordination.fallback import FallbackLeases
from penstock.coordination.leases_in_sql import SqlLeases
from penstock.coordination.memory import Memory
from penstock.coordination.options import RedisOptions
from penstock.coordination.redis import Redis
from tests.conftest import SERVERS, need_server
from tests.coordination.clock import MovableClock
from tests.coordination.databases import leases_database
from tests.coordination.proxy import proxy
from tests.coordination.servers import random_prefix, remove_keys

TTL_S = 10.0


class Reachable(Leases):
    """A process's way to leases that it may lose."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self.is_there = True
        self.answers = asyncio.Event()
        self.answers.set()

    def _reach(self) -> Leases:
        if not self.is_there:
            raise CoordinationUnavailable("away")
        return self._leases

    async def acquire(self, key: str, ttl_s: float, holder: bytes = b"") -> Lease | None:
        return await self._reach().acquire(key, ttl_s, holder)

    async def renew(self, lease: Lease, ttl_s: float) -> bool:
        return await self._reach().renew(lease, ttl_s)

    async def release(self, lease: Lease) -> bool:
        return await self._reach().release(lease)

    async def holder(self, key: str) -> bytes | None:
        await self.answers.wait()
        return await self._reach().holder(key)


class World:
    """Two processes, each with its own ways to one primary and one secondary."""

    def __init__(self) -> None:
        self.clock = MovableClock()
        self.primary = Memory(self.clock).leases
        self.secondary = Memory(self.clock).leases
        self.a_primary, self.b_primary = Reachable(self.primary), Reachable(self.primary)
        self.a_secondary, self.b_secondary = Reachable(self.secondary), Reachable(self.secondary)
        self.a = FallbackLeases(self.a_primary, self.a_secondary, self.clock)
        self.b = FallbackLeases(self.b_primary, self.b_secondary, self.clock)

    def primary_goes(self) -> None:
        self.a_primary.is_there = self.b_primary.is_there = False

    def primary_returns(self, *, with_its_data: bool) -> None:
        self.a_primary.is_there = self.b_primary.is_there = True
        if not with_its_data:
            self.a_primary._leases = self.b_primary._leases = self.primary = Memory(self.clock).leases


@pytest.fixture
def world() -> World:
    return World()


async def taken(leases: Leases, holder: bytes = b"") -> Lease:
    lease = await leases.acquire("k", TTL_S, holder)
    assert lease is not None
    return lease


async def test_while_all_is_well_the_primary_grants(world: World) -> None:
    lease = await taken(world.a, b"a")
    assert await world.primary.holder("k") == b"a"
    assert await world.secondary.holder("k") is None
    assert await world.b.acquire("k", TTL_S) is None
    assert await world.a.release(lease)
    await taken(world.b)


async def test_in_an_outage_leases_are_granted_all_the_same(world: World) -> None:
    world.primary_goes()
    lease = await taken(world.a, b"a")
    assert await world.b.acquire("k", TTL_S) is None
    assert await world.b.holder("k") == b"a"
    assert await world.a.renew(lease, TTL_S)
    assert await world.a.release(lease)
    await taken(world.b)


@pytest.mark.parametrize("with_its_data", [True, False])
async def test_a_lease_taken_in_an_outage_is_respected_after_it(world: World, with_its_data: bool) -> None:
    world.primary_goes()
    lease = await taken(world.a, b"a")
    world.primary_returns(with_its_data=with_its_data)
    assert await world.b.acquire("k", TTL_S) is None
    assert await world.primary.holder("k") is None
    assert await world.b.holder("k") == b"a"
    assert await world.a.renew(lease, TTL_S)
    assert await world.a.release(lease)
    await taken(world.b)
    assert await world.primary.holder("k") is not None


async def test_whoever_only_asks_for_a_lease_does_not_cost_its_holder_anything(world: World) -> None:
    world.primary_goes()
    lease = await taken(world.a, b"a")
    world.primary_returns(with_its_data=True)
    world.b_secondary.answers = asyncio.Event()
    asking = asyncio.create_task(world.b.acquire("k", TTL_S))
    await asyncio.sleep(0)
    assert await world.a.renew(lease, TTL_S)  # in the middle of B's attempt
    world.b_secondary.answers.set()
    assert await asking is None
    assert await world.a.renew(lease, TTL_S)


async def test_a_holder_goes_on_when_the_primary_dies(world: World) -> None:
    lease = await taken(world.a, b"a")
    world.primary_goes()
    for _ in range(5):
        world.clock.move(TTL_S / 3)
        assert await world.a.renew(lease, TTL_S)
    assert await world.b.acquire("k", TTL_S) is None
    assert await world.a.release(lease)
    await taken(world.b)


@pytest.mark.parametrize("with_its_data", [True, False])
async def test_a_moved_lease_is_still_alone_after_the_outage(world: World, with_its_data: bool) -> None:
    lease = await taken(world.a, b"a")
    world.primary_goes()
    assert await world.a.renew(lease, TTL_S)
    world.primary_returns(with_its_data=with_its_data)
    assert await world.b.acquire("k", TTL_S) is None
    assert await world.a.renew(lease, TTL_S)
    assert await world.b.acquire("k", TTL_S) is None
    assert await world.b.holder("k") == b"a"
    assert await world.a.release(lease)
    assert await world.primary.holder("k") is None
    assert await world.secondary.holder("k") is None


async def test_a_moved_lease_returns_to_a_primary_that_still_knows_it(world: World) -> None:
    lease = await taken(world.a, b"a")
    world.primary_goes()
    assert await world.a.renew(lease, TTL_S)
    world.primary_returns(with_its_data=True)
    assert await world.a.renew(lease, TTL_S)
    assert await world.secondary.holder("k") is None
    assert await world.primary.holder("k") == b"a"


async def test_the_same_process_never_takes_its_own_lease_twice(world: World) -> None:
    lease = await taken(world.a, b"a")
    world.primary_goes()
    assert await world.a.acquire("k", TTL_S) is None
    assert await world.a.holder("k") == b"a"
    await world.a.release(lease)
    await taken(world.a)


async def test_a_process_that_loses_both_stores_in_turn_does_not_grant_twice(world: World) -> None:
    world.primary_goes()
    await taken(world.a)
    world.primary_returns(with_its_data=True)
    world.a_secondary.is_there = False
    assert await world.a.acquire("k", TTL_S) is None


async def test_who_loses_the_race_at_the_beginning_of_an_outage_learns_it(world: World) -> None:
    lease = await taken(world.a, b"a")
    world.primary_goes()
    await taken(world.b, b"b")  # A has not renewed yet, so nobody but A can know
    assert not await world.a.renew(lease, TTL_S)
    assert not await world.a.renew(lease, TTL_S)


async def test_of_two_holders_the_one_in_the_primary_stays(world: World) -> None:
    world.a_primary.is_there = False
    in_secondary = await taken(world.a, b"a")
    world.b_secondary.is_there = False
    in_primary = await taken(world.b, b"b")
    world.a_primary.is_there = world.b_secondary.is_there = True
    assert not await world.a.renew(in_secondary, TTL_S)
    assert not await world.a.renew(in_secondary, TTL_S)
    assert await world.b.renew(in_primary, TTL_S)


async def test_a_lease_that_ran_out_is_not_moved(world: World) -> None:
    lease = await taken(world.a)
    world.clock.move(TTL_S)
    world.primary_goes()
    assert not await world.a.renew(lease, TTL_S)
    assert await world.secondary.holder("k") is None


async def test_a_lease_lost_in_the_secondary_frees_the_primary_too(world: World) -> None:
    lease = await taken(world.a)
    world.primary_goes()
    assert await world.a.renew(lease, TTL_S)
    world.clock.move(TTL_S)
    world.primary_returns(with_its_data=True)
    assert not await world.a.renew(lease, TTL_S)
    await taken(world.b)


async def test_without_the_secondary_the_primary_decides_alone(world: World) -> None:
    world.a_secondary.is_there = world.b_secondary.is_there = False
    lease = await taken(world.a)
    assert await world.b.acquire("k", TTL_S) is None
    assert await world.a.renew(lease, TTL_S)
    assert await world.a.release(lease)


async def test_without_both_nothing_is_granted(world: World) -> None:
    lease = await taken(world.a)
    world.primary_goes()
    world.a_secondary.is_there = False
    with pytest.raises(CoordinationUnavailable):
        await world.a.acquire("other", TTL_S)
    with pytest.raises(CoordinationUnavailable):
        await world.a.renew(lease, TTL_S)
    world.a_secondary.is_there = True
    assert await world.a.renew(lease, TTL_S)


async def test_fences_keep_their_order_across_the_stores(world: World) -> None:
    first = await taken(world.a)
    await world.a.release(first)
    world.clock.move(1)
    world.primary_goes()
    second = await taken(world.a)
    await world.a.release(second)
    world.clock.move(1)
    world.primary_returns(with_its_data=False)
    third = await taken(world.a)
    assert first.fence < second.fence < third.fence


async def test_redis_goes_and_the_database_keeps_the_conversation_locked(tmp_path: Path) -> None:
    need_server("redis")
    prefix = random_prefix()
    async with leases_database("sqlite", tmp_path) as database, proxy(SERVERS["redis"]) as between:
        stores = [Redis(RedisOptions(port=between.port, key_prefix=prefix, limit_s=2)) for _ in range(2)]
        a, b = (FallbackLeases(store.leases, SqlLeases(database)) for store in stores)
        lease = await taken(a, b"a")
        await between.close()
        assert await a.renew(lease, TTL_S)
        assert await b.acquire("k", TTL_S) is None
        await between.open()
        assert await b.acquire("k", TTL_S) is None
        assert await a.renew(lease, TTL_S)
        assert await a.release(lease)
        await taken(b)
        for store in stores:
            await store.aclose()
    await remove_keys(prefix)
