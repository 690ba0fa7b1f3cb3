"""Reading Converse and ConverseStream into neutral deltas."""

import json
from base64 import b64encode
from itertools import pairwise
from typing import Any, NamedTuple

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
    ReasoningDelta,
    Source,
    TextDelta,
    Tool,
    ToolDelta,
    Usage,
    Warning_,
)
from penstock.providers.failures import (
    Failure,
    ModelFailed,
    Overloaded,
    RateLimited,
    RequestRefused,
    ShapeMismatch,
    TimedOut,
    Truncated,
    Unreachable,
)
from penstock.providers.wires.bedrock.wire import WIRE
from penstock.providers.wires.tool_names import names_of
from tests.fakes.dialects.bedrock import error, event, exception, frame
from tests.providers.streams import cuts, until_failure

MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
STREAM_TYPE = "application/vnd.amazon.eventstream"


def delta(piece: Any, index: int = 0) -> bytes:
    return event("contentBlockDelta", {"contentBlockIndex": index, "delta": piece, "p": "abc"})


def stop(index: int = 0) -> bytes:
    return event("contentBlockStop", {"contentBlockIndex": index})


def tool(index: int, call_id: str, name: str, *fragments: str) -> bytes:
    start = event(
        "contentBlockStart", {"contentBlockIndex": index, "start": {"toolUse": {"toolUseId": call_id, "name": name}}}
    )
    return start + b"".join(delta({"toolUse": {"input": one}}, index) for one in fragments) + stop(index)


def ends(reason: str = "end_turn", **usage: Any) -> bytes:
    counts = {"inputTokens": 9, "outputTokens": 2, "totalTokens": 11} | usage
    return event("messageStop", {"stopReason": reason}) + event("metadata", {"usage": counts, "metrics": {}})


def closing(raw: str, reason: FinishReason, usage: Usage | None = None) -> list[Delta]:
    return [usage or USED, Finish(reason, raw)]


START = event("messageStart", {"role": "assistant", "p": "abcd"})
HI = START + delta({"text": "Hi"})
USED = Usage(input_tokens=9, output_tokens=2)


def opaque(block: Any) -> OpaqueDelta:
    return OpaqueDelta(Opaque("bedrock", MODEL, {"reasoningContent": block}))


def base64(data: bytes) -> str:
    return b64encode(data).decode()


class Sample(NamedTuple):
    stream: bytes
    deltas: list[Delta]
    tools: tuple[Tool, ...] = ()


SAMPLES: dict[str, Sample] = {
    "text": Sample(
        START + delta({"text": "Grüß"}) + delta({"text": ""}) + delta({"text": " Gott 🙂"}) + stop() + ends(),
        [TextDelta("Grüß"), TextDelta(" Gott 🙂"), *closing("end_turn", "stop")],
    ),
    "reasoning, text and a call": Sample(
        START
        + delta({"reasoningContent": {"text": "Need "}})
        + delta({"reasoningContent": {"text": "it."}})
        + delta({"reasoningContent": {"signature": "ErcB"}})
        + stop()
        + delta({"text": "One moment."}, 1)
        + stop(1)
        + tool(2, "tooluse_1", "f", "", '{"a"', ":1}")
        + ends("tool_use"),
        [
            ReasoningDelta("Need "),
            ReasoningDelta("it."),
            opaque({"reasoningText": {"text": "Need it.", "signature": "ErcB"}}),
            TextDelta("One moment."),
            ToolDelta(0, '{"a"', "tooluse_1", "f"),
            ToolDelta(0, ":1}"),
            *closing("tool_use", "tool_calls"),
        ],
    ),
    "redacted reasoning": Sample(
        START
        + delta({"reasoningContent": {"redactedContent": base64(b"ab")}})
        + stop()
        + delta({"reasoningContent": {"redactedContent": base64(b"cd")}}, 1)
        + delta({"reasoningContent": {"redactedContent": base64(b"ef")}}, 1)
        + stop(1)
        + ends(),
        [
            opaque({"redactedContent": base64(b"ab")}),
            opaque({"redactedContent": base64(b"cdef")}),
            *closing("end_turn", "stop"),
        ],
    ),
    "reasoning that nobody signed": Sample(
        START + delta({"reasoningContent": {"text": "Hm"}}) + stop() + ends(),
        [ReasoningDelta("Hm"), *closing("end_turn", "stop")],
    ),
    "reasoning whose block is never closed": Sample(
        START + delta({"reasoningContent": {"signature": "s"}}) + ends(),
        [opaque({"reasoningText": {"text": "", "signature": "s"}}), *closing("end_turn", "stop")],
    ),
    "two calls, the first without arguments": Sample(
        START + tool(0, "a", "f", "") + tool(1, "b", "g", '{"x":2}') + ends("tool_use"),
        [ToolDelta(0, "{}", "a", "f"), ToolDelta(1, '{"x":2}', "b", "g"), *closing("tool_use", "tool_calls")],
    ),
    "a call that ends like an ordinary answer": Sample(
        START + tool(0, "a", "f", "{}") + ends("end_turn"),
        [ToolDelta(0, "{}", "a", "f"), *closing("end_turn", "tool_calls")],
    ),
    "an answer in JSON, through the tool for it": Sample(
        START + tool(0, "a", "json_response", "", '{"a":', "1}") + ends("tool_use"),
        [TextDelta('{"a":'), TextDelta("1}"), *closing("tool_use", "stop")],
    ),
    "an answer in JSON that is an empty object": Sample(
        START + tool(0, "a", "json_response", "") + ends("tool_use"),
        [TextDelta("{}"), *closing("tool_use", "stop")],
    ),
    "a caller's tool of that name is a call": Sample(
        START + tool(0, "a", "json_response", "{}") + tool(1, "b", "json_response_", '{"a":1}') + ends("tool_use"),
        [ToolDelta(0, "{}", "a", "json_response"), TextDelta('{"a":1}'), *closing("tool_use", "tool_calls")],
        (Tool("json_response", "", {}),),
    ),
    "a name that had to be changed": Sample(
        START + tool(0, "a", "a_b", "{}") + ends("tool_use"),
        [ToolDelta(0, "{}", "a", "a.b"), *closing("tool_use", "tool_calls")],
        (Tool("a.b", "", {}),),
    ),
    "cached input is part of the input": Sample(
        HI
        + ends(
            inputTokens=433,
            outputTokens=16,
            totalTokens=3301,
            cacheReadInputTokens=2752,
            cacheWriteInputTokens=100,
            cacheDetails=[{"ttl": "1h", "inputTokens": 60}, {"ttl": "5m", "inputTokens": 40}],
        ),
        [
            TextDelta("Hi"),
            *closing(
                "end_turn",
                "stop",
                Usage(
                    input_tokens=3285,
                    output_tokens=16,
                    cache_read_tokens=2752,
                    cache_write_tokens=100,
                    cache_write_1h_tokens=60,
                ),
            ),
        ],
    ),
    "a total that does not add up": Sample(
        HI + ends(totalTokens=50),
        [
            TextDelta("Hi"),
            Warning_("USAGE_MISMATCH", "The provider's token counts do not add up to its total."),
            *closing("end_turn", "stop"),
        ],
    ),
    "no metadata": Sample(
        HI + event("messageStop", {"stopReason": "end_turn"}),
        [TextDelta("Hi"), *closing("end_turn", "stop", Usage(output_tokens=1, estimated=True))],
    ),
    "metadata without usage": Sample(
        HI + event("messageStop", {"stopReason": "end_turn"}) + event("metadata", {"metrics": {}}),
        [TextDelta("Hi"), *closing("end_turn", "stop", Usage(output_tokens=1, estimated=True))],
    ),
    "a source is given once, and only with an address": Sample(
        HI
        + delta({"citation": {"title": "T", "location": {"web": {"url": "https://h/x"}}}})
        + delta({"citation": {"location": {"web": {"url": "https://h/x"}}}})
        + delta({"citation": {"location": {"documentPage": {"start": 1}}}})
        + ends(),
        [TextDelta("Hi"), Source("https://h/x", "T"), *closing("end_turn", "stop")],
    ),
    "events and deltas of later versions": Sample(
        HI + event("messageMood", {"mood": "good"}) + delta({"image": {"format": "png"}}, 1) + ends(),
        [TextDelta("Hi"), *closing("end_turn", "stop")],
    ),
}


def read(pieces: list[bytes], **options: Any) -> list[Delta]:
    reader = WIRE.reader(**{"model": MODEL, "content_type": STREAM_TYPE} | options)
    deltas = [delta for piece in pieces for delta in reader.feed(piece)]
    return [*deltas, *reader.end()]


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_is_read_however_it_is_cut(name: str) -> None:
    sample = SAMPLES[name]
    for pieces in cuts(sample.stream):
        assert read(pieces, tools=sample.tools) == sample.deltas


@pytest.mark.parametrize(
    "raw, reason",
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("something_new", "stop"),
    ],
)
def test_every_stop_reason_has_its_neutral_word(raw: str, reason: FinishReason) -> None:
    assert read([HI + ends(raw)])[-1] == Finish(reason, raw)


@pytest.mark.parametrize("raw", ["malformed_model_output", "malformed_tool_use"])
def test_a_stop_reason_that_means_failure_raises(raw: str) -> None:
    with pytest.raises(ModelFailed) as caught:
        read([START + ends(raw)])
    assert caught.value.upstream_code == raw


def test_what_the_reader_knows_at_the_end() -> None:
    reader = WIRE.reader()
    reader.feed(START)
    assert not reader.begun
    reader.feed(delta({"text": "Hi"}))
    assert (reader.begun, reader.complete, reader.terminated) == (True, False, False)
    reader.feed(event("messageStop", {"stopReason": "end_turn"}))
    assert (reader.complete, reader.finish, reader.terminated) == (True, "stop", False)
    reader.feed(event("metadata", {"usage": {"inputTokens": 9, "outputTokens": 2, "totalTokens": 11}}))
    assert reader.terminated
    assert reader.usage == USED
    assert reader.end() == ()


def test_a_call_given_up_is_estimated_from_what_was_sent_and_received() -> None:
    reader = WIRE.reader(sent_bytes=400)
    reader.feed(delta({"text": "x" * 20}) + delta({"reasoningContent": {"text": "y" * 20}}, 1))
    assert reader.estimate() == Usage(input_tokens=100, output_tokens=10, estimated=True)


def test_text_with_broken_utf8_becomes_replacement_characters() -> None:
    headers = {":event-type": "contentBlockDelta", ":message-type": "event"}
    broken = frame(headers, b'{"contentBlockIndex":0,"delta":{"text":"a\xffb"}}')
    half = frame(headers, b'{"contentBlockIndex":0,"delta":{"text":"\\ud83d"}}')
    assert read([broken + half + ends()])[:2] == [TextDelta("a\ufffdb"), TextDelta("\ufffd")]


# --- failures --------------------------------------------------------------------------------------------------------

EXCEPTIONS = [
    (exception("internalServerException", {"message": "boom"}), Unreachable, "InternalServerException: boom"),
    (exception("validationException", {"message": "boom"}), RequestRefused, "ValidationException: boom"),
    (exception("throttlingException", {"message": "boom"}), RateLimited, "ThrottlingException: boom"),
    (exception("serviceUnavailableException", {"message": "boom"}), Overloaded, "ServiceUnavailableException: boom"),
    (exception("modelTimeoutException", {"message": "boom"}), TimedOut, "ModelTimeoutException: boom"),
    (exception("modelStreamErrorException", {"message": "boom"}), Unreachable, "ModelStreamErrorException: boom"),
    (
        exception("modelStreamErrorException", {"message": "m", "originalStatusCode": 429, "originalMessage": "boom"}),
        RateLimited,
        "ModelStreamErrorException: boom",
    ),
    (exception("surpriseException", {"message": "boom"}), ModelFailed, "SurpriseException: boom"),
    (exception("throttlingException", "boom"), RateLimited, "ThrottlingException: boom"),
    (error("InternalFailure", "boom"), ModelFailed, "InternalFailure: boom"),
    (error("ThrottlingException", "boom"), RateLimited, "ThrottlingException: boom"),
]


@pytest.mark.parametrize("sent, kind, message", EXCEPTIONS)
def test_an_exception_frame_before_the_first_content_is_a_failure(
    sent: bytes, kind: type[Failure], message: str
) -> None:
    for pieces in cuts(START + sent):
        reader = WIRE.reader()
        assert not any(until_failure(reader, pieces))
        assert not reader.begun
        assert type(reader.failure) is kind
        assert reader.failure.message == message


@pytest.mark.parametrize("sent, kind, message", EXCEPTIONS)
def test_an_exception_frame_after_content_loses_none_of_it(sent: bytes, kind: type[Failure], message: str) -> None:
    reader = WIRE.reader()
    given = [delta for deltas in until_failure(reader, [HI + sent + ends()]) for delta in deltas]
    assert given == [TextDelta("Hi")]
    assert type(reader.failure) is kind
    with pytest.raises(kind, match="boom"):
        reader.end()


@pytest.mark.parametrize("stream", [b"", START, HI, HI[:-1], HI + ends()[:20]], ids=range(5))
def test_a_stream_without_a_stop_reason_is_cut_off(stream: bytes) -> None:
    with pytest.raises(Truncated):
        read([stream])


def test_a_stream_cut_inside_its_metadata_is_complete_with_estimated_usage() -> None:
    deltas = read([(HI + ends())[:-3]])
    assert deltas == [TextDelta("Hi"), Usage(output_tokens=1, estimated=True), Finish("stop", "end_turn")]


@pytest.mark.parametrize(
    "payload", [b"[]", b"7", b"x", b'{"delta":7}', b'{"delta":{"text":{"a":1}}}', b"[" * 5000], ids=range(6)
)
def test_an_event_of_another_shape_is_not_in_the_right_format(payload: bytes) -> None:
    with pytest.raises(ShapeMismatch):
        read([frame({":event-type": "contentBlockDelta", ":message-type": "event"}, payload)])


# --- whole answers ---------------------------------------------------------------------------------------------------

WHOLE = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "sig"}}},
                {"text": "Hi"},
                {
                    "citationsContent": {
                        "content": [{"text": " there"}],
                        "citations": [{"location": {"web": {"url": "u"}}}],
                    }
                },
                {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1}}},
                {"toolUse": {"toolUseId": "u", "name": "g", "input": {}}},
            ],
        }
    },
    "stopReason": "tool_use",
    "usage": {"inputTokens": 433, "outputTokens": 16, "totalTokens": 3201, "cacheReadInputTokens": 2752},
}


def test_a_whole_answer_is_read_as_if_it_had_been_streamed() -> None:
    for pieces in cuts(b" " + json.dumps(WHOLE).encode()):
        assert read(pieces, content_type="application/json") == [
            ReasoningDelta("Hm"),
            opaque({"reasoningText": {"text": "Hm", "signature": "sig"}}),
            TextDelta("Hi"),
            TextDelta(" there"),
            Source("u"),
            ToolDelta(0, '{"a":1}', "t", "f"),
            ToolDelta(1, "{}", "u", "g"),
            Usage(input_tokens=3185, output_tokens=16, cache_read_tokens=2752),
            Finish("tool_calls", "tool_use"),
        ]


@pytest.mark.parametrize(
    "body",
    [
        b'{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"}}',
        b'{"message":"hm"}',
        b'{"output":{"message":{"content":7}}}',
        b"[]",
        b"{",
        b"<html>boom</html>",
        b"plain text, which is no frame at all",
    ],
)
def test_a_body_that_is_no_answer_is_not_in_the_right_format(body: bytes) -> None:
    for content_type in ("application/json", STREAM_TYPE):
        with pytest.raises(ShapeMismatch):
            read([body], content_type=content_type)


def test_a_wrong_region_is_named_by_what_it_answers() -> None:
    with pytest.raises(ShapeMismatch, match="UnknownOperationException"):
        read([b'{"Output":{"__type":"a.b#UnknownOperationException"}}'])


def test_a_whole_answer_without_a_stop_reason_is_cut_off() -> None:
    with pytest.raises(Truncated):
        read([json.dumps(WHOLE | {"stopReason": None}).encode()])


# --- properties ------------------------------------------------------------------------------------------------------

GOOD = SAMPLES["reasoning, text and a call"]
NOISE = st.lists(
    st.sampled_from([START, HI, ends(), tool(0, "a", "f", "{"), stop(), *(sent for sent, _, _ in EXCEPTIONS[:3])])
    | st.binary(max_size=20),
    max_size=8,
).map(b"".join)


@given(st.lists(st.integers(0, len(GOOD.stream)), max_size=12))
@settings(max_examples=60)
def test_any_split_gives_the_same_deltas(places: list[int]) -> None:
    at = [0, *sorted(places), len(GOOD.stream)]
    pieces = [GOOD.stream[start:end] for start, end in pairwise(at)]
    assert read(pieces) == GOOD.deltas


@given(st.integers(0, len(GOOD.stream) * 8 - 1))
@settings(max_examples=100)
def test_a_flipped_bit_never_passes(bit: int) -> None:
    flipped = bytearray(GOOD.stream)
    flipped[bit // 8] ^= 1 << bit % 8
    reader = WIRE.reader(model=MODEL, content_type=STREAM_TYPE)
    until_failure(reader, [bytes(flipped)])
    assert isinstance(reader.failure, ShapeMismatch)


@given(NOISE, st.integers(1, 500), st.sampled_from(["", STREAM_TYPE, "application/json"]))
@settings(max_examples=100)
def test_any_bytes_end_in_a_finish_or_in_a_failure(stream: bytes, size: int, content_type: str) -> None:
    try:
        deltas = read([stream[at : at + size] for at in range(0, len(stream), size)], content_type=content_type)
    except UpstreamError:
        return
    assert isinstance(deltas[-1], Finish)
    assert isinstance(deltas[-2], Usage)
    assert sum(isinstance(delta, Finish) for delta in deltas) == 1


FIELDS = [
    *("delta", "text", "toolUse", "input", "reasoningContent", "signature", "redactedContent", "citation"),
    *("location", "web", "url", "start", "contentBlockIndex", "toolUseId", "name", "stopReason", "usage"),
    *("inputTokens", "cacheDetails", "ttl"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)
EVENTS = st.sampled_from(
    ["contentBlockDelta", "contentBlockStart", "contentBlockStop", "messageStop", "metadata", "messageStart"]
)


@given(st.lists(st.tuples(EVENTS, JSON), max_size=4))
@settings(max_examples=100)
def test_any_json_in_events_ends_in_a_finish_or_in_a_failure(payloads: list[tuple[str, Any]]) -> None:
    try:
        deltas = read([b"".join(event(name, payload) for name, payload in payloads) + ends()])
    except UpstreamError:
        return
    assert isinstance(deltas[-1], Finish)


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8"), min_size=1, max_size=12),
            st.dictionaries(st.text(max_size=4), JSON, max_size=3),
        ),
        min_size=1,
        max_size=3,
        unique_by=lambda call: call[0],
    ),
    st.lists(st.text(max_size=8), max_size=4),
)
@settings(max_examples=60)
def test_text_calls_and_arguments_survive_the_way_there_and_back(
    calls: list[tuple[str, dict[str, Any]]], texts: list[str]
) -> None:
    """Names that had to be changed for Bedrock come back as the caller gave them."""
    tools = [Tool(name, "", {}) for name, _ in calls]
    names = names_of(Call(messages=[Message(role="user", content="x")], tools=tools))
    stream = START + b"".join(delta({"text": text}) for text in texts)
    for index, (name, arguments) in enumerate(calls, 1):
        stream += tool(index, f"id{index}", names[name], "", json.dumps(arguments))
    deltas = read([stream + ends("tool_use")], tools=tools)
    assert "".join(one.text for one in deltas if isinstance(one, TextDelta)) == "".join(texts)
    given_calls = [one for one in deltas if isinstance(one, ToolDelta)]
    assert [(one.id, one.name, json.loads(one.arguments)) for one in given_calls] == [
        (f"id{index}", name, arguments) for index, (name, arguments) in enumerate(calls, 1)
    ]
