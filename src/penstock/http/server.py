"""uvicorn, with what it leaves open closed: header sizes, slow requests, answers to what is not HTTP, the exit code."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from urllib.parse import unquote

import httptools
import uvicorn
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import HANDLED_SIGNALS

from penstock.errors import HeadersTooLarge, InvalidRequest, PenstockError, RequestTimeout
from penstock.http.cycle import Cycle
from penstock.http.faces import Face, error_headers, face_of
from penstock.http.incoming import AsgiApp, Scope, new_request_id

_SAVE_WITHIN_S = 5.0


@dataclass(frozen=True)
class Bounds:
    """What one connection may cost. `silent_s`: the longest pause in a body; `stalled_s`: how long a client may read
    nothing of an answer that waits for it; `linger_s`: how long what a client still sends after its answer is thrown
    away; `keep_alive_s`: how long a connection is kept between two requests.
    """

    header_bytes: int = 32 * 1024
    headers_s: float = 30.0
    silent_s: float = 60.0
    stalled_s: float = 60.0
    linger_s: float = 30.0
    keep_alive_s: float = 75.0


class BoundedProtocol(HttpToolsProtocol):
    """Bounds what arrives before a request exists, and gives up clients that do not read their answer."""

    cycle: Cycle  # type: ignore[assignment]  # ours, with what the base class uses of its own

    def __init__(self, *args: Any, bounds: Bounds, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.url = b""
        self.headers = []
        self._bounds = bounds
        self._header_bytes = 0
        self._unfinished_bytes: int | None = None
        self._refused = False
        self._in_headers = True
        self._idle_since = 0.0
        self._arrival_due: asyncio.TimerHandle | None = None
        self._drain_due: asyncio.TimerHandle | None = None
        self._running: Cycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arrival_due = self.loop.call_later(self._bounds.headers_s, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_watching_drain()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        for cycle in (self._running, self.cycle):  # with pipelining an older request may still be answered
            if cycle is not None:
                cycle.leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as asked:
            self._stay(data[asked.args[0] :])
        except _HeadersOverflow:
            self._refuse(_headers_too_large(self._bounds))
        except httptools.HttpParserCallbackError as error:
            overflow = isinstance(error.__context__, _HeadersOverflow)
            self._refuse(_headers_too_large(self._bounds) if overflow else _not_http())
        except (httptools.HttpParserError, UnicodeDecodeError):
            self._refuse(_not_http())
        else:
            # Nearly every request arrives in one piece and needs none of these.
            if self._in_headers:
                self._headers_unfinished(len(data))
            elif self.cycle.more_body:
                self._body_unfinished()
            elif self.cycle.response_complete:
                self._nothing_asked()
            elif self._arrival_due is not None:
                self._stop_waiting()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_drain()

    def resume_writing(self) -> None:
        self._stop_watching_drain()
        super().resume_writing()

    def on_response_complete(self) -> None:
        """In place of the base class's, which makes and drops a timer for every answer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())  # type: ignore[arg-type]
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._wait_for_more(self._bounds.keep_alive_s)

    def _unset_keepalive_if_required(self) -> None:
        """The timer looks for itself whether anything came; it goes with the connection."""

    def _wait_for_more(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if self._arrival_due is not None or not self.cycle.response_complete:
            return  # something is arriving or being answered; the end of that answer starts it again
        left = self._idle_since + self._bounds.keep_alive_s - self.loop.time()
        if left > 0:
            self._wait_for_more(left)
        else:
            self.transport.abort()  # closing would wait for a client that has not read its last answer

    def on_message_begin(self) -> None:
        self._header_bytes = 0
        self._unfinished_bytes = None
        self._in_headers = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._header_bytes += len(url)
        if self._header_bytes > self._bounds.header_bytes:
            raise _HeadersOverflow

    def on_header(self, name: bytes, value: bytes) -> None:
        """In place of the base class's: five to twenty of these come with every request."""
        self._header_bytes += len(name) + len(value) + 4
        if self._header_bytes > self._bounds.header_bytes:
            raise _HeadersOverflow
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """In place of the base class's: our own cycle, and nothing of other protocols."""
        self._in_headers = False
        self._stop_waiting()
        parser, scope = self.parser, self.scope
        version = parser.get_http_version()
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope["method"] = parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = url.path
        scope["query_string"] = url.query or b""
        before = self.cycle
        self.cycle = Cycle(
            scope=cast(Scope, scope),
            transport=self.transport,
            flow=self.flow,
            default_headers=self.server_state.default_headers,
            expect_100_continue=self.expect_100_continue,
            # Answered before its body was asked for, nobody knows whether the body follows.
            keep_alive=version != "1.0" and parser.should_keep_alive() and not self.expect_100_continue,
            on_response=self.on_response_complete,
            stalled_s=self._bounds.stalled_s,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))  # type: ignore[arg-type]

    def _start_asgi_task(self, cycle: Cycle, app: ASGI3Application) -> None:  # type: ignore[override]
        """In place of the base class's: a cycle knows its task."""
        self._running = cycle
        cycle.task = task = self.loop.create_task(cycle.run_asgi(cast(AsgiApp, app)))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _headers_unfinished(self, size: int) -> None:
        # The parser keeps the pieces of a header to itself until it ends, so that they are not counted yet. The first
        # read may begin with the rest of another request; those after it hold nothing but headers.
        self._unfinished_bytes = 0 if self._unfinished_bytes is None else self._unfinished_bytes + size
        if self._unfinished_bytes > self._bounds.header_bytes:
            self._refuse(_headers_too_large(self._bounds))
        elif self._arrival_due is None:
            self._arrival_due = self.loop.call_later(self._bounds.headers_s, self._too_slow)

    def _body_unfinished(self) -> None:
        if not self.cycle.response_complete:
            self._stop_waiting()
            self._arrival_due = self.loop.call_later(self._bounds.silent_s, self._body_silent)
        else:
            self._nothing_asked()

    def _nothing_asked(self) -> None:
        """Blank lines, or more of a body that was answered already: for a while only."""
        if self._arrival_due is None:
            self._arrival_due = self.loop.call_later(self._bounds.linger_s, self.transport.abort)

    def _body_silent(self) -> None:
        self._arrival_due = None
        if self.flow.read_paused:
            self._body_unfinished()  # it is we who do not read
        else:
            self._refuse(
                RequestTimeout(f"The request body paused for {self._bounds.silent_s:g} s.", action="Try again.")
            )

    def _stop_waiting(self) -> None:
        if self._arrival_due is not None:
            self._arrival_due.cancel()
            self._arrival_due = None

    def _too_slow(self) -> None:
        self._arrival_due = None
        if self.cycle is None or self.cycle.response_complete:
            self._refuse(
                RequestTimeout(
                    f"The request headers did not arrive within {self._bounds.headers_s:g} s.", action="Try again."
                )
            )

    def _watch_drain(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._drain_due = self.loop.call_later(self._bounds.stalled_s, self._check_drain, waiting)

    def _check_drain(self, before: int) -> None:
        if self.transport.get_write_buffer_size() < before:
            self._watch_drain()
        else:
            self.transport.abort()

    def _stop_watching_drain(self) -> None:
        if self._drain_due is not None:
            self._drain_due.cancel()
            self._drain_due = None

    def _stay(self, rest: bytes) -> None:
        """Serve a request that asked for another protocol as what it is; the connection ends with its answer.

        The parser takes what follows the head for the other protocol, but clients that offer HTTP/2 over `Upgrade`
        (Java's does on every plain connection) send the body of a POST there.
        """
        self.cycle.keep_alive = False
        framing = [
            b"%b: %b\r\n" % header
            for header in self.cycle.scope["headers"]
            if header[0] in (b"content-length", b"transfer-encoding")
        ]
        if not framing:
            self._refused = True
            return
        self.cycle.more_body = True
        self.parser = httptools.HttpRequestParser(_BodyOnly(self))
        self.data_received(b"POST / HTTP/1.1\r\n" + b"".join(framing) + b"\r\n" + rest)

    def _refuse(self, error: PenstockError) -> None:
        """Take nothing more from this connection. What was asked properly is answered first."""
        self._refused = True
        self._stop_waiting()
        cycle = self.cycle
        if cycle is None or (cycle.response_complete and not cycle.more_body):
            self._answer(error)
        elif not cycle.more_body:
            cycle.keep_alive = False
        elif cycle is self._running and not cycle.response_started:
            cycle.leave()
            self._answer(error)
        else:
            self.transport.abort()

    def _answer(self, error: PenstockError) -> None:
        """Answer below ASGI. The client may still be sending: to close at once would reset its connection (RFC 9112,
        9.6), and the answer would be lost.
        """
        if self.transport.is_closing():
            return
        request_id = new_request_id()
        face = self._face()
        body = face.body(error, request_id)
        headers = [
            *self.server_state.default_headers,
            *error_headers(face, error),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            (b"x-request-id", request_id.encode()),
            *face.headers(request_id),
        ]
        head = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        self.transport.write(STATUS_LINE[face.status(error)] + head + b"\r\n" + body)
        self.transport.write_eof()
        self._arrival_due = self.loop.call_later(self._bounds.linger_s, self.transport.abort)

    def _face(self) -> Face:
        """As far as the request could be read."""
        return face_of(self.url.decode("latin-1"), dict(self.headers).get(b"authorization"))


class _BodyOnly:
    """Callbacks of a parser that reads a body whose head has been read already."""

    def __init__(self, protocol: BoundedProtocol) -> None:
        self.on_body = protocol.on_body
        self.on_message_complete = protocol.on_message_complete


class _HeadersOverflow(Exception):
    pass


def _headers_too_large(bounds: Bounds) -> PenstockError:
    return HeadersTooLarge(
        f"The request line and headers are larger than {bounds.header_bytes} bytes together.",
        explanation="A very long token or cookie is the usual reason.",
        action="Send shorter headers.",
    )


def _not_http() -> PenstockError:
    return InvalidRequest(
        "This is not a valid HTTP/1.1 request.",
        explanation="A malformed header, contradicting lengths of a body, and TLS sent to a plain port look like this.",
        action="Correct the request; where it is TLS, use http:// or let your proxy speak TLS in front of the service.",
    )


class Server(uvicorn.Server):
    """Ends with exit code 0 after an orderly stop: uvicorn would raise the signal again when it is done."""

    when_started: Callable[[], None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.when_started is not None:
            self.when_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        # Those that the grace was too short for have been cancelled, and save what they have.
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=_SAVE_WITHIN_S)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """For good: a second SIGTERM must not kill the process while it closes what it holds, down to the interpreter,
        which gives handlers back to the system when it ends, but leaves ignored signals ignored.
        """
        for sig in HANDLED_SIGNALS:
            signal.signal(sig, self.handle_exit)
        try:
            yield
        finally:
            for sig in HANDLED_SIGNALS:
                signal.signal(sig, signal.SIG_IGN)


def server_for(app: AsgiApp, *, grace_s: float, bounds: Bounds = Bounds()) -> Server:
    """`grace_s`: how long running answers may go on after SIGTERM."""
    config = uvicorn.Config(
        app,
        http=partial(BoundedProtocol, bounds=bounds),  # type: ignore[arg-type]
        ws="none",
        loop="uvloop",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=int(grace_s),
    )
    return Server(config)
