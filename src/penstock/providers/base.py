"""The neutral language between a surface and a provider: `Call` in, `Delta`s out, `Usage` at the end.

A *wire* translates between this and one provider's format; it does no input or output. See `wires/`.
Shapes follow `spec/providers.md` 2.1–2.6.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from penstock.errors import UpstreamError
from penstock.kit.secret import Secret
from penstock.providers.transport.base import Header

# --- what is asked ---------------------------------------------------------------------------------------------------


class Text(msgspec.Struct, frozen=True, tag="text"):
    text: str


class Image(msgspec.Struct, frozen=True, tag="image"):
    """`url` is https or a `data:` URI."""

    url: str
    detail: str | None = None


class ToolCall(msgspec.Struct, frozen=True):
    """`arguments` is the raw JSON text, as the model wrote it."""

    id: str
    name: str
    arguments: str


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One turn. `tool` messages answer the assistant's `tool_calls` by `tool_call_id`."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | Sequence[Text | Image] = ""
    tool_calls: Sequence[ToolCall] = ()
    tool_call_id: str | None = None
    name: str | None = None


class Tool(msgspec.Struct, frozen=True):
    name: str
    description: str
    schema: Mapping[str, Any]


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A chat call in no provider's format. `extra` is merged into the provider's body last."""

    messages: Sequence[Message]
    tools: Sequence[Tool] = ()
    tool_choice: Literal["auto", "none", "required"] | str | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    stop: Sequence[str] = ()
    json_schema: Mapping[str, Any] | None = None
    reasoning: bool | None = None
    """True: medium effort. False: as little as the model allows. None: the provider's default."""
    user_ref: str | None = None
    extra: Mapping[str, Any] | None = None


# --- what comes back -------------------------------------------------------------------------------------------------


class TextDelta(msgspec.Struct, frozen=True, gc=False):
    text: str


class ReasoningDelta(msgspec.Struct, frozen=True, gc=False):
    text: str


class ToolDelta(msgspec.Struct, frozen=True, gc=False):
    """A piece of one tool call. `id` and `name` come once, first; `arguments` is a fragment of JSON text."""

    index: int
    arguments: str = ""
    id: str | None = None
    name: str | None = None


class Source(msgspec.Struct, frozen=True, gc=False):
    url: str
    title: str | None = None


class Warning_(msgspec.Struct, frozen=True, gc=False):  # noqa: N801
    """Something was dropped, estimated or repaired. `code` is stable: USAGE_MISMATCH, NO_TOOLS, …"""

    code: str
    message: str


class Usage(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Tokens of one call. Cached ones are part of `input_tokens`, reasoning is part of `output_tokens`.

    `estimated` says that the provider gave no count and ours is a guess.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False


FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class Finish(msgspec.Struct, frozen=True, gc=False):
    """The orderly end; exactly one, last. A stream without it failed."""

    reason: FinishReason
    raw_reason: str | None = None


Delta = TextDelta | ReasoningDelta | ToolDelta | Source | Warning_ | Usage | Finish


# --- wires -----------------------------------------------------------------------------------------------------------

Output = TypeVar("Output", covariant=True)


class Reader(Protocol[Output]):
    """Reads one answer of an upstream, piece by piece, in whatever pieces TCP brings.

    `feed` and `end` raise UpstreamError for an error inside a 200 answer and for an answer that ends too early. A
    reader is used for one attempt and thrown away. Output is never lost to an error: when good output precedes the
    error in the same piece, `feed` returns it, sets `failure`, and every later call raises that failure.
    """

    failure: UpstreamError | None
    """The error that the stream has carried; nothing more will come."""

    terminated: bool
    """The terminator has been read: nothing that follows matters, the body need not be read to its end."""

    begun: bool
    """Something that the caller can see has been produced: from here on nothing may be tried again."""

    complete: bool
    """The provider has said that the answer is finished."""

    usage: Usage | None
    finish: FinishReason | None

    def feed(self, data: bytes) -> Output: ...

    def estimate(self) -> Usage:
        """What is known of the tokens so far; our own guess where nothing was said, or not yet."""

    def end(self) -> Output:
        """The body has ended. Raises when that was too early."""


class Exchange(msgspec.Struct, frozen=True, gc=False):
    """A request as a wire writes it: the path below the provider's base URL, headers, body."""

    path: str
    body: bytes
    headers: tuple[Header, ...] = ()


class Wire(Protocol):
    """One provider format. Pure translation."""

    name: str

    path: str
    """Where chat calls go, below the provider's base URL."""

    def request(self, call: Call, model: str, quirks: "Quirks") -> Exchange:
        """A streaming request for `call`."""

    def reader(
        self,
        *,
        content_type: str = "",
        quirks: "Quirks | None" = None,
        tools: Sequence[Tool] = (),
        sent_bytes: int = 0,
    ) -> Reader[Sequence[Delta]]:
        """For a 2xx answer. `tools` give back the names that had to be changed for the provider; `sent_bytes` is the
        size of the request, from which the input is estimated when the provider gives no usage."""

    def failure(self, status: int, headers: Sequence[Header], body: bytes) -> UpstreamError:
        """What an answer other than 2xx means (`providers/failures.py`)."""


class Quirks(msgspec.Struct, frozen=True, kw_only=True):
    """Where one vendor departs from its wire. Data of `vendors.py`, never code."""

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    stream_options: bool = True
    store_field: bool = False
    tools: bool = True
    ends_without_finish: bool = False
    """Streams of this vendor may end without a finish reason, but with a terminator (`spec/providers.md` 10.5)."""
    merge_system: bool = True
    """All system messages are sent as one, first: chat templates refuse a second one."""
    tool_choices: frozenset[str] = frozenset({"none", "required", "named"})
    """The forms of `tool_choice` that are understood, beside `auto`."""
    short_call_ids: bool = False
    """Ids of tool calls are exactly nine letters and digits; others are refused."""
    user_field: str | None = None
    """Where `user_ref` goes; None: nowhere."""
    obfuscation: bool = False
    """Chunks are padded with random text unless asked not to."""
    reasoning: Literal["effort", "enable_thinking", "openrouter", "thinking"] | None = None
    """How reasoning is switched; None: the switch is cosmetic."""


class Translation(Protocol[Output]):
    """One caller's request, for whatever wire it meets, and what is to be made of the answer."""

    def exchange(self, wire: Wire, model: str, quirks: Quirks) -> Exchange:
        """May be called again, after a quirk was learnt or for another backend."""

    def reader(self, wire: Wire, quirks: Quirks, *, content_type: str, sent_bytes: int) -> Reader[Output]:
        """For a 2xx answer of that content type to a request of that size."""


# --- configuration of one entry --------------------------------------------------------------------------------------


class ProviderConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One validated entry of `PROVIDERS`: an account or endpoint, with its credentials.

    `key` is the operator's name for it, `type` the row of `vendors.py`. Equal configurations are the same provider: a
    reload that changes nothing keeps its connections and the state of its keys.
    """

    key: str
    type: str
    name: str
    base_url: str
    api_keys: tuple[Secret, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    first_byte_s: float = 180.0
    connect_s: float = 10.0
    idle_s: float = 90.0
    total_s: float = 600.0
    proxy: Secret | None = None
    ca_file: str | None = None
    verify_tls: bool = True
    details: tuple[tuple[str, str], ...] = ()
    """Fields that only this type has (resourceName, region, …); secrets are not among them."""
