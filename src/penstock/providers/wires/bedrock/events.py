"""The events of ConverseStream, as far as they are looked at (`spec/providers.md` 9.6)."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from penstock.providers.base import Usage
from penstock.providers.failures import shape_mismatch
from penstock.providers.json_text import NotJson, lenient_json

T = TypeVar("T")


class ToolInput(msgspec.Struct, gc=False):
    input: str = ""


class Reasoning(msgspec.Struct, gc=False):
    """One of the three; base64 for what is redacted."""

    text: str | None = None
    signature: str | None = None
    redactedContent: str | None = None  # noqa: N815


class Piece(msgspec.Struct, gc=False):
    text: str | None = None
    toolUse: ToolInput | None = None  # noqa: N815
    reasoningContent: Reasoning | None = None  # noqa: N815
    citation: Any = None


class BlockDelta(msgspec.Struct, gc=False):
    delta: Piece
    contentBlockIndex: int = 0  # noqa: N815


class ToolStart(msgspec.Struct, gc=False):
    toolUseId: str = ""  # noqa: N815
    name: str = ""


class Start(msgspec.Struct, gc=False):
    toolUse: ToolStart | None = None  # noqa: N815


class BlockStart(msgspec.Struct, gc=False):
    start: Start
    contentBlockIndex: int = 0  # noqa: N815


class BlockStop(msgspec.Struct, gc=False):
    contentBlockIndex: int = 0  # noqa: N815


class MessageStop(msgspec.Struct, gc=False):
    stopReason: str  # noqa: N815


class CacheDetail(msgspec.Struct, gc=False):
    ttl: str = ""
    inputTokens: int = 0  # noqa: N815


class Counts(msgspec.Struct, gc=False):
    inputTokens: int = 0  # noqa: N815
    outputTokens: int = 0  # noqa: N815
    totalTokens: int | None = None  # noqa: N815
    cacheReadInputTokens: int | None = None  # noqa: N815
    cacheWriteInputTokens: int | None = None  # noqa: N815
    cacheDetails: list[CacheDetail] | None = None  # noqa: N815

    def neutral(self) -> Usage:
        """`inputTokens` counts what was in no cache; the sum is what went in (2.4)."""
        read, written = max(self.cacheReadInputTokens or 0, 0), max(self.cacheWriteInputTokens or 0, 0)
        for_an_hour = sum(max(one.inputTokens, 0) for one in self.cacheDetails or () if one.ttl == "1h")
        return Usage(
            input_tokens=max(self.inputTokens, 0) + read + written,
            output_tokens=max(self.outputTokens, 0),
            cache_read_tokens=read,
            cache_write_tokens=written,
            cache_write_1h_tokens=min(for_an_hour, written),
        )

    def is_mismatched(self) -> bool:
        """The provider's total is more than 2 % away from the sum of its parts."""
        total, usage = self.totalTokens or 0, self.neutral()
        return total > 0 and abs(total - usage.input_tokens - usage.output_tokens) > total * 0.02


class Metadata(msgspec.Struct, gc=False):
    usage: Counts | None = None


def decoder(kind: type[T]) -> Callable[[bytes], T]:
    """Decodes a payload as `kind`; one of another shape raises ShapeMismatch. Broken UTF-8 becomes U+FFFD."""
    decode = msgspec.json.Decoder(kind).decode

    def read(payload: bytes) -> T:
        try:
            return decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return convert(object_of(payload), kind)

    return read


def object_of(payload: bytes) -> dict[str, Any]:
    """Raises ShapeMismatch for what is no JSON object."""
    try:
        value = lenient_json(payload)
    except NotJson as error:
        raise shape_mismatch("an event that is not JSON", payload) from error
    if not isinstance(value, dict):
        raise shape_mismatch("an event that is no object", payload)
    return value


def convert(value: Any, kind: type[T]) -> T:
    """Raises ShapeMismatch."""
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise shape_mismatch("an event of another shape than Bedrock's") from error
