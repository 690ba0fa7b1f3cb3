"""The transport port: one HTTP/1.1 exchange with an upstream, as bytes.

Two drivers: `relay` (ours, the default) and `aiohttp` (when a proxy is configured). Both pass
`tests/contracts/test_transport.py`. Callers know this module only; `open_transport` in `drivers.py` picks one.

No driver follows redirects, reads the environment, decompresses, or retries, with one exception: a kept
connection that dies before the first byte of an answer is replaced once by a fresh one (RFC 9112, 9.3.1).
"""

from typing import ClassVar, Literal, NamedTuple, Protocol

import msgspec

Header = tuple[bytes, bytes]
Phase = Literal["connect", "headers", "body"]
LimitName = Literal["connect", "first_byte", "idle", "total"]

MAX_HEADER_BYTES = 64 * 1024
MAX_ERROR_BYTES = 64 * 1024
MAX_BODY_BYTES = 64 * 1024 * 1024


class Origin(NamedTuple):
    scheme: Literal["http", "https"]
    host: str
    port: int


class Limits(msgspec.Struct, frozen=True, gc=False):
    """How long an exchange may take, in seconds.

    `connect_s`: DNS, TCP and TLS together. `first_byte_s`: from dispatch to the answer's headers. `idle_s`: silence
    between two reads of the body; any byte counts, comments too. `total_s`: everything.
    """

    connect_s: float = 10.0
    first_byte_s: float = 180.0
    idle_s: float = 90.0
    total_s: float = 600.0


class Request(msgspec.Struct, frozen=True, gc=False):
    """`target` is the path with its query, already percent-encoded; it is sent as it is.

    `headers` are lower-case names without `host`, `content-length` and `connection`: the driver adds those.
    """

    method: bytes
    origin: Origin
    target: bytes
    headers: tuple[Header, ...]
    body: bytes = b""


class Response(Protocol):
    """An answer whose headers have arrived. Whoever holds it must `close` it, also after an error."""

    status: int
    headers: list[Header]
    """Names in lower case."""

    @property
    def complete(self) -> bool:
        """The body has arrived whole, and reading it waits for nothing. A driver that cannot tell says False."""

    async def read(self) -> bytes:
        """Whatever has arrived since the last read, or waits for some; `b""` is the orderly end, for ever after.

        Raises TransportTimeout (idle, total) and TransportError: a body cut short of its length or of its last
        chunk is an error, never an end.
        """

    async def read_all(self, limit: int = MAX_BODY_BYTES) -> bytes:
        """The rest of the body. Raises as `read`, and ResponseTooLarge past `limit` bytes."""

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else cut it at once. Never waits; idempotent."""


class Transport(Protocol):
    async def send(self, request: Request, limits: Limits) -> Response:
        """Send, and return when the answer's headers are there (1xx skipped).

        Cancelling closes the connection at once. Raises TransportError and its kinds.
        """

    async def retire(self) -> None:
        """No more calls are expected: close what is idle at once, and what is busy when its answer ends."""

    async def aclose(self) -> None:
        """Close every connection, kept or busy; reads in flight raise TransportError."""


class TransportError(Exception):
    """The exchange failed below HTTP.

    `name` is the word operators search for, as Node spells it: ECONNREFUSED, ECONNRESET, ENOTFOUND, EAI_AGAIN,
    ETIMEDOUT, EPIPE, CERT_…, and ours for what lies above TCP: EPROTO (not HTTP), ETRUNCATED (body cut short).
    """

    retryable: ClassVar[bool] = True

    def __init__(self, name: str, detail: str, phase: Phase) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name
        self.detail = detail
        self.phase = phase


class TransportTimeout(TransportError):
    """`limit` says which limit struck, `after_s` is its configured value."""

    def __init__(self, limit: LimitName, after_s: float, detail: str, phase: Phase) -> None:
        super().__init__("ETIMEDOUT", detail, phase)
        self.limit = limit
        self.after_s = after_s


class ResponseTooLarge(TransportError):
    """Headers or a whole-read body passed their cap; the connection is closed."""

    def __init__(self, detail: str, phase: Phase) -> None:
        super().__init__("EMSGSIZE", detail, phase)
