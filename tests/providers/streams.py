"""Streams as real servers send them: one for each tolerance, with what a reader must make of it."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar

from penstock.errors import UpstreamError
from penstock.providers.base import (
    Delta,
    Finish,
    FinishReason,
    Quirks,
    Reader,
    ReasoningDelta,
    Source,
    TextDelta,
    ToolDelta,
    Usage,
    Warning_,
)

Output = TypeVar("Output")

DONE = "data: [DONE]\n\n"
LINE_ENDS = {"LF": b"\n", "CRLF": b"\r\n", "CR": b"\r"}


def chunk(delta: Any = None, finish: Any = None, **fields: Any) -> str:
    choice = {"index": 0, "delta": {} if delta is None else delta, "finish_reason": finish}
    return event({"choices": [choice]} | fields)


def event(data: Any) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


def tool(arguments: Any = None, *, id: str | None = None, name: str | None = None, **fields: Any) -> dict[str, Any]:  # noqa: A002
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {"tool_calls": [({} if id is None else {"id": id, "type": "function"}) | {"function": function} | fields]}


def counts(prompt: int = 9, completion: int = 2, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion} | more


USED = Usage(input_tokens=9, output_tokens=2)
GUESSED = Usage(output_tokens=1, estimated=True)
HI = chunk({"content": "Hi"})
STOP = chunk(finish="stop")
USAGE_CHUNK = event({"choices": [], "usage": counts()})


class Sample(NamedTuple):
    stream: str
    deltas: list[Delta]
    quirks: Quirks = Quirks()

    def bytes_with(self, line_end: bytes) -> bytes:
        return self.stream.encode().replace(b"\n", line_end)


def ends(usage: Usage = USED, reason: FinishReason = "stop", raw: str | None = "same") -> list[Delta]:
    return [usage, Finish(reason, reason if raw == "same" else raw)]


TAIL = STOP + USAGE_CHUNK + DONE
HI_ENDS: list[Delta] = [TextDelta("Hi"), *ends()]

FILTER_IS_SILENT = {"hate": {"filtered": False, "severity": "safe"}}
FILTER_STRIKES = FILTER_IS_SILENT | {
    "self_harm": {"filtered": True, "severity": "high"},
    "jailbreak": {"filtered": True, "detected": True},
}

SAMPLES: dict[str, Sample] = {
    "as OpenAI sends it": Sample(
        chunk(
            {"role": "assistant", "content": "", "refusal": None},
            id="c",
            object="chat.completion.chunk",
            created=1,
            model="m",
            usage=None,
            obfuscation="x",
        )
        + chunk({"content": "Hé"}, usage=None)
        + chunk({"content": "l"}, usage=None)
        + TAIL,
        [TextDelta("Hé"), TextDelta("l"), *ends()],
    ),
    "role null, content null, tool calls null": Sample(
        chunk({"role": None, "content": None, "tool_calls": None}) + HI + TAIL, HI_ENDS
    ),
    "role in every delta": Sample(chunk({"role": "assistant", "content": "Hi"}) + TAIL, HI_ENDS),
    "content as an array": Sample(
        chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]})
        + chunk({"content": [{"type": "text", "text": "Hi"}, {"type": "reference", "reference_ids": [1]}]})
        + TAIL,
        [ReasoningDelta("Hm"), *HI_ENDS],
    ),
    "reasoning_content": Sample(
        chunk({"reasoning_content": "Hm", "content": None}) + HI + TAIL, [ReasoningDelta("Hm"), *HI_ENDS]
    ),
    "reasoning": Sample(chunk({"reasoning": "Hm", "content": ""}) + HI + TAIL, [ReasoningDelta("Hm"), *HI_ENDS]),
    "both reasoning fields, equal": Sample(
        chunk({"reasoning": "Hm", "reasoning_content": "Hm"}) + HI + TAIL, [ReasoningDelta("Hm"), *HI_ENDS]
    ),
    "think tags cut over chunks": Sample(
        "".join(chunk({"content": piece}) for piece in ("\n<th", "ink>H", "m</", "think>", "\n\nHi")) + TAIL,
        [ReasoningDelta("H"), ReasoningDelta("m"), *HI_ENDS],
    ),
    "think tags that never close": Sample(
        chunk({"content": "<think>Hm <b"}) + chunk(finish="length") + USAGE_CHUNK + DONE,
        [ReasoningDelta("Hm <b"), *ends(reason="length")],
    ),
    "think tags later are text": Sample(chunk({"content": "A <think>"}) + TAIL, [TextDelta("A <think>"), *ends()]),
    "the beginning of a tag that is none": Sample(
        chunk({"content": "<th"}) + chunk({"content": "e>"}) + TAIL, [TextDelta("<the>"), *ends()]
    ),
    "finish_reason missing": Sample(event({"choices": [{"delta": {"content": "Hi"}}]}) + TAIL, HI_ENDS),
    "finish_reason empty": Sample(chunk({"content": "Hi"}, finish="") + TAIL, HI_ENDS),
    "two finish chunks, usage in the second": Sample(
        HI + STOP + chunk({"role": "assistant", "content": ""}, "stop", usage=counts(cost=0.000012)) + DONE,
        [TextDelta("Hi"), *ends(Usage(input_tokens=9, output_tokens=2, upstream_cost="0.000012"))],
    ),
    "usage in the finish chunk": Sample(HI + chunk(finish="stop", usage=counts()) + DONE, HI_ENDS),
    "usage in every chunk": Sample(
        chunk({"content": "Hi"}, usage=counts(9, 1)) + chunk(finish="stop", usage=counts(9, 2)) + DONE, HI_ENDS
    ),
    "usage in x_groq": Sample(HI + chunk(finish="stop", x_groq={"id": "r", "usage": counts()}) + DONE, HI_ENDS),
    "no usage": Sample(HI + STOP + DONE, [TextDelta("Hi"), *ends(GUESSED)]),
    "usage null to the end": Sample(
        HI + chunk(finish="stop", usage=None) + event({"choices": [], "usage": None}) + DONE,
        [TextDelta("Hi"), *ends(GUESSED)],
    ),
    "usage as DeepSeek reports it": Sample(
        HI + chunk(finish="stop", usage=counts(prompt_cache_hit_tokens=4, prompt_cache_miss_tokens=5)) + DONE,
        [TextDelta("Hi"), *ends(Usage(input_tokens=9, output_tokens=2, cache_read_tokens=4))],
    ),
    "usage as Mistral reports it": Sample(
        HI + chunk(finish="stop", usage=counts(num_cached_tokens=4)) + DONE,
        [TextDelta("Hi"), *ends(Usage(input_tokens=9, output_tokens=2, cache_read_tokens=4))],
    ),
    "usage as Moonshot reports it": Sample(
        HI + chunk(finish="stop", usage=counts(cached_tokens=4)) + DONE,
        [TextDelta("Hi"), *ends(Usage(input_tokens=9, output_tokens=2, cache_read_tokens=4))],
    ),
    "usage with all of OpenAI's details": Sample(
        HI
        + STOP
        + event(
            {
                "choices": [],
                "usage": counts(
                    prompt_tokens_details={"cached_tokens": 3, "cache_write_tokens": 2, "audio_tokens": 0},
                    completion_tokens_details={"reasoning_tokens": 1},
                ),
            }
        )
        + DONE,
        [
            TextDelta("Hi"),
            *ends(
                Usage(input_tokens=9, output_tokens=2, cache_read_tokens=3, cache_write_tokens=2, reasoning_tokens=1)
            ),
        ],
    ),
    "a total that does not add up": Sample(
        HI + chunk(finish="stop", usage=counts() | {"total_tokens": 50}) + DONE,
        [
            TextDelta("Hi"),
            Warning_("USAGE_MISMATCH", "The provider's token counts do not add up to its total."),
            *ends(),
        ],
    ),
    "choices empty at the beginning and in the middle": Sample(
        event({"choices": [], "prompt_filter_results": []}) + HI + event({"choices": []}) + TAIL, HI_ENDS
    ),
    "choices null and missing": Sample(event({"choices": None}) + event({"id": "x"}) + HI + TAIL, HI_ENDS),
    "comments and keep-alives": Sample(
        ": OPENROUTER PROCESSING\n\n" + "data:\n\n" + HI + ": keep-alive\n\n" + TAIL, HI_ENDS
    ),
    "an event of its own name": Sample('event: ping\ndata: {"type": "ping"}   \n\n' + HI + TAIL, HI_ENDS),
    "no space after data": Sample((HI + TAIL).replace("data: ", "data:"), HI_ENDS),
    "no DONE": Sample(HI + STOP + USAGE_CHUNK, HI_ENDS),
    "no blank line at the end": Sample(HI + STOP + USAGE_CHUNK + "data: [DONE]", HI_ENDS),
    "DONE with spaces": Sample(HI + STOP + USAGE_CHUNK + "data:  [DONE] \n\n", HI_ENDS),
    "more after DONE": Sample(HI + TAIL + HI + "garbage\n\n", HI_ENDS),
    "no finish reason, where that is usual": Sample(
        HI + USAGE_CHUNK + DONE, [TextDelta("Hi"), *ends(raw=None)], Quirks(ends_without_finish=True)
    ),
    "an unknown finish reason": Sample(
        HI + chunk(finish="eos") + USAGE_CHUNK + DONE, [TextDelta("Hi"), *ends(raw="eos")]
    ),
    "Mistral's length": Sample(
        HI + chunk(finish="model_length") + USAGE_CHUNK + DONE,
        [TextDelta("Hi"), *ends(reason="length", raw="model_length")],
    ),
    "a content filter": Sample(
        HI + chunk(finish="content_filter") + USAGE_CHUNK + DONE, [TextDelta("Hi"), *ends(reason="content_filter")]
    ),
    "a refusal": Sample(
        chunk({"refusal": "No."}) + TAIL, [TextDelta("No."), *ends(reason="content_filter", raw="stop")]
    ),
    "an empty refusal": Sample(chunk({"content": "Hi", "refusal": ""}) + TAIL, HI_ENDS),
    "ids that change": Sample(chunk({"content": "Hi"}, id="") + chunk(finish="stop", id="2") + USAGE_CHUNK, HI_ENDS),
    "fields nobody knows": Sample(
        chunk({"content": "Hi", "token_ids": [1]}, logprobs={}, timings={"x": 1}, service_tier="any") + TAIL, HI_ENDS
    ),
    "citations at the top, repeated": Sample(
        chunk({"content": "Hi"}, citations=["https://a"])
        + chunk(finish="stop", citations=["https://a", "https://b"])
        + USAGE_CHUNK,
        [TextDelta("Hi"), Source("https://a"), Source("https://b"), *ends()],
    ),
    "annotations": Sample(
        HI
        + chunk({"annotations": [{"type": "url_citation", "url_citation": {"url": "https://a", "title": "A"}}]})
        + TAIL,
        [TextDelta("Hi"), Source("https://a", "A"), *ends()],
    ),
    "lone surrogates and broken UTF-8": Sample(
        'data: {"choices":[{"delta":{"content":"a\\ud83db"}}]}\n\n' + TAIL, [TextDelta("a\ufffdb"), *ends()]
    ),
    "a tool call in pieces": Sample(
        chunk(tool("", id="a", name="f", index=0))
        + chunk(tool('{"a"', index=0))
        + chunk(tool(":1}", index=0))
        + chunk(finish="tool_calls")
        + USAGE_CHUNK
        + DONE,
        [ToolDelta(0, '{"a"', "a", "f"), ToolDelta(0, ":1}"), *ends(reason="tool_calls")],
    ),
    "a whole tool call, the server says stop": Sample(
        chunk(tool('{"a":1}', id="a", name="f", index=0)) + TAIL,
        [ToolDelta(0, '{"a":1}', "a", "f"), *ends(reason="tool_calls", raw="stop")],
    ),
    "arguments as an object": Sample(
        chunk(tool({"a": 1}, id="a", name="f", index=0)) + TAIL,
        [ToolDelta(0, '{"a":1}', "a", "f"), *ends(reason="tool_calls", raw="stop")],
    ),
    "no arguments at all": Sample(
        chunk(tool(id="a", name="f", index=0)) + TAIL,
        [ToolDelta(0, "{}", "a", "f"), *ends(reason="tool_calls", raw="stop")],
    ),
    "arguments null in pieces": Sample(
        chunk(tool("nu", id="a", name="f", index=0)) + chunk(tool("ll", index=0)) + TAIL,
        [ToolDelta(0, "{}", "a", "f"), *ends(reason="tool_calls", raw="stop")],
    ),
    "index missing, two calls in one chunk": Sample(
        chunk(
            {
                "tool_calls": [
                    {"id": "a", "function": {"name": "f", "arguments": "{}"}},
                    {"id": "b", "function": {"name": "g", "arguments": "{}"}},
                ]
            }
        )
        + TAIL,
        [ToolDelta(0, "{}", "a", "f"), ToolDelta(1, "{}", "b", "g"), *ends(reason="tool_calls", raw="stop")],
    ),
    "every call under index 0": Sample(
        chunk(tool("{}", id="a", name="f", index=0)) + chunk(tool("{}", id="b", name="f", index=0)) + TAIL,
        [ToolDelta(0, "{}", "a", "f"), ToolDelta(1, "{}", "b", "f"), *ends(reason="tool_calls", raw="stop")],
    ),
    "id and name in every piece": Sample(
        chunk(tool('{"a":', id="a", name="f", index=0)) + chunk(tool("1}", id="a", name="f", index=0)) + TAIL,
        [ToolDelta(0, '{"a":', "a", "f"), ToolDelta(0, "1}"), *ends(reason="tool_calls", raw="stop")],
    ),
    "odd ids are kept": Sample(
        chunk(tool("{}", id="functions.f:0", name="f", index=0)) + TAIL,
        [ToolDelta(0, "{}", "functions.f:0", "f"), *ends(reason="tool_calls", raw="stop")],
    ),
    "the old function_call beside the new one": Sample(
        chunk(tool("{}", id="a", name="f", index=0) | {"function_call": {"name": "f", "arguments": "{}"}}) + TAIL,
        [ToolDelta(0, "{}", "a", "f"), *ends(reason="tool_calls", raw="stop")],
    ),
    "arguments sent twice": Sample(
        chunk(tool('{"a":"}"}', id="a", name="f", index=0)) + chunk(tool('{"a":"}"}', index=0)) + TAIL,
        [
            ToolDelta(0, '{"a":"}"}', "a", "f"),
            Warning_("TOOL_ARGUMENTS_REPAIRED", "Text after the arguments of `f` was dropped."),
            *ends(reason="tool_calls", raw="stop"),
        ],
    ),
    "arguments cut at the length limit": Sample(
        chunk(tool('{"a":1', id="a", name="f", index=0)) + chunk(finish="length") + USAGE_CHUNK + DONE,
        [
            ToolDelta(0, '{"a":1', "a", "f"),
            ToolDelta(0, "}"),
            Warning_("TOOL_ARGUMENTS_REPAIRED", "The arguments of `f` were closed."),
            *ends(reason="length"),
        ],
    ),
    "arguments that are not JSON": Sample(
        chunk(tool("{a:1}", id="a", name="f", index=0)) + TAIL,
        [
            ToolDelta(0, "{a:1}", "a", "f"),
            Warning_("TOOL_ARGUMENTS_INVALID", "The model wrote arguments of `f` that are not JSON."),
            *ends(reason="tool_calls", raw="stop"),
        ],
    ),
    "as Azure sends it": Sample(
        event({"id": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]})
        + chunk({"content": "Hi"}, content_filter_results={})
        + event({"choices": [{"index": 0, "delta": {"content": ""}, "content_filter_results": FILTER_IS_SILENT}]})
        + event({"choices": [{"index": 0, "delta": None, "content_filter_results": FILTER_IS_SILENT}]})
        + STOP
        + event({"choices": [{"index": 0, "content_filter_offsets": {"check_offset": 1}}]})
        + USAGE_CHUNK
        + DONE,
        HI_ENDS,
    ),
    "Azure's filter strikes after the end": Sample(
        HI + STOP + event({"choices": [{"index": 0, "content_filter_results": FILTER_STRIKES}]}) + USAGE_CHUNK + DONE,
        [TextDelta("Hi"), USED, Finish("content_filter", "content_filter", "self harm (high), jailbreak")],
    ),
    "Azure's filter strikes together with text": Sample(
        event({"choices": [{"index": 0, "delta": {"content": "Hi"}, "content_filter_results": FILTER_STRIKES}]}) + TAIL,
        [TextDelta("Hi"), USED, Finish("content_filter", "content_filter", "self harm (high), jailbreak")],
    ),
    "details of reasoning alone": Sample(
        chunk({"reasoning_details": [{"type": "reasoning.text", "text": "Hm", "index": 0}]}) + HI + TAIL,
        [ReasoningDelta("Hm"), *HI_ENDS],
    ),
    "a whole document although a stream was asked for": Sample(
        json.dumps(
            {
                "object": "chat.completion",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
                "usage": counts(),
            },
            indent=1,
        )
        + "\n",
        HI_ENDS,
    ),
}


def cuts(stream: bytes) -> Iterator[list[bytes]]:
    """Whole, in two at every place, and byte by byte."""
    for at in range(len(stream)):
        yield [stream[:at], stream[at:]]
    yield bytewise(stream)


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[at : at + 1] for at in range(len(stream))]


def until_failure(reader: Reader[Output], pieces: list[bytes]) -> list[Output]:
    """Everything that the reader gives before it fails, as it must."""
    outputs: list[Output] = []
    try:
        outputs.extend(map(reader.feed, pieces))
        outputs.append(reader.end())
    except UpstreamError:
        return outputs
    raise AssertionError("no failure was raised")


# Error shapes of `spec/providers.md` 14.4 with the words that must survive.
ERROR_SHAPES: dict[str, str] = {
    "error object": event({"error": {"message": "boom", "type": "server_error"}}),
    "error object, then DONE": event({"error": {"message": "boom"}}) + DONE,
    "object error": event({"object": "error", "message": "boom", "code": 500}),
    "named event": 'event: error\ndata: {"type":"error","error":{"type":"x","message":"boom"}}\n\n',
    "named event with a text": 'event: error\ndata: {"error":"boom"}\n\n',
    "named event with a message": 'event: error\ndata: {"message":"boom"}\n\n',
    "named event with plain text": "event: error\ndata: boom\n\n",
    "groq": 'event: error\ndata: {"error":{"message":"boom","code":"tool_use_failed","status_code":400}}\n\n',
    "error as a text": event({"error": "boom"}),
    "chunk with an error": chunk({"content": ""}, "error", error={"code": 502, "message": "boom"}),
    "finish reason error": chunk({}, "error", boom=1).replace("boom", "boom"),
    "error field": 'error: {"code":500,"message":"boom"}\n\n',
    "bare JSON": '{"error":{"code":503,\n"message":"boom",\n"status":"UNAVAILABLE"}}\n',
    "bare array": '[{"error":{"code":503,"message":"boom"}}]\n',
    "a page": "<html><body>boom</body></html>\n",
    "no JSON": "data: boom\n\n",
    "JSON that is no object": "data: [1]\n\n",
}
