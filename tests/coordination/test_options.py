"""Where Redis is, as operators write it."""

import subprocess
import sys

import pytest

from penstock.coordination.options import DEFAULT_SENTINEL_PORT, RedisNode, RedisOptions, parse_nodes
from penstock.kit.secret import Secret


def test_nodes_are_read_with_ports_passwords_and_ipv6_hosts() -> None:
    assert parse_nodes(" redis-0:7000, redis-1 ,[fd00::1]:7001:p:w,[::1], ") == (
        RedisNode("redis-0", 7000),
        RedisNode("redis-1", 6379),
        RedisNode("fd00::1", 7001, Secret("p:w")),
        RedisNode("::1", 6379),
    )


def test_sentinels_have_their_own_usual_port() -> None:
    assert parse_nodes("one,two:1", DEFAULT_SENTINEL_PORT) == (RedisNode("one", 26379), RedisNode("two", 1))


@pytest.mark.parametrize("text", ["host:canary", "host:1,:6379:canary", "[::1:6379:canary"])
def test_a_node_that_cannot_be_read_is_named_by_its_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"Node \d") as raised:
        parse_nodes(text)
    assert "canary" not in str(raised.value)


def test_a_cluster_takes_the_password_of_its_nodes_or_the_common_one() -> None:
    with_password = (RedisNode("a", 1, Secret("x")), RedisNode("b", 1))
    assert RedisOptions(cluster_nodes=with_password).cluster_password() == "x"
    assert RedisOptions(cluster_nodes=(RedisNode("a"),), password=Secret("y")).cluster_password() == "y"
    assert RedisOptions(cluster_nodes=(RedisNode("a"),)).cluster_password() is None


def test_contradictions_are_refused() -> None:
    node = RedisNode("a")
    with pytest.raises(ValueError, match="cluster or behind sentinels"):
        RedisOptions(cluster_nodes=(node,), sentinels=(node,), sentinel_master="main")
    with pytest.raises(ValueError, match="name of the master"):
        RedisOptions(sentinels=(node,))
    with pytest.raises(ValueError, match="share one password"):
        RedisOptions(cluster_nodes=(RedisNode("a", 1, Secret("x")), RedisNode("b", 1, Secret("y"))))


def test_a_process_without_redis_does_not_load_its_client() -> None:
    program = (
        "import asyncio, sys; from penstock.coordination.drivers import open_coordination;"
        "asyncio.run(open_coordination(None)); sys.exit('redis' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
