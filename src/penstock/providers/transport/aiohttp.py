"""The driver for upstreams behind an HTTP proxy: the contract of `base.py` over aiohttp's client.

aiohttp keeps to itself what the contract needs to know of a connection (was it used before, has it answered anything,
why did it fall), so every connection here is a `_Handler`, which takes note of it. One difference remains: when an
answer and something that is no HTTP arrive in the same read, aiohttp drops the answer, and the call ends in EPROTO.
"""

import asyncio
import functools
import io
import ssl
from contextvars import ContextVar

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.http_parser import RawResponseMessage
from aiohttp.resolver import ThreadedResolver
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from yarl import URL

from penstock.providers.transport import failures, tls
from penstock.providers.transport.base import (
    MAX_BODY_BYTES,
    MAX_HEADER_BYTES,
    Header,
    LimitName,
    Limits,
    Phase,
    Request,
    Response,
    ResponseTooLarge,
    TransportError,
)
from penstock.providers.transport.heads import request_head
from penstock.providers.transport.pool import IDLE_S

_ADDED_BY_AIOHTTP = ("accept", "accept-encoding", "content-type", "user-agent")
_LARGE_BODY_BYTES = 64 * 1024


class Aiohttp:
    """`proxy` is an http URL, with user and password if it wants them. The rest is as for `Relay`."""

    def __init__(self, *, proxy: str | None = None, ca_file: str | None = None, verify: bool = True) -> None:
        self._proxy = URL(proxy) if proxy is not None else None
        self._tls = tls.context(ca_file, verify)
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._attempts: set[_Attempt] = set()
        self._closed = False
        self._is_retired = False
        self._closing: asyncio.Task[None] | None = None

    async def send(self, request: Request, limits: Limits) -> Response:
        request_head(request)  # refuses what would break out of its line
        attempt = _Attempt(request, limits, asyncio.get_running_loop().time() + limits.total_s)
        try:
            return await self._try(attempt, fresh=False)
        except TransportError:
            if not attempt.unheard:
                raise
        return await self._try(_Attempt(request, limits, attempt.total_at), fresh=True)

    async def retire(self) -> None:
        self._is_retired = True
        await self._close_unused()

    async def aclose(self) -> None:
        self._closed = True
        for attempt in list(self._attempts):
            attempt.closed = True
            attempt.cut()
        for session in self._sessions.values():
            await session.close()

    async def _try(self, attempt: "_Attempt", *, fresh: bool) -> "_Answer":
        if self._closed:
            raise failures.closed("connect")
        self._attempts.add(attempt)
        try:
            answer = await self._answer(attempt, fresh)
        except BaseException:
            self.done(attempt)
            raise
        return answer

    async def _answer(self, attempt: "_Attempt", fresh: bool) -> "_Answer":
        token = _current.set(attempt)
        try:
            async with attempt.scope:
                response = await self._request(attempt.request, fresh)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise attempt.failure(error, self._closed, self._proxy) from error
        finally:
            _current.reset(token)
        answer = _Answer(self, attempt, response)
        try:
            answer.check()
        except TransportError:
            answer.close()
            raise
        return answer

    def done(self, attempt: "_Attempt") -> None:
        self._attempts.discard(attempt)
        attempt.cut()
        if self._is_retired and not self._attempts and not self._closed:
            self._closing = asyncio.get_running_loop().create_task(self._close_unused())

    async def _close_unused(self) -> None:
        while self._sessions and not self._attempts:
            _, session = self._sessions.popitem()
            await session.close()

    async def _request(self, request: Request, fresh: bool) -> aiohttp.ClientResponse:
        origin = request.origin
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        url = URL(f"{origin.scheme}://{host}:{origin.port}{request.target.decode('latin-1')}", encoded=True)
        large = len(request.body) > _LARGE_BODY_BYTES
        return await self._session(fresh).request(
            request.method.decode("ascii"),
            url,
            headers=[(name.decode("latin-1"), value.decode("utf-8", "replace")) for name, value in request.headers],
            data=io.BytesIO(request.body) if large else request.body or None,
            skip_auto_headers=_ADDED_BY_AIOHTTP,
            allow_redirects=False,
            proxy=self._proxy,
        )

    def _session(self, fresh: bool) -> aiohttp.ClientSession:
        """Made in the event loop. The one for second attempts keeps nothing, so its connections are always fresh."""
        session = self._sessions.get(fresh)
        if session is None:
            session = self._sessions[fresh] = aiohttp.ClientSession(
                connector=_Connector(self._tls, keep=not fresh),
                request_class=_Request,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                auto_decompress=False,
                trust_env=False,
                read_bufsize=128 * 1024,
                max_line_size=MAX_HEADER_BYTES,
                max_field_size=MAX_HEADER_BYTES,
                max_headers=MAX_HEADER_BYTES,
            )
            # It would send idempotent requests again even when a fresh connection fell. There is no public switch.
            session._retry_connection = False
        return session


class _Attempt:
    """One request on one connection, from the search for a connection to the end of the answer."""

    def __init__(self, request: Request, limits: Limits, total_at: float) -> None:
        self.request = request
        self.limits = limits
        self.total_at = total_at
        self.limit: LimitName = "connect"
        self.phase: Phase = "connect"
        self.handler: _Handler | None = None
        self.unheard = False
        self.closed = False
        self.scope = asyncio.timeout_at(self._until("connect"))

    def dispatched(self, handler: "_Handler") -> None:
        self.handler = handler
        handler.begin(self)
        self.phase = "headers"
        self.scope.reschedule(self._until("first_byte"))

    def silence(self) -> asyncio.Timeout:
        """The limit of one read."""
        self.phase = "body"
        self.scope = asyncio.timeout_at(self._until("idle"))
        return self.scope

    def cut(self) -> None:
        """Cut the connection if it is still ours."""
        if self.handler is not None and self.handler.attempt is self:
            self.handler.cut()

    def failure(self, error: BaseException, closed: bool, proxy: URL | None) -> TransportError:
        origin, handler = self.request.origin, self.handler
        if closed or self.closed:
            return failures.closed(self.phase)
        if self.scope.expired():
            after_s = {
                "connect": self.limits.connect_s,
                "first_byte": self.limits.first_byte_s,
                "idle": self.limits.idle_s,
                "total": self.limits.total_s,
            }[self.limit]
            return failures.late(self.limit, after_s, origin, self.phase)
        if handler is None:
            return _connect_failure(error, self.request, proxy)
        where = f"{origin.host}:{origin.port}"
        if handler.too_long:
            return ResponseTooLarge(f"{where}: headers longer than {MAX_HEADER_BYTES} bytes", self.phase)
        if handler.misread is not None or isinstance(error, aiohttp.ClientResponseError):
            return TransportError("EPROTO", f"{where}: this is not HTTP: {handler.misread or error}", self.phase)
        self.unheard = handler.used_before and not handler.heard
        return failures.lost(handler.lost or (error if isinstance(error, OSError) else None), origin, self.phase)

    def _until(self, limit: LimitName) -> float:
        lengths = {"connect": self.limits.connect_s, "first_byte": self.limits.first_byte_s}
        at = asyncio.get_running_loop().time() + lengths.get(limit, self.limits.idle_s)
        self.limit = limit if at <= self.total_at else "total"
        return min(at, self.total_at)


_current: ContextVar[_Attempt] = ContextVar("attempt")


class _Answer:
    complete = False

    def __init__(self, transport: Aiohttp, attempt: _Attempt, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.headers: list[Header] = [(name.lower(), value) for name, value in response.raw_headers]
        self._transport = transport
        self._attempt = attempt
        self._response = response
        self._error: TransportError | None = None
        self._ended = False

    def check(self) -> None:
        """Raises for what aiohttp lets pass."""
        where = f"{self._attempt.request.origin.host}:{self._attempt.request.origin.port}"
        if self.status == 101:
            raise TransportError("EPROTO", f"{where}: the upstream switched protocols, unasked", "headers")
        if sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEADER_BYTES:
            raise ResponseTooLarge(f"{where}: headers longer than {MAX_HEADER_BYTES} bytes", "headers")
        for name, value in self.headers:
            if name == b"content-encoding" and value.lower() != b"identity":
                encoding = value[:40].decode("latin-1")
                raise TransportError("EPROTO", f"{where}: the answer is encoded ({encoding}), unasked", "headers")

    async def read(self) -> bytes:
        if self._ended:
            return b""
        if self._error is not None:
            raise self._error
        try:
            async with self._attempt.silence():
                data = await self._response.content.readany()
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            failure = self._attempt.failure(error, False, None)
            failure.__cause__ = error
            self._fail(failure)
            data = self._response.content._read_nowait(-1)  # what came before the failure is not lost with it
            if not data:
                raise failure from error
            return data
        except BaseException:
            self.close()
            raise
        if not data:
            self._end()
        return data

    async def read_all(self, limit: int = MAX_BODY_BYTES) -> bytes:
        taken: list[bytes] = []
        size = 0
        while data := await self.read():
            size += len(data)
            if size > limit:
                self.close()
                raise ResponseTooLarge(f"the body is longer than {limit} bytes", "body")
            taken.append(data)
        return b"".join(taken)

    def close(self) -> None:
        if not self._ended and self._error is None:
            self._fail(failures.closed("body"))

    def _fail(self, error: TransportError) -> None:
        self._error = error
        self._transport.done(self._attempt)
        self._response.close()

    def _end(self) -> None:
        """aiohttp has taken the connection back, unless the request is still being written (an early answer)."""
        self._ended = True
        self._transport.done(self._attempt)
        self._response.close()


class _Handler(ResponseHandler):
    """A connection that knows whose it is and what it has seen. Bytes that nobody asked for end it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.attempt: _Attempt | None = None
        self.used_before = False
        self.heard = 0
        self.answered = False
        self.too_long = False
        self.misread: HttpProcessingError | None = None
        self.lost: BaseException | None = None
        self._served = False
        self._body: StreamReader | None = None

    def begin(self, attempt: _Attempt) -> None:
        self.attempt = attempt
        self.used_before, self._served = self._served, True
        self.heard = 0
        self.answered = False
        self._body = None

    def cut(self) -> None:
        """Close at once; whoever reads the body learns of it."""
        self.abort()
        self._spoil(None)

    def data_received(self, data: bytes) -> None:
        if data and self._served and self.attempt is None:
            self.abort()
            return
        self.heard += len(data)
        super().data_received(data)
        if self._served and not self.answered and self.heard > MAX_HEADER_BYTES and self.misread is None:
            self.too_long = True
            self.set_exception(aiohttp.ClientConnectionError("headers too long"))

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        message, payload = data
        if self._served and self.attempt is None:
            self.force_close()
        if message.code >= 200:
            self.answered = True
            if payload is EMPTY_PAYLOAD:
                self._finish()
            else:
                self._body = payload
                payload.on_eof(self._finish)
        super().feed_data(data, size)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        if isinstance(exc, HttpProcessingError) and self.misread is None:
            self.misread = exc
            self.too_long = bool(cause) and isinstance(cause[0], LineTooLong)
            self._spoil(exc)
        super().set_exception(exc, *cause)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost = exc
        if exc is not None:  # aiohttp would take it for the end of a body without length
            self._spoil(exc)
        super().connection_lost(exc)

    def _spoil(self, cause: BaseException | None) -> None:
        body = self._body
        if body is not None and not body.is_eof():
            body.set_exception(aiohttp.ClientPayloadError(f"cut: {cause}"))

    def _finish(self) -> None:
        """The answer has arrived whole. A request that is still being written will not be followed by another."""
        transport = self.transport
        if transport is not None and transport.get_write_buffer_size():
            self.force_close()
        else:
            self.attempt = None


class _Request(aiohttp.ClientRequest):
    async def send(self, conn: "aiohttp.connector.Connection") -> aiohttp.ClientResponse:
        handler = conn.protocol
        if isinstance(handler, _Handler):
            _current.get().dispatched(handler)
        return await super().send(conn)


class _Connector(aiohttp.TCPConnector):
    def __init__(self, context: ssl.SSLContext, *, keep: bool) -> None:
        super().__init__(
            ssl=context,
            limit=0,
            use_dns_cache=False,
            resolver=ThreadedResolver(),
            force_close=not keep,
            keepalive_timeout=IDLE_S if keep else None,
        )
        # There is no public way to choose the class of a connector's connections.
        self._factory = functools.partial(_Handler, self._loop)  # type: ignore[assignment]


def _connect_failure(error: BaseException, request: Request, proxy: URL | None) -> TransportError:
    origin = request.origin
    if isinstance(error, aiohttp.ClientProxyConnectionError) and proxy is not None:
        return failures.connect_failure(error.os_error, f"{proxy.host}", proxy.port or 80)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        detail = f"connect {origin.host}:{origin.port}: the proxy answered {error.status} {error.message}"
        return TransportError("EPROTO", detail, "connect")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        error = error.certificate_error
    elif isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    return failures.connect_failure(error, origin.host, origin.port)
