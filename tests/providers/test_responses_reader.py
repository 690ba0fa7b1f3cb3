"""Reading the Responses surface, however its stream is cut and whatever a relative of it leaves out."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import UpstreamError
from penstock.providers.base import (
    Call,
    Delta,
    Finish,
    FinishReason,
    Message,
    Opaque,
    OpaqueDelta,
    Quirks,
    ReasoningDelta,
    Source,
    TextDelta,
    Tool,
    ToolCall,
    ToolDelta,
    Usage,
    Warning_,
)
from penstock.providers.failures import (
    ContentFiltered,
    ModelFailed,
    RateLimited,
    RequestRefused,
    Truncated,
    Unreachable,
)
from penstock.providers.wires.openai.responses import WIRE
from penstock.providers.wires.openai.responses_items import Writing, items_of
from penstock.providers.wires.openai.responses_reader import ResponsesReader
from tests.fakes.dialects.base import Asked, SaidTool, Says
from tests.fakes.dialects.openai import OPENAI_RESPONSES
from tests.providers.streams import DONE, ERROR_SHAPES, LINE_ENDS, bytewise, cuts, until_failure

ASKED = Asked(model="m", stream=True, credential=None)


def event(kind: str, *, named: bool = True, **fields: Any) -> str:
    data = json.dumps({"type": kind, "sequence_number": 0} | fields, ensure_ascii=False)
    return (f"event: {kind}\n" if named else "") + f"data: {data}\n\n"


def counts(given: int = 9, made: int = 2, **more: Any) -> dict[str, Any]:
    return {"input_tokens": given, "output_tokens": made, "total_tokens": given + made} | more


def ended(status: str = "completed", output: Any = (), **fields: Any) -> str:
    response = {"id": "resp_1", "status": status, "output": list(output), "usage": counts()} | fields
    return event(f"response.{status}", response=response)


def text_event(piece: str, index: int = 0, **fields: Any) -> str:
    return event(
        "response.output_text.delta", item_id="msg_1", output_index=index, content_index=0, delta=piece, **fields
    )


def item_done(index: int, **item: Any) -> str:
    return event("response.output_item.done", output_index=index, item=item)


def item_added(index: int, **item: Any) -> str:
    return event("response.output_item.added", output_index=index, item=item)


def message_item(text: str = "Hi", **fields: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": content} | fields


def call_item(arguments: str = '{"a":1}', call_id: str = "call_1", **fields: Any) -> dict[str, Any]:
    return {"type": "function_call", "id": "fc_1", "call_id": call_id, "name": "f", "arguments": arguments} | fields


def ends(reason: FinishReason = "stop", raw: str = "completed", detail: str | None = None) -> list[Delta]:
    return [Usage(input_tokens=9, output_tokens=2), Finish(reason, raw, detail)]


def kept(**block: Any) -> OpaqueDelta:
    return OpaqueDelta(Opaque("openai_responses", "m", block))


THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"}]}
SEALED = THOUGHT | {"encrypted_content": "gAAA"}
HI = text_event("Hi")
HI_ENDS: list[Delta] = [TextDelta("Hi"), *ends()]

SAMPLES: dict[str, tuple[str, list[Delta]]] = {
    "as OpenAI sends a text": (
        event("response.created", response={"status": "in_progress", "output": [], "error": None})
        + event("response.in_progress", response={"status": "in_progress", "output": []})
        + item_added(0, type="message", id="msg_1", role="assistant", content=[])
        + event("response.content_part.added", output_index=0, part={"type": "output_text", "text": ""})
        + text_event("Hé", logprobs=[], obfuscation="x")
        + text_event("l")
        + event("response.output_text.done", output_index=0, content_index=0, text="Hél")
        + item_done(0, **message_item("Hél"))
        + ended(output=[message_item("Hél")]),
        [TextDelta("Hé"), TextDelta("l"), *ends()],
    ),
    "as OpenAI sends reasoning and a call": (
        item_added(0, type="reasoning", id="rs_1", summary=[])
        + event("response.reasoning_summary_part.added", output_index=0, summary_index=0)
        + event("response.reasoning_summary_text.delta", item_id="rs_1", output_index=0, summary_index=0, delta="Hm")
        + event("response.reasoning_summary_part.added", output_index=0, summary_index=1)
        + event("response.reasoning_summary_text.delta", item_id="rs_1", output_index=0, summary_index=1, delta="Ah")
        + item_done(0, **SEALED)
        + item_added(1, **call_item(""))
        + event("response.function_call_arguments.delta", item_id="fc_1", output_index=1, delta='{"a"')
        + event("response.function_call_arguments.delta", item_id="fc_1", output_index=1, delta=":1}")
        + event("response.function_call_arguments.done", item_id="fc_1", output_index=1, arguments='{"a":1}')
        + item_done(1, **call_item())
        + ended(),
        [
            ReasoningDelta("Hm"),
            ReasoningDelta("\n\n"),
            ReasoningDelta("Ah"),
            kept(**SEALED),
            ToolDelta(0, '{"a"', "call_1", "f"),
            ToolDelta(0, ":1}"),
            kept(type="function_call", call_id="call_1"),
            *ends("tool_calls"),
        ],
    ),
    "events without a name": (HI.replace("event: response.output_text.delta\n", "") + ended(), HI_ENDS),
    "a DONE after the end": (HI + ended() + DONE, HI_ENDS),
    "no blank line at the end": ((HI + ended()).rstrip("\n"), HI_ENDS),
    "comments, pings and events nobody knows": (
        ": c\n\n" + event("response.mcp_call.in_progress") + HI + event("keepalive") + "data:\n\n" + ended(),
        HI_ENDS,
    ),
    "a tail that the deltas left out": (
        text_event("H") + event("response.output_text.done", output_index=0, content_index=0, text="Hi") + ended(),
        [TextDelta("H"), TextDelta("i"), *ends()],
    ),
    "a text without deltas": (item_done(0, **message_item()) + ended(), HI_ENDS),
    "everything in the last event only": (ended(output=[message_item()]), HI_ENDS),
    "a call without deltas": (
        item_done(0, **call_item()) + ended(),
        [ToolDelta(0, '{"a":1}', "call_1", "f"), *ends("tool_calls")],
    ),
    "a call without arguments": (
        item_added(0, **call_item("")) + item_done(0, **call_item("")) + ended(),
        [ToolDelta(0, "{}", "call_1", "f"), *ends("tool_calls")],
    ),
    "pieces of a call that are known by the item only": (
        item_added(0, **call_item("", "a", id="fc_a"))
        + item_added(1, **call_item("", "b", id="fc_b"))
        + event("response.function_call_arguments.delta", item_id="fc_a", delta="{}")
        + event("response.function_call_arguments.delta", item_id="fc_b", delta="[]")
        + ended(),
        [ToolDelta(0, "{}", "a", "f"), ToolDelta(1, "[]", "b", "f"), *ends("tool_calls")],
    ),
    "a refusal": (
        event("response.refusal.delta", output_index=0, content_index=0, delta="No.")
        + event("response.refusal.done", output_index=0, content_index=0, refusal="No.")
        + ended(),
        [TextDelta("No."), *ends("content_filter")],
    ),
    "reasoning of open-weight models": (
        event("response.reasoning_text.delta", output_index=0, delta="Hm") + HI + ended(),
        [ReasoningDelta("Hm"), *HI_ENDS],
    ),
    "reasoning without deltas, and not to be kept": (
        item_done(0, **THOUGHT) + text_event("Hi", 1) + ended(),
        [ReasoningDelta("Hm"), *HI_ENDS],
    ),
    "annotations, told twice": (
        HI
        + event("response.output_text.annotation.added", annotation={"type": "url_citation", "url": "u", "title": "T"})
        + item_done(
            0,
            **message_item(
                content=[
                    {"type": "output_text", "text": "Hi", "annotations": [{"type": "url_citation", "url": "u"}]},
                ]
            ),
        )
        + ended(),
        [TextDelta("Hi"), Source("u", "T"), *ends()],
    ),
    "phases of messages are kept with their places": (
        text_event("Wait. ", 0)
        + item_done(0, **message_item("Wait. ", phase="commentary"))
        + text_event("Done.", 1)
        + item_done(1, **message_item("Done.", phase="final_answer"))
        + ended(),
        [
            TextDelta("Wait. "),
            kept(type="message", chars=6, phase="commentary"),
            TextDelta("Done."),
            kept(type="message", chars=5, phase="final_answer"),
            *ends(),
        ],
    ),
    "cut at the length limit": (
        HI + ended("incomplete", incomplete_details={"reason": "max_output_tokens"}),
        [TextDelta("Hi"), *ends("length", "max_output_tokens")],
    ),
    "cut by a filter": (
        HI + ended("incomplete", incomplete_details={"reason": "content_filter"}),
        [TextDelta("Hi"), *ends("content_filter", "content_filter")],
    ),
    "cut for a reason nobody knows": (
        HI + ended("incomplete", incomplete_details={"reason": "steered"}),
        [TextDelta("Hi"), *ends("stop", "steered")],
    ),
    "cut by Azure's filter": (
        HI
        + ended(
            content_filters=[
                {"blocked": False, "content_filter_results": {"hate": {"filtered": False}}},
                {"blocked": True, "content_filter_results": {"self_harm": {"filtered": True, "severity": "high"}}},
            ]
        ),
        [TextDelta("Hi"), *ends("content_filter", "completed", "self harm (high)")],
    ),
    "usage with all details": (
        HI
        + ended(
            usage=counts(
                input_tokens_details={"cached_tokens": 3, "cache_write_tokens": 1},
                output_tokens_details={"reasoning_tokens": 1},
            )
        ),
        [
            TextDelta("Hi"),
            Usage(input_tokens=9, output_tokens=2, cache_read_tokens=3, cache_write_tokens=1, reasoning_tokens=1),
            Finish("stop", "completed"),
        ],
    ),
    "no usage": (
        HI + ended(usage=None),
        [TextDelta("Hi"), Usage(output_tokens=1, estimated=True), Finish("stop", "completed")],
    ),
    "a total that does not add up": (
        HI + ended(usage=counts() | {"total_tokens": 50}),
        [
            TextDelta("Hi"),
            Warning_("USAGE_MISMATCH", "The provider's token counts do not add up to its total."),
            *ends(),
        ],
    ),
    "a whole document although a stream was asked for": (
        json.dumps(
            {
                "object": "response",
                "status": "completed",
                "error": None,
                "output": [SEALED, message_item(), call_item()],
                "usage": counts(),
            },
            indent=1,
        ),
        [
            ReasoningDelta("Hm"),
            kept(**SEALED),
            TextDelta("Hi"),
            kept(type="message", chars=2),
            ToolDelta(0, '{"a":1}', "call_1", "f"),
            kept(type="function_call", call_id="call_1"),
            *ends("tool_calls"),
        ],
    ),
    "lone surrogates": (HI.replace("Hi", "a\\ud83db") + ended(), [TextDelta("a\ufffdb"), *ends()]),
}


def read(pieces: list[bytes], **options: Any) -> list[Delta]:
    reader = WIRE.reader(**{"model": "m", **options})
    deltas = [delta for piece in pieces for delta in reader.feed(piece)]
    return [*deltas, *reader.end()]


@pytest.mark.parametrize("name", SAMPLES)
def test_every_stream_says_the_same_however_it_is_cut(name: str) -> None:
    stream, deltas = SAMPLES[name]
    for pieces in cuts(stream.encode()):
        assert read(pieces) == deltas
    for line_end in LINE_ENDS.values():
        assert read(bytewise(stream.encode().replace(b"\n", line_end))) == deltas


def test_what_the_reader_knows_on_the_way() -> None:
    reader = ResponsesReader(model="m", sent_bytes=40)
    reader.feed(event("response.created", response={}).encode())
    assert (reader.begun, reader.complete, reader.estimate()) == (False, False, Usage(input_tokens=10, estimated=True))
    reader.feed(HI.encode())
    assert (reader.begun, reader.complete, reader.terminated) == (True, False, False)
    reader.feed(ended().encode())
    assert (reader.complete, reader.terminated, reader.finish) == (True, True, "stop")
    assert reader.usage == Usage(input_tokens=9, output_tokens=2)
    assert reader.end() == ()


@pytest.mark.parametrize("stream", ["", HI, HI + DONE, item_done(0, **SEALED), "data: {", event("response.created")])
def test_without_its_last_event_a_stream_was_cut_off(stream: str) -> None:
    with pytest.raises(Truncated):
        read([stream.encode()])


def failed(code: str, message: str = "boom") -> str:
    error = {"code": code, "message": message}
    return event("response.failed", response={"status": "failed", "error": error, "usage": counts()})


FAILURES: dict[str, tuple[str, type[UpstreamError]]] = {
    "error": (event("error", code="server_error", message="boom", param=None), Unreachable),
    "error, nested": (event("error", error={"code": "rate_limit_exceeded", "message": "boom"}), RateLimited),
    "error without a name": (event("error", named=False, code="x", message="boom"), ModelFailed),
    "failed": (failed("server_error"), Unreachable),
    "failed by the limit": (failed("rate_limit_exceeded"), RateLimited),
    "failed by the policy": (failed("invalid_prompt"), ContentFiltered),
    "failed by a newer policy": (failed("bio_policy"), ContentFiltered),
    "failed by an image": (failed("invalid_image_format"), RequestRefused),
    "failed for no reason": (event("response.failed", response={"status": "failed", "error": None}), ModelFailed),
    "cancelled": (event("response.cancelled", response={"status": "cancelled"}), ModelFailed),
    "a document that failed": (
        json.dumps({"object": "response", "status": "failed", "error": {"code": "server_error", "message": "boom"}}),
        Unreachable,
    ),
    "a document that is not there yet": (json.dumps({"status": "queued", "output": []}), Truncated),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_inside_the_answer_is_a_failure_however_it_is_cut(name: str) -> None:
    stream, kind = FAILURES[name]
    for pieces in cuts(stream.encode()):
        reader = ResponsesReader(model="m")
        assert not any(until_failure(reader, pieces))
        assert type(reader.failure) is kind
        assert not reader.begun


@pytest.mark.parametrize("shape", ERROR_SHAPES)
def test_errors_of_every_shape_lose_nothing_that_came_before(shape: str) -> None:
    for pieces in cuts((HI + ERROR_SHAPES[shape]).encode()):
        reader = ResponsesReader(model="m")
        assert [delta for given in until_failure(reader, pieces) for delta in given] == [TextDelta("Hi")]


def test_the_tokens_of_a_failed_answer_are_known() -> None:
    reader = ResponsesReader(model="m")
    with pytest.raises(UpstreamError):
        reader.feed(failed("server_error").encode())
    assert reader.usage == Usage(input_tokens=9, output_tokens=2)


@pytest.mark.parametrize("pieces", [["Hello END and more"], ["Hello E", "ND and", " more"], list("Hello END and more")])
def test_a_stop_sequence_ends_the_answer_and_is_never_shown(pieces: list[str]) -> None:
    reader = WIRE.reader(model="m", stop=["END", "###"])
    deltas: list[Delta] = []
    for piece in pieces:
        deltas += reader.feed(text_event(piece).encode())
    assert "".join(one.text for one in deltas if isinstance(one, TextDelta)) == "Hello "
    assert deltas[-1] == Finish("stop", "stop")
    assert (reader.terminated, reader.complete) == (True, True)
    assert reader.feed(text_event("more").encode()) == ()


def test_what_only_looked_like_a_stop_sequence_is_shown_at_the_end() -> None:
    deltas = read([(text_event("Hello EN") + ended()).encode()], stop=["END"])
    assert deltas == [TextDelta("Hello "), TextDelta("EN"), *ends()]


def test_the_name_that_the_caller_gave_a_tool_comes_back() -> None:
    body = json.loads(WIRE.request(_call_with("a.b"), "m", Quirks()).body)
    deltas = read(
        [(item_done(0, **call_item(name=body["tools"][0]["name"])) + ended()).encode()], tools=[Tool("a.b", "", {})]
    )
    assert isinstance(deltas[0], ToolDelta)
    assert deltas[0].name == "a.b"


def _call_with(name: str) -> Call:
    return Call(messages=[Message(role="user", content="Hi")], tools=[Tool(name, "", {})])


PIECES = st.lists(st.text(min_size=1, max_size=8), max_size=4)
ARGUMENTS = st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text(max_size=5), max_size=3)


@settings(max_examples=60)
@given(PIECES, st.text(max_size=8), st.lists(ARGUMENTS, max_size=3), st.integers(1, 200))
def test_what_the_model_said_survives_the_way_there_and_back(
    pieces: list[str], thought: str, arguments: list[dict[str, Any]], size: int
) -> None:
    tools = tuple(SaidTool(f"call_{at}", f"tool_{at}", one) for at, one in enumerate(arguments))
    says = Says(pieces=pieces, reasoning=thought, signature="gAAA", tools=tools)
    stream = b"".join(OPENAI_RESPONSES.frames(says, ASKED))
    deltas = read([stream[at : at + size] for at in range(0, len(stream), size)])
    text = "".join(one.text for one in deltas if isinstance(one, TextDelta))
    calls: dict[int, ToolCall] = {}
    for one in deltas:
        if isinstance(one, ToolDelta):
            known = calls.get(one.index) or ToolCall(one.id or "", one.name or "", "")
            calls[one.index] = ToolCall(known.id, known.name, known.arguments + one.arguments)
    assert text == "".join(pieces)
    assert [(one.id, one.name, json.loads(one.arguments)) for one in calls.values()] == [
        (one.id, one.name, one.arguments) for one in tools
    ]
    turn = Message(
        role="assistant",
        content=text,
        tool_calls=list(calls.values()),
        opaque=[one.opaque for one in deltas if isinstance(one, OpaqueDelta)],
    )
    names = {one.name: one.name for one in tools}
    items = items_of([turn], Writing(names, "m", Quirks()))
    own = [item for item in items if item["type"] != "function_call_output"]
    # A thought that nothing follows is not sent: it would be refused.
    expected = [] if not (pieces or tools) else ["reasoning"]
    expected += ["message"] * bool(pieces) + ["function_call"] * len(tools)
    assert [item["type"] for item in own] == expected


FIELDS = [
    "type",
    "delta",
    "item",
    "response",
    "output",
    "content",
    "text",
    "usage",
    "status",
    "error",
    "arguments",
    "summary",
    "encrypted_content",
    "annotations",
    "annotation",
    "output_index",
    "content_index",
    "item_id",
    "id",
    "call_id",
    "name",
    "phase",
    "incomplete_details",
    "content_filters",
]
KINDS = st.sampled_from(
    [
        "response.output_text.delta",
        "response.output_text.done",
        "response.output_item.added",
        "response.output_item.done",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.reasoning_summary_part.added",
        "response.completed",
        "response.incomplete",
        "response.failed",
        "message",
        "function_call",
        "reasoning",
        "error",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=4) | KINDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=100)
@given(
    st.lists(
        JSON
        | st.builds(
            lambda kind, rest: {**rest, "type": kind}, KINDS, st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4)
        ),
        max_size=5,
    )
)
def test_any_json_ends_in_a_finish_or_in_a_failure(events: list[Any]) -> None:
    stream = "".join(f"data: {json.dumps(one)}\n\n" for one in events) + ended()
    try:
        deltas = read([stream.encode()])
    except UpstreamError:
        return
    assert isinstance(deltas[-1], Finish)


@settings(max_examples=100)
@given(
    st.lists(
        st.sampled_from([HI, ended(), *map(str, ERROR_SHAPES.values())]).map(str.encode) | st.binary(max_size=12),
        max_size=8,
    ),
    st.integers(1, 400),
)
def test_any_bytes_end_in_a_finish_or_in_a_failure(noise: list[bytes], size: int) -> None:
    stream = b"".join(noise)
    try:
        deltas = read([stream[at : at + size] for at in range(0, len(stream), size)])
    except UpstreamError:
        return
    assert isinstance(deltas[-1], Finish)
    assert isinstance(deltas[-2], Usage)
