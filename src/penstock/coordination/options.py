"""Where Redis is and how to reach it. Values only: nothing here imports a driver."""

from typing import Literal

import msgspec

from penstock.kit.secret import Secret

DEFAULT_PORT = 6379
DEFAULT_SENTINEL_PORT = 26379


class RedisNode(msgspec.Struct, frozen=True):
    host: str
    port: int = DEFAULT_PORT
    password: Secret | None = None


class RedisOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`spec/editor-api.md` 11.4. One server unless `cluster_nodes` or `sentinels` are given; then `host` is ignored.

    `host` may be the path of a unix socket (it begins with `/`). `db` is ignored by a cluster, which has only one.
    `ca`, `cert` and `key` are file paths; with `tls` and without `ca` the system's certificates are trusted, and a
    name is always verified. All nodes of a cluster share one password; the `password` of a sentinel is the
    sentinel's own. With `tls` the sentinels are spoken to in TLS too.

    `disable_dns_lookup` is accepted and changes nothing: names are never replaced by addresses before TLS sees them,
    which is what the option is set for.

    `limit_s` bounds every operation, connecting included. A server that takes longer counts as not available.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    user: str | None = None
    password: Secret | None = None
    db: int = 0
    tls: bool = False
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    ip_family: Literal[4, 6] | None = None
    cluster_nodes: tuple[RedisNode, ...] = ()
    sentinels: tuple[RedisNode, ...] = ()
    sentinel_master: str = ""
    disable_dns_lookup: bool = False
    key_prefix: str = "penstock:"
    limit_s: float = 0.9

    def __post_init__(self) -> None:
        """Raises ValueError for what contradicts itself."""
        if self.cluster_nodes and self.sentinels:
            raise ValueError("Redis is either a cluster or behind sentinels: name the nodes of one of them.")
        if self.sentinels and not self.sentinel_master:
            raise ValueError("With sentinels, the name of the master they watch is needed too.")
        if len(self._cluster_passwords()) > 1:
            raise ValueError("The nodes of a cluster share one password; different ones were given.")

    def cluster_password(self) -> Secret | None:
        return next(iter(self._cluster_passwords()), None) or self.password

    def where(self) -> str:
        """For people and logs: never a password."""
        if self.cluster_nodes:
            return "Redis Cluster at " + _listed(self.cluster_nodes)
        if self.sentinels:
            return f"Redis master {self.sentinel_master!r} of the sentinels at " + _listed(self.sentinels)
        if self.host.startswith("/"):
            return f"Redis at {self.host}, database {self.db}"
        return f"Redis at {self.host}:{self.port}, database {self.db}"

    def _cluster_passwords(self) -> set[Secret]:
        return {node.password for node in self.cluster_nodes if node.password}


def parse_nodes(text: str, default_port: int = DEFAULT_PORT) -> tuple[RedisNode, ...]:
    """Read `host:port[:password], …`; an IPv6 host stands in brackets. Raises ValueError, which names no password."""
    entries = [entry.strip() for entry in text.split(",")]
    return tuple(_node(entry, number, default_port) for number, entry in enumerate(entries, start=1) if entry)


def _node(entry: str, number: int, default_port: int) -> RedisNode:
    host, found, rest = entry[1:].partition("]") if entry.startswith("[") else ("", "", entry)
    if found:
        rest = rest.removeprefix(":")
    else:
        host, _, rest = rest.partition(":")
    port, _, password = rest.partition(":")
    if not host or (port and not port.isdecimal()):
        raise ValueError(f"Node {number} is not `host:port` or `host:port:password` (an IPv6 host in brackets).")
    return RedisNode(host, int(port) if port else default_port, Secret(password) if password else None)


def _listed(nodes: tuple[RedisNode, ...]) -> str:
    return ", ".join(f"{node.host}:{node.port}" for node in nodes)
