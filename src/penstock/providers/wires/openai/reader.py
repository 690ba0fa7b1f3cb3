"""Reading chat completions, streamed or whole, from OpenAI and everything that resembles it.

The tolerances are those of `spec/providers.md` 10.4; each stands where it is needed.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from penstock.kit.sse import SseEvent
from penstock.providers.base import Delta, FinishReason, Opaque, OpaqueDelta, Quirks, Tool, Warning_
from penstock.providers.failures import broken_finish, from_event, shape_mismatch, truncated
from penstock.providers.json_text import NotJson, lenient_json
from penstock.providers.wires.bodies import unreadable
from penstock.providers.wires.openai.refusals import noted, struck
from penstock.providers.wires.openai.stream import AnswerReader
from penstock.providers.wires.openai.thinking import ThinkSplitter, begins_thinking
from penstock.providers.wires.openai.thoughts import KeptThoughts, text_of_details
from penstock.providers.wires.openai.usage import mismatched, reported_usage, usage_of

_FINISHES: Mapping[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "model_length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "sensitive": "content_filter",
}


def neutral_finish(raw: str) -> FinishReason:
    """An unknown reason is a stop: the answer has ended, that much is sure."""
    return _FINISHES.get(raw, "stop")


class _PlainDelta(msgspec.Struct, gc=False):
    content: str
    reasoning_content: None = None
    reasoning: None = None
    reasoning_details: None = None
    refusal: None = None
    tool_calls: None = None
    function_call: None = None
    annotations: None = None


class _PlainChoice(msgspec.Struct, gc=False):
    delta: _PlainDelta
    index: Literal[0] | None = None
    finish_reason: Literal[""] | None = None
    content_filter_results: dict[str, Any] | None = None


class _PlainChunk(msgspec.Struct, gc=False):
    """A chunk that brings text. One that brings anything else that is read does not decode as this."""

    choices: tuple[_PlainChoice]
    usage: None = None
    error: None = None
    x_groq: None = None
    citations: None = None
    search_results: None = None
    object: Literal["chat.completion.chunk"] | None = None
    type: None = None


_plain_of = msgspec.json.Decoder(_PlainChunk).decode


class ChatReader(AnswerReader):
    """A `Reader` of neutral deltas. Usage and finish come last, at the terminator or the end of the body.

    `stop` are the stop sequences that the model was not sent: the text is cut here.
    """

    def __init__(
        self,
        *,
        model: str = "",
        content_type: str = "",
        quirks: Quirks | None = None,
        tools: Sequence[Tool] = (),
        sent_bytes: int = 0,
        stop: Sequence[str] = (),
    ) -> None:
        super().__init__(
            model=model, content_type=content_type, quirks=quirks, tools=tools, sent_bytes=sent_bytes, stop=stop
        )
        self._raw_finish: str | None = None
        self._refused = False
        self._detail: str | None = None
        self._reported: Any = None
        self._thinking: ThinkSplitter | None = ThinkSplitter(opened=begins_thinking(model))
        self._kept = KeptThoughts(self._quirks.thoughts)

    def _read_data(self, data: bytes, event: SseEvent, deltas: list[Delta], *, last: bool) -> None:
        if event.name is None:
            try:
                choice = _plain_of(data).choices[0]
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass
            else:
                if not choice.content_filter_results or not struck(choice.content_filter_results):
                    self._text(choice.delta.content, deltas)
                    return
        try:
            chunk = lenient_json(data)
        except NotJson as error:
            raise unreadable(event, last=last) from error
        self._read_chunk(chunk, event.name, deltas)

    def _read_answer(self, answer: Any, deltas: list[Delta]) -> None:
        self._read_chunk(answer, None, deltas)
        if isinstance(answer, dict) and self._raw_finish is None and self.begun:
            self._raw_finish = "stop"

    def _read_chunk(self, chunk: Any, name: bytes | None, deltas: list[Delta]) -> None:
        failure = from_event(chunk, name=name)
        if failure is not None:
            self._read_choices(chunk, deltas)
            raise noted(failure)
        if not isinstance(chunk, dict):
            raise shape_mismatch("an event that is no object")
        self._read_choices(chunk, deltas)
        if (usage := usage_of(reported := reported_usage(chunk))) is not None:
            # Counts are cumulative wherever they come more than once.
            self.usage, self._reported = usage, reported
        for field in ("citations", "search_results"):
            self._read_citations(chunk.get(field), deltas)

    def _read_choices(self, chunk: Any, deltas: list[Delta]) -> None:
        choices = chunk.get("choices") if isinstance(chunk, dict) else None
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and choice.get("index") in (0, None):
                self._read_choice(choice, deltas)

    def _read_choice(self, choice: Mapping[str, Any], deltas: list[Delta]) -> None:
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            delta = choice.get("message")
        if isinstance(delta, dict):
            self._read_delta(delta, deltas)
        elif isinstance(text := choice.get("text"), str):
            self._text(text, deltas)
        finish = choice.get("finish_reason")
        if isinstance(finish, str) and finish:
            if (failure := broken_finish(finish)) is not None:
                raise failure
            self._end_with(finish)
        # Azure checks some answers while they are written, and says so late, even after the finish reason.
        if found := struck(choice.get("content_filter_results")):
            self._detail = ", ".join(found)
            self._end_with("content_filter")

    def _end_with(self, reason: str) -> None:
        if self._detail is None or self._raw_finish is None:
            self._raw_finish = reason
        if self._detail is not None:
            self._raw_finish = "content_filter"
        self.finish = self._neutral_finish()
        self.complete = True

    def _read_delta(self, delta: Mapping[str, Any], deltas: list[Delta]) -> None:
        details = delta.get("reasoning_details")
        # Newer servers send both names with the same text; some routers say it in the details only.
        reasoning = delta.get("reasoning_content") or delta.get("reasoning") or text_of_details(details)
        if isinstance(reasoning, str) and reasoning:
            self._thinking = None
            self._reasoning(reasoning, deltas)
            self._kept.add_text(reasoning)
        self._kept.add_details(details)
        content = delta.get("content")
        if isinstance(content, str):
            self._text(content, deltas)
        elif isinstance(content, list):
            self._read_parts(content, deltas)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._refused = True
            self._text(refusal, deltas)
        calls = delta.get("tool_calls")
        if not calls and isinstance(legacy := delta.get("function_call"), dict):
            calls = [{"index": 0, "function": legacy}]
        if calls:
            self._read_tools(calls, deltas)
        self._read_citations(delta.get("annotations"), deltas)

    def _read_parts(self, parts: Sequence[Any], deltas: list[Delta]) -> None:
        """Mistral's content arrays: `text`, `thinking` (itself a list of texts), and references."""
        for part in parts:
            if isinstance(part, str):
                self._text(part, deltas)
            if not isinstance(part, dict):
                continue
            if isinstance(text := part.get("text"), str):
                self._text(text, deltas)
            thinking = part.get("thinking")
            for thought in thinking if isinstance(thinking, list) else (thinking,):
                words = thought.get("text") if isinstance(thought, dict) else thought
                if isinstance(words, str):
                    self._reasoning(words, deltas)
            if thinking is not None:
                self._kept.add_thinking(part)

    def _read_citations(self, found: Any, deltas: list[Delta]) -> None:
        for one in found if isinstance(found, list) else ():
            entry = one.get("url_citation", one) if isinstance(one, dict) else {"url": one}
            if isinstance(entry, dict):
                self._source(entry.get("url"), entry.get("title"), deltas)

    def _text(self, text: str, deltas: list[Delta]) -> None:
        if not text:
            return
        self._received_chars += len(text)
        if self._thinking is not None:
            reasoning, text = self._thinking.feed(text)
            self._give_reasoning(reasoning, deltas)
        self._give_text(text, deltas)

    def _neutral_finish(self) -> FinishReason:
        reason = neutral_finish(self._raw_finish or "stop")
        if self._refused:
            return "content_filter"
        return "tool_calls" if reason == "stop" and self._tools else reason

    def close(self, deltas: list[Delta]) -> None:
        if self._thinking is not None:
            reasoning, text = self._thinking.end()
            self._give_reasoning(reasoning, deltas)
            self._give_text(text, deltas)
        if self._raw_finish is None:
            has_content = self.begun or bool(self._tools)
            if not (self.terminated and self._quirks.ends_without_finish and has_content):
                raise truncated(empty=not has_content)
        if (block := self._kept.block(has_tools=bool(self._tools))) is not None:
            deltas.append(OpaqueDelta(Opaque("openai_chat", self._model, block)))
        if self.usage is not None and mismatched(self.usage, self._reported):
            self._warnings.append(Warning_("USAGE_MISMATCH", "The provider's token counts do not add up to its total."))
        self._finish(self._neutral_finish(), self._raw_finish, deltas, self._detail)
