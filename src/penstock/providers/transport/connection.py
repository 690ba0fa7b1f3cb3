"""One HTTP/1.1 connection of the relay: it writes requests and fills answers.

This is the hot path of the service: a read costs one parse, at most one future, and no timer. One clock handle per
connection is armed for the shortest limit and looks, when it fires, how much is left; the pool of `pool.py` and the
connecting of `relay.py` stay out of the way.
"""

import asyncio
from math import inf
from typing import Protocol

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from penstock.providers.transport import failures
from penstock.providers.transport.answer import Answer
from penstock.providers.transport.base import (
    MAX_HEADER_BYTES,
    Header,
    Limits,
    Origin,
    Phase,
    Request,
    ResponseTooLarge,
    TransportError,
)

HIGH_WATER_BYTES = 256 * 1024
"""Unread bytes of an answer above which we stop reading its socket, until its reader has taken them."""

PIECE_BYTES = 64 * 1024
"""A larger request body is written in pieces, each when the socket has taken the one before."""

_BODILESS_BYTES = 64 * 1024
"""Chunk extensions and trailers that may follow each other without a byte of body."""


class Keeper(Protocol):
    def keep(self, connection: "Connection") -> None: ...
    def forget(self, connection: "Connection") -> None: ...
    def gone(self, connection: "Connection") -> None: ...


class Connection(asyncio.Protocol):
    """A connection carries one exchange at a time; its parser serves them all."""

    __slots__ = (
        "_answer",
        "_bodiless_bytes",
        "_bulk",
        "_drain",
        "_finished",
        "_head_bytes",
        "_head_only",
        "_headers",
        "_keep",
        "_keeper",
        "_parser",
        "_refusal",
        "_timer",
        "_timer_at",
        "_unsent",
        "_write_paused",
        "idle_since",
        "kept",
        "loop",
        "origin",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, origin: Origin, keeper: Keeper) -> None:
        self.loop = loop
        self.origin = origin
        self.idle_since = 0.0
        self.kept = False
        self._keeper = keeper
        self._answer: Answer | None = None
        self._headers: list[Header] = []
        self._head_bytes = 0
        self._bodiless_bytes = 0
        self._head_only = False
        self._finished = False
        self._keep = True
        self._refusal: str | None = None
        self._bulk = False
        self._unsent = False
        self._write_paused = False
        self._drain: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._parser = HttpResponseParser(self)

    @property
    def phase(self) -> Phase:
        return "body" if self._answer is not None and self._answer.status else "headers"

    # --- an exchange -------------------------------------------------------------------------------------------------

    def start(self, request: Request, head: bytes, limits: Limits, begun_at: float | None) -> Answer:
        """Write the head, and a body that fits in one piece; `write_bulk` does the others."""
        now = self.loop.time()
        answer = self._answer = Answer(self, limits, now if begun_at is None else begun_at, now)
        self._head_bytes = self._bodiless_bytes = 0
        self._head_only = request.method == b"HEAD"
        self._finished = False
        self._bulk = self._unsent = len(request.body) > PIECE_BYTES
        self.transport.write(head if self._bulk else head + request.body)
        at = min(now + limits.first_byte_s, now + limits.idle_s, answer.begun_at + limits.total_s)
        if at < self._timer_at:
            self._arm(at)
        return answer

    @property
    def is_bulk(self) -> bool:
        return self._bulk

    async def write_bulk(self, answer: Answer, body: bytes) -> None:
        """Write the body no faster than the socket takes it; stop when the upstream has answered already."""
        view = memoryview(body)
        for start in range(0, len(view), PIECE_BYTES):
            if answer.status or answer.connection is None:
                return
            self.transport.write(view[start : start + PIECE_BYTES])
            if self._write_paused:
                self._drain = self.loop.create_future()
                await self._drain
        self._unsent = False

    def fail(self, error: TransportError) -> None:
        """End the exchange, if there is one, with `error`, and cut the connection at once."""
        answer = self._detach()
        if answer is not None:
            answer.error = error
            answer.wake()
        self.abort()

    def abort(self) -> None:
        self._keeper.forget(self)
        self.transport.abort()

    def _detach(self) -> Answer | None:
        answer = self._answer
        if answer is not None:
            self._answer = None
            answer.connection = None
            self._wake_writer()
        return answer

    # --- what the event loop tells -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # TCP and TLS transports read and write

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:  # nobody asked: whatever this is, it is not the answer to the next request
            self.abort()
            return
        in_head, size = not answer.status, answer.size
        try:
            if in_head:
                self._feed_head(answer, data)
            else:
                self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._misunderstand(error)
        if self._refusal is not None:
            self.fail(TransportError("EPROTO", f"{self._where}: {self._refusal}", self.phase))
        elif self._finished:
            self._release(answer)
        elif answer.size > size:
            self._bodiless_bytes = 0
            if answer.size > HIGH_WATER_BYTES and not answer.paused:
                answer.paused = True
                self.transport.pause_reading()
            answer.wake()
        else:
            self._without_body(answer, in_head, len(data))

    def eof_received(self) -> None:
        self._lose(None)
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(exc)
        self._keeper.gone(self)
        if self._timer is not None:
            self._timer.cancel()
        del self._parser  # it holds our methods: a cycle

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._wake_writer()

    # --- what the parser tells ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._finished:  # an answer that nobody asked for
            self._keep = False

    def on_header(self, name: bytes, value: bytes) -> None:
        name, value = name.lower(), value.rstrip()  # llhttp leaves blanks at the end
        if name == b"content-encoding" and value.lower() != b"identity":
            self._refusal = f"the answer is encoded ({value[:40].decode('latin-1')}), and we asked for identity"
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        answer, status = self._answer, self._parser.get_status_code()
        headers, self._headers = self._headers, []
        if status < 200 or answer is None or self._finished or self._refusal is not None:
            return
        answer.status, answer.headers = status, headers
        self._wake_writer()
        if self._head_only:  # llhttp cannot be told, and would wait for a body: so this parser is of no more use
            self._finished, self._keep = True, False

    def on_body(self, data: bytes) -> None:
        answer = self._answer
        if answer is not None and answer.status and not self._finished:
            answer.pieces.append(data)
            answer.size += len(data)

    def on_message_complete(self) -> None:
        answer = self._answer
        if answer is not None and answer.status and not self._finished:
            self._finished = True
            self._keep = self._parser.should_keep_alive()

    # --- parts of the above ------------------------------------------------------------------------------------------

    @property
    def _where(self) -> str:
        return f"{self.origin.host}:{self.origin.port}"

    def _feed_head(self, answer: Answer, data: bytes) -> None:
        """Never let more than the cap of a head into the parser. Informational answers count too."""
        room = MAX_HEADER_BYTES - self._head_bytes
        self._head_bytes += len(data)
        if len(data) <= room:
            self._parser.feed_data(data)
            return
        self._parser.feed_data(data[:room])
        if answer.status:
            self._parser.feed_data(data[room:])

    def _misunderstand(self, error: Exception) -> None:
        """Bytes that are no HTTP. After the end of an answer they only cost the connection."""
        self._keep = False
        if self._finished or self._refusal is not None:
            return
        switched = isinstance(error, HttpParserUpgrade)
        self._refusal = "the upstream switched protocols, unasked" if switched else f"this is not HTTP: {error}"

    def _without_body(self, answer: Answer, in_head: bool, size: int) -> None:
        """Something came, and none of it was body: a part of the head, the framing of a chunk, a trailer."""
        if not in_head:
            answer.since = self.loop.time()
            self._bodiless_bytes += size
            if self._bodiless_bytes > _BODILESS_BYTES:
                self.fail(ResponseTooLarge(f"{self._where}: chunk extensions or trailers without end", "body"))
        elif answer.status:
            answer.wake()
        elif self._head_bytes > MAX_HEADER_BYTES:
            self.fail(ResponseTooLarge(f"{self._where}: headers longer than {MAX_HEADER_BYTES} bytes", "headers"))

    def _release(self, answer: Answer) -> None:
        """The answer has arrived whole. Its reader may still have to take it; the connection is free already."""
        self._detach()
        answer.complete = True
        answer.wake()
        self.kept = True
        if not self._keep or (self._bulk and (self._unsent or self.transport.get_write_buffer_size())):
            self.abort()
            return
        if answer.paused:
            self.transport.resume_reading()
        self._keeper.keep(self)

    def _lose(self, exc: Exception | None) -> None:
        self._keeper.forget(self)
        answer = self._detach()
        if answer is None:
            return
        if exc is None and answer.status and _ends_with_connection(answer.headers):
            answer.complete = True
        else:
            answer.unheard = self.kept and not self._head_bytes
            answer.error = failures.lost(exc, self.origin, "body" if answer.status else "headers")
            answer.error.__cause__ = exc
        answer.wake()

    def _wake_writer(self) -> None:
        if self._drain is not None:
            drain, self._drain = self._drain, None
            if not drain.done():
                drain.set_result(None)

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self.loop.call_at(at, self._look_at_the_clock)

    def _look_at_the_clock(self) -> None:
        self._timer, self._timer_at = None, inf
        answer = self._answer
        if answer is None:
            return
        now = self.loop.time()
        at, limit, after_s = answer.due()
        if at <= now:
            self.fail(failures.late(limit, after_s, self.origin, self.phase))
        else:  # never later than the limits of a phase that may begin meanwhile
            self._arm(min(at, now + answer.limits.idle_s))


def _ends_with_connection(headers: list[Header]) -> bool:
    return not any(name in (b"content-length", b"transfer-encoding") for name, _ in headers)
