"""Reading what Gemini streams, into neutral deltas."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import UpstreamError
from penstock.providers.base import Delta, Finish, Opaque, OpaqueDelta, TextDelta, Tool, ToolDelta, Usage, Warning_
from penstock.providers.failures import ContentFiltered, Failure, ModelFailed, Overloaded, ShapeMismatch, Truncated
from penstock.providers.json_text import lenient_json
from penstock.providers.wires.gemini.reader import GeminiReader
from penstock.providers.wires.gemini.wire import WIRE
from penstock.providers.wires.tool_names import wire_names
from tests.providers.gemini_streams import (
    ERROR_SHAPES,
    HI,
    MODEL,
    SAMPLES,
    TAIL,
    called,
    counts,
    event,
    frame,
    text,
)
from tests.providers.streams import LINE_ENDS, cuts, until_failure


def read(pieces: list[bytes], **options: Any) -> list[Delta]:
    reader = GeminiReader(model=MODEL, **options)
    deltas = [delta for piece in pieces for delta in reader.feed(piece)]
    return [*deltas, *reader.end()]


def parsed(deltas: list[Delta]) -> list[Delta]:
    """With arguments of calls in one spelling: blanks in them are the provider's own."""
    return [
        ToolDelta(one.index, json.dumps(json.loads(one.arguments)), one.id, one.name)
        if isinstance(one, ToolDelta)
        else one
        for one in deltas
    ]


@pytest.mark.parametrize("line_end", LINE_ENDS.values(), ids=LINE_ENDS)
@pytest.mark.parametrize("name", SAMPLES)
def test_every_stream_is_read_however_it_is_cut(name: str, line_end: bytes) -> None:
    sample = SAMPLES[name]
    for pieces in cuts(sample.bytes_with(line_end)):
        assert parsed(read(pieces)) == parsed(sample.deltas)


def test_an_event_in_a_read_of_its_own_is_read_like_any_other() -> None:
    streams = [sample for sample in SAMPLES.values() if sample.stream[0] not in "[{"]
    assert len(streams) > 30
    for sample in streams:
        frames = [one + b"\r\n\r\n" for one in sample.bytes_with(b"\r\n").split(b"\r\n\r\n") if one]
        assert parsed(read(frames)) == parsed(sample.deltas)
        for size in (2, 3):
            several = [b"".join(frames[at : at + size]) for at in range(0, len(frames), size)]
            assert parsed(read([b": c\r\n\r\n", *several])) == parsed(sample.deltas)


def test_what_the_reader_knows_at_the_end() -> None:
    reader = GeminiReader()
    reader.feed(HI.encode())
    assert (reader.begun, reader.complete, reader.terminated) == (True, False, False)
    reader.feed(TAIL.encode())
    assert (reader.complete, reader.finish, reader.terminated) == (True, "stop", False)
    reader.end()
    assert reader.terminated
    assert reader.usage == Usage(input_tokens=8, output_tokens=5)
    assert reader.end() == ()


def test_nothing_visible_is_no_beginning() -> None:
    reader = GeminiReader()
    reader.feed((": c\n\n" + frame(text("")) + event({"usageMetadata": counts()})).encode())
    assert not reader.begun


def test_a_call_given_up_before_its_counts_is_estimated() -> None:
    reader = GeminiReader(sent_bytes=400)
    reader.feed(frame(text("x" * 40)).encode())
    assert reader.estimate() == Usage(input_tokens=100, output_tokens=10, estimated=True)


def test_a_call_given_up_takes_the_last_counts_unless_more_has_come_since() -> None:
    reader = GeminiReader(sent_bytes=400)
    reader.feed(frame(text("x"), counts=counts(90, 3, 4)).encode())
    assert reader.estimate() == Usage(input_tokens=90, output_tokens=7, reasoning_tokens=4)
    reader.feed(frame(text("x" * 79)).encode())
    assert reader.estimate() == Usage(input_tokens=90, output_tokens=20, reasoning_tokens=4, estimated=True)


def test_a_missing_call_id_is_made_up_and_a_repeated_one_replaced() -> None:
    for part in (called("f", {}), called("f", {}, id="")):
        (first, *_) = read([(frame(part) + TAIL).encode()])
        assert isinstance(first, ToolDelta)
        assert first.id is not None
        assert first.id.startswith("call_")
        assert len(first.id) == len("call_") + 24
    deltas = read([(frame(called("f", {}, id="a"), called("f", {}, id="a")) + TAIL).encode()])
    assert len({one.id for one in deltas if isinstance(one, ToolDelta)}) == 2


def test_the_name_that_the_caller_gave_a_tool_comes_back() -> None:
    name = "mcp.server/" + "x" * 70
    (short,) = wire_names([name]).values()
    deltas = read([(frame(called(short, {}, id="a")) + TAIL).encode()], tools=[Tool(name, "", {})])
    assert deltas[0] == ToolDelta(0, "{}", "a", name)


def test_where_one_call_is_wanted_the_others_are_left_out_and_that_is_said() -> None:
    stream = frame(called("f", {}, id="a"), called("g", {}, id="b", thoughtSignature="S"), called("h", {})) + TAIL
    assert read([stream.encode()], one_call=True) == [
        ToolDelta(0, "{}", "a", "f"),
        Warning_("TOOL_CALLS_DROPPED", "The model made several calls at once; only the first is kept."),
        Usage(input_tokens=8, output_tokens=5),
        Finish("tool_calls", "STOP"),
    ]


STOPS = ("1", "2", "3", "4", "5", "END", "over and out")


@pytest.mark.parametrize("whole", [False, True])
def test_stop_sequences_beyond_the_five_that_fit_end_the_answer_here(whole: bool) -> None:
    words = (
        frame(text("One "), counts=counts(candidates=1)) + frame(text("two E")) + frame(text("N")) + frame(text("D."))
    )
    after = frame(text("never seen"), called("f", {})) + TAIL
    stream = (words + after).replace("\n", "\r\n").encode()
    pieces = [stream] if whole else [stream[at : at + 1] for at in range(len(stream))]
    reader = WIRE.reader(model=MODEL, stop=STOPS, sent_bytes=100)
    deltas = [delta for piece in pieces for delta in reader.feed(piece)] + list(reader.end())
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == "One two "
    assert [type(delta) for delta in deltas[-2:]] == [Usage, Finish]
    assert deltas[-1] == Finish("stop", "STOP")
    assert reader.terminated
    assert reader.usage is not None
    assert reader.usage.output_tokens > 0


def test_what_only_looks_like_a_stop_sequence_is_given_in_the_end() -> None:
    stream = (frame(text("This is the EN")) + frame(finish="STOP", counts=counts())).encode()
    reader = WIRE.reader(model=MODEL, stop=STOPS)
    deltas = [*reader.feed(stream), *reader.end()]
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == "This is the EN"
    assert deltas[-1] == Finish("stop", "STOP")


def test_a_signature_is_stamped_with_wire_and_model() -> None:
    reader = WIRE.reader(model="gemini-4-argon")
    deltas = reader.feed(frame(text("Hi", thoughtSignature="S")).encode())
    assert deltas[1] == OpaqueDelta(
        Opaque("gemini", "gemini-4-argon", {"thoughtSignature": "S", "start": 0, "chars": 2, "after": 0})
    )


@pytest.mark.parametrize("line_end", LINE_ENDS.values(), ids=LINE_ENDS)
@pytest.mark.parametrize("shape", ERROR_SHAPES)
def test_an_error_before_the_first_content_is_a_failure(shape: str, line_end: bytes) -> None:
    stream = (event({"usageMetadata": counts()}) + ERROR_SHAPES[shape]).encode().replace(b"\n", line_end)
    for pieces in cuts(stream):
        reader = GeminiReader()
        assert not any(until_failure(reader, pieces))
        assert not reader.begun
        assert isinstance(reader.failure, Failure)


@pytest.mark.parametrize("shape", ERROR_SHAPES)
def test_an_error_after_content_loses_none_of_it(shape: str) -> None:
    stream = (HI + HI + ERROR_SHAPES[shape]).encode()
    for pieces in cuts(stream):
        reader = GeminiReader()
        deltas = [delta for given in until_failure(reader, pieces) for delta in given]
        assert deltas == [TextDelta("Hi"), TextDelta("Hi")]
        assert reader.begun


@pytest.mark.parametrize("shape", ["a data line", "bare JSON", "a bare array", "without a code"])
@pytest.mark.parametrize("before", ["", HI])
def test_an_error_inside_a_200_stream_is_sorted_by_its_code(shape: str, before: str) -> None:
    reader = GeminiReader()
    until_failure(reader, [(before + ERROR_SHAPES[shape]).encode()])
    assert isinstance(reader.failure, Overloaded)
    assert reader.failure.message == "boom"


def test_a_blocked_prompt_is_a_failure_of_its_kind_and_its_tokens_are_known() -> None:
    reader = GeminiReader()
    feedback = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": counts(8, None)}
    with pytest.raises(ContentFiltered, match="PROHIBITED_CONTENT"):
        reader.feed(event(feedback).encode())
    assert reader.estimate() == Usage(input_tokens=8)


def test_an_answer_withheld_whole_is_a_failure_of_its_kind() -> None:
    with pytest.raises(ContentFiltered, match=r"RECITATION.*Sorry"):
        read([frame(finish="RECITATION", finishMessage="Sorry.").encode()])


@pytest.mark.parametrize("reason, again", [("MALFORMED_FUNCTION_CALL", True), ("MALFORMED_RESPONSE", True)])
def test_a_malformed_answer_may_be_asked_for_once_more(reason: str, again: bool) -> None:
    with pytest.raises(ModelFailed, match=reason) as caught:
        read([frame(finish=reason, counts=counts()).encode()])
    assert caught.value.same_key_once is again


@pytest.mark.parametrize(
    "reason",
    ["UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE", "NO_IMAGE", "IMAGE_OTHER", "OTHER"],
)
def test_a_broken_answer_without_content_is_a_failure(reason: str) -> None:
    with pytest.raises(ModelFailed, match=reason) as caught:
        read([frame(finish=reason).encode()])
    assert not caught.value.same_key_once
    assert caught.value.upstream_code == reason


def test_a_stream_without_a_finish_reason_is_cut_off() -> None:
    for stream in (HI, HI + "data: [DONE]\n\n", '[{"candidates":[{"content":{"parts":[{"text":"H"}]}}]}'):
        with pytest.raises(Truncated):
            read([stream.encode()])


def test_a_body_cut_inside_an_event_is_cut_off() -> None:
    with pytest.raises(Truncated):
        read([(HI + 'data: {"candidates":[{"con').encode()])


def test_a_page_is_no_answer() -> None:
    with pytest.raises(ShapeMismatch):
        read([b"<html>"])
    with pytest.raises(ShapeMismatch):
        read([b"no stream"], content_type="text/html; charset=utf-8")


def test_after_a_failure_every_call_raises_it_again() -> None:
    reader = GeminiReader()
    assert reader.feed((HI + ERROR_SHAPES["a data line"]).encode()) == [TextDelta("Hi")]
    assert reader.failure is not None
    with pytest.raises(UpstreamError, match="boom"):
        reader.feed(HI.encode())
    with pytest.raises(UpstreamError, match="boom"):
        reader.end()


def test_json_that_is_too_deep_is_a_failure_like_any_other() -> None:
    deep = b'{"candidates":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    for stream in (b"data: " + deep + b"\n\n", deep):
        with pytest.raises(UpstreamError):
            read([stream])


@given(st.lists(st.text(max_size=8)), st.data())
@settings(max_examples=60)
def test_any_text_survives_any_cut(pieces: list[str], data: st.DataObject) -> None:
    stream = ("".join(frame(text(one)) for one in pieces) + TAIL).encode("utf-8", "replace").replace(b"\n", b"\r\n")
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    cut = [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]
    said = "".join(one.text for one in read(cut) if isinstance(one, TextDelta))
    assert said == "".join(pieces).encode("utf-8", "replace").decode()


@given(st.lists(st.binary(max_size=40), max_size=5))
@settings(max_examples=100)
def test_any_bytes_end_in_an_answer_or_a_failure(pieces: list[bytes]) -> None:
    for head in (b"", b"data: ", HI.encode()):
        reader = GeminiReader()
        try:
            for piece in [head, *pieces]:
                reader.feed(piece)
            reader.end()
        except UpstreamError:
            assert reader.failure is not None


_FIELDS = [
    *("candidates", "content", "parts", "text", "functionCall", "args", "name", "id", "thoughtSignature"),
    *("finishReason", "usageMetadata", "promptTokenCount", "promptFeedback", "blockReason", "groundingMetadata"),
    *("groundingChunks", "web", "uri", "error", "code", "message", "status", "details"),
]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(_FIELDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_JSON)
@settings(max_examples=100)
def test_any_json_ends_in_an_answer_or_a_failure_and_calls_have_objects(payload: Any) -> None:
    deltas: list[Delta] = []
    for wrapped in (payload, {"candidates": [payload]}, {"candidates": [{"content": {"parts": [payload]}}]}):
        reader = GeminiReader()
        try:
            deltas += reader.feed(HI.encode() + event(wrapped).encode("utf-8", "replace"))
            deltas += [*reader.feed(TAIL.encode()), *reader.end()]
        except UpstreamError:
            assert reader.failure is not None
    assert all(isinstance(lenient_json(one.arguments.encode()), dict) for one in deltas if isinstance(one, ToolDelta))
