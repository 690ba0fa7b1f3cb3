"""The conversation as the Messages format wants it: alternating turns, results first, no orphans.

Rules: `spec/providers.md` 6.3 and 13.2.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec

from penstock.providers.base import Message, Part, Quirks, Text, ToolCall
from penstock.providers.json_text import NotJson, lenient_json
from penstock.providers.wires.anthropic.parts import Block, blocks_of

WIRE_NAME = "anthropic"

_CONTINUE: Block = {"type": "text", "text": "(continue)"}
_NO_RESULT = "No result: the call was cancelled."
_FAILED = "The tool failed."
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_-]")
_THOUGHTS = ("thinking", "redacted_thinking")


class Turn(msgspec.Struct):
    role: str
    content: list[Block]


def system_of(messages: Iterable[Message]) -> list[str]:
    """The system prompts, blank ones left out."""
    texts = (plain(one.content) for one in messages if one.role == "system")
    return [text for text in texts if text.strip()]


def turns_of(
    messages: Iterable[Message], names: Mapping[str, str], model: str, quirks: Quirks, *, prefill: bool
) -> list[Turn]:
    """The turns, beginning with the user's. `prefill`: the assistant may have the last word."""
    turns: list[Turn] = []
    ids = _Ids()
    calls: list[tuple[ToolCall, str]] = []
    spoken = (one for one in messages if one.role != "system")
    for is_assistant, group in groupby(spoken, lambda one: one.role == "assistant"):
        if is_assistant:
            said = list(group)
            calls = [(call, ids.new(call.id)) for one in said for call in one.tool_calls]
            _add(turns, "assistant", _assistant(said, calls, names, model, quirks))
        else:
            _add(turns, "user", _user(list(group), calls, quirks))
            calls = []
    if calls:
        _add(turns, "user", _user([], calls, quirks))
    if not turns or turns[0].role == "assistant":
        turns.insert(0, Turn("user", [_CONTINUE]))
    _end(turns, prefill=prefill)
    return turns


def plain(content: str | Sequence[Part]) -> str:
    """The text of a content, its parts on lines of their own."""
    if isinstance(content, str):
        return content
    return "\n".join(part.text for part in content if isinstance(part, Text))


def thinks_in_tool_loop(turns: Sequence[Turn]) -> bool:
    """False when the conversation stands in a tool loop that did not begin with a thought.

    Models that think on a budget refuse such a one as long as thinking is on.
    """
    first: Turn | None = None
    for turn in reversed(turns):
        if turn.role == "assistant":
            first = turn
        elif any(block["type"] != "tool_result" for block in turn.content):
            break
    return first is None or first.content[0]["type"] in _THOUGHTS


def _add(turns: list[Turn], role: str, blocks: list[Block]) -> None:
    if not blocks:
        return
    if turns and turns[-1].role == role:
        turns[-1].content.extend(blocks)
    else:
        turns.append(Turn(role, blocks))


def _end(turns: list[Turn], *, prefill: bool) -> None:
    last = turns[-1]
    if last.role == "user":
        return
    if prefill:
        block = last.content[-1]
        last.content[-1] = block | {"text": block["text"].rstrip()}
    else:
        turns.append(Turn("user", [_CONTINUE]))


def _assistant(
    said: Sequence[Message],
    calls: Iterable[tuple[ToolCall, str]],
    names: Mapping[str, str],
    model: str,
    quirks: Quirks,
) -> list[Block]:
    """Thoughts first, then words, then calls. A turn of thoughts alone would be refused: it is left out."""
    words = [block for one in said for block in blocks_of(plain(one.content), quirks)]
    used = [
        {"type": "tool_use", "id": call_id, "name": names[call.name], "input": _input(call.arguments)}
        for call, call_id in calls
    ]
    if not (words or used):
        return []
    return [*_thoughts(said, model, quirks), *words, *used]


def _thoughts(said: Iterable[Message], model: str, quirks: Quirks) -> Iterator[Block]:
    if not quirks.opaque:
        return
    for one in said:
        for opaque in one.opaque:
            if opaque.wire == WIRE_NAME and opaque.model == model and opaque.block.get("type") in _THOUGHTS:
                yield dict(opaque.block)


def _input(arguments: str) -> dict[str, Any]:
    """The arguments as an object, which the format demands; what is none is wrapped into one."""
    if not arguments.strip():
        return {}
    try:
        value = lenient_json(arguments.encode("utf-8", "replace"))
    except NotJson:
        value = arguments
    if value is None:
        return {}
    return value if isinstance(value, dict) else {"arguments": value}


def _user(said: Sequence[Message], calls: Iterable[tuple[ToolCall, str]], quirks: Quirks) -> list[Block]:
    """Results in the order of their calls, then everything else. Results without a call are left out."""
    results: defaultdict[str | None, list[Message]] = defaultdict(list)
    for one in said:
        if one.role == "tool":
            results[one.tool_call_id].append(one)
    blocks = [_result(call_id, results[call.id], quirks) for call, call_id in calls]
    words = [block for one in said if one.role != "tool" for block in blocks_of(one.content, quirks)]
    return [*blocks, *words] or [_CONTINUE]


def _result(call_id: str, results: list[Message], quirks: Quirks) -> Block:
    """One `tool_result`. Every call needs one: a call that has none was never executed."""
    block: Block = {"type": "tool_result", "tool_use_id": call_id}
    if not results:
        return block | {"content": _NO_RESULT, "is_error": True}
    result = results.pop(0)
    content = list(blocks_of(result.content, quirks))
    if content:
        is_text = all(part["type"] == "text" for part in content)
        block["content"] = "\n".join(part["text"] for part in content) if is_text else content
    if result.is_error:
        # An error without words would be refused.
        block = {"content": _FAILED} | block | {"is_error": True}
    return block


class _Ids:
    """Ids of calls as the format accepts them, all different within a conversation."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def new(self, call_id: str) -> str:
        clean = _NOT_IN_IDS.sub("_", call_id) or "call"
        number, fresh = 1, clean
        while fresh in self._taken:
            number += 1
            fresh = f"{clean}_{number}"
        self._taken.add(fresh)
        return fresh
