"""HTTP below one session with an MCP server. What breaks here costs one request, and never the session.

The SDK ends a whole session when one of its requests raises, and it writes notifications one after the other. Sessions
are shared by many chats. So a failure becomes an answer with a JSON-RPC error, every request has its time, and every
body its size.
"""

import asyncio
import functools
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Final

import httpx2
import msgspec

from penstock.editor.mcp.servers import McpServer
from penstock.errors import PenstockError

Access = Callable[[str | None], Awaitable[str | None]]
"""Gives an access token, another one than the token that was refused; None when there is none to be had."""

MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
FAILED: Final = -33_000
"""The code of errors that are made here: outside of what JSON-RPC reserves."""
CONNECT_S = 3.0
_NOTIFICATION_S = 2.0
_REQUEST_S = 10.0
_LATE_S = 5.0
"""What a call has beyond its own time, for the server to answer the cancellation."""


class Request(msgspec.Struct):
    """What is needed of a JSON-RPC message."""

    id: str | int | None = None
    method: str = ""


class SessionHttp(httpx2.AsyncBaseTransport):
    """Afterwards `lost` says that the server has forgotten the session, `refused` that it wants another access.

    `failure` is the last thing that went wrong on the way, in words for people.
    """

    def __init__(self, server: McpServer, access: Access | None, inner: httpx2.AsyncBaseTransport) -> None:
        self._server, self._access, self._inner = server, access, inner
        self._origin = _origin(httpx2.URL(server.url))
        self.lost = False
        self.refused = False
        self.failure = ""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        within_s = self._time_of(request)
        request.extensions["timeout"] = {"connect": CONNECT_S, "read": within_s, "write": _REQUEST_S, "pool": CONNECT_S}
        deadline = None if within_s is None else asyncio.get_running_loop().time() + within_s
        try:
            if _origin(request.url) != self._origin:
                return self._broken("it sent us to another host")
            async with asyncio.timeout_at(deadline):
                return self._noted(request, await self._whole(await self._authorized(request), deadline))
        except TimeoutError:
            return self._broken("it did not answer in time")
        except PenstockError as error:
            return self._broken(f"our access to it could not be renewed ({error.message})")
        except _Unreadable as error:
            return self._broken(str(error))
        except (httpx2.TransportError, httpx2.StreamError, OSError) as error:
            return self._broken(_reason(error))

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _authorized(self, request: httpx2.Request) -> httpx2.Response:
        token = await self._access(None) if self._access else None
        answer = await self._send(request, token)
        if answer.status_code != 401 or self._access is None or token is None:
            return answer
        other = await self._access(token)
        if other is None:
            return answer
        await answer.aclose()
        return await self._send(request, other)

    async def _send(self, request: httpx2.Request, token: str | None) -> httpx2.Response:
        if token is not None:
            request.headers["authorization"] = f"Bearer {token}"
        return await self._inner.handle_async_request(request)

    def _noted(self, request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response:
        if answer.status_code in (401, 403):
            self.refused = True
            self.failure = f"it refused our access (HTTP {answer.status_code})"
        elif answer.status_code == 404 and "mcp-session-id" in request.headers:
            self.lost = True
            self.failure = "it has forgotten our session"
        elif answer.status_code < 400:
            self.refused = False
        else:
            self.failure = f"it answered with HTTP status {answer.status_code}"
        return answer

    async def _whole(self, answer: httpx2.Response, deadline: float | None) -> httpx2.Response:
        """Streams go on with the time and size of each event; everything else is read here."""
        assert isinstance(answer.stream, httpx2.AsyncByteStream)
        if answer.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
            await answer.aclose()
            raise _Unreadable("it sent its answer compressed, although that was not asked for")
        if answer.headers.get("content-type", "").lower().startswith("text/event-stream"):
            answer.stream = _Timed(answer.stream, deadline)
            return answer
        try:
            body = await _read(answer.stream)
        finally:
            await answer.aclose()
        return httpx2.Response(answer.status_code, headers=_plain(answer.headers), content=body)

    def _broken(self, failure: str) -> httpx2.Response:
        self.failure = failure
        return httpx2.Response(
            503,
            json={"jsonrpc": "2.0", "id": None, "error": {"code": FAILED, "message": failure}},
        )

    def _time_of(self, request: httpx2.Request) -> float | None:
        call_s = self._server.call_timeout_s + _LATE_S
        if request.method == "GET":
            return call_s if "last-event-id" in request.headers else None
        if request.method != "POST":
            return _NOTIFICATION_S
        message = msgspec.json.decode(request.content, type=Request)
        if message.id is None or not message.method:
            return _NOTIFICATION_S
        return {"tools/call": call_s, "subscriptions/listen": None}.get(message.method, _REQUEST_S)


class _Unreadable(Exception):
    pass


class _Timed(httpx2.AsyncByteStream):
    """A stream that must be over at `deadline`, whatever comes in meanwhile."""

    def __init__(self, inner: httpx2.AsyncByteStream, deadline: float | None) -> None:
        self._inner, self._deadline = inner, deadline

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        pieces = aiter(self._inner)
        while True:
            try:
                async with asyncio.timeout_at(self._deadline):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise httpx2.ReadTimeout("the time of this stream is over") from None
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _read(stream: AsyncIterator[bytes] | httpx2.AsyncByteStream) -> bytes:
    body = bytearray()
    async for piece in stream:
        body += piece
        if len(body) > MAX_MESSAGE_BYTES:
            raise _Unreadable(f"its answer is larger than {MAX_MESSAGE_BYTES // 1024 // 1024} MiB")
    return bytes(body)


def open_client(server: McpServer, access: Access | None) -> tuple[httpx2.AsyncClient, SessionHttp]:
    """Nothing of the environment is used, and nothing is connected before the first request. Blocks a little."""
    http = SessionHttp(server, access, httpx2.AsyncHTTPTransport(verify=tls(), trust_env=False))
    headers = {name: value.reveal() for name, value in server.headers}
    client = httpx2.AsyncClient(headers={"Accept-Encoding": "identity", **headers}, transport=http, trust_env=False)
    return client, http


@functools.lru_cache(maxsize=1)
def tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _plain(headers: httpx2.Headers) -> list[tuple[str, str]]:
    framing = ("content-length", "transfer-encoding", "content-encoding")
    return [(name, value) for name, value in headers.multi_items() if name.lower() not in framing]


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _reason(error: Exception) -> str:
    match error:
        case httpx2.ConnectError() if "CERTIFICATE" in str(error).upper():
            return "its certificate is not trusted"
        case httpx2.ConnectError() | httpx2.ConnectTimeout():
            return "it cannot be reached"
        case httpx2.TimeoutException():
            return "it did not answer in time"
        case httpx2.RemoteProtocolError() | httpx2.ReadError() | httpx2.WriteError() | httpx2.CloseError():
            return "the connection broke off"
        case _:
            return "its answer is no HTTP that can be read"
