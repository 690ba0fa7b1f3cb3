"""What every driver of coordination keeps. The lease part also runs over the database and over the fallback."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from penstock.coordination.base import Coordination, Leases
from penstock.coordination.drivers import open_coordination
from penstock.coordination.fallback import FallbackLeases
from penstock.coordination.leases_in_sql import SqlLeases
from penstock.coordination.memory import Memory
from penstock.coordination.options import RedisOptions
from tests.conftest import need_server
from tests.coordination import servers
from tests.coordination.databases import leases_database

DAY_S = 86_400.0
SHORT_S = 0.05
LONG_S = 60.0

REDIS_DRIVERS = ["redis", "acl", "tls", "unix", "sentinel", "cluster"]
LEASE_DRIVERS = ["sqlite", "mariadb", "postgresql", "fallback"]

Found = TypeVar("Found")


class OwnServers:
    """Starts what is asked for, once for the module."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._options: dict[str, RedisOptions] = {}

    def options(self, name: str) -> RedisOptions:
        servers.need_redis_binaries()
        if name not in self._options:
            self._start(name)
        return self._options[name]

    def _start(self, name: str) -> None:
        if name == "cluster":
            self._options[name] = self._stack.enter_context(servers.cluster(self._folder / name))
        elif name == "sentinel":
            master = self.options("plain").port
            self._options[name] = self._stack.enter_context(servers.sentinel(self._folder / name, master))
        else:
            self._options |= self._stack.enter_context(servers.everything_server(self._folder / "everything"))


@pytest.fixture(scope="module")
def own_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServers]:
    with ExitStack() as stack:
        yield OwnServers(tmp_path_factory.mktemp("redis"), stack)


@pytest.fixture(params=["memory", *REDIS_DRIVERS])
async def store(request: pytest.FixtureRequest, own_servers: OwnServers) -> AsyncIterator[Coordination]:
    async with opened(request.param, own_servers) as coordination:
        yield coordination


@pytest.fixture(params=["memory", *REDIS_DRIVERS, *LEASE_DRIVERS])
async def leases(request: pytest.FixtureRequest, own_servers: OwnServers, tmp_path: Path) -> AsyncIterator[Leases]:
    async with AsyncExitStack() as stack:
        if request.param not in LEASE_DRIVERS:
            yield (await stack.enter_async_context(opened(request.param, own_servers))).leases
            return
        kind = "sqlite" if request.param == "fallback" else request.param
        in_sql = SqlLeases(await stack.enter_async_context(leases_database(kind, tmp_path)))
        yield FallbackLeases(Memory().leases, in_sql) if request.param == "fallback" else in_sql


@asynccontextmanager
async def opened(name: str, own_servers: OwnServers) -> AsyncIterator[Coordination]:
    options = None
    if name == "redis":
        need_server("redis")
        options = RedisOptions(limit_s=servers.PATIENT_S)
    elif name != "memory":
        options = own_servers.options(name)
    if options is not None:
        options = msgspec.structs.replace(options, key_prefix=servers.random_prefix())
    coordination = await open_coordination(options)
    try:
        yield coordination
    finally:
        await coordination.aclose()
        if name == "redis" and options is not None:
            await servers.remove_keys(options.key_prefix)


async def eventually(attempt: Callable[[], Awaitable[Found | None]]) -> Found:
    """The first answer that is not None."""
    async with asyncio.timeout(60):
        while (found := await attempt()) is None:
            await asyncio.sleep(0.01)
    return found


# --- counters --------------------------------------------------------------------------------------------------------


async def test_a_counter_adds_up_within_its_window(store: Coordination) -> None:
    assert (await store.counters.peek("c", DAY_S)).total == 0
    assert (await store.counters.add("c", 5, DAY_S)).total == 5
    assert (await store.counters.add("c", -2, DAY_S)).total == 3
    count = await store.counters.peek("c", DAY_S)
    assert count.total == 3
    assert 0 < count.resets_in_s <= DAY_S


async def test_a_counter_keeps_big_numbers_exactly(store: Coordination) -> None:
    await store.counters.add("micros", 9_000_000_000_000_000, DAY_S)
    assert (await store.counters.add("micros", 1, DAY_S)).total == 9_000_000_000_000_001


async def test_windows_and_keys_are_counted_apart(store: Coordination) -> None:
    await store.counters.add("c", 1, DAY_S)
    await store.counters.add("c", 10, 2 * DAY_S)
    await store.counters.add("d", 100, DAY_S)
    assert (await store.counters.peek("c", DAY_S)).total == 1
    assert (await store.counters.peek("c", 2 * DAY_S)).total == 10


async def test_a_new_window_begins_at_nothing(store: Coordination) -> None:
    await store.counters.add("c", 1, SHORT_S)

    async def is_empty() -> bool | None:
        return (await store.counters.peek("c", SHORT_S)).total == 0 or None

    assert await eventually(is_empty)


async def test_additions_of_many_tasks_are_all_counted(store: Coordination) -> None:
    async def add_some() -> None:
        for _ in range(5):
            await store.counters.add("c", 1, DAY_S)

    await asyncio.gather(*(add_some() for _ in range(50)))
    assert (await store.counters.peek("c", DAY_S)).total == 250


# --- leases ----------------------------------------------------------------------------------------------------------


async def test_a_lease_has_one_holder(leases: Leases) -> None:
    assert await leases.holder("k") is None
    lease = await leases.acquire("k", LONG_S, b"me \x00\xff")
    assert lease is not None
    assert (lease.key, lease.holder) == ("k", b"me \x00\xff")
    assert await leases.acquire("k", LONG_S, b"you") is None
    assert await leases.holder("k") == b"me \x00\xff"


async def test_other_keys_stay_free(leases: Leases) -> None:
    assert await leases.acquire("k", LONG_S) is not None
    assert await leases.acquire("K", LONG_S) is not None
    assert await leases.acquire("{odd} :key ü", LONG_S) is not None


async def test_a_released_key_is_free_at_once(leases: Leases) -> None:
    lease = await leases.acquire("k", LONG_S, b"me")
    assert lease is not None
    assert await leases.release(lease)
    assert await leases.holder("k") is None
    assert await leases.acquire("k", LONG_S) is not None


async def test_a_lease_is_released_once(leases: Leases) -> None:
    lease = await leases.acquire("k", LONG_S)
    assert lease is not None
    assert await leases.release(lease)
    assert not await leases.release(lease)


async def test_fences_grow_with_every_grant(leases: Leases) -> None:
    fences = []
    for _ in range(5):
        lease = await leases.acquire("k", LONG_S)
        assert lease is not None
        fences.append(lease.fence)
        await leases.release(lease)
    assert fences == sorted(set(fences))


async def test_renewing_keeps_a_lease(leases: Leases) -> None:
    lease = await leases.acquire("k", LONG_S, b"me")
    assert lease is not None
    assert await leases.renew(lease, LONG_S)
    assert await leases.acquire("k", LONG_S) is None
    assert await leases.holder("k") == b"me"


async def test_an_expired_lease_can_be_taken(leases: Leases) -> None:
    lost = await leases.acquire("k", SHORT_S, b"old")
    assert lost is not None
    taken = await eventually(lambda: leases.acquire("k", LONG_S, b"new"))
    assert taken.fence > lost.fence
    assert await leases.holder("k") == b"new"


async def test_a_former_holder_can_neither_renew_nor_release(leases: Leases) -> None:
    lost = await leases.acquire("k", SHORT_S, b"old")
    assert lost is not None
    taken = await eventually(lambda: leases.acquire("k", LONG_S, b"new"))
    assert not await leases.renew(lost, LONG_S)
    assert not await leases.release(lost)
    assert await leases.holder("k") == b"new"
    assert await leases.renew(taken, LONG_S)


async def test_a_lost_lease_stays_lost(leases: Leases) -> None:
    lost = await leases.acquire("k", SHORT_S)
    assert lost is not None

    async def is_free() -> bool | None:
        return await leases.holder("k") is None or None

    await eventually(is_free)
    assert not await leases.renew(lost, LONG_S)
    assert not await leases.release(lost)
    assert await leases.holder("k") is None


async def test_of_many_who_want_a_lease_one_gets_it(leases: Leases) -> None:
    got = await asyncio.gather(*(leases.acquire("k", LONG_S, str(number).encode()) for number in range(8)))
    granted = [lease for lease in got if lease is not None]
    assert len(granted) == 1
    assert await leases.holder("k") == granted[0].holder


async def test_a_free_key_with_a_past_is_given_to_one_of_many(leases: Leases) -> None:
    former = await leases.acquire("k", LONG_S)
    assert former is not None
    await leases.release(former)
    got = await asyncio.gather(*(leases.acquire("k", LONG_S) for _ in range(8)))
    assert len([lease for lease in got if lease is not None]) == 1


# --- cache -----------------------------------------------------------------------------------------------------------


async def test_a_cached_value_is_found_until_it_is_deleted(store: Coordination) -> None:
    assert await store.cache.get("v") is None
    await store.cache.set("v", b"\x00\xff one", LONG_S)
    await store.cache.set("v", b"\x00\xff two", LONG_S)
    assert await store.cache.get("v") == b"\x00\xff two"
    await store.cache.delete("v")
    await store.cache.delete("v")
    assert await store.cache.get("v") is None


async def test_a_cached_value_runs_out(store: Coordination) -> None:
    await store.cache.set("v", b"one", SHORT_S)

    async def is_gone() -> bool | None:
        return await store.cache.get("v") is None or None

    assert await eventually(is_gone)


async def test_the_parts_do_not_share_keys(store: Coordination) -> None:
    await store.cache.set("x", b"value", LONG_S)
    assert (await store.counters.add("x", 1, DAY_S)).total == 1
    assert await store.leases.acquire("x", LONG_S) is not None
    assert await store.cache.get("x") == b"value"


# --- publish and subscribe -------------------------------------------------------------------------------------------


async def next_message(messages: AsyncIterator[bytes]) -> bytes:
    async with asyncio.timeout(30):
        return await anext(messages)


async def test_a_subscriber_gets_what_is_published_after_it_entered(store: Coordination) -> None:
    await store.broadcast.publish("news", b"too early")
    async with store.broadcast.subscribe("news") as messages:
        await store.broadcast.publish("news", b"one")
        await store.broadcast.publish("other", b"not for us")
        await store.broadcast.publish("news", b"two \x00\xff")
        assert [await next_message(messages) for _ in range(2)] == [b"one", b"two \x00\xff"]


async def test_every_subscriber_gets_every_message(store: Coordination) -> None:
    async with (
        store.broadcast.subscribe("news") as first,
        store.broadcast.subscribe("news") as second,
        store.broadcast.subscribe("weather") as third,
    ):
        await store.broadcast.publish("news", b"one")
        await store.broadcast.publish("weather", b"rain")
        assert await next_message(first) == await next_message(second) == b"one"
        assert await next_message(third) == b"rain"


async def test_leaving_one_subscription_keeps_the_others(store: Coordination) -> None:
    async with store.broadcast.subscribe("news") as news:
        async with store.broadcast.subscribe("weather"), store.broadcast.subscribe("news"):
            pass
        await store.broadcast.publish("news", b"one")
        assert await next_message(news) == b"one"
        async with store.broadcast.subscribe("weather") as weather:
            await store.broadcast.publish("weather", b"rain")
            assert await next_message(weather) == b"rain"


async def test_the_messages_end_when_the_block_is_left(store: Coordination) -> None:
    async with store.broadcast.subscribe("news") as messages:
        pass
    assert [message async for message in messages] == []


async def test_nothing_keeps_running_after_the_last_subscription(store: Coordination) -> None:
    before = asyncio.all_tasks()
    for _ in range(3):
        async with store.broadcast.subscribe("news"), store.broadcast.subscribe("weather"):
            pass
    assert asyncio.all_tasks() == before


async def test_closing_ends_the_subscriptions(store: Coordination) -> None:
    async with store.broadcast.subscribe(secrets.token_hex(4)) as messages:
        await store.aclose()
        assert [message async for message in messages] == []


async def test_a_living_store_answers_a_ping(store: Coordination) -> None:
    await store.ping()
