"""What a fake provider must know of its vendor's format, so that one suite can be played on all of them.

A dialect is the vendor's side of a wire, written from the vendor's documentation and checked with the vendor's own
SDK; it shares no code with `penstock.providers.wires`. `tests/fakes/provider_server.py` serves it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


@dataclass(frozen=True)
class AskedTool:
    name: str
    schema: Any


@dataclass(frozen=True)
class Asked:
    """What a request asks, in no vendor's words."""

    model: str
    stream: bool
    credential: str | None
    """The key (or token, or access key id) that the request carries."""
    system: str = ""
    texts: tuple[str, ...] = ()
    """The texts of the user's turns."""
    images: tuple[bytes, ...] = ()
    documents: tuple[bytes, ...] = ()
    tools: tuple[AskedTool, ...] = ()
    tool_calls: tuple[tuple[str, str, Any], ...] = ()
    """`(id, name, arguments)` of the calls in the history."""
    tool_results: tuple[tuple[str, str], ...] = ()
    """`(id, text)`."""
    opaque: tuple[str, ...] = ()
    """Signatures and encrypted texts that came back."""
    max_tokens: int | None = None
    reasons: bool | None = None
    schema: Any = None


@dataclass(frozen=True)
class SaidTool:
    id: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Says:
    """An answer of the model. `input_tokens` and `output_tokens` are the totals, as the neutral `Usage` has them."""

    pieces: Sequence[str] = ("Hello ", "from the upstream.")
    reasoning: str = ""
    signature: str = ""
    """Signed or encrypted state beside the reasoning, where the vendor has such a thing."""
    tools: Sequence[SaidTool] = ()
    finish: Literal["stop", "length", "content_filter"] = "stop"
    """With `tools` it is the vendor's word for tool calls."""
    input_tokens: int = 7
    cached_tokens: int = 0
    output_tokens: int = 5
    reasoning_tokens: int = 0


RefusalKind = Literal[
    "auth",
    "permission",
    "not_found",
    "rate_limited",
    "billing",
    "invalid_request",
    "context_too_long",
    "content_filtered",
    "server_error",
    "overloaded",
]


@dataclass(frozen=True)
class Refusal:
    """An answer that is no answer, as the vendor words it."""

    status: int
    body: Any
    headers: tuple[tuple[str, str], ...] = ()


class Dialect(Protocol):
    kind: str
    """The `type` in PROVIDERS, with a suffix where one type has several formats."""

    model: str
    """The `id` in MODELS."""

    content_type: str
    """Of a stream."""

    def entry(self, url: str, *keys: str) -> dict[str, Any]:
        """The entry of PROVIDERS for a fake at `url` (`http://127.0.0.1:port`, no path), with usable credentials.

        `keys` are the keys (or access key ids) to be used; without, one of the dialect's own.
        """

    def asked(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Asked | None:
        """Read a request as strictly as the vendor does. None: not a chat call (a token endpoint, a model list).

        Raises AssertionError for what the vendor would refuse, wrong path, headers and signature included.
        """

    def other(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Refusal:
        """The answer to what is no chat call (status 200 too); 404 for an unknown path."""

    def frames(self, says: Says, asked: Asked) -> list[bytes]:
        """The pieces of a streamed body: one for each event, so that it can be cut between any two."""

    def whole(self, says: Says, asked: Asked) -> bytes:
        """The body without streaming."""

    def refusal(self, kind: RefusalKind, *, retry_after_s: int | None = None) -> Refusal: ...

    def broken(self) -> bytes:
        """The event that reports a failure inside a 200 stream."""


@dataclass
class Seen:
    """One request as it arrived, and what it asked (None: no chat call)."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    asked: Asked | None = None
    faults: list[str] = field(default_factory=list)
    """What the vendor would have refused."""
