"""Names of tools, from the request to the answer: the caller meets its own ones only."""

import json
from typing import Any

import pytest

from penstock.providers.base import Call, Message, Quirks, Tool, ToolCall, ToolDelta, Wire
from penstock.providers.wires.anthropic.wire import WIRE as ANTHROPIC
from penstock.providers.wires.gemini.wire import WIRE as GEMINI
from penstock.providers.wires.openai.chat import WIRE as OPENAI_CHAT
from penstock.providers.wires.openai.responses import WIRE as OPENAI_RESPONSES

DOTTED = Tool("a.b", "Looks it up.", {"type": "object"})


def chat_answer(name: str) -> dict[str, Any]:
    call = {"id": "1", "type": "function", "function": {"name": name, "arguments": "{}"}}
    return {"choices": [{"message": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]}


def responses_answer(name: str) -> dict[str, Any]:
    call = {"type": "function_call", "call_id": "1", "name": name, "arguments": "{}"}
    return {"status": "completed", "output": [call]}


def anthropic_answer(name: str) -> dict[str, Any]:
    return {"content": [{"type": "tool_use", "id": "1", "name": name, "input": {}}], "stop_reason": "tool_use"}


def gemini_answer(name: str) -> dict[str, Any]:
    parts = [{"functionCall": {"name": name, "args": {}}}]
    return {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}


def declared(body: dict[str, Any]) -> str:
    (tool,) = body["tools"]
    tool = tool["functionDeclarations"][0] if "functionDeclarations" in tool else tool.get("function", tool)
    return str(tool["name"])


@pytest.mark.parametrize(
    "wire, answer",
    [
        (OPENAI_CHAT, chat_answer),
        (OPENAI_RESPONSES, responses_answer),
        (ANTHROPIC, anthropic_answer),
        (GEMINI, gemini_answer),
    ],
)
def test_a_tool_keeps_its_name_beside_an_older_one_that_is_written_alike(wire: Wire, answer: Any) -> None:
    earlier = Message(role="assistant", tool_calls=[ToolCall("0", "a_b", "{}")])
    call = Call(messages=[Message(role="user", content="Hi"), earlier], tools=[DOTTED])
    name = declared(json.loads(wire.request(call, "m", Quirks()).body))
    reader = wire.reader(content_type="application/json", tools=call.tools)
    deltas = [*reader.feed(json.dumps(answer(name)).encode()), *reader.end()]
    assert [one.name for one in deltas if isinstance(one, ToolDelta) and one.name] == ["a.b"]
