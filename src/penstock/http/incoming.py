"""One request on its way through the house: its id, its face, and what the metric log will say of it."""

import itertools
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal, Protocol

from penstock.errors import PenstockError
from penstock.http.faces import Face, Header
from penstock.telemetry.meters import STREAMS_RUNNING

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

Outcome = Literal["ok", "client-abort", "error"]

SCOPE_KEY = "penstock.incoming"

LINE_KEY = "penstock.line"
"""In the scope, from our own server: the `Line` of the request."""


class Line(Protocol):
    """The server's end of one request, for calls that ASGI's messages are too slow for (`http/cycle.py`)."""

    gone: bool
    """The client hung up, and the task that serves it was cancelled for that."""

    def watch(self) -> None:
        """From here on the task that serves the request is cancelled when the client hangs up."""

    def unwatch(self) -> None: ...

    def put(self, piece: bytes) -> bool:
        """Write a piece of a body that has begun, at once. True: call `drain` before the next."""

    async def drain(self) -> None:
        """Wait for a client that reads more slowly than we write."""


_PROCESS = os.urandom(9).hex()
_numbers = itertools.count(int.from_bytes(os.urandom(2)))


def new_request_id() -> str:
    """Unique among all processes, and cheap: 18 random digits of this process, then a count."""
    return f"req_{_PROCESS}{next(_numbers):06x}"


class Incoming:
    """Filled in as the request is served.

    `headers` are what every answer to it carries (ids, CORS). `status` is 0 until the answer has begun, `complete` once
    its last byte was handed to the server. `failure_code` is that of the error that has ended a stream. `extra` holds
    what a room adds to the metric log line; `explain` gives more, and is asked only when a line is written.
    """

    # Most requests leave most of these alone, so they stand here and not in `__init__`.
    status: int = 0
    bytes_out: int = 0
    complete: bool = False
    outcome: Outcome = "ok"
    is_stream: bool = False
    failure_code: str | None = None
    extra: dict[str, Any] | None = None
    explain: Callable[[], dict[str, Any]] | None = None
    authorization: bytes | None = None
    x_api_key: bytes | None = None
    origin: bytes | None = None
    editor_version: bytes | None = None
    headers: list[Header]

    def __init__(self, scope: Scope, face: Face) -> None:
        self.id = new_request_id()
        self.face = face
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.started = time.perf_counter()

    def id_headers(self) -> list[Header]:
        return [(b"x-request-id", self.id.encode()), *self.face.headers(self.id)]

    @property
    def surface(self) -> str:
        return self.face.name

    def begin_stream(self) -> None:
        """The 200 of a stream goes out: from here on its status tells nothing of its end."""
        self.is_stream = True
        STREAMS_RUNNING.change(1)

    def fail(self, error: PenstockError) -> None:
        self.outcome = "error"
        self.failure_code = error.code

    def note(self, **fields: Any) -> None:
        """Add fields to the metric log line of this request."""
        if self.extra is None:
            self.extra = {}
        self.extra.update(fields)


def incoming_of(scope: Scope) -> Incoming:
    incoming: Incoming = scope[SCOPE_KEY]
    return incoming
