"""Streams as Google sends them, with what a reader must make of each."""

import json
from typing import Any, NamedTuple

from penstock.providers.base import (
    Delta,
    Finish,
    FinishReason,
    Opaque,
    OpaqueDelta,
    ReasoningDelta,
    Source,
    TextDelta,
    ToolDelta,
    Usage,
    Warning_,
)

MODEL = "gemini-3-flash"


def frame(*parts: Any, finish: str | None = None, counts: Any = None, **fields: Any) -> str:
    """One event. Without parts the candidate has no content."""
    candidate: dict[str, Any] = {"index": 0} | fields
    if parts:
        candidate["content"] = {"parts": list(parts), "role": "model"}
    if finish is not None:
        candidate["finishReason"] = finish
    whole: dict[str, Any] = {"candidates": [candidate], "modelVersion": "gemini-x", "responseId": "abc"}
    return event(whole | ({} if counts is None else {"usageMetadata": counts}))


def event(data: Any) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


def text(words: str, **fields: Any) -> dict[str, Any]:
    return {"text": words} | fields


def called(name: str, args: Any = None, *, id: str | None = None, **fields: Any) -> dict[str, Any]:  # noqa: A002
    call = {"name": name, "args": args, "id": id}
    return {"functionCall": {key: value for key, value in call.items() if value is not None}} | fields


def counts(prompt: int = 8, candidates: int | None = 5, thoughts: int | None = None, **more: Any) -> dict[str, Any]:
    total = prompt + (candidates or 0) + (thoughts or 0)
    fields = {"promptTokenCount": prompt, "candidatesTokenCount": candidates, "thoughtsTokenCount": thoughts}
    return {name: value for name, value in fields.items() if value is not None} | {"totalTokenCount": total} | more


def opaque(**block: Any) -> OpaqueDelta:
    return OpaqueDelta(Opaque("gemini", MODEL, block))


USED = Usage(input_tokens=8, output_tokens=5)


def ends(
    usage: Usage = USED, reason: FinishReason = "stop", raw: str = "STOP", detail: str | None = None
) -> list[Delta]:
    return [usage, Finish(reason, raw, detail)]


class Sample(NamedTuple):
    stream: str
    deltas: list[Delta]

    def bytes_with(self, line_end: bytes) -> bytes:
        return self.stream.encode().replace(b"\n", line_end)


HI = frame(text("Hi"))
STOP = frame(text(""), finish="STOP", counts=counts())
TAIL = STOP
HI_ENDS: list[Delta] = [TextDelta("Hi"), *ends()]

SAMPLES: dict[str, Sample] = {
    "thoughts, a call with its signature, as documented": Sample(
        frame(text("Plan…", thought=True), counts={"promptTokenCount": 8, "totalTokenCount": 8})
        + frame(
            called("f", {"a": 1}, id="q1", thoughtSignature="CoYB…"),
            finish="STOP",
            counts=counts(8, 5, 40, promptTokensDetails=[{"modality": "TEXT", "tokenCount": 8}]),
        ),
        [
            ReasoningDelta("Plan…"),
            ToolDelta(0, '{"a": 1}', "q1", "f"),
            opaque(thoughtSignature="CoYB…", call="q1"),
            *ends(Usage(input_tokens=8, output_tokens=45, reasoning_tokens=40), "tool_calls"),
        ],
    ),
    "text in pieces, counts in each": Sample(
        frame(text("Hé"), counts=counts(8, 1)) + frame(text("l"), counts=counts(8, 3)) + TAIL,
        [TextDelta("Hé"), TextDelta("l"), *ends()],
    ),
    "finish in the frame of the last text": Sample(frame(text("Hi"), finish="STOP", counts=counts()), HI_ENDS),
    "counts after the finish": Sample(frame(text("Hi"), finish="STOP") + event({"usageMetadata": counts()}), HI_ENDS),
    "no candidates, no content, no parts": Sample(
        event({"usageMetadata": {"promptTokenCount": 8}})
        + event({"candidates": None})
        + event({"candidates": []})
        + frame()
        + event({"candidates": [{"content": {"role": "model"}}]})
        + event({"candidates": [{"content": {"parts": None}}]})
        + HI
        + TAIL,
        HI_ENDS,
    ),
    "index missing": Sample(event({"candidates": [{"content": {"parts": [{"text": "Hi"}]}}]}) + TAIL, HI_ENDS),
    "a second candidate": Sample(
        event({"candidates": [{"index": 0, "content": {"parts": [{"text": "Hi"}]}}]})
        + event({"candidates": [{"index": 1, "content": {"parts": [{"text": "Ho"}]}}]})
        + TAIL,
        HI_ENDS,
    ),
    "a signature on the last text": Sample(
        HI + frame(text(" you", thoughtSignature="S"), finish="STOP", counts=counts()),
        [TextDelta("Hi"), TextDelta(" you"), opaque(thoughtSignature="S", start=2, chars=4, after=0), *ends()],
    ),
    "a signature on an empty text": Sample(
        HI + frame(text("", thoughtSignature="S"), finish="STOP", counts=counts()),
        [TextDelta("Hi"), opaque(thoughtSignature="S", start=2, chars=0, after=0), *ends()],
    ),
    "a signature alone": Sample(
        HI + frame({"thoughtSignature": "S"}, finish="STOP", counts=counts()),
        [TextDelta("Hi"), opaque(thoughtSignature="S", start=2, chars=0, after=0), *ends()],
    ),
    "parallel calls share the first signature": Sample(
        frame(called("f", {}, id="a", thoughtSignature="S"), called("g", {"x": [1]}, id="b"))
        + frame(finish="STOP", counts=counts()),
        [
            ToolDelta(0, "{}", "a", "f"),
            opaque(thoughtSignature="S", call="a"),
            ToolDelta(1, '{"x": [1]}', "b", "g"),
            *ends(reason="tool_calls"),
        ],
    ),
    "a call without arguments": Sample(
        frame(called("f", id="a"), finish="STOP", counts=counts()),
        [ToolDelta(0, "{}", "a", "f"), *ends(reason="tool_calls")],
    ),
    "a call whose arguments are null": Sample(
        event({"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": None, "id": "a"}}]}}]})
        + TAIL,
        [ToolDelta(0, "{}", "a", "f"), *ends(reason="tool_calls")],
    ),
    "a call without a name is none": Sample(frame({"functionCall": {}}) + HI + TAIL, HI_ENDS),
    "calls cut off by the length": Sample(
        frame(called("f", {}, id="a"), finish="MAX_TOKENS", counts=counts()),
        [ToolDelta(0, "{}", "a", "f"), *ends(reason="length", raw="MAX_TOKENS")],
    ),
    "cached input, thoughts and tools in the counts": Sample(
        frame(
            text("Hi"),
            finish="STOP",
            counts=counts(8, 5, 2, cachedContentTokenCount=4, toolUsePromptTokenCount=3, totalTokenCount=18),
        ),
        [
            TextDelta("Hi"),
            *ends(Usage(input_tokens=11, output_tokens=7, cache_read_tokens=4, reasoning_tokens=2)),
        ],
    ),
    "counts as texts and floats": Sample(
        frame(text("Hi"), finish="STOP", counts={"promptTokenCount": "8", "candidatesTokenCount": 5.0}), HI_ENDS
    ),
    "a total that does not add up": Sample(
        frame(text("Hi"), finish="STOP", counts=counts(totalTokenCount=50)),
        [
            TextDelta("Hi"),
            Warning_("USAGE_MISMATCH", "The provider's token counts do not add up to its total."),
            *ends(),
        ],
    ),
    "no counts at all": Sample(
        HI + frame(finish="STOP"), [TextDelta("Hi"), *ends(Usage(output_tokens=1, estimated=True))]
    ),
    "the length": Sample(
        HI + frame(finish="MAX_TOKENS", counts=counts()), [TextDelta("Hi"), *ends(reason="length", raw="MAX_TOKENS")]
    ),
    "a decode in several hops": Sample(
        HI + frame(finish="CONTINUATION", counts=counts(), continuationToken="t"),
        [TextDelta("Hi"), *ends(reason="length", raw="CONTINUATION")],
    ),
    "a filter after some text": Sample(
        HI + frame(finish="SAFETY", counts=counts(), finishMessage="Too much."),
        [TextDelta("Hi"), *ends(reason="content_filter", raw="SAFETY", detail="Too much.")],
    ),
    "other reasons after some text": Sample(
        HI + frame(finish="OTHER", counts=counts()), [TextDelta("Hi"), *ends(raw="OTHER")]
    ),
    "an unknown reason": Sample(HI + frame(finish="NEWER", counts=counts()), [TextDelta("Hi"), *ends(raw="NEWER")]),
    "a reason that says nothing": Sample(frame(text("Hi"), finish="FINISH_REASON_UNSPECIFIED") + TAIL, HI_ENDS),
    "an empty answer": Sample(frame(finish="STOP", counts=counts(8, 0)), ends(Usage(input_tokens=8))),
    "sources": Sample(
        HI
        + frame(
            finish="STOP",
            counts=counts(),
            groundingMetadata={
                "webSearchQueries": ["q"],
                "searchEntryPoint": {"renderedContent": "<div>"},
                "groundingChunks": [
                    {"web": {"uri": "https://a", "title": "a.com", "domain": "a.com"}},
                    {"web": {"uri": "https://a", "title": "again"}},
                    {"retrievedContext": {"uri": "https://b"}},
                    {"maps": {"title": "no address"}},
                ],
            },
        ),
        [TextDelta("Hi"), Source("https://a", "a.com"), Source("https://b"), *ends()],
    ),
    "a picture": Sample(
        frame({"inlineData": {"mimeType": "image/png", "data": "AA=="}}, {"inlineData": {"mimeType": "image/png"}})
        + HI
        + TAIL,
        [
            Warning_("MEDIA_IGNORED", "The model's answer has an image or sound, which is not passed on."),
            *HI_ENDS,
        ],
    ),
    "fields of other types": Sample(
        event({"candidates": [{"index": "0", "content": {"parts": [1, {"text": 2}, {"text": "Hi"}]}}, 3]})
        + event({"candidates": [{"content": []}]})
        + event({"candidates": {"content": 1}, "promptFeedback": [], "usageMetadata": 3})
        + TAIL,
        HI_ENDS,
    ),
    "fields nobody knows": Sample(
        event({"candidates": [{"content": {"parts": [{"text": "Hi", "partMetadata": {}}]}, "avgLogprobs": 1}], "x": 1})
        + TAIL,
        HI_ENDS,
    ),
    "feedback without a block": Sample(
        event({"promptFeedback": {"safetyRatings": []}})
        + event({"promptFeedback": {"blockReason": "BLOCK_REASON_UNSPECIFIED"}})
        + HI
        + TAIL,
        HI_ENDS,
    ),
    "comments, keep-alives, a terminator of something in between": Sample(
        ": c\n\n" + "data:\n\n" + HI + ": c\n\n" + TAIL + "data: [DONE]\n\n" + HI, HI_ENDS
    ),
    "no blank line at the end": Sample(HI + TAIL.rstrip("\n"), HI_ENDS),
    "lone surrogates": Sample(
        'data: {"candidates":[{"content":{"parts":[{"text":"a\\ud83db"}]}}]}\n\n' + TAIL,
        [TextDelta("a\ufffdb"), *ends()],
    ),
    "a whole document although a stream was asked for": Sample(
        json.dumps(
            {
                "candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}],
                "usageMetadata": counts(),
            },
            indent=1,
        ),
        HI_ENDS,
    ),
    "an array, as without alt=sse": Sample(
        "["
        + json.dumps({"candidates": [{"content": {"parts": [{"text": "H"}]}}]}, indent=1)
        + "\n,\n"
        + json.dumps(
            {
                "candidates": [{"content": {"parts": [{"text": "i"}]}, "finishReason": "STOP"}],
                "usageMetadata": counts(),
            }
        )
        + "]\n",
        [TextDelta("H"), TextDelta("i"), *ends()],
    ),
}

_BOOM = {"code": 503, "message": "boom", "status": "UNAVAILABLE"}
# Of an error inside a 200 answer (14.4).
ERROR_SHAPES: dict[str, str] = {
    "a data line": event({"error": _BOOM}),
    "a data line with an array": event([{"error": _BOOM}]),
    "bare JSON": json.dumps({"error": _BOOM}, indent=1) + "\n",
    "a bare array": json.dumps([{"error": _BOOM}], indent=1) + "\n",
    "without a code": event({"error": {"message": "boom", "status": "UNAVAILABLE"}}),
    "a named event": 'event: error\ndata: {"error":{"code":503,"message":"boom"}}\n\n',
    "a page": "<html><body>boom</body></html>\n",
    "no JSON": "data: boom\n\n",
    "JSON that is no object": "data: [1]\n\n",
    "a malformed call": frame(finish="MALFORMED_FUNCTION_CALL"),
    "a missing signature": frame(finish="MISSING_THOUGHT_SIGNATURE"),
}
