"""One request on its way through the house: its id, its face, and what the metric log will say of it."""

import itertools
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal

from penstock.http.faces import Face, Header

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

Outcome = Literal["ok", "client-abort", "error"]

SCOPE_KEY = "penstock.incoming"

WHEN_GONE = "penstock.when_gone"
"""In the scope, from our own server: takes what is to be called when the client hangs up before the answer ends."""

WhenGone = Callable[[Callable[[], None]], None]


_PROCESS = os.urandom(9).hex()
_numbers = itertools.count(int.from_bytes(os.urandom(2)))


def new_request_id() -> str:
    """Unique among all processes, and cheap: 18 random digits of this process, then a count."""
    return f"req_{_PROCESS}{next(_numbers):06x}"


class Incoming:
    """Filled in as the request is served.

    `headers` are what every answer to it carries (ids, CORS). `status` is 0 until the answer has begun, `complete` once
    its last byte was handed to the server. `extra` holds what a room adds to the metric log line; `explain` gives more,
    and is asked only when a line is written.
    """

    # Most requests leave most of these alone, so they stand here and not in `__init__`.
    status: int = 0
    bytes_out: int = 0
    complete: bool = False
    outcome: Outcome = "ok"
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

    def note(self, **fields: Any) -> None:
        """Add fields to the metric log line of this request."""
        if self.extra is None:
            self.extra = {}
        self.extra.update(fields)


def incoming_of(scope: Scope) -> Incoming:
    incoming: Incoming = scope[SCOPE_KEY]
    return incoming
