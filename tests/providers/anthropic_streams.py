"""Streams of the Messages format as they are really sent, with what a reader must make of them."""

import json
from typing import Any, NamedTuple

from penstock.providers.base import (
    Delta,
    Finish,
    Opaque,
    OpaqueDelta,
    ReasoningDelta,
    Source,
    TextDelta,
    ToolDelta,
    Usage,
    Warning_,
)

MODEL = "claude-sonnet-4-5"


def event(kind: str, padding: str = "", **fields: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind} | fields, ensure_ascii=False)}{padding}\n\n"


def start(**usage: Any) -> str:
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 12, "output_tokens": 1} | usage,
    }
    return event("message_start", message=message)


def opens(index: int = 0, **block: Any) -> str:
    return event("content_block_start", index=index, content_block=block or {"type": "text", "text": ""})


def piece(index: int = 0, **delta: Any) -> str:
    return event("content_block_delta", index=index, delta=delta)


def says(words: str, index: int = 0) -> str:
    return piece(index, type="text_delta", text=words)


def closes(index: int = 0) -> str:
    return event("content_block_stop", index=index)


def ends(reason: str | None = "end_turn", details: Any = None, **usage: Any) -> str:
    delta = {"stop_reason": reason, "stop_sequence": None} | ({"stop_details": details} if details else {})
    return event("message_delta", delta=delta, usage={"output_tokens": 30} | usage) + event("message_stop")


def calls(index: int = 0, name: str = "f", **more: Any) -> str:
    return opens(index, **({"type": "tool_use", "id": f"toolu_{index}", "name": name, "input": {}} | more))


def types(index: int, arguments: str) -> str:
    return piece(index, type="input_json_delta", partial_json=arguments)


def cites(**citation: Any) -> str:
    return piece(type="citations_delta", citation=citation)


PING = event("ping")
USED = Usage(input_tokens=12, output_tokens=30)
STOP = Finish("stop", "end_turn")
CALLED = Finish("tool_calls", "tool_use")
HELLO = start() + opens() + says("Hé")
HELLO_ENDS: list[Delta] = [TextDelta("Hé"), USED, STOP]
SIGNED = Opaque("anthropic", MODEL, {"type": "thinking", "thinking": "Let me", "signature": "EqQB"})
WHOLE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": MODEL,
    "content": [
        {"type": "thinking", "thinking": "Let me", "signature": "EqQB"},
        {"type": "text", "text": "Hé", "citations": None},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
    ],
    "stop_reason": "tool_use",
    "stop_details": None,
    "usage": {"input_tokens": 12, "output_tokens": 30},
}


class Sample(NamedTuple):
    stream: str
    deltas: list[Delta]


SAMPLES: dict[str, Sample] = {
    "text": Sample(
        start() + opens() + PING + says("Hé") + says("llo") + closes() + ends(),
        [TextDelta("Hé"), TextDelta("llo"), USED, STOP],
    ),
    "thinking, then a tool": Sample(
        start()
        + opens(0, type="thinking", thinking="", signature="")
        + PING
        + piece(0, type="thinking_delta", thinking="Let ")
        + piece(0, type="thinking_delta", thinking="me")
        + piece(0, type="signature_delta", signature="EqQB")
        + closes(0)
        + calls(1)
        + types(1, "")
        + types(1, '{"a":')
        + types(1, "1}")
        + closes(1)
        + ends("tool_use"),
        [
            ReasoningDelta("Let "),
            ReasoningDelta("me"),
            OpaqueDelta(SIGNED),
            ToolDelta(0, '{"a":', "toolu_1", "f"),
            ToolDelta(0, "1}"),
            USED,
            CALLED,
        ],
    ),
    "thinking that is not shown": Sample(
        start()
        + opens(0, type="thinking", thinking="", signature="")
        + piece(0, type="signature_delta", signature="EqQB")
        + closes(0)
        + opens(1)
        + says("Hé", 1)
        + closes(1)
        + ends(output_tokens_details={"thinking_tokens": 11}),
        [
            OpaqueDelta(Opaque("anthropic", MODEL, {"type": "thinking", "thinking": "", "signature": "EqQB"})),
            TextDelta("Hé"),
            Usage(input_tokens=12, output_tokens=30, reasoning_tokens=11),
            STOP,
        ],
    ),
    "redacted thinking": Sample(
        start() + opens(0, type="redacted_thinking", data="eHg=") + closes(0) + says("Hé", 1) + ends(),
        [OpaqueDelta(Opaque("anthropic", MODEL, {"type": "redacted_thinking", "data": "eHg="})), *HELLO_ENDS],
    ),
    "two tools, one without arguments, one whole at once": Sample(
        start()
        + calls(0)
        + types(0, "")
        + closes(0)
        + calls(1, "g", input={"a": {"b": [1]}})
        + closes(1)
        + ends("tool_use"),
        [
            ToolDelta(0, "{}", "toolu_0", "f"),
            ToolDelta(1, '{"a":{"b":[1]}}', "toolu_1", "g"),
            USED,
            CALLED,
        ],
    ),
    "a tool call cut at the limit": Sample(
        start() + calls(0) + types(0, '{"a":1') + closes(0) + ends("max_tokens"),
        [
            ToolDelta(0, '{"a":1', "toolu_0", "f"),
            ToolDelta(0, "}"),
            Warning_("TOOL_ARGUMENTS_REPAIRED", "The arguments of `f` were closed."),
            USED,
            Finish("length", "max_tokens"),
        ],
    ),
    "an answer that is the input of the tool for answers": Sample(
        start() + calls(0, "json_response") + types(0, '{"a":') + types(0, '"é"}') + closes(0) + ends("tool_use"),
        [TextDelta('{"a":'), TextDelta('"é"}'), USED, Finish("stop", "tool_use")],
    ),
    "the last of all counts is what counts": Sample(
        start(cache_creation_input_tokens=4, cache_read_input_tokens=100)
        + says("Hé")
        + ends(
            input_tokens=5,
            cache_creation_input_tokens=40,
            cache_creation={"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 10},
        ),
        [
            TextDelta("Hé"),
            Usage(
                input_tokens=145,
                output_tokens=30,
                cache_read_tokens=100,
                cache_write_tokens=40,
                cache_write_1h_tokens=10,
            ),
            STOP,
        ],
    ),
    "citations": Sample(
        start()
        + opens()
        + piece(
            type="citations_delta", citation={"type": "web_search_result_location", "url": "https://a", "title": "A"}
        )
        + piece(type="citations_delta", citation={"type": "web_search_result_location", "url": "https://a"})
        + piece(type="citations_delta", citation={"type": "search_result_location", "source": "https://b"})
        + says("Hé")
        + closes()
        + ends(),
        [Source("https://a", "A"), Source("https://b"), *HELLO_ENDS],
    ),
    "a search by the provider itself": Sample(
        start()
        + opens(0, type="server_tool_use", id="srvtoolu_1", name="web_search", input={})
        + types(0, '{"query":"x"}')
        + closes(0)
        + opens(1, type="web_search_tool_result", tool_use_id="srvtoolu_1", content=[])
        + closes(1)
        + says("Hé", 2)
        + ends(),
        HELLO_ENDS,
    ),
    "a refusal": Sample(
        HELLO + ends("refusal", {"type": "refusal", "category": "cyber", "explanation": "No."}),
        [TextDelta("Hé"), USED, Finish("content_filter", "refusal", "cyber")],
    ),
    "a pause": Sample(HELLO + ends("pause_turn"), [TextDelta("Hé"), USED, Finish("stop", "pause_turn")]),
    "a stop sequence": Sample(HELLO + ends("stop_sequence"), [TextDelta("Hé"), USED, Finish("stop", "stop_sequence")]),
    "the context is full": Sample(
        HELLO + ends("model_context_window_exceeded"),
        [TextDelta("Hé"), USED, Finish("length", "model_context_window_exceeded")],
    ),
    "a reason nobody knows": Sample(HELLO + ends("tired"), [TextDelta("Hé"), USED, Finish("stop", "tired")]),
    "padding, and kinds nobody knows": Sample(
        start()
        + event("ping", "   ")
        + event("content_block_delta", "    ", index=0, delta={"type": "text_delta", "text": "Hé"})
        + piece(type="music_delta", music="la")
        + opens(1, type="music")
        + closes(1)
        + event("weather", sun=True)
        + ends(),
        HELLO_ENDS,
    ),
    "no message_stop": Sample(HELLO + ends().partition("event: message_stop")[0], HELLO_ENDS),
    "no blank line at the end": Sample((HELLO + ends()).rstrip("\n"), HELLO_ENDS),
    "more after the end": Sample(HELLO + ends() + says("more") + "garbage\n\n", HELLO_ENDS),
    "no event names": Sample(
        "".join(f"{line}\n\n" for line in (HELLO + ends()).split("\n") if line.startswith("data")), HELLO_ENDS
    ),
    "blocks that are never closed": Sample(
        start()
        + piece(0, type="thinking_delta", thinking="Let me")
        + piece(0, type="signature_delta", signature="EqQB")
        + calls(1)
        + ends("tool_use"),
        [ReasoningDelta("Let me"), OpaqueDelta(SIGNED), ToolDelta(0, "{}", "toolu_1", "f"), USED, CALLED],
    ),
    "no usage": Sample(
        event("message_start", message={}) + says("Hé") + event("message_delta", delta={"stop_reason": "end_turn"}),
        [TextDelta("Hé"), Usage(output_tokens=1, estimated=True), STOP],
    ),
    "nulls, and an error that is none": Sample(
        start()
        + event("content_block_start", index=0, content_block=None)
        + event("content_block_delta", index=None, delta={"type": "text_delta", "text": "Hé"}, error=None)
        + event("content_block_delta", index=0, delta=None)
        + event("content_block_delta", index=0, delta={"type": "text_delta", "text": None})
        + ends(),
        HELLO_ENDS,
    ),
    "half of a surrogate pair": Sample(
        start() + says("a\\ud83d").replace("\\\\ud83d", "\\ud83db") + ends(), [TextDelta("a\ufffdb"), USED, STOP]
    ),
    "a whole document although a stream was asked for": Sample(
        json.dumps(WHOLE, indent=1, ensure_ascii=False),
        [
            ReasoningDelta("Let me"),
            OpaqueDelta(SIGNED),
            TextDelta("Hé"),
            ToolDelta(0, '{"a":1}', "toolu_1", "f"),
            USED,
            CALLED,
        ],
    ),
}

# Errors in a stream that has begun with 200 (`spec/providers.md` 6.6 and 14.4).
OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Overloaded"}, request_id="req_1")
ERROR_SHAPES: dict[str, str] = {
    "overloaded": OVERLOADED,
    "without a name": OVERLOADED.partition("\n")[2],
    "named, with a text": "event: error\ndata: boom\n\n",
    "named, with a message": 'event: error\ndata: {"message":"boom"}\n\n',
    "named like a piece of the answer": "event: error\n" + says("x").partition("\n")[2],
    "Google's": 'data: {"error":{"code":503,"message":"boom","status":"UNAVAILABLE"}}\n\n',
    "Google's, bare": '{"error":{"code":503,\n"message":"boom",\n"status":"UNAVAILABLE"}}\n',
    "a list": '[{"error":{"code":503,"message":"boom"}}]\n',
    "a page": "<html><body>boom</body></html>\n",
    "no JSON": "data: boom\n\n",
    "a piece that is no JSON": "event: content_block_delta\ndata: {boom\n\n",
    "JSON that is no object": "data: [1]\n\n",
    "an end without a reason": event("message_stop"),
}
