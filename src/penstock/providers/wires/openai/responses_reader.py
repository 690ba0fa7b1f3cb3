"""Reading what `POST /responses` answers, streamed or whole. Events are known by `type`, not by their name."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from penstock.errors import UpstreamError
from penstock.kit.sse import SseEvent
from penstock.providers.base import Delta, FinishReason, Opaque, OpaqueDelta, Warning_
from penstock.providers.failures import broken_finish, from_event, shape_mismatch, truncated
from penstock.providers.json_text import NotJson, lenient_json
from penstock.providers.wires.bodies import unreadable
from penstock.providers.wires.openai.refusals import filter_words, noted, told_by_code
from penstock.providers.wires.openai.responses_items import WIRE_NAME
from penstock.providers.wires.openai.stream import AnswerReader
from penstock.providers.wires.openai.usage import mismatched, responses_usage_of

_CUT_SHORT: Mapping[str, FinishReason] = {"max_output_tokens": "length", "content_filter": "content_filter"}


class _DeltaEvent(msgspec.Struct, gc=False):
    """A piece of text, reasoning or arguments: nearly every event. What does not decode as this takes the long way."""

    type: Literal[
        "response.output_text.delta",
        "response.refusal.delta",
        "response.reasoning_summary_text.delta",
        "response.reasoning_text.delta",
        "response.function_call_arguments.delta",
    ]
    delta: str
    output_index: int | None = None
    content_index: int | None = None
    item_id: str | None = None
    error: None = None


_delta_of = msgspec.json.Decoder(_DeltaEvent).decode

_TEXT = b"event: response.output_text.delta\ndata: {"
_BLANK_LINE = b"\n\n"


class ResponsesReader(AnswerReader):
    """A `Reader` of neutral deltas. Without `response.completed` or `.incomplete` an answer was cut off."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._refused = False
        self._shown: dict[tuple[int, int], int] = {}
        """Characters of each content part that have been given."""
        self._argued: dict[int, int] = {}
        """Characters of arguments that have been given, for each call that has been begun."""
        self._thought: set[int] = set()
        self._indexes: dict[str, int] = {}
        self._last_index = 0
        self._has_items = False
        self._keeps = False
        """From here on the order of the items is kept."""

    def _feed(self, data: bytes, deltas: list[Delta]) -> None:
        # Whole events with pieces of text, usually one, are what nearly every read of a stream brings.
        if data[-2:] == _BLANK_LINE and self._events.is_between and (found := _plain_texts(data)) is not None:
            for one in found:
                self._read_delta(one, deltas)
                self._end_at_stop(deltas)
                if self.terminated:
                    return
        else:
            super()._feed(data, deltas)

    def _read_delta(self, found: _DeltaEvent, deltas: list[Delta]) -> None:
        index = found.output_index if found.output_index is not None else self._index_of(found.item_id)
        self._read_piece(found.type, found.delta, index, found.content_index or 0, deltas)

    def _read_data(self, data: bytes, event: SseEvent, deltas: list[Delta], *, last: bool) -> None:
        if event.name != b"error":
            try:
                found = _delta_of(data)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass
            else:
                self._read_delta(found, deltas)
                return
        try:
            payload = lenient_json(data)
        except NotJson as error:
            raise unreadable(event, last=last) from error
        if (failure := from_event(payload, name=event.name)) is not None:
            raise noted(told_by_code(failure))
        if not isinstance(payload, dict):
            raise shape_mismatch("an event that is no object", data)
        self._read_payload(payload, deltas)

    def _read_payload(self, payload: Mapping[str, Any], deltas: list[Delta]) -> None:
        kind = payload.get("type")
        if not isinstance(kind, str):
            return
        index = self._index_in(payload)
        item = payload.get("item")
        match kind.removeprefix("response."):
            case "output_item.added" if isinstance(item, dict):
                self._begin_item(index, item, deltas)
            case "output_item.done" if isinstance(item, dict):
                self._end_item(index, item, deltas)
            case "output_text.done":
                self._complete_text(index, _number(payload, "content_index"), payload.get("text"), deltas)
            case "refusal.done":
                self._complete_refusal(index, _number(payload, "content_index"), payload.get("refusal"), deltas)
            case "output_text.annotation.added":
                self._annotate([payload.get("annotation")], deltas)
            case "reasoning_summary_part.added" if self._thought:
                self._reasoning("\n\n", deltas)
            case "function_call_arguments.done":
                self._complete_arguments(index, payload.get("arguments"), deltas)
            case "completed" | "incomplete" | "failed" | "cancelled" as status:
                response = payload.get("response")
                self._read_response(response if isinstance(response, dict) else {}, status, deltas)
            case _ if isinstance(piece := payload.get("delta"), str):
                # A delta with fields of other types than usual.
                self._read_piece(kind, piece, index, _number(payload, "content_index"), deltas)

    def _read_answer(self, answer: Any, deltas: list[Delta]) -> None:
        if (failure := from_event(answer)) is not None:
            raise noted(told_by_code(failure))
        if not isinstance(answer, dict) or not isinstance(answer.get("output"), list):
            raise shape_mismatch("a document without output")
        status = answer.get("status")
        if status in ("queued", "in_progress"):
            raise truncated(empty=True)
        self._read_response(answer, status if isinstance(status, str) else "completed", deltas)

    def _read_piece(self, kind: str, piece: str, index: int, part: int, deltas: list[Delta]) -> None:
        match kind:
            case "response.output_text.delta":
                self._show(index, part, piece, deltas)
            case "response.refusal.delta":
                self._refused = True
                self._show(index, part, piece, deltas)
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                self._thought.add(index)
                self._reasoning(piece, deltas)
            case "response.function_call_arguments.delta":
                self._argued[index] = self._argued.get(index, 0) + len(piece)
                self._read_tools([{"index": index, "function": {"arguments": piece}}], deltas)

    # --- items

    def _begin_item(self, index: int, item: Mapping[str, Any], deltas: list[Delta]) -> None:
        self._last_index = index
        if isinstance(item.get("id"), str):
            self._indexes[item["id"]] = index
        if item.get("type") == "function_call" and index not in self._argued:
            self._argued[index] = 0
            function = {"name": item.get("name")}
            self._read_tools([{"index": index, "id": item.get("call_id"), "function": function}], deltas)

    def _end_item(self, index: int, item: Mapping[str, Any], deltas: list[Delta]) -> None:
        self._has_items = True
        match item.get("type"):
            case "reasoning":
                self._end_reasoning(index, item, deltas)
                return
            case "message":
                self._end_message(index, item, deltas)
            case "function_call":
                self._begin_item(index, item, deltas)
                self._complete_arguments(index, item.get("arguments"), deltas)
                self._keep({"type": "function_call", "call_id": item.get("call_id")}, deltas)
            case str() as kind:
                self._keep({"type": kind}, deltas)

    def _end_reasoning(self, index: int, item: Mapping[str, Any], deltas: list[Delta]) -> None:
        if index not in self._thought:
            for part in (*_parts(item, "summary"), *_parts(item, "content")):
                if isinstance(text := part.get("text"), str):
                    self._reasoning("\n\n" + text if self._thought else text, deltas)
                    self._thought.add(index)
        if item.get("encrypted_content"):
            # Without it the provider could not look the item up: nothing is stored there.
            self._keeps = True
            self._keep(item, deltas)

    def _end_message(self, index: int, item: Mapping[str, Any], deltas: list[Delta]) -> None:
        for position, part in enumerate(_parts(item, "content")):
            self._complete_text(index, position, part.get("text"), deltas)
            self._complete_refusal(index, position, part.get("refusal"), deltas)
            self._annotate(_parts(part, "annotations"), deltas)
        chars = sum(count for (place, _), count in self._shown.items() if place == index)
        block: dict[str, Any] = {"type": "message", "chars": chars}
        if isinstance(phase := item.get("phase"), str):
            self._keeps = True
            block["phase"] = phase
        self._keep(block, deltas)

    def _keep(self, block: Mapping[str, Any], deltas: list[Delta]) -> None:
        """Remember an item, or its place among the others."""
        if self._keeps:
            deltas.append(OpaqueDelta(Opaque(WIRE_NAME, self._model, block)))

    # --- content

    def _show(self, index: int, part: int, text: str, deltas: list[Delta]) -> None:
        key = (index, part)
        self._shown[key] = self._shown.get(key, 0) + len(text)
        self._text(text, deltas)

    def _complete_text(self, index: int, part: int, text: Any, deltas: list[Delta]) -> None:
        """Give what the deltas have left out, all of it where there were none."""
        if isinstance(text, str) and (tail := text[self._shown.get((index, part), 0) :]):
            self._show(index, part, tail, deltas)

    def _complete_refusal(self, index: int, part: int, text: Any, deltas: list[Delta]) -> None:
        if isinstance(text, str) and text:
            self._refused = True
            self._complete_text(index, part, text, deltas)

    def _complete_arguments(self, index: int, arguments: Any, deltas: list[Delta]) -> None:
        if isinstance(arguments, str) and (tail := arguments[self._argued.get(index, 0) :]):
            self._argued[index] = len(arguments)
            self._read_tools([{"index": index, "function": {"arguments": tail}}], deltas)

    def _annotate(self, annotations: list[Any], deltas: list[Delta]) -> None:
        for one in annotations:
            if isinstance(one, dict) and one.get("type") == "url_citation":
                self._source(one.get("url"), one.get("title"), deltas)

    # --- the end

    def _read_response(self, response: Mapping[str, Any], status: str, deltas: list[Delta]) -> None:
        usage = responses_usage_of(reported := response.get("usage"))
        if usage is not None:
            self.usage = usage
            if mismatched(usage, reported):
                self._warnings.append(
                    Warning_("USAGE_MISMATCH", "The provider's token counts do not add up to its total.")
                )
        if status in ("failed", "cancelled"):
            raise _broken(response)
        if not (self.begun or self._has_items):
            for index, item in enumerate(_parts(response, "output")):
                self._end_item(index, item, deltas)
        details = response.get("incomplete_details")
        why = details.get("reason") if isinstance(details, dict) else None
        raw = why if isinstance(why, str) and status == "incomplete" else status
        detail = filter_words(_parts(response, "content_filters"))
        is_filtered = self._refused or detail is not None
        self._finish("content_filter" if is_filtered else _CUT_SHORT.get(raw, "stop"), raw, deltas, detail)

    def close(self, deltas: list[Delta]) -> None:
        raise truncated(empty=not self.begun and not self._tools)

    def _index_in(self, payload: Mapping[str, Any]) -> int:
        index = payload.get("output_index")
        return index if isinstance(index, int) else self._index_of(payload.get("item_id"))

    def _index_of(self, item_id: Any) -> int:
        return self._indexes.get(item_id, self._last_index) if isinstance(item_id, str) else self._last_index


def _plain_texts(data: bytes) -> list[_DeltaEvent] | None:
    """The events in `data` when all are pieces of text, framed as OpenAI frames them."""
    found = []
    for block in data[:-2].split(_BLANK_LINE):
        if block[: len(_TEXT)] != _TEXT or block.count(b"\n") != 1 or b"\r" in block:
            return None
        try:
            found.append(_delta_of(block[len(_TEXT) - 1 :]))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
    return found


def _broken(response: Mapping[str, Any]) -> UpstreamError:
    error = response.get("error")
    failure = from_event({"error": error}) if error else broken_finish("error")
    return noted(told_by_code(failure)) if failure is not None else truncated(empty=False)


def _parts(holder: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = holder.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _number(payload: Mapping[str, Any], name: str) -> int:
    value = payload.get(name)
    return value if isinstance(value, int) else 0
