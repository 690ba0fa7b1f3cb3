"""A chat request on its way to an upstream of the same wire: every field keeps its bytes, but for the model.

What a vendor is known to call otherwise, or a model has refused by name, is put right on the way.
"""

from collections.abc import Container
from typing import Any

import msgspec

from penstock.errors import InvalidRequest
from penstock.providers.base import Quirks
from penstock.providers.json_text import repair_escapes

PATH = "/chat/completions"


class ChatRequest:
    """A client's request. Every field but `model` and `stream_options` keeps its bytes, unknown ones too."""

    __slots__ = ("_fields", "_options", "body", "model", "stream", "wants_usage")

    def __init__(
        self, body: bytes, fields: dict[str, msgspec.Raw], model: str, stream: bool, options: dict[str, Any]
    ) -> None:
        self.body = body
        """As it came, but for halves of surrogate pairs: for formats that have other fields."""
        self._fields = fields
        self.model = model
        self.stream = stream
        self._options = options
        self.wants_usage = options.get("include_usage") is True
        """The client asked for the usage chunk of a stream."""

    @property
    def has_tools(self) -> bool:
        return "tools" in self._fields or "functions" in self._fields

    @property
    def choices(self) -> int:
        """How many answers are asked for; 1 also for what the provider will refuse."""
        raw = bytes(self._fields.get("n", b"1"))
        return int(raw) if raw.isdigit() and len(raw) < 4 else 1

    @property
    def may_have_files(self) -> bool:
        """Parts other than text are perhaps among the messages; False is sure."""
        body = self.body
        return b'"image_url"' in body or b'"file"' in body or b'"input_audio"' in body

    def beyond(self, known: Container[str]) -> dict[str, msgspec.Raw]:
        """The fields that only this vendor may know: none that is `known`, and none of OpenAI's own."""
        return {name: raw for name, raw in self._fields.items() if name not in known and name not in _OPENAI_ONLY}

    def left_out(self, quirks: Quirks) -> list[str]:
        """The client's fields that this model is known to refuse, and that are therefore not sent."""
        return [name for name in quirks.dropped - _NEVER_LEFT_OUT if name in self._fields] if quirks.dropped else []

    def encode(self, upstream_model: str, quirks: Quirks) -> bytes:
        """The body for the provider. The counts of a stream are asked for where they have to be."""
        fields = self._fields.copy()
        # Last: servers that ignore case take the last of `model` and `MODEL`, and the caller may use this one only.
        del fields["model"]
        fields["model"] = msgspec.Raw(_encode(upstream_model))
        if not quirks.stream_options and self._options.keys() <= _OUR_OPTIONS:
            fields.pop("stream_options", None)
        elif self.stream and not self.wants_usage:
            # Options of the client's own stay, whatever is refused: otherwise one that the provider does not know would
            # look like the whole field, and cost all callers of the model their token counts.
            fields["stream_options"] = msgspec.Raw(_encode(self._options | {"include_usage": True}))
        for name in quirks.dropped:
            if name not in _NEVER_LEFT_OUT:
                fields.pop(name, None)
        _rename_limit(fields, quirks.max_tokens_field)
        return _encode(fields)


def _rename_limit(fields: dict[str, msgspec.Raw], limit: str) -> None:
    """Two names of one thing; each is refused somewhere, and both at once everywhere: then the newer one counts."""
    other = _OTHER_LIMIT[limit]
    if other not in fields:
        return
    value = fields.pop(other)
    if limit not in fields or bytes(fields[limit]) == _NULL or (limit == "max_tokens" and bytes(value) != _NULL):
        fields[limit] = value


_OPENAI_ONLY = frozenset(
    {
        "model",
        "stream",
        "stream_options",
        "store",
        "metadata",
        "service_tier",
        "logit_bias",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_retention",
        "verbosity",
        "web_search_options",
    }
)
_OUR_OPTIONS = frozenset({"include_usage"})
# A client that asked for JSON would be given prose.
_NEVER_LEFT_OUT = frozenset({"response_format"})
_OTHER_LIMIT = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_encode = msgspec.json.Encoder().encode
_fields_of = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_text_of = msgspec.json.Decoder(str).decode
_object_of = msgspec.json.Decoder(dict[str, Any]).decode
_NULL = b"null"


def read_request(body: bytes) -> ChatRequest:
    """Read the body of `POST /chat/completions` as far as the relay needs it. Raises InvalidRequest."""
    if b"\\ud" in body or b"\\uD" in body:
        body = repair_escapes(body)
    try:
        fields = _fields_of(body)
        if not body.isascii():
            body.decode()  # the decoder looks at the keys only; a provider would refuse the rest
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable_body(body, error) from error
    model = fields.get("model")
    if model is None:
        raise InvalidRequest("`model` is missing.", action="Name the model to be used.", param="model")
    stream = _flag(fields, "stream")
    _check_messages(fields.get("messages"))
    return ChatRequest(body, fields, _model_name(model), stream, _options_in(fields.get("stream_options")))


def _model_name(raw: msgspec.Raw) -> str:
    try:
        name = _text_of(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest("`model` must be a string.", param="model") from error
    if not name:
        raise InvalidRequest("`model` is empty.", action="Name the model to be used.", param="model")
    return name


def _flag(fields: dict[str, msgspec.Raw], name: str) -> bool:
    raw = fields.get(name)
    if raw is None:
        return False
    value = bytes(raw)
    if value == b"true":
        return True
    if value in (b"false", _NULL):
        return False
    raise InvalidRequest(f"`{name}` must be true or false.", param=name)


def _check_messages(raw: msgspec.Raw | None) -> None:
    if raw is None:
        raise InvalidRequest("`messages` is missing.", param="messages")
    beginning = memoryview(raw)[:64].tobytes()
    if beginning[:1] != b"[":
        raise InvalidRequest("`messages` must be an array.", param="messages")
    if beginning[1:].lstrip()[:1] == b"]":
        raise InvalidRequest("`messages` is empty.", action="Send at least one message.", param="messages")


def _options_in(raw: msgspec.Raw | None) -> dict[str, Any]:
    if raw is None or bytes(raw) == _NULL:
        return {}
    try:
        return _object_of(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest("`stream_options` must be an object.", param="stream_options") from error


def _unreadable_body(body: bytes, error: Exception) -> InvalidRequest:
    if isinstance(error, RecursionError):
        return InvalidRequest("The request body is too deeply nested.")
    if isinstance(error, msgspec.ValidationError):
        return InvalidRequest("The request body must be a JSON object.")
    if isinstance(error, UnicodeDecodeError):
        return InvalidRequest("The request body is not UTF-8.")
    if not body.strip():
        return InvalidRequest("The request body is empty.", action="Send a JSON object.")
    line, column, what = _place_of(body, error)
    return InvalidRequest(
        f"The request body is not valid JSON: line {line}, column {column}: {what}.",
        action="Mind trailing commas, quotes, and that the body is sent whole.",
        data={"line": line, "column": column},
    )


def _place_of(body: bytes, error: Exception) -> tuple[int, int, str]:
    """Line and column, from 1. The fast decoder names a byte, or says that the text ends too early."""
    text, _, place = str(error).partition(" (byte ")
    offset = int(place[:-1]) if place[:-1].isdigit() else len(body)
    before = body[:offset]
    line = before.count(b"\n") + 1
    column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
    what = text.removeprefix("JSON is malformed: ")
    return line, column, "it ends too early" if offset == len(body) else what
