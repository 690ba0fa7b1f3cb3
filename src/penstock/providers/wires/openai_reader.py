"""Reading chat completions, streamed or whole, from OpenAI and everything that resembles it.

The tolerances are those of `spec/providers.md` 10.4; each stands where it is needed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.errors import UpstreamError
from penstock.kit.sse import SseEvent, SseReader, SseTooLarge
from penstock.providers.base import (
    Delta,
    Finish,
    FinishReason,
    Quirks,
    ReasoningDelta,
    Source,
    TextDelta,
    Tool,
    ToolDelta,
    Usage,
    Warning_,
)
from penstock.providers.failures import broken_finish, from_event, shape_mismatch, truncated
from penstock.providers.json_text import NotJson, lenient_json, well_formed
from penstock.providers.transport.base import MAX_BODY_BYTES
from penstock.providers.wires.openai_thinking import ThinkSplitter
from penstock.providers.wires.openai_tools import ToolCalls
from penstock.providers.wires.openai_usage import estimated, mismatched, reported_usage, usage_of

DONE = b"[DONE]"

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


def is_json_body(data: bytes, content_type: str) -> bool | None:
    """Whether an answer is one JSON document and no event stream; None while only white space has come.

    The first sign decides: servers stream under `application/json`, and answer with a document under
    `text/event-stream`. Raises ShapeMismatch for a page.
    """
    start = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if not start:
        return None
    if start == b"<" or "text/html" in content_type:
        raise shape_mismatch("an HTML page", data)
    return start in (b"{", b"[")


def stray_failure(event: SseEvent) -> UpstreamError | None:
    """What lines outside of any field mean: a bare JSON error, a page of a proxy, or nothing."""
    stray = (event.stray or b"").strip()
    if stray[:1] == b"<":
        return shape_mismatch("an HTML page in the middle of a stream", stray)
    if stray[:1] not in (b"{", b"["):
        return None
    try:
        failure = from_event(lenient_json(stray))
    except NotJson:
        failure = None
    return failure or shape_mismatch("JSON that is no event", stray)


def unreadable(event: SseEvent, *, last: bool) -> UpstreamError:
    """What data that is not JSON means. `last`: the body ended inside this event."""
    data = event.data or b""
    if event.name == b"error":
        return from_event(well_formed(data.decode("utf-8", "replace")), name=b"error") or shape_mismatch(
            "an error", data
        )
    return truncated(empty=False) if last else shape_mismatch("an event that is not JSON", data)


def too_deep() -> UpstreamError:
    """For JSON that could just be decoded, but is too deep to be written again."""
    return shape_mismatch("JSON that is nested too deeply")


class ChatReader:
    """A `Reader` of neutral deltas. Usage and finish come last, at the terminator or the end of the body."""

    def __init__(
        self, *, content_type: str = "", quirks: Quirks | None = None, tools: Sequence[Tool] = (), sent_bytes: int = 0
    ) -> None:
        self.begun = False
        self.complete = False
        self.terminated = False
        self.usage: Usage | None = None
        self.finish: FinishReason | None = None
        self.failure: UpstreamError | None = None
        self._content_type = content_type.lower()
        self._quirks = quirks or Quirks()
        self._sent_bytes = sent_bytes
        self._received_chars = 0
        self._events = SseReader()
        self._document: bytearray | None = None
        self._sniffed = False
        self._raw_finish: str | None = None
        self._refused = False
        self._reported: Any = None
        self._thinking: ThinkSplitter | None = ThinkSplitter()
        self._tools = ToolCalls(tools)
        self._sources: set[str] = set()

    def feed(self, data: bytes) -> Sequence[Delta]:
        if self.failure is not None:
            raise self.failure
        if self.terminated:
            return ()
        deltas: list[Delta] = []
        try:
            self._feed(data, deltas)
        except UpstreamError as error:
            self._fail(error, deltas)
        except RecursionError:
            self._fail(too_deep(), deltas)
        return deltas

    def end(self) -> Sequence[Delta]:
        if self.failure is not None:
            raise self.failure
        if self.terminated:
            return ()
        deltas: list[Delta] = []
        try:
            if self._document is not None:
                self._read_document(bytes(self._document), deltas)
            else:
                for event in self._events.end():
                    self._read_event(event, deltas, last=True)
            if not self.terminated:
                self._close(deltas)
        except UpstreamError as error:
            # There is no later call to raise in: what came in the last bytes is given up for the error.
            self._fail(error, [])
        except RecursionError:
            self._fail(too_deep(), [])
        return deltas

    def estimate(self) -> Usage:
        """Tokens so far, for a call that is given up before its usage came."""
        return self.usage or estimated(self._sent_bytes, self._received_chars)

    def _fail(self, error: UpstreamError, deltas: list[Delta]) -> None:
        self.failure = error
        if not deltas:
            raise error

    def _feed(self, data: bytes, deltas: list[Delta]) -> None:
        if not self._sniffed:
            is_json = is_json_body(data, self._content_type)
            if is_json is None:
                return
            self._sniffed = True
            if is_json:
                self._document = bytearray()
        if self._document is not None:
            self._document += data
            if len(self._document) > MAX_BODY_BYTES:
                raise shape_mismatch("more than 64 MiB")
            return
        try:
            events = self._events.feed(data)
        except SseTooLarge as error:
            raise shape_mismatch("an event of more than 16 MiB") from error
        for event in events:
            self._read_event(event, deltas, last=False)
            if self.terminated:
                return

    def _read_event(self, event: SseEvent, deltas: list[Delta], *, last: bool) -> None:
        if event.stray is not None and (failure := stray_failure(event)) is not None:
            raise failure
        data = event.data.strip() if event.data else b""
        if not data:
            return
        if data == DONE:
            self.terminated = True
            self._close(deltas)
            return
        try:
            chunk = lenient_json(data)
        except NotJson as error:
            raise unreadable(event, last=last) from error
        self._read_chunk(chunk, event.name, deltas)

    def _read_document(self, body: bytes, deltas: list[Delta]) -> None:
        try:
            answer = lenient_json(body.strip())
        except NotJson as error:
            raise shape_mismatch("a document that is not JSON", body) from error
        self._read_chunk(answer, None, deltas)
        if isinstance(answer, dict) and self._raw_finish is None and self.begun:
            self._raw_finish = "stop"

    def _read_chunk(self, chunk: Any, name: bytes | None, deltas: list[Delta]) -> None:
        failure = from_event(chunk, name=name)
        if failure is not None:
            self._read_choices(chunk, deltas)
            raise failure
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
            self._raw_finish = finish
            self.finish = self._neutral_finish()
            self.complete = True

    def _read_delta(self, delta: Mapping[str, Any], deltas: list[Delta]) -> None:
        # Newer servers send both names with the same text.
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(reasoning, str) and reasoning:
            self._thinking = None
            self._reasoning(reasoning, deltas)
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
            self._give_tools(self._tools.feed(calls), deltas)
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

    def _read_citations(self, found: Any, deltas: list[Delta]) -> None:
        for one in found if isinstance(found, list) else ():
            entry = one.get("url_citation", one) if isinstance(one, dict) else {"url": one}
            if not isinstance(entry, dict) or not isinstance(url := entry.get("url"), str) or url in self._sources:
                continue
            self._sources.add(url)
            title = entry.get("title")
            deltas.append(Source(url, title if isinstance(title, str) else None))

    def _text(self, text: str, deltas: list[Delta]) -> None:
        if not text:
            return
        self._received_chars += len(text)
        if self._thinking is not None:
            reasoning, text = self._thinking.feed(text)
            self._give(ReasoningDelta(reasoning) if reasoning else None, deltas)
        self._give(TextDelta(text) if text else None, deltas)

    def _reasoning(self, text: str, deltas: list[Delta]) -> None:
        self._received_chars += len(text)
        self._give(ReasoningDelta(text) if text else None, deltas)

    def _give(self, delta: Delta | None, deltas: list[Delta]) -> None:
        if delta is not None:
            self.begun = True
            deltas.append(delta)

    def _give_tools(self, calls: Sequence[ToolDelta], deltas: list[Delta]) -> None:
        for call in calls:
            self._received_chars += len(call.arguments) + len(call.name or "")
            self._give(call, deltas)

    def _neutral_finish(self) -> FinishReason:
        reason = neutral_finish(self._raw_finish or "stop")
        if self._refused:
            return "content_filter"
        return "tool_calls" if reason == "stop" and self._tools else reason

    def _close(self, deltas: list[Delta]) -> None:
        """The stream is over: give what was held back, then usage and finish. Raises Truncated."""
        if self._thinking is not None:
            reasoning, text = self._thinking.end()
            self._give(ReasoningDelta(reasoning) if reasoning else None, deltas)
            self._give(TextDelta(text) if text else None, deltas)
        if self._raw_finish is None:
            has_content = self.begun or bool(self._tools)
            if not (self.terminated and self._quirks.ends_without_finish and has_content):
                raise truncated(empty=not has_content)
        self._give_tools(self._tools.end(cut_short=neutral_finish(self._raw_finish or "") == "length"), deltas)
        deltas.extend(self._tools.warnings)
        if self.usage is None:
            self.usage = estimated(self._sent_bytes, self._received_chars)
        elif mismatched(self.usage, self._reported):
            deltas.append(Warning_("USAGE_MISMATCH", "The provider's token counts do not add up to its total."))
        self.finish = self._neutral_finish()
        self.complete = self.terminated = True
        deltas.append(self.usage)
        deltas.append(Finish(self.finish, self._raw_finish))
