"""What only a cluster does."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis as Client

from penstock.coordination.options import RedisOptions
from penstock.coordination.redis import Redis
from tests.coordination.servers import cluster, need_redis_binaries


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisOptions]:
    need_redis_binaries()
    with cluster(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture
async def store(options: RedisOptions) -> AsyncIterator[Redis]:
    found = Redis(options)
    yield found
    await found.aclose()


async def close_connections(port: int, kind: str) -> None:
    async with Client(port=port, protocol=2) as client:
        await client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")  # type: ignore[no-untyped-call]


async def test_keys_of_all_nodes_can_be_used(store: Redis) -> None:
    keys = [f"conversation:{number}" for number in range(60)]
    leases = await asyncio.gather(*(store.leases.acquire(key, 60, key.encode()) for key in keys))
    assert all(leases)
    assert [await store.leases.holder(key) for key in keys] == [key.encode() for key in keys]
    counts = await asyncio.gather(*(store.counters.add(key, 2, 600) for key in keys))
    assert {count.total for count in counts} == {2}


async def test_connections_that_the_nodes_closed_are_replaced_unseen(store: Redis, options: RedisOptions) -> None:
    keys = [f"key {number}" for number in range(30)]
    await asyncio.gather(*(store.cache.set(key, b"value", 60) for key in keys))
    for node in options.cluster_nodes:
        await close_connections(node.port, "normal")
    await asyncio.sleep(0.05)  # the event loop has to hear of it
    assert [await store.cache.get(key) for key in keys] == [b"value"] * 30


async def test_a_subscription_survives_the_loss_of_its_node(store: Redis, options: RedisOptions) -> None:
    async with store.broadcast.subscribe("news") as messages:
        for node in options.cluster_nodes:
            await close_connections(node.port, "pubsub")
        waiting = asyncio.ensure_future(anext(messages))
        async with asyncio.timeout(30):
            while not waiting.done():
                await store.broadcast.publish("news", b"after")
                await asyncio.wait([waiting], timeout=0.05)
        assert await waiting == b"after"
