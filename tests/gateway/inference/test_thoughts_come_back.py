"""Claude's thoughts through an OpenAI client's tool loop: two rounds, hidden thoughts, words between several calls."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pytest

from tests.fakes.dialects.bedrock import event
from tests.fakes.provider_server import Answers
from tests.gateway.inference.translated_house import House, There, deltas, running_house

TOOLS = [
    {"type": "function", "function": {"name": one, "parameters": {"type": "object"}}} for one in ("weather", "now")
]
Block = dict[str, Any]


class Anthropic:
    """Blocks as the Messages format streams and takes them back."""

    hidden: ClassVar[Block] = {"type": "redacted_thinking", "data": "aGlkZGVu"}

    def thought(self, text: str, signature: str) -> Block:
        return {"type": "thinking", "thinking": text, "signature": signature}

    def text(self, text: str) -> Block:
        return {"type": "text", "text": text}

    def call(self, call_id: str, name: str, arguments: Any) -> Block:
        return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}

    def streamed(self, blocks: Sequence[Block]) -> Answers:
        events: list[Block] = [{"type": "message_start", "message": {"usage": {"input_tokens": 9}}}]
        for index, block in enumerate(blocks):
            start, pieces = self._taken_apart(block)
            events.append({"type": "content_block_start", "index": index, "content_block": start})
            events += [{"type": "content_block_delta", "index": index, "delta": piece} for piece in pieces]
            events.append({"type": "content_block_stop", "index": index})
        events.append({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 7}})
        events.append({"type": "message_stop"})
        body = "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in events)
        return Answers(200, body.encode(), (("content-type", "text/event-stream"),))

    def _taken_apart(self, block: Block) -> tuple[Block, list[Block]]:
        match block["type"]:
            case "thinking":
                said = [{"type": "thinking_delta", "thinking": block["thinking"]}] if block["thinking"] else []
                signed = {"type": "signature_delta", "signature": block["signature"]}
                return {"type": "thinking", "thinking": "", "signature": ""}, [*said, signed]
            case "text":
                return {"type": "text", "text": ""}, [{"type": "text_delta", "text": block["text"]}]
            case "tool_use":
                piece = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
                return block | {"input": {}}, [piece]
        return block, []


class Bedrock:
    """The same in Converse."""

    hidden: ClassVar[Block] = {"reasoningContent": {"redactedContent": "aGlkZGVu"}}

    def thought(self, text: str, signature: str) -> Block:
        return {"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}}

    def text(self, text: str) -> Block:
        return {"text": text}

    def call(self, call_id: str, name: str, arguments: Any) -> Block:
        return {"toolUse": {"toolUseId": call_id, "name": name, "input": arguments}}

    def streamed(self, blocks: Sequence[Block]) -> Answers:
        frames = [event("messageStart", {"role": "assistant"})]
        for index, block in enumerate(blocks):
            at = {"contentBlockIndex": index}
            if "toolUse" in block:
                start = {name: value for name, value in block["toolUse"].items() if name != "input"}
                frames.append(event("contentBlockStart", at | {"start": {"toolUse": start}}))
            frames += [event("contentBlockDelta", at | {"delta": piece}) for piece in self._pieces(block)]
            frames.append(event("contentBlockStop", at))
        frames.append(event("messageStop", {"stopReason": "tool_use"}))
        frames.append(event("metadata", {"usage": {"inputTokens": 9, "outputTokens": 7, "totalTokens": 16}}))
        return Answers(200, b"".join(frames), (("content-type", "application/vnd.amazon.eventstream"),))

    def _pieces(self, block: Block) -> list[Block]:
        if "toolUse" in block:
            return [{"toolUse": {"input": json.dumps(block["toolUse"]["input"])}}]
        if "text" in block:
            return [block]
        thought = block["reasoningContent"].get("reasoningText", block["reasoningContent"])
        return [{"reasoningContent": {name: value}} for name, value in thought.items() if value]


FORMATS: dict[str, Anthropic | Bedrock] = {"anthropic": Anthropic(), "bedrock": Bedrock()}


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with running_house() as running:
        yield running


@pytest.fixture(params=sorted(FORMATS))
def there(house: House, request: pytest.FixtureRequest) -> There:
    found = There(house, request.param)
    found.server.reset()
    return found


def assistants_turn(there: There, messages: list[Any], stream: bool) -> dict[str, Any]:
    """What a client keeps of an answer: text, calls and the details that it does not look into."""
    more = {"tools": TOOLS, "reasoning_effort": "medium", "stream": stream}
    response = there.post(there.body() | {"messages": messages} | more)
    assert response.status_code == 200, response.text
    if not stream:
        message: dict[str, Any] = response.json()["choices"][0]["message"]
        return {name: message[name] for name in ("role", "content", "tool_calls", "reasoning_details")}
    turn: dict[str, Any] = {"role": "assistant", "content": "", "tool_calls": [], "reasoning_details": []}
    for delta in deltas(response.text):
        turn["content"] += delta.get("content") or ""
        turn["reasoning_details"] += delta.get("reasoning_details") or []
        for call in delta.get("tool_calls") or ():
            if "id" in call:
                turn["tool_calls"].append(call)
            else:
                turn["tool_calls"][call["index"]]["function"]["arguments"] += call["function"]["arguments"]
    return turn


def results(turn: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "tool", "tool_call_id": one["id"], "content": "done"} for one in turn["tool_calls"]]


def turns_of_the_assistant(there: There) -> list[list[Block]]:
    sent = json.loads(there.server.seen[-1].body)
    return [one["content"] for one in sent["messages"] if one["role"] == "assistant"]


@pytest.mark.parametrize("stream", [False, True])
def test_two_rounds_of_several_calls_bring_every_thought_back(there: There, stream: bool) -> None:
    written = FORMATS[there.kind]
    thoughts = [written.hidden, written.thought("Two things.", "c2lnLTE="), written.thought("", "c2lnLTI=")]
    calls = [written.call("tool_a", "weather", {"city": "Köln"}), written.call("tool_b", "now", {})]
    first = written.streamed([*thoughts, written.text("First this. "), calls[0], written.text("Then that."), calls[1]])
    again = [written.thought("One more.", "c2lnLTM="), written.call("tool_c", "now", {"zone": "UTC"})]
    there.server.plays(first, written.streamed(again))
    history: list[Any] = [{"role": "user", "content": "Weather, and what time is it?"}]
    for number_of_calls in (2, 1):
        turn = assistants_turn(there, history, stream)
        assert len(turn["tool_calls"]) == number_of_calls
        history += [turn, *results(turn)]
    answer = there.answer(there.body() | {"messages": history, "tools": TOOLS, "reasoning_effort": "medium"})
    assert answer["choices"][0]["message"]["content"] == "Hello from the upstream."
    one, other = turns_of_the_assistant(there)
    assert one == [*thoughts, written.text("First this. Then that."), *calls]
    assert other == again
    assert [asked.reasons for asked in there.server.asked] == [True, True, True]


def test_a_client_that_loses_the_thoughts_is_answered_without_thinking_until_its_next_question(there: There) -> None:
    written = FORMATS[there.kind]
    there.server.plays(written.streamed([written.thought("Hm", "c2ln"), written.call("tool_a", "now", {})]))
    history: list[Any] = [{"role": "user", "content": "What time is it?"}]
    turn = assistants_turn(there, history, stream=False)
    del turn["reasoning_details"]
    history += [turn, *results(turn)]
    for more in ([], [{"role": "assistant", "content": "Noon."}, {"role": "user", "content": "And now?"}]):
        history += more
        answer = there.answer(there.body() | {"messages": history, "tools": TOOLS, "reasoning_effort": "medium"})
        assert answer["choices"][0]["message"]["content"] == "Hello from the upstream."
    assert [bool(asked.reasons) for asked in there.server.asked] == [True, False, True]
    assert all(asked.opaque == () for asked in there.server.asked)
