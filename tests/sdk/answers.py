"""Pieces of answers that the scripts of the fake upstream have no word for: tool calls, reasoning, whole messages."""

import json
from typing import Any

from tests.fakes.openai_upstream import Raw, Status


def chunk(delta: dict[str, Any]) -> Raw:
    """One streamed chunk with this delta."""
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    frame = {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1, "model": "one"}
    return Raw(b"data: " + json.dumps(frame | {"choices": [choice]}).encode() + b"\n\n")


ROLE = chunk({"role": "assistant", "content": ""})
"""How most providers begin a stream. The helpers of the Node SDK say nothing until they have seen it."""


def call_begins(index: int, call_id: str, name: str) -> Raw:
    function = {"name": name, "arguments": ""}
    return chunk({"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]})


def call_goes_on(index: int, arguments: str) -> Raw:
    return chunk({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]})


_WEATHER = (call_begins(0, "call_a", "weather"), call_goes_on(0, '{"city":'), call_goes_on(0, ' "Köln"}'))
_CLOCK = (call_begins(1, "call_b", "clock"), call_goes_on(1, '{"zone": "'), call_goes_on(1, 'UTC"}'))

TWO_CALLS = (ROLE, *_WEATHER, *_CLOCK)
"""Two tool calls, one after the other; a `Finish("tool_calls")` belongs behind them."""

MIXED_CALLS = (ROLE, *(piece for pair in zip(_WEATHER, _CLOCK, strict=True) for piece in pair))
"""The same with their pieces in turn. The index tells them apart; the helpers of the SDKs cannot read this."""


def whole(message: dict[str, Any], finish_reason: str = "stop") -> Status:
    """A whole answer with this message."""
    answer = {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": 1,
        "model": "one",
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
    }
    return Status(200, answer)


def refusal(status: int, message: str, *headers: tuple[str, str], **fields: Any) -> Status:
    return Status(status, {"error": {"message": message, **fields}}, headers)
