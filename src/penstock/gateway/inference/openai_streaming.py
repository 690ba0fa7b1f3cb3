"""An answer in no provider's format, written as the chunks of a stream for an OpenAI client."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, cast

from penstock.gateway.inference.openai_answer import NeutralReader, Translated, log_warning
from penstock.gateway.inference.openai_chunks import DONE_FRAME, Envelope, annotations
from penstock.gateway.inference.openai_thoughts import Thoughts
from penstock.kit.ids import random_text
from penstock.providers.base import (
    Delta,
    Finish,
    OpaqueDelta,
    ReasoningDelta,
    Source,
    TextDelta,
    ToolDelta,
    Usage,
    Warning_,
)
from penstock.providers.json_text import encode_json

_NULL = b"null"


class TranslatedStream(Translated):
    """A `Reader` that returns frames for the client.

    Nothing is returned before the answer has begun. What one read brought goes out as few frames: texts that follow
    each other are one. With `is_alone` false the answer is one choice among several, and whoever puts them together
    writes usage and terminator.
    """

    def __init__(
        self,
        inner: NeutralReader,
        envelope: Envelope,
        thoughts: Thoughts,
        *,
        keep_usage: bool,
        shows_reasoning: bool = True,
        is_legacy: bool = False,
        index: int = 0,
        is_alone: bool = True,
    ) -> None:
        super().__init__(inner, thoughts, shows_reasoning=shows_reasoning, is_legacy=is_legacy)
        self._envelope = envelope
        self._keep_usage = keep_usage
        self._is_alone = is_alone
        self._before, self._between, self._after = envelope.around(index, keep_usage=keep_usage)
        self._tail = self._between + _NULL + self._after
        self._held: list[bytes] = [self._frame({"role": "assistant", "content": ""})]
        self._is_open = False

    def feed(self, data: bytes) -> bytes:
        deltas = self._fed(data)
        if self._is_open and len(deltas) == 1 and type(delta := deltas[0]) is TextDelta:
            self._has_text = True
            return self._before + encode_json({"content": delta.text}) + self._tail
        return self._release(self._frames(deltas))

    def end(self) -> bytes:
        """What is left, and the terminator. Raises Truncated unless the answer is complete."""
        frames = self._frames(self._ended())
        self._check_end()
        if self._is_alone:
            frames.append(DONE_FRAME)
        return self._release(frames)

    def _release(self, frames: list[bytes]) -> bytes:
        if self._is_open:
            return b"".join(frames)
        self._held += frames
        if not self.begun:
            return b""
        self._is_open = True
        held, self._held = self._held, []
        return b"".join(held)

    def _frames(self, deltas: Iterable[Delta]) -> list[bytes]:
        frames: list[bytes] = []
        for kind, group in groupby(deltas, type):
            if kind is TextDelta:
                self._has_text = True
                frames.append(self._frame({"content": _joined(group)}))
            elif kind is ReasoningDelta:
                if self._shows_reasoning:
                    frames.append(self._frame({"reasoning_content": _joined(group)}))
            elif kind is ToolDelta:
                frames.extend(self._tool_frames(cast(Iterable[ToolDelta], group)))
            else:
                for delta in group:
                    self._other(delta, frames)
        return frames

    def _other(self, delta: Delta, frames: list[bytes]) -> None:
        match delta:
            case OpaqueDelta():
                detail = self._thoughts.packed(delta.opaque, self._packed)
                self._packed += 1
                frames.append(self._frame({"reasoning_details": [detail]}))
            case Source():
                self._sources.append(delta)
            case Warning_():
                log_warning(delta)
            case Usage():
                self.usage = delta
            case Finish():
                frames.extend(self._last_frames(delta))

    def _tool_frames(self, deltas: Iterable[ToolDelta]) -> Iterable[bytes]:
        """One call to a frame: not every client looks behind the first."""
        for delta in _merged(deltas):
            if not self._is_legacy:
                yield self._frame({"tool_calls": [_tool_piece(delta)]})
            elif delta.index == 0:
                named = {} if delta.name is None else {"name": delta.name}
                yield self._frame({"function_call": named | {"arguments": delta.arguments}})

    def _last_frames(self, finish: Finish) -> Iterable[bytes]:
        self._end, self.finish = finish, finish.reason
        delta: dict[str, Any] = {}
        if self._sources:
            delta["annotations"] = annotations(self._sources)
        if refusal := self._refusal(finish):
            delta["refusal"] = refusal
        reason = encode_json(self._finish_reason(finish))
        yield self._before + encode_json(delta) + self._between + reason + self._after
        if self._keep_usage and self._is_alone:
            yield self._envelope.usage_frame(self.usage or self.estimate())

    def _frame(self, delta: Mapping[str, Any]) -> bytes:
        return self._before + encode_json(delta) + self._tail


def _joined(deltas: Iterable[Delta]) -> str:
    return "".join([cast(TextDelta | ReasoningDelta, delta).text for delta in deltas])


def _merged(deltas: Iterable[ToolDelta]) -> Iterable[ToolDelta]:
    """Pieces of one call that follow each other, as one piece."""
    last: ToolDelta | None = None
    for delta in deltas:
        if last is not None and delta.index == last.index and delta.name is None:
            last = ToolDelta(last.index, last.arguments + delta.arguments, last.id, last.name)
            continue
        if last is not None:
            yield last
        last = delta
    if last is not None:
        yield last


def _tool_piece(delta: ToolDelta) -> dict[str, Any]:
    if delta.name is None:
        return {"index": delta.index, "function": {"arguments": delta.arguments}}
    return {
        "index": delta.index,
        "id": delta.id or f"call_{random_text(24)}",
        "type": "function",
        "function": {"name": delta.name, "arguments": delta.arguments},
    }
