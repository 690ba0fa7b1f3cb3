"""One frame of an answer: a whole response object, of which only the fields that matter are decoded.

A frame whose fields have other types than documented is decoded a second time, with care.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.providers.base import Usage
from penstock.providers.json_text import encode_json


class FunctionCall(msgspec.Struct, gc=False):
    name: str | None = None
    args: msgspec.Raw = msgspec.Raw(b"")
    id: str | None = None


class InlineData(msgspec.Struct, gc=False):
    mimeType: str | None = None  # noqa: N815


class Part(msgspec.Struct, gc=False):
    text: str | None = None
    thought: bool | None = None
    functionCall: FunctionCall | None = None  # noqa: N815
    thoughtSignature: str | None = None  # noqa: N815
    inlineData: InlineData | None = None  # noqa: N815


class Content(msgspec.Struct, gc=False):
    parts: list[Part] | None = None


class Site(msgspec.Struct, gc=False):
    uri: str | None = None
    title: str | None = None


class GroundingChunk(msgspec.Struct, gc=False):
    web: Site | None = None
    retrievedContext: Site | None = None  # noqa: N815
    maps: Site | None = None


class Grounding(msgspec.Struct, gc=False):
    groundingChunks: list[GroundingChunk] | None = None  # noqa: N815


class Candidate(msgspec.Struct, gc=False):
    content: Content | None = None
    finishReason: str | None = None  # noqa: N815
    finishMessage: str | None = None  # noqa: N815
    index: int | None = None
    groundingMetadata: Grounding | None = None  # noqa: N815


class Counts(msgspec.Struct, gc=False):
    """Cumulative: the last ones of a stream are those of the call."""

    promptTokenCount: int | None = None  # noqa: N815
    candidatesTokenCount: int | None = None  # noqa: N815
    thoughtsTokenCount: int | None = None  # noqa: N815
    toolUsePromptTokenCount: int | None = None  # noqa: N815
    cachedContentTokenCount: int | None = None  # noqa: N815
    totalTokenCount: int | None = None  # noqa: N815

    def neutral(self) -> Usage:
        """Thoughts are counted beside the answer, cached input inside the prompt (`spec/providers.md` 2.4)."""
        thoughts = _positive(self.thoughtsTokenCount)
        return Usage(
            input_tokens=_positive(self.promptTokenCount) + _positive(self.toolUsePromptTokenCount),
            output_tokens=_positive(self.candidatesTokenCount) + thoughts,
            cache_read_tokens=_positive(self.cachedContentTokenCount),
            reasoning_tokens=thoughts,
        )

    def is_mismatched(self) -> bool:
        """The provider's total is more than 2 % away from the sum of its parts."""
        total, usage = _positive(self.totalTokenCount), self.neutral()
        return bool(total) and abs(total - usage.input_tokens - usage.output_tokens) > total * 0.02


class Feedback(msgspec.Struct, gc=False):
    blockReason: str | None = None  # noqa: N815
    blockReasonMessage: str | None = None  # noqa: N815


class Frame(msgspec.Struct, gc=False):
    candidates: list[Candidate] | None = None
    usageMetadata: Counts | None = None  # noqa: N815
    promptFeedback: Feedback | None = None  # noqa: N815
    error: msgspec.Raw = msgspec.Raw(b"")


_frame_of = msgspec.json.Decoder(Frame).decode


def plain_frame(data: bytes) -> Frame | None:
    """The frame in `data` when all of it is as documented and no error."""
    try:
        frame = _frame_of(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if bytes(frame.error) not in (b"", b"null") else frame


def careful_frame(payload: Mapping[str, Any]) -> Frame:
    """A frame in which whatever has another type than documented is missing."""
    candidates = payload.get("candidates")
    return Frame(
        candidates=[_candidate(one) for one in _objects(candidates)],
        usageMetadata=_counts(payload.get("usageMetadata")),
        promptFeedback=_feedback(payload.get("promptFeedback")),
    )


def _candidate(one: Mapping[str, Any]) -> Candidate:
    content, grounding = one.get("content"), one.get("groundingMetadata")
    index = one.get("index")
    chunks = grounding.get("groundingChunks") if isinstance(grounding, dict) else None
    return Candidate(
        content=Content([_part(part) for part in _objects(content.get("parts"))])
        if isinstance(content, dict)
        else None,
        finishReason=_text(one.get("finishReason")),
        finishMessage=_text(one.get("finishMessage")),
        index=index if isinstance(index, int) else None,
        groundingMetadata=Grounding([_grounding_chunk(chunk) for chunk in _objects(chunks)]),
    )


def _part(one: Mapping[str, Any]) -> Part:
    call, data = one.get("functionCall"), one.get("inlineData")
    return Part(
        text=_text(one.get("text")),
        thought=one.get("thought") is True,
        functionCall=_call(call) if isinstance(call, dict) else None,
        thoughtSignature=_text(one.get("thoughtSignature")),
        inlineData=InlineData(_text(data.get("mimeType"))) if isinstance(data, dict) else None,
    )


def _call(one: Mapping[str, Any]) -> FunctionCall:
    args = one.get("args")
    raw = encode_json(args) if isinstance(args, dict) else b""
    return FunctionCall(_text(one.get("name")), msgspec.Raw(raw), _text(one.get("id")))


def _grounding_chunk(one: Mapping[str, Any]) -> GroundingChunk:
    sites = (one.get(name) for name in ("web", "retrievedContext", "maps"))
    return GroundingChunk(
        *(Site(_text(site.get("uri")), _text(site.get("title"))) if isinstance(site, dict) else None for site in sites)
    )


def _counts(value: Any) -> Counts | None:
    if not isinstance(value, dict):
        return None
    return Counts(**{name: _number(value.get(name)) for name in Counts.__struct_fields__})


def _feedback(value: Any) -> Feedback | None:
    if not isinstance(value, dict):
        return None
    return Feedback(_text(value.get("blockReason")), _text(value.get("blockReasonMessage")))


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> int | None:
    """A count, also as a float or text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return int(value)
    except (ValueError, OverflowError):
        return None


def _positive(count: int | None) -> int:
    return count if count is not None and count > 0 else 0
