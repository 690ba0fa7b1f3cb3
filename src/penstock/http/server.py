"""uvicorn, with what it leaves open closed: header sizes, slow requests, answers to what is not HTTP, the exit code."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Generator
from typing import Any

import httptools
import uvicorn
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import HANDLED_SIGNALS

from penstock.errors import HeadersTooLarge, InvalidRequest, PenstockError, RequestTimeout
from penstock.http.faces import EDITOR, error_headers
from penstock.http.incoming import AsgiApp, new_request_id

MAX_HEADER_BYTES = 32 * 1024
HEADERS_WITHIN_S = 30.0


class BoundedProtocol(HttpToolsProtocol):
    """Counts header bytes while they are parsed and gives a client 30 s to send them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._header_bytes = 0
        self._refused = False
        self._in_headers = True
        self._headers_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._headers_due = self.loop.call_later(HEADERS_WITHIN_S, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # answered as an ordinary request: nothing here speaks another protocol
        except _HeadersOverflow:
            self._refuse(_headers_too_large())
        except httptools.HttpParserCallbackError as error:
            overflow = isinstance(error.__context__, _HeadersOverflow)
            self._refuse(_headers_too_large() if overflow else _not_http())
        except (httptools.HttpParserError, UnicodeDecodeError):
            self._refuse(_not_http())
        else:
            # Nearly every request arrives in one piece and never needs the timer.
            if self._in_headers and self._headers_due is None:
                self._headers_due = self.loop.call_later(HEADERS_WITHIN_S, self._too_slow)

    def on_message_begin(self) -> None:
        self._header_bytes = 0
        self._in_headers = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._headers_arrived()
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        cycle.transport = _HeadWithBody(cycle.transport, self.loop)  # type: ignore[assignment]
        super()._start_asgi_task(cycle, app)

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            raise _HeadersOverflow

    def _headers_arrived(self) -> None:
        self._in_headers = False
        if self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None

    def _too_slow(self) -> None:
        self._headers_due = None
        if self.cycle is None or self.cycle.response_complete:
            self._refuse(
                RequestTimeout(
                    f"The request headers did not arrive within {HEADERS_WITHIN_S:g} s.", action="Try again."
                )
            )

    def _refuse(self, error: PenstockError) -> None:
        """Answer below ASGI, where no path is known yet, and close."""
        self._refused = True
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy or self.transport.is_closing():
            self.transport.abort()
            return
        request_id = new_request_id()
        body = EDITOR.body(error, request_id)
        headers = [
            *self.server_state.default_headers,
            *error_headers(EDITOR, error),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            (b"x-request-id", request_id.encode()),
        ]
        head = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        self.transport.write(STATUS_LINE[error.status] + head + b"\r\n" + body)
        self.transport.close()


class _HeadWithBody:
    """Keeps the head of an answer back until its body begins, so that both leave in one system call.

    A write to a socket wakes whoever reads it; on a short answer that costs more than everything else we do. A head
    whose body does not follow in the same turn of the event loop leaves by itself.
    """

    __slots__ = ("_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        if self._head is not None:
            data, self._head = self._head + data, None
        elif data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 100"):
            self._head = data
            self._loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def _flush(self) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            self._transport.write(head)


class _HeadersOverflow(Exception):
    pass


def _headers_too_large() -> PenstockError:
    return HeadersTooLarge(
        f"The request line and headers are larger than {MAX_HEADER_BYTES} bytes together.",
        explanation="A very long token or cookie is the usual reason.",
        action="Send shorter headers.",
    )


def _not_http() -> PenstockError:
    return InvalidRequest(
        "This is not a valid HTTP/1.1 request.",
        explanation="TLS sent to a plain port looks like this, and so does a malformed header.",
        action="Use http:// here, or let your proxy speak TLS in front of the service.",
    )


class Server(uvicorn.Server):
    """Ends with exit code 0 after an orderly stop: uvicorn would raise the signal again when it is done."""

    when_started: Callable[[], None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.when_started is not None:
            self.when_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        before = {sig: signal.signal(sig, self.handle_exit) for sig in HANDLED_SIGNALS}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)


def server_for(app: AsgiApp, *, grace_s: float) -> Server:
    """`grace_s`: how long running answers may go on after SIGTERM."""
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        loop="uvloop",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(grace_s),
    )
    return Server(config)
