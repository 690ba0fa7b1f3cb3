"""How answers leave: bodies, errors, and streams of events. The framing rules of `spec/editor-api.md` 0.3 live here."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

import msgspec
from starlette.responses import Response

from penstock.errors import InternalError, PenstockError, Unavailable, UpstreamError
from penstock.http.faces import JSON_TYPE, Header, error_headers
from penstock.http.incoming import Incoming, Receive, Scope, Send, incoming_of
from penstock.kit.tasks import set_within, to_the_end
from penstock.telemetry.logs import log

JSON_HEADERS: list[Header] = [JSON_TYPE]

# The TinyMCE client compares the content type for equality: no charset (0.3, rule 1).
STREAM_HEADERS: list[Header] = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]

# One line feed, no blank line: a blank line would dispatch an empty event and break the client (0.3, rule 4).
_KEEP_ALIVE = b": keep-alive\n"

# Events between two writes. Merged ones count too: their text grows for as long as a client does not read, and so a
# long one counts as several.
_MOST_OFFERED = 256
_CHARS_AS_ONE = 1024

OPEN_WITHIN_S: Final = 20.0
"""How long a stream with an `opening` may stay without headers (`spec/editor-api.md` 7.3)."""

# The editor parses all of a modification anew with each piece of it: at most 12 a second (7.1).
_PAUSE_S = 0.04
_LONGER_PAUSES_S: Mapping[str, float] = {"modification-delta": 0.08}


def unexpected(request_id: str) -> InternalError:
    """What a caller learns of a bug."""
    return InternalError(
        "Something went wrong inside the service.",
        explanation="This is a defect of the service, not of your request.",
        action=f"Give the operator the request id {request_id}: the log has the details under it.",
    )


def log_failure(incoming: Incoming, error: PenstockError) -> None:
    """Callers' mistakes are theirs; a provider's failures are events; what is left is ours to mend."""
    if isinstance(error, UpstreamError):
        log.warning(error.message, code=error.code, path=incoming.path, upstreamStatus=error.upstream_status)
    elif error.status >= 500:
        log.error(error.message, code=error.code, path=incoming.path, exc_info=error.__cause__)


async def send_body(incoming: Incoming, send: Send, status: int, body: bytes, headers: Sequence[Header]) -> None:
    incoming.status = status
    incoming.bytes_out += len(body)
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, *incoming.headers, (b"content-length", b"%d" % len(body))],
        }
    )
    incoming.complete = True
    await send({"type": "http.response.body", "body": body})


async def send_error(incoming: Incoming, send: Send, error: PenstockError) -> None:
    face = incoming.face
    headers = error_headers(face, error)
    allowed = getattr(error, "allowed", None)
    if allowed:
        headers.append((b"allow", ", ".join(allowed).encode()))
    await send_body(incoming, send, face.status(error), face.body(error, incoming.id), headers)


async def send_json(incoming: Incoming, send: Send, value: Any, status: int = 200) -> None:
    await send_body(incoming, send, status, msgspec.json.encode(value), [JSON_TYPE])


class Event(msgspec.Struct, frozen=True, gc=False):
    """One server-sent event. `data` becomes one line of JSON."""

    name: str
    data: dict[str, Any]

    def encode(self) -> bytes:
        return b"event: " + self.name.encode() + b"\ndata: " + msgspec.json.encode(self.data) + b"\n\n"


Merge = Callable[[Event, Event], Event | None]
"""Two neighbours as one event, or None when they must stay apart."""


class StreamLimit(Unavailable):
    code = "stream_limit"


def _too_long(max_s: float) -> StreamLimit:
    return StreamLimit(
        f"The answer took longer than {max_s:g} s and was stopped.",
        explanation="STREAM_MAX_SECONDS limits how long one stream may last.",
        action="Ask for a shorter answer, or raise STREAM_MAX_SECONDS and the read time-out of your proxy.",
    )


class EventStream(Response):
    """An answer that streams `events` in the editor's framing.

    Deltas that arrive faster than the client can take them (it waits 10 ms after each event) are merged: the first goes
    out at once, then a batch at a time. Silence is filled with comments. A PenstockError raised by `events` becomes the
    face's error frame, the last thing sent. When the client hangs up, `events` is closed at once: its clean-up runs to
    the end before the request is over.

    With an `opening` nothing is sent, not even headers, before the first event exists or `open_within_s` is over; a
    failure until then is raised, and so becomes an HTTP error. The stream begins with `opening`; `events` may give that
    very object to begin it when there is nothing else to tell yet.

    `cut_on_failure`: after the error frame the connection is closed within the body, so that clients which do not know
    error events see that the answer is incomplete. `done_event` False leaves events of the name `done` out.
    """

    def __init__(
        self,
        events: AsyncGenerator[Event, None],
        *,
        merge: Merge,
        keep_alive_s: float,
        max_s: float,
        opening: Event | None = None,
        open_within_s: float = OPEN_WITHIN_S,
        cut_on_failure: bool = False,
        done_event: bool = True,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.raw_headers = []
        self._events = events
        self._merge = merge
        self._keep_alive_s = keep_alive_s
        self._max_s = max_s
        self._opening = opening
        self._open_within_s = open_within_s
        self._cut_on_failure = cut_on_failure
        self._done_event = done_event
        self._has_begun = False
        self._pending: list[Event] = []
        self._offered = 0
        self._arrived = asyncio.Event()
        self._ended = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._failure: PenstockError | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        incoming = incoming_of(scope)
        producer = asyncio.create_task(self._produce(incoming))
        watcher = asyncio.create_task(_until_gone(receive))
        writer = asyncio.create_task(self._write(incoming, send))
        try:
            await asyncio.wait((watcher, writer), return_when=asyncio.FIRST_COMPLETED)
            if not writer.done():
                incoming.outcome = "client-abort"
        finally:
            for task in (watcher, writer, producer):
                task.cancel()
            await to_the_end(self._release(producer, watcher, writer))
        if not writer.cancelled():
            writer.result()

    async def _release(self, *tasks: "asyncio.Task[None]") -> None:
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._events.aclose()  # also when the producer was cancelled before it took the first event

    async def _produce(self, incoming: Incoming) -> None:
        limit = asyncio.timeout(self._max_s)
        try:
            async with limit, aclosing(self._events) as events:
                async for event in events:
                    self._offer(event)
                    await self._room.wait()
        except PenstockError as error:
            log_failure(incoming, error)
            self._failure = error
        except Exception as error:
            if isinstance(error, TimeoutError) and limit.expired():
                self._failure = _too_long(self._max_s)
            else:
                log.error("unexpected failure in a stream", path=incoming.path, exc_info=error)
                self._failure = unexpected(incoming.id)
        finally:
            self._ended.set()
            self._arrived.set()

    def _offer(self, event: Event) -> None:
        if event.name == "done" and not self._done_event:
            return
        self._has_begun = True
        self._arrived.set()
        if event is self._opening:
            return
        merged = self._merge(self._pending[-1], event) if self._pending else None
        if merged is None:
            self._pending.append(event)
        else:
            self._pending[-1] = merged
        self._offered += 1 + _texts(event) // _CHARS_AS_ONE
        if self._offered >= _MOST_OFFERED:
            self._room.clear()

    async def _write(self, incoming: Incoming, send: Send) -> None:
        if self._opening is not None:
            await set_within(self._open_within_s, self._arrived)
            if self._failure is not None and not self._has_begun:
                raise self._failure
            self._pending.insert(0, self._opening)
            self._arrived.set()
        incoming.begin_stream()
        # The door adds the headers of every answer and counts what leaves, as for any answer of the router.
        await send({"type": "http.response.start", "status": 200, "headers": list(STREAM_HEADERS)})
        while True:
            await self._wait_or_keep_alive(send)
            batch, ended = self._take()
            if batch:
                await _piece(send, b"".join(event.encode() for event in batch))
            if ended:
                break
            await set_within(max((_pause_s(event) for event in batch), default=_PAUSE_S), self._ended)
        if self._failure is not None:
            incoming.fail(self._failure)
            await _piece(send, incoming.face.error_frame(self._failure, incoming.id))
            if self._cut_on_failure:
                return  # the server closes an answer that was left without its end
        await send({"type": "http.response.body"})

    async def _wait_or_keep_alive(self, send: Send) -> None:
        while not await set_within(self._keep_alive_s, self._arrived):
            await _piece(send, _KEEP_ALIVE)

    def _take(self) -> tuple[list[Event], bool]:
        batch, self._pending, self._offered = self._pending, [], 0
        self._arrived.clear()
        self._room.set()
        return batch, self._ended.is_set()


def _pause_s(event: Event) -> float:
    return _LONGER_PAUSES_S.get(event.name, _PAUSE_S)


def _texts(event: Event) -> int:
    return sum(len(value) for value in event.data.values() if isinstance(value, str))


async def _piece(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
