"""What happens while Redis is away, and that nobody has to do anything when it is back."""

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis as Client

from penstock.coordination.base import Coordination, CoordinationUnavailable, Lease
from penstock.coordination.options import RedisNode, RedisOptions
from penstock.coordination.redis import Redis
from penstock.kit.secret import Secret
from tests.conftest import SERVERS, need_server
from tests.coordination.proxy import Proxy, proxy
from tests.coordination.servers import free_ports, need_redis_binaries, random_prefix, redis_server, remove_keys

CANARY = "canary-open-sesame"


# The transports of the two event loops fail in different words when a connection breaks.
@pytest.fixture(scope="module", params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


async def tell(port: int, *command: str) -> None:
    async with Client(port=port, protocol=2) as client:
        await client.execute_command(*command)  # type: ignore[no-untyped-call]


@pytest.fixture
async def between() -> AsyncIterator[Proxy]:
    need_server("redis")
    async with proxy(SERVERS["redis"]) as found:
        yield found


@pytest.fixture
async def store(between: Proxy) -> AsyncIterator[Redis]:
    options = RedisOptions(port=between.port, key_prefix=random_prefix(), limit_s=0.6)
    found = Redis(options)
    try:
        yield found
    finally:
        await found.aclose()
        await remove_keys(options.key_prefix)


async def subscribe(store: Coordination) -> None:
    async with store.broadcast.subscribe("news"):
        pass


LEASE = Lease("k", "token", 1)
METHODS: dict[str, Callable[[Coordination], Awaitable[object]]] = {
    "ping": lambda store: store.ping(),
    "add": lambda store: store.counters.add("c", 1, 60),
    "peek": lambda store: store.counters.peek("c", 60),
    "acquire": lambda store: store.leases.acquire("k", 60),
    "renew": lambda store: store.leases.renew(LEASE, 60),
    "release": lambda store: store.leases.release(LEASE),
    "holder": lambda store: store.leases.holder("k"),
    "get": lambda store: store.cache.get("v"),
    "set": lambda store: store.cache.set("v", b"value", 60),
    "delete": lambda store: store.cache.delete("v"),
    "publish": lambda store: store.broadcast.publish("news", b"one"),
    "subscribe": subscribe,
}


async def every_method_fails(store: Coordination) -> list[CoordinationUnavailable]:
    """All at once. The deadline is far above the limit of 0.6 s: without a limit they would wait for ever."""

    async def fails(method: Callable[[Coordination], Awaitable[object]]) -> CoordinationUnavailable:
        with pytest.raises(CoordinationUnavailable) as raised:
            await method(store)
        return raised.value

    async with asyncio.timeout(20):
        return list(await asyncio.gather(*(fails(method) for method in METHODS.values())))


async def works_again(store: Coordination) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                for method in METHODS.values():
                    await method(store)
                return
            except CoordinationUnavailable:
                await asyncio.sleep(0.05)


async def test_a_server_that_refuses_is_unavailable_and_then_available(store: Redis, between: Proxy) -> None:
    await works_again(store)
    await between.close()
    await every_method_fails(store)
    await between.open()
    await works_again(store)


async def test_a_silent_server_is_unavailable_within_the_limit(store: Redis, between: Proxy) -> None:
    await works_again(store)
    between.swallow()
    await every_method_fails(store)
    await between.resume()
    await works_again(store)


async def test_a_server_that_was_never_there_is_found_when_it_comes(store: Redis, between: Proxy) -> None:
    await between.close()
    await every_method_fails(store)
    await between.open()
    await works_again(store)


async def test_idle_connections_that_were_reset_are_replaced_unseen(store: Redis, between: Proxy) -> None:
    await asyncio.gather(*(store.ping() for _ in range(10)))
    await between.reset()
    await asyncio.sleep(0.05)  # the event loop has to hear of it
    assert (await store.counters.add("c", 1, 60)).total == 1


async def test_calls_in_flight_end_when_their_connection_is_reset(store: Redis, between: Proxy) -> None:
    await works_again(store)
    between.swallow()
    calls = [asyncio.ensure_future(store.cache.get("v")) for _ in range(5)]
    await asyncio.sleep(0.05)
    await between.reset()
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(outcome, CoordinationUnavailable)


async def test_more_calls_than_connections_wait_instead_of_failing(store: Redis) -> None:
    async def add() -> None:
        for _ in range(3):
            await store.counters.add("c", 1, 600)

    await asyncio.gather(*(add() for _ in range(60)))
    assert (await store.counters.peek("c", 600)).total == 180


async def test_cancelled_calls_give_their_connections_back(store: Redis, between: Proxy) -> None:
    await works_again(store)
    between.swallow()
    calls = [asyncio.ensure_future(store.cache.get("v")) for _ in range(100)]
    await asyncio.sleep(0.02)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await between.resume()
    await works_again(store)


async def next_of(messages: AsyncIterator[bytes], store: Redis) -> bytes:
    """Publish until something arrives: the iterator goes on some time after the server is back."""
    waiting = asyncio.ensure_future(anext(messages))
    async with asyncio.timeout(30):
        while not waiting.done():
            with suppress(CoordinationUnavailable):
                await store.broadcast.publish("news", b"after")
            await asyncio.wait([waiting], timeout=0.05)
    return await waiting


async def test_a_subscription_survives_a_refusing_server(store: Redis, between: Proxy) -> None:
    async with store.broadcast.subscribe("news") as messages:
        await between.close()
        with pytest.raises(CoordinationUnavailable):
            await store.ping()
        await between.open()
        assert await next_of(messages, store) == b"after"


async def test_a_subscription_survives_a_reset(store: Redis, between: Proxy) -> None:
    async with store.broadcast.subscribe("news") as messages, store.broadcast.subscribe("weather"):
        await between.reset()
        assert await next_of(messages, store) == b"after"


async def test_a_subscription_notices_that_its_connection_is_dead(store: Redis, between: Proxy) -> None:
    async with store.broadcast.subscribe("news") as messages:
        between.kill_silently()
        assert await next_of(messages, store) == b"after"


async def test_a_quiet_subscription_stays(store: Redis, between: Proxy) -> None:
    async with store.broadcast.subscribe("news") as messages:
        connections = between.connections
        await asyncio.sleep(3.5)  # longer than silence is trusted
        assert between.connections == connections
        await store.broadcast.publish("news", b"still here")
        async with asyncio.timeout(10):
            assert await anext(messages) == b"still here"


async def test_after_closing_everything_is_unavailable(between: Proxy) -> None:
    store = Redis(RedisOptions(port=between.port, key_prefix=random_prefix()))
    await store.ping()
    await store.aclose()
    await store.aclose()
    await every_method_fails(store)


def everything_said(error: BaseException) -> str:
    shown = "".join(traceback.format_exception(error))
    words = [error.explanation, error.action] if isinstance(error, CoordinationUnavailable) else []
    causes = [error.__cause__, error.__context__]
    return shown + repr(error) + str(words) + "".join(repr(cause) + str(cause) for cause in causes)


@pytest.mark.parametrize("kind", ["single", "cluster", "sentinel"])
async def test_no_error_tells_a_password(kind: str) -> None:
    (port,) = free_ports(1)
    nodes = (RedisNode("127.0.0.1", port, Secret(CANARY)),)
    options = RedisOptions(port=port, user="app", password=Secret(CANARY), limit_s=0.3)
    if kind == "cluster":
        options = msgspec.structs.replace(options, cluster_nodes=nodes)
    elif kind == "sentinel":
        options = msgspec.structs.replace(options, sentinels=nodes, sentinel_master="main")
    store = Redis(options)
    for error in await every_method_fails(store):
        assert CANARY not in everything_said(error)
    await store.aclose()
    assert CANARY not in repr(options) + str(options) + options.where() + repr(store)


async def test_a_refused_password_is_named_as_the_cause_and_not_told() -> None:
    need_server("redis")
    store = Redis(RedisOptions(user="nobody-here", password=Secret(CANARY)))
    for error in await every_method_fails(store):
        assert error.explanation == "It refuses our user or password."
        assert CANARY not in everything_said(error)
    await store.aclose()


async def test_a_replica_is_unavailable_until_it_is_the_master(tmp_path: Path) -> None:
    need_redis_binaries()
    (port, nobody) = free_ports(2)
    with redis_server(tmp_path, port):
        store = Redis(RedisOptions(port=port, limit_s=20))
        assert (await store.counters.add("c", 1, 600)).total == 1
        await tell(port, "REPLICAOF", "127.0.0.1", str(nobody))
        changes = (store.counters.add("c", 1, 600), store.leases.acquire("k", 60), store.cache.set("v", b"", 1))
        for change in changes:
            with pytest.raises(CoordinationUnavailable) as raised:
                await change
            assert raised.value.explanation == "It is a replica, which does not accept changes."
        await tell(port, "REPLICAOF", "NO", "ONE")
        assert await store.leases.acquire("k", 60) is not None
        await store.aclose()


async def test_a_restarted_server_is_taught_the_scripts_again(tmp_path: Path) -> None:
    need_redis_binaries()
    (port,) = free_ports(1)
    store = Redis(RedisOptions(port=port, limit_s=20))
    with redis_server(tmp_path, port):
        before = await store.leases.acquire("k", 60)
    with redis_server(tmp_path, port):
        await asyncio.sleep(0.05)  # the event loop has to hear of the end
        after = await store.leases.acquire("k", 60)
        await store.aclose()
    assert before is not None
    assert after is not None
    assert after.fence > before.fence
