"""Reading the Messages format into neutral deltas, however it is cut."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import UpstreamError
from penstock.providers.base import Delta, Finish, TextDelta, Tool, ToolDelta, Usage
from penstock.providers.failures import (
    ContextTooLong,
    CreditExhausted,
    Failure,
    Overloaded,
    RateLimited,
    ShapeMismatch,
    TimedOut,
    Truncated,
    Unreachable,
)
from penstock.providers.json_text import NotJson
from penstock.providers.wires.anthropic.events import MessageEvents
from penstock.providers.wires.anthropic.reader import MessagesReader
from penstock.providers.wires.anthropic.wire import WIRE
from penstock.providers.wires.tool_names import wire_names
from tests.providers.anthropic_streams import (
    ERROR_SHAPES,
    HELLO,
    HELLO_ENDS,
    MODEL,
    OVERLOADED,
    PING,
    SAMPLES,
    WHOLE,
    calls,
    closes,
    ends,
    event,
    opens,
    piece,
    says,
    start,
    types,
)
from tests.providers.streams import LINE_ENDS, bytewise, cuts, until_failure


def read(pieces: list[bytes], **options: Any) -> list[Delta]:
    reader = MessagesReader(**({"model": MODEL} | options))
    deltas = [delta for piece in pieces for delta in reader.feed(piece)]
    return [*deltas, *reader.end()]


@pytest.mark.parametrize("line_end", LINE_ENDS.values(), ids=LINE_ENDS)
@pytest.mark.parametrize("name", SAMPLES)
def test_every_stream_is_read_however_it_is_cut(name: str, line_end: bytes) -> None:
    sample = SAMPLES[name]
    stream = sample.stream.encode().replace(b"\n", line_end)
    for pieces in cuts(stream):
        assert read(pieces) == sample.deltas


@pytest.mark.parametrize("name", [name for name in SAMPLES if "document" not in name])
def test_an_event_for_each_read_gives_the_same(name: str) -> None:
    stream, deltas = SAMPLES[name]
    assert read([f"{block}\n\n".encode() for block in stream.split("\n\n")]) == deltas


@pytest.mark.parametrize("name", [name for name in SAMPLES if "document" not in name and "after" not in name])
def test_events_are_read_without_their_frames_too(name: str) -> None:
    stream, deltas = SAMPLES[name]
    events = MessageEvents(model=MODEL)
    given: list[Delta] = []
    for line in stream.split("\n"):
        if line.startswith("data: "):
            events.read(line[6:].encode(), given)
    if not events.terminated:
        events.close(given)
    assert given == deltas


def test_an_event_that_is_no_json_is_the_framing_readers_business() -> None:
    with pytest.raises(NotJson):
        MessageEvents().read(b"{", [])


def test_what_the_reader_knows_on_the_way() -> None:
    reader = WIRE.reader(model=MODEL, sent_bytes=400)
    reader.feed((start() + opens() + PING).encode())
    assert (reader.begun, reader.complete, reader.terminated, reader.usage) == (False, False, False, None)
    reader.feed(says("Hé").encode())
    assert (reader.begun, reader.complete) == (True, False)
    last, stop, _ = ends().split("\n\n")
    reader.feed(f"{last}\n\n".encode())
    assert (reader.complete, reader.finish, reader.terminated) == (True, "stop", False)
    assert reader.usage == Usage(input_tokens=12, output_tokens=30)
    assert reader.feed(f"{stop}\n\n".encode()) == HELLO_ENDS[1:]
    assert reader.terminated
    assert list(reader.end()) == []


def test_a_call_given_up_is_charged_for_the_input_that_was_reported_and_the_output_that_came() -> None:
    reader = MessagesReader(sent_bytes=4000)
    assert reader.estimate() == Usage(input_tokens=1000, estimated=True)
    reader.feed(start(cache_read_input_tokens=100).encode())
    reader.feed(says("x" * 40).encode())
    assert reader.estimate() == Usage(input_tokens=112, output_tokens=10, cache_read_tokens=100, estimated=True)


def test_the_name_that_the_caller_gave_a_tool_comes_back() -> None:
    name = "mcp.server/" + "x" * 70
    (short,) = wire_names([name]).values()
    stream = start() + calls(0, short) + closes(0) + ends("tool_use")
    assert read([stream.encode()], tools=[Tool(name, "", {})])[0] == ToolDelta(0, "{}", "toolu_0", name)


def test_a_tool_of_the_callers_that_is_called_like_the_tool_for_answers_is_a_tool() -> None:
    stream = start() + calls(0, "json_response") + types(0, "{}") + closes(0) + ends("tool_use")
    first, *_, last = read([stream.encode()], tools=[Tool("json_response", "", {})])
    assert first == ToolDelta(0, "{}", "toolu_0", "json_response")
    assert last == Finish("tool_calls", "tool_use")


def test_calls_beside_an_answer_are_calls() -> None:
    stream = (
        start() + calls(0, "json_response", input={"a": 1}) + closes(0) + calls(1, "f") + closes(1) + ends("tool_use")
    )
    deltas = read([stream.encode()])
    assert deltas[:2] == [TextDelta('{"a":1}'), ToolDelta(0, "{}", "toolu_1", "f")]
    assert deltas[-1] == Finish("tool_calls", "tool_use")


# --- failures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line_end", LINE_ENDS.values(), ids=LINE_ENDS)
@pytest.mark.parametrize("shape", ERROR_SHAPES)
def test_an_error_before_the_first_content_is_a_failure(shape: str, line_end: bytes) -> None:
    for before in ("", start() + PING):
        # A body that begins with JSON or a page is no stream at all: that is tested apart.
        if not before and ERROR_SHAPES[shape][0] in "[{<":
            continue
        stream = (before + ERROR_SHAPES[shape]).encode().replace(b"\n", line_end)
        for pieces in cuts(stream):
            reader = MessagesReader()
            assert not any(until_failure(reader, pieces))
            assert not reader.begun
            assert isinstance(reader.failure, Failure)


@pytest.mark.parametrize("shape", ERROR_SHAPES)
def test_an_error_after_content_loses_none_of_it(shape: str) -> None:
    stream = (HELLO + says("llo") + ERROR_SHAPES[shape]).encode()
    for pieces in cuts(stream):
        reader = MessagesReader()
        deltas = [delta for given in until_failure(reader, pieces) for delta in given]
        assert deltas == [TextDelta("Hé"), TextDelta("llo")]


@pytest.mark.parametrize(
    "kind, message, expected",
    [
        ("overloaded_error", "Overloaded", Overloaded),
        ("api_error", "Internal server error", Unreachable),
        ("rate_limit_error", "Slow down", RateLimited),
        ("billing_error", "No money", CreditExhausted),
        ("timeout_error", "Late", TimedOut),
        ("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", ContextTooLong),
    ],
)
def test_errors_in_a_stream_are_sorted_by_their_type(kind: str, message: str, expected: type[Failure]) -> None:
    with pytest.raises(expected, match=message):
        read([event("error", error={"type": kind, "message": message}).encode()])


def test_an_error_keeps_the_id_of_the_request() -> None:
    with pytest.raises(Overloaded) as caught:
        read([OVERLOADED.encode()])
    assert caught.value.upstream_request_id == "req_1"


def test_after_a_failure_every_call_raises_it_again() -> None:
    reader = MessagesReader()
    assert reader.feed((HELLO + OVERLOADED).encode()) == [TextDelta("Hé")]
    with pytest.raises(Overloaded):
        reader.feed(says("x").encode())
    with pytest.raises(Overloaded):
        reader.end()


@pytest.mark.parametrize("stream", ["", "\n\n", ": c\n\n", start(), HELLO, HELLO + "event: message_delta\ndata: {"])
def test_a_stream_that_ends_too_early_is_cut_off(stream: str) -> None:
    with pytest.raises(Truncated):
        read([stream.encode()])


def test_a_document_that_is_no_message() -> None:
    with pytest.raises(Overloaded):
        read([b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'])
    with pytest.raises(ShapeMismatch, match="no message"):
        read([b'{"object":"chat.completion"}'])
    with pytest.raises(ShapeMismatch, match="HTML"):
        read([b"<!doctype html><title>x</title>"])
    with pytest.raises(ShapeMismatch, match="not JSON"):
        read([b'{"type":"message"'])


def test_a_document_without_a_reason_has_ended_all_the_same() -> None:
    document = json.dumps({**WHOLE, "content": [{"type": "text", "text": "Hé"}], "stop_reason": None})
    assert read([document.encode()]) == HELLO_ENDS


def test_broken_utf8_becomes_replacement_characters() -> None:
    stream = (start() + says("a?b") + ends()).encode().replace(b"a?b", b"a\xffb")
    for pieces in ([stream], bytewise(stream), [block + b"\n\n" for block in stream.split(b"\n\n")]):
        assert read(pieces)[0] == TextDelta("a\ufffdb")


# --- whatever comes -------------------------------------------------------------------------------------------------


@settings(max_examples=80)
@given(st.sampled_from(sorted(SAMPLES)), st.lists(st.integers(0, 3000), max_size=6), st.sampled_from([b"\n", b"\r\n"]))
def test_any_split_of_a_stream_gives_the_same_deltas(name: str, places: list[int], line_end: bytes) -> None:
    sample = SAMPLES[name]
    stream = sample.stream.encode().replace(b"\n", line_end)
    edges = [0, *sorted(at % (len(stream) + 1) for at in places), len(stream)]
    assert read([stream[a:b] for a, b in pairwise(edges)]) == sample.deltas


HOSTILE = [
    start(),
    opens(),
    says("x"),
    closes(),
    ends(),
    calls(),
    types(0, '{"a":'),
    PING,
    OVERLOADED,
    'data: {"type":7}\n\n',
    'data: {"type":"content_block_delta","index":[],"delta":{"type":"text_delta","text":{}}}\n\n',
    'data: {"type":"content_block_start","index":-1,"content_block":{"type":[],"text":7}}\n\n',
    'data: {"type":"message_delta","delta":{"stop_reason":[]},"usage":[1]}\n\n',
    'data: {"type":"message_delta","delta":{"stop_reason":"x"},"usage":{"output_tokens":-1,"input_tokens":1e400}}\n\n',
    'data: {"type":"message_start","message":{"usage":{"cache_creation":7,"input_tokens":"9"}}}\n\n',
    "data: " + "[" * 5000 + "\n\n",
    piece(type="citations_delta", citation=[1]),
    'data: {"type":"content_block_start","content_block":{"type":"tool_use","name":"f","input":'
    + '{"a":' * 800
    + "1"
    + "}" * 802
    + "\n\n",
]
NOISE = st.lists(st.sampled_from(HOSTILE).map(str.encode) | st.binary(max_size=12), max_size=12).map(b"".join)


@settings(max_examples=100)
@given(NOISE, st.integers(1, 2000))
def test_any_bytes_end_in_a_finish_or_in_a_failure(stream: bytes, size: int) -> None:
    try:
        deltas = read([stream[at : at + size] for at in range(0, len(stream), size)])
    except UpstreamError:
        return
    assert isinstance(deltas[-1], Finish)
    assert isinstance(deltas[-2], Usage)
    assert sum(isinstance(delta, Finish) for delta in deltas) == 1


FIELDS = st.sampled_from(
    [
        "type",
        "index",
        "delta",
        "content_block",
        "message",
        "usage",
        "error",
        "text",
        "thinking",
        "signature",
        "partial_json",
        "citation",
        "stop_reason",
        "stop_details",
        "content",
        "name",
        "id",
        "input",
        "input_tokens",
        "output_tokens",
        "cache_creation",
        "url",
        "category",
    ]
)
KINDS = st.sampled_from(
    [
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_start",
        "message_delta",
        "message_stop",
        "text_delta",
        "thinking_delta",
        "input_json_delta",
        "signature_delta",
        "citations_delta",
        "tool_use",
        "thinking",
        "text",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5) | KINDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=5),
    max_leaves=25,
)
EVENTS = st.builds(lambda kind, rest: rest | {"type": kind}, KINDS, st.dictionaries(FIELDS, VALUES, max_size=5))


@settings(max_examples=100)
@given(st.lists(EVENTS | VALUES, max_size=6))
def test_any_json_ends_in_a_finish_or_in_a_failure(events: list[Any]) -> None:
    stream = "".join(f"data: {json.dumps(one)}\n\n" for one in events)
    try:
        deltas = read([(stream + ends()).encode()])
    except UpstreamError:
        return
    assert isinstance(deltas[-1], Finish)
