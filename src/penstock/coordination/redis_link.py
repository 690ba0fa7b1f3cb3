"""How redis-py is told to connect, and what its failures mean. The only place that knows its constructors.

redis-py never tries anything again by itself here: a retry would hide an outage behind its waiting, and would count
twice what was counted once. Each operation has one time limit that covers the wait for a connection, connecting,
and the answer.
"""

import asyncio
import hashlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from redis import exceptions
from redis.asyncio import Redis as SingleClient
from redis.asyncio import RedisCluster as ClusterClient
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection, Connection, ConnectionPool, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection
from redis.backoff import NoBackoff

from penstock.coordination.base import CoordinationUnavailable
from penstock.coordination.options import RedisNode, RedisOptions
from penstock.kit.secret import Secret

Client = SingleClient | ClusterClient
Answer = TypeVar("Answer")

MAX_CONNECTIONS = 32
_HEADROOM = 4  # connections that are being closed

FAILURES = (exceptions.RedisError, exceptions.RedisClusterException, OSError, TimeoutError)

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


class Script:
    """Lua that runs as one step on the server, over one key."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisLink:
    """One client for the process. Operations queue for a connection instead of failing when all are busy."""

    def __init__(self, options: RedisOptions) -> None:
        self.limit_s = options.limit_s
        self._prefix = options.key_prefix
        self._client = _client(options)
        self._gate = asyncio.Semaphore(MAX_CONNECTIONS)
        self._is_closed = False

    def name(self, kind: str, key: str) -> str:
        return f"{self._prefix}{kind}:{key}"

    def check_open(self) -> None:
        """Raises CoordinationUnavailable after `aclose`: a late call must not connect again."""
        if self._is_closed:
            raise CoordinationUnavailable("The connection to Redis has been closed.")

    async def run(self, operation: Callable[[Client], Awaitable[Answer]]) -> Answer:
        """Raises CoordinationUnavailable, within the limit."""
        self.check_open()
        try:
            async with asyncio.timeout(self.limit_s), self._gate:
                return await operation(await self._ready())
        except FAILURES as error:
            await self._turn_away_from_replica(error)
            raise unavailable(error) from error

    async def script(self, script: Script, key: str, *arguments: str | bytes | int) -> Any:
        """Raises CoordinationUnavailable."""

        async def evaluate(client: Client) -> Any:
            try:
                return await client.evalsha(script.sha, 1, key, *arguments)
            except exceptions.NoScriptError:  # a server that was restarted, or has taken over
                return await client.eval(script.text, 1, key, *arguments)

        return await self.run(evaluate)

    async def connection(self) -> AbstractConnection:
        """A connection outside of the pool; the caller disconnects it. In a cluster it is to any node: each passes on
        what any of them is told to publish."""
        client = await self._ready()
        if isinstance(client, ClusterClient):
            node = client.get_random_node()
            connection: AbstractConnection = node.connection_class(**node.connection_kwargs)
        else:
            connection = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    async def aclose(self) -> None:
        self._is_closed = True
        with suppress(*FAILURES):
            if isinstance(self._client, ClusterClient):
                await _close_cluster(self._client)
            else:
                await _close_single(self._client)

    async def _ready(self) -> Client:
        # A command that finds the cluster's layout unknown is sent to any node first, and has to be redirected.
        if isinstance(self._client, ClusterClient):
            await self._client.initialize()
        return self._client

    async def _turn_away_from_replica(self, error: BaseException) -> None:
        # A failover that only moves a name (managed services) leaves us connected to what is now a replica. Redis
        # before 7 says READONLY only in the middle of a script's error text.
        if isinstance(self._client, SingleClient) and "READONLY" in str(error):
            with suppress(*FAILURES):
                await self._client.connection_pool.disconnect(inuse_connections=False)


def unavailable(error: BaseException) -> CoordinationUnavailable:
    """What redis-py says may name hosts, so it stays in `__cause__`, which the caller sets."""
    return CoordinationUnavailable(
        "Redis is not available.",
        explanation=next(why for kinds, why in _EXPLANATIONS if isinstance(error, kinds)),
        action="Try again in a moment. If it lasts, look at the Redis server and its log.",
    )


_EXPLANATIONS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    ((exceptions.AuthenticationError, exceptions.AuthorizationError), "It refuses our user or password."),
    (exceptions.NoPermissionError, "Its access rules do not allow our user a command, key or channel that we need."),
    (exceptions.BusyLoadingError, "It is still loading its data."),
    (exceptions.ReadOnlyError, "It is a replica, which does not accept changes."),
    (exceptions.OutOfMemoryError, "It is out of memory (maxmemory)."),
    ((exceptions.ClusterError, exceptions.RedisClusterException), "Its cluster is down or incomplete."),
    ((exceptions.TimeoutError, TimeoutError), "It did not answer in time."),
    ((exceptions.ConnectionError, OSError), "It cannot be reached, or closed the connection."),
    (BaseException, "It refuses what we ask of it."),
)


# --- connections -----------------------------------------------------------------------------------------------------


class _Connection(Connection):
    """A connection that passes `arguments` to `asyncio.open_connection`: the address family, one shared TLS context.

    redis-py has no option for the family, and would read the certificate files again for every connection.

    It also knows when it was broken while it lay idle. redis-py looks for an orderly end only, and only outside of a
    cluster; a reset would be noticed by the next command, which then fails although the server is well.
    """

    def __init__(self, *, arguments: Mapping[str, Any], **settings: Any) -> None:
        self._arguments = arguments
        super().__init__(**settings)

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {**super()._connection_arguments(), **self._arguments}

    async def can_read(self) -> bool:
        """What a pool asks before it lends a connection; True makes it connect anew."""
        return self._is_broken() or bool(await super().can_read())

    def should_reconnect(self) -> bool:
        """What a node of a cluster asks before it uses a connection."""
        return self._is_broken() or bool(super().should_reconnect())  # type: ignore[no-untyped-call]

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:  # uvloop's answer to writing on a connection that has just been closed
            raise exceptions.ConnectionError("the connection is closed") from error

    def _is_broken(self) -> bool:
        if self._reader is None or self._writer is None:
            return False
        return self._writer.is_closing() or self._reader.at_eof() or self._reader.exception() is not None


class _SentinelConnection(_Connection, SentinelManagedConnection):
    pass


def _client(options: RedisOptions) -> Client:
    if options.cluster_nodes:
        return _cluster(options)
    if options.sentinels:
        return _behind_sentinels(options)
    return _single(options)


def _single(options: RedisOptions) -> SingleClient:
    settings = _settings(options, options.password, attempts=1) | {"db": options.db}
    if options.host.startswith("/"):
        pool = ConnectionPool(connection_class=UnixDomainSocketConnection, path=options.host, **settings)
    else:
        pool = ConnectionPool(
            connection_class=_Connection,
            host=options.host,
            port=options.port,
            arguments=_arguments(options),
            **settings,
        )
    return SingleClient.from_pool(pool)


def _behind_sentinels(options: RedisOptions) -> SingleClient:
    arguments = _arguments(options)
    # Sentinels are asked one after the other; a dead one must leave time for the next, and for the master.
    attempts = len(options.sentinels) + 1
    sentinels = Sentinel([])  # type: ignore[no-untyped-call]
    sentinels.sentinels = [_sentinel(options, node, arguments, attempts) for node in options.sentinels]
    pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
        options.sentinel_master,
        sentinels,
        connection_class=_SentinelConnection,
        arguments=arguments,
        db=options.db,
        **_settings(options, options.password, attempts),
    )
    return SingleClient.from_pool(pool)


def _sentinel(options: RedisOptions, node: RedisNode, arguments: Mapping[str, Any], attempts: int) -> SingleClient:
    settings = _settings(options, node.password, attempts) | {"username": None}
    settings["socket_timeout"] = settings["socket_connect_timeout"]
    return SingleClient.from_pool(
        ConnectionPool(connection_class=_Connection, host=node.host, port=node.port, arguments=arguments, **settings)
    )


def _cluster(options: RedisOptions) -> ClusterClient:
    nodes = [ClusterNode(node.host, node.port) for node in options.cluster_nodes]
    client = ClusterClient(
        startup_nodes=nodes,
        # What is in the slots that are left can still be used, if the cluster itself allows it.
        require_full_coverage=False,
        # Otherwise every n-th redirection, as when slots move, closes all connections under whoever uses them.
        reinitialize_steps=0,
        **_settings(options, options.cluster_password(), attempts=3),
    )
    # The constructor has no argument for the class of connections; nodes found later are made from this dictionary.
    own = {"connection_class": _Connection, "arguments": _arguments(options)}
    client.connection_kwargs.update(own)
    for node in client.startup_nodes:
        node.connection_class = _Connection
        node.connection_kwargs["arguments"] = own["arguments"]
    return client


def _settings(options: RedisOptions, password: Secret | None, attempts: int) -> dict[str, Any]:
    """`attempts` is how many servers may have to be tried within the limit of one operation."""
    return {
        "username": options.user,
        "password": password.reveal() if password else None,
        "socket_timeout": options.limit_s,
        "socket_connect_timeout": options.limit_s / attempts,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": MAX_CONNECTIONS + _HEADROOM,
        # RESP 3 and the client's name would each cost a round trip per connection; nothing here needs them.
        "protocol": 2,
        "driver_info": None,
    }


def _arguments(options: RedisOptions) -> Mapping[str, Any]:
    arguments: dict[str, Any] = {}
    if options.ip_family is not None:
        arguments["family"] = _FAMILIES[options.ip_family]
    if options.tls:
        arguments["ssl"] = _tls_context(options)
    return arguments


def _tls_context(options: RedisOptions) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.ca)
    if options.cert:
        context.load_cert_chain(options.cert, options.key)
    return context


async def _close_single(client: SingleClient) -> None:
    pool = client.connection_pool
    await client.aclose()
    if isinstance(pool, SentinelConnectionPool):
        await pool.sentinel_manager.aclose()


async def _close_cluster(client: ClusterClient) -> None:
    await client.aclose()
    # After a failure the client counts as not initialised and closes nothing, but its nodes may be connected.
    await client.nodes_manager.aclose()
    await client.nodes_manager.aclose("startup_nodes")
