"""The default driver: our HTTP/1.1 client. This module finds or makes a connection; `connection.py` uses it."""

import asyncio
import socket
import ssl

from aiohappyeyeballs import start_connection

from penstock.providers.transport import failures, tls
from penstock.providers.transport.answer import Answer
from penstock.providers.transport.base import Limits, Origin, Request, Response
from penstock.providers.transport.connection import Connection
from penstock.providers.transport.heads import request_head
from penstock.providers.transport.pool import IDLE_S, Pool

_HAPPY_EYEBALLS_S = 0.25
"""RFC 8305, 5: how long one address is tried alone before the next joins."""


class Relay:
    """`ca_file` replaces the system's authorities; `verify=False` accepts any certificate, and still encrypts.

    A connection that was not used for `idle_s` is closed.
    """

    def __init__(self, *, ca_file: str | None = None, verify: bool = True, idle_s: float = IDLE_S) -> None:
        self._tls = tls.context(ca_file, verify)
        self._pool = Pool(idle_s)
        self._closed = False

    async def send(self, request: Request, limits: Limits) -> Response:
        head = request_head(request)
        begun_at = None
        connection = self._pool.take(request.origin)
        if connection is not None:
            answer = await _exchange(connection, request, head, limits, None)
            if answer.status:  # a failure after the head is the reader's
                return answer
            if not answer.unheard and answer.error is not None:
                raise answer.error
            begun_at = answer.begun_at
        if begun_at is None:
            begun_at = asyncio.get_running_loop().time()
        connection = await self._connect(request.origin, limits, begun_at)
        answer = await _exchange(connection, request, head, limits, begun_at)
        if not answer.status and answer.error is not None:
            raise answer.error
        return answer

    async def retire(self) -> None:
        self._pool.retire()

    async def aclose(self) -> None:
        self._closed = True
        await self._pool.close()

    async def _connect(self, origin: Origin, limits: Limits, begun_at: float) -> Connection:
        loop = asyncio.get_running_loop()
        now = loop.time()
        total_at = begun_at + limits.total_s
        try:
            async with asyncio.timeout_at(min(now + limits.connect_s, total_at)) as scope:
                connection = await _open(loop, origin, self._tls, self._pool)
        except (OSError, UnicodeError, RuntimeError) as error:  # RuntimeError: uvloop, when a socket's number is in use
            if scope.expired():
                if now + limits.connect_s <= total_at:
                    raise failures.late("connect", limits.connect_s, origin, "connect") from error
                raise failures.late("total", limits.total_s, origin, "connect") from error
            raise failures.connect_failure(error, origin.host, origin.port) from error
        if self._closed:
            connection.abort()
            raise failures.closed("connect")
        return connection


async def _exchange(
    connection: Connection, request: Request, head: bytes, limits: Limits, begun_at: float | None
) -> Answer:
    """Write the request and wait for the head of its answer, or for the error that is left in it."""
    answer = connection.start(request, head, limits, begun_at)
    try:
        if connection.is_bulk:
            await connection.write_bulk(answer, request.body)
        if not answer.status and answer.error is None:
            answer.waiter = waiter = connection.loop.create_future()
            await waiter
    except BaseException:
        answer.close()
        raise
    return answer


async def _open(loop: asyncio.AbstractEventLoop, origin: Origin, context: ssl.SSLContext, pool: Pool) -> Connection:
    # uvloop cannot race addresses in create_connection; so the name and the socket are ours.
    found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    sock = await start_connection(found, happy_eyeballs_delay=_HAPPY_EYEBALLS_S, loop=loop)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        secure = origin.scheme == "https"
        _, connection = await loop.create_connection(
            lambda: Connection(loop, origin, pool),
            sock=sock,
            ssl=context if secure else None,
            server_hostname=origin.host if secure else None,
        )
    except BaseException:
        sock.close()
        raise
    pool.add(connection)
    return connection
