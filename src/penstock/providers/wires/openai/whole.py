"""A whole answer between an OpenAI client and an OpenAI-like upstream: byte for byte, once it is known to be one."""

from typing import Any, Literal

import msgspec

from penstock.errors import UpstreamError
from penstock.providers.base import FinishReason, Usage
from penstock.providers.failures import from_event, shape_mismatch, truncated
from penstock.providers.json_text import NotJson, lenient_json
from penstock.providers.transport.base import MAX_BODY_BYTES
from penstock.providers.wires.bodies import too_deep
from penstock.providers.wires.estimates import estimated
from penstock.providers.wires.openai.reader import neutral_finish
from penstock.providers.wires.openai.usage import PlainUsage, reported_usage, usage_of, visible_chars

_ORDINARY_ENDS = frozenset({"stop", "length", "tool_calls", "content_filter"})


class _WholeChoice(msgspec.Struct, gc=False):
    message: msgspec.Raw
    finish_reason: str | None = None


class _Whole(msgspec.Struct, gc=False):
    """An answer in which nothing is odd: nearly every one."""

    choices: list[_WholeChoice]
    usage: PlainUsage
    error: None = None
    object: Literal["chat.completion"] | None = None
    type: None = None


_whole_of = msgspec.json.Decoder(_Whole).decode


class RelayWhole:
    """A `Reader` that returns the whole body at the end, byte for byte, once it is known to be an answer."""

    def __init__(self, *, content_type: str = "", sent_bytes: int = 0) -> None:
        self.begun = False
        self.complete = False
        self.terminated = False
        self.usage: Usage | None = None
        self.finish: FinishReason | None = None
        self.failure: UpstreamError | None = None
        self._content_type = content_type.lower()
        self._sent_bytes = sent_bytes
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        if self.failure is not None:
            raise self.failure
        self._size += len(data)
        if self._size > MAX_BODY_BYTES:
            self._pieces.clear()
            self.failure = shape_mismatch("more than 64 MiB")
            raise self.failure
        self._pieces.append(data)
        return b""

    def end(self) -> bytes:
        if self.failure is not None:
            raise self.failure
        try:
            body = self._checked(b"".join(self._pieces))
        except UpstreamError as error:
            self.failure = error
            raise
        except RecursionError as error:
            self.failure = too_deep()
            raise self.failure from error
        self.begun = self.complete = self.terminated = True
        return body

    def estimate(self) -> Usage:
        """Tokens of a call that is given up: what was sent is known, what would have come is not."""
        return self.usage or estimated(self._sent_bytes, 0)

    def _checked(self, body: bytes) -> bytes:
        return body if self._is_plain(body) else self._checked_with_care(body)

    def _is_plain(self, body: bytes) -> bool:
        try:
            answer = _whole_of(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        usage = answer.usage.neutral()
        if usage is None or not answer.choices:
            return False
        for choice in answer.choices:
            if choice.finish_reason not in _ORDINARY_ENDS:
                return False
        self.usage = usage
        self.finish = neutral_finish(str(answer.choices[0].finish_reason))
        return True

    def _checked_with_care(self, body: bytes) -> bytes:
        # Some servers keep the connection alive with blank lines before the document.
        document = body.strip()
        if not document:
            raise truncated(empty=True)
        try:
            answer = lenient_json(document)
        except NotJson as error:
            raise self._unreadable(document) from error
        if (failure := from_event(answer)) is not None:
            raise failure
        if not isinstance(answer, dict) or not isinstance(answer.get("choices"), list):
            raise shape_mismatch("a document without choices", document)
        if not any(isinstance(choice, dict) and choice for choice in answer["choices"]):
            raise truncated(empty=True)
        visible = self._look(answer["choices"])
        self.usage = usage_of(reported_usage(answer)) or estimated(self._sent_bytes, visible)
        return body

    def _look(self, choices: list[Any]) -> int:
        visible = 0
        for choice in choices:
            if not isinstance(choice, dict):
                continue
            message = choice.get("message")
            visible += visible_chars(message) if isinstance(message, dict) else 0
            reason = choice.get("finish_reason")
            self.finish = self.finish or neutral_finish(reason if isinstance(reason, str) else "stop")
        return visible

    def _unreadable(self, document: bytes) -> UpstreamError:
        if document[:1] == b"<" or "text/html" in self._content_type:
            return shape_mismatch("an HTML page", document)
        return shape_mismatch("a document that is not JSON", document)
