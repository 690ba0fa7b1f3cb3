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
    """`url` is a `data:` URI, or https where the vendor fetches by itself."""

    url: str
    detail: str | None = None


class Document(msgspec.Struct, frozen=True, tag="document"):
    """A file that the model reads whole. `url` is a `data:` URI; its MIME type says what it is."""

    url: str
    name: str = "document"


class Audio(msgspec.Struct, frozen=True, tag="audio"):
    """`data` is base64; `format` is `wav`, `mp3` and the like."""

    data: str
    format: str


Part = Text | Image | Document | Audio


class ToolCall(msgspec.Struct, frozen=True):
    """`arguments` is the raw JSON text, as the model wrote it."""

    id: str
    name: str
    arguments: str


class Opaque(msgspec.Struct, frozen=True):
    """A provider's own block that belongs to an assistant's turn: a signed thought, an encrypted reasoning item.

    It is kept unread and goes back only to the same wire and the same model (`spec/providers.md` 2.5).
    """

    wire: str
    model: str
    block: Mapping[str, Any]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One turn. `tool` messages answer the assistant's `tool_calls` by `tool_call_id`."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | Sequence[Part] = ""
    tool_calls: Sequence[ToolCall] = ()
    opaque: Sequence[Opaque] = ()
    """Of an assistant's turn, in the order in which they came."""
    tool_call_id: str | None = None
    name: str | None = None
    is_error: bool = False
    """Of a `tool` message: the tool failed, and the content says how."""


class Tool(msgspec.Struct, frozen=True):
    name: str
    description: str
    schema: Mapping[str, Any]
    strict: bool | None = None


class JsonSchema(msgspec.Struct, frozen=True, kw_only=True):
    """The answer is JSON of this schema."""

    schema: Mapping[str, Any]
    name: str = "answer"
    description: str | None = None
    strict: bool | None = None


Effort = Literal["off", "minimal", "low", "medium", "high", "xhigh", "max"]


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A chat call in no provider's format. `extra` is merged into the provider's body last."""

    messages: Sequence[Message]
    tools: Sequence[Tool] = ()
    tool_choice: Literal["auto", "none", "required"] | str | None = None
    """A word, or the name of the tool to be called."""
    parallel_tool_calls: bool | None = None
    tools_optional: bool = False
    """The call makes sense without its tools: they are left out for a model that has none (S053)."""
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: Sequence[str] = ()
    answer_format: JsonSchema | Literal["json"] | None = None
    reasoning: Effort | None = None
    """`off` is a wish: as little as the model allows. None: the provider's default."""
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


class OpaqueDelta(msgspec.Struct, frozen=True, gc=False):
    """A complete block that must be kept with the answer and sent back with it."""

    opaque: Opaque


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
    cache_write_1h_tokens: int = 0
    """The part of `cache_write_tokens` that is kept for an hour, at its own price."""
    estimated: bool = False
    upstream_cost: str | None = None
    """What the provider itself says that it costs, in US dollars, as it was written."""


FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class Finish(msgspec.Struct, frozen=True, gc=False):
    """The orderly end; exactly one, last. A stream without it failed."""

    reason: FinishReason
    raw_reason: str | None = None
    detail: str | None = None
    """Why, in the provider's words, where it says more than a reason."""


Delta = TextDelta | ReasoningDelta | ToolDelta | OpaqueDelta | Source | Warning_ | Usage | Finish


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
    """A request as a wire writes it.

    `path` is the wire's own, below the provider's base URL, with its query; `{model}` in it is replaced by the model's
    name, percent-encoded. A vendor may map the path to one of its own (`Way.paths`).
    """

    path: str
    body: bytes = b""
    headers: tuple[Header, ...] = ()
    """Beside those that every request has; one of the same name replaces it."""
    method: bytes = b"POST"


class Wire(Protocol):
    """One provider format. Pure translation."""

    name: str

    lacks: frozenset[str]
    """Fields of a `Call` that the format has no word for: they are left out, and callers are told."""

    def request(self, call: Call, model: str, quirks: "Quirks") -> Exchange:
        """A streaming request for `call`. Raises Unsupported for what the format cannot say."""

    def reader(
        self,
        *,
        model: str = "",
        content_type: str = "",
        quirks: "Quirks | None" = None,
        tools: Sequence[Tool] = (),
        sent_bytes: int = 0,
        stop: Sequence[str] = (),
        one_call: bool = False,
    ) -> Reader[Sequence[Delta]]:
        """For a 2xx answer. `model` stamps opaque blocks; `tools` give back the names that had to be changed for the
        provider; `sent_bytes` is the size of the request, from which the input is estimated when the provider gives no
        usage. `stop` and `one_call` (no parallel tool calls) are the call's wishes: a format that cannot say them keeps
        to them here."""

    def failure(self, status: int, headers: Sequence[Header], body: bytes) -> UpstreamError:
        """What an answer other than 2xx means (`providers/failures/`)."""

    def amended(self, error: UpstreamError, model: str, quirks: "Quirks") -> "Amendment | None":
        """Another way to say the same that may get past this refusal; None when there is none.

        Called before anything has reached the caller, for each refused attempt, with the quirks of that attempt.
        """


class MediaQuirks(msgspec.Struct, frozen=True, kw_only=True):
    """Where one vendor departs from its wire beside chat (`providers/media/`)."""

    lacks: frozenset[str] = frozenset()
    """Of `embeddings`, `images`, `transcription` and `speech`: refused before any call."""
    embeddings_at_once: int = 2048
    """How many inputs one exchange takes."""
    base64_vectors: bool = True
    """`encoding_format` is known."""
    gpt_images: bool = False
    """Images are drawn by OpenAI's own models, which refuse fields of older ones."""
    transcribes_by_chat: bool = False
    """There is no endpoint for it, but there are chat models that hear."""
    predicts: bool = False
    """Vectors are asked for by `:predict` (Vertex)."""


class Quirks(msgspec.Struct, frozen=True, kw_only=True):
    """Where one vendor departs from its wire, and what was learnt about one of its models.

    Data of `vendors.py`, never code.
    """

    relays: bool = True
    """The vendor speaks OpenAI's own format closely enough for a client's bytes, and its answers, to be passed on."""
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
    reasoning: Literal["effort", "enable_thinking", "openrouter", "thinking", "groq", "mistral"] | None = None
    """How reasoning is switched; None: the switch is cosmetic."""
    families: bool = False
    """The models are OpenAI's own, and `wires/openai/families.py` knows what they accept by their names."""
    thoughts: Literal["reasoning_details", "reasoning_content", "thinking"] | None = None
    """How reasoning goes back with an assistant's turn on chat completions; None: it does not."""
    parallel_tool_calls: bool = False
    """The field of that name is known."""
    strict: Literal["as_is", "subset"] | None = "as_is"
    """How a schema marked strict is sent: untouched, or as the subset that OpenAI takes; None: not as such."""
    format_with_tools: bool = True
    """An answer format may be asked for beside tools."""
    results_named: bool = False
    """Results of tools carry the tool's name, and an assistant's turn stands between them and a user's."""
    renamed: tuple[tuple[str, str], ...] = ()
    """Fields of the body that have another name here: `(ours, theirs)`."""
    documents: Literal["file", "document_url"] | None = None
    """The part in which a PDF is sent; None: its text is sent instead (S062)."""
    audio: Literal["plain", "data_uri"] | None = None
    """How `input_audio` carries its data; None: audio is not read."""
    fetches_images: bool = False
    """https addresses of images may be passed on; otherwise their bytes are sent."""
    asks_for_text: str | None = None
    """A pattern of models that must be told to answer with text."""
    max_temperature: float | None = None
    """The highest that is accepted; higher wishes become it."""
    media: MediaQuirks = MediaQuirks()
    betas: tuple[str, ...] = ()
    """Switches of the entry's `betas` (Anthropic's formats)."""
    format_version: str | None = None
    """`apiVersion` of the entry where it is a header or a field of the body (Anthropic's formats)."""
    model_in_path: bool = False
    """The model's name is left out of the body, and the version of the format goes into it (Anthropic on Vertex)."""

    # What was learnt of one model from its refusals (`spec/providers.md` 4.7).
    dropped: frozenset[str] = frozenset()
    """Fields that are not sent, by their name in the body."""
    efforts: tuple[str, ...] | None = None
    """The levels of reasoning that are accepted; None: what the family's rules say."""
    opaque: bool = True
    """Opaque blocks are sent back."""
    thinking: str | None = None
    """The style of switching reasoning that works, where the family's rule was wrong."""
    system: bool = True
    """System prompts are accepted; otherwise they go before the user's first words."""
    developer: bool = True
    """Where a family's instructions have the role `developer`, that role is accepted."""
    max_output: int | None = None
    """The most output tokens that may be asked for."""
    short_path: bool = False
    """`Way.short_paths` are used."""


class Amendment(msgspec.Struct, frozen=True, kw_only=True):
    """How a refused call is sent again. What an answer then proves is remembered for the model, for `lasts_s`."""

    quirks: Quirks
    wire: str | None = None
    """Another format of the same vendor, with that format's own quirks."""
    lasts_s: float = 86_400.0
    """0: for this call only."""
    drops_tools: bool = False
    """Only for calls that make sense without their tools."""


class Translation(Protocol[Output]):
    """One caller's request, for whatever wire it meets, and what is to be made of the answer."""

    wire: str | None
    """The wire that the request was written in: it is taken where the vendor has it, so that bytes can be relayed."""

    has_tools: bool
    tools_optional: bool

    def exchange(self, wire: Wire, model: str, quirks: Quirks) -> Exchange:
        """May be called again, after a quirk was learnt or for another backend."""

    def reader(self, wire: Wire, model: str, quirks: Quirks, *, content_type: str, sent_bytes: int) -> Reader[Output]:
        """For a 2xx answer of that content type to a request of that size."""


# --- configuration of one entry --------------------------------------------------------------------------------------


class AwsKeys(msgspec.Struct, frozen=True):
    access_key_id: str
    secret_access_key: Secret
    session_token: Secret | None = None


class ServiceAccount(msgspec.Struct, frozen=True):
    """A Google service account; `private_key` is PEM, repaired."""

    client_email: str
    private_key: Secret
    key_id: str | None = None
    token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105


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
    credentials: tuple[AwsKeys | ServiceAccount, ...] = ()
    ambient: bool = True
    """Without keys and credentials the platform's own identity is used, where the type has one."""
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

    def __repr__(self) -> str:
        """Without the query of the address, which may hold a key."""
        return f"ProviderConfig({self.key!r}, {self.type!r}, {self.base_url.partition('?')[0]!r})"
