"""Reading the streams of everything that resembles OpenAI, into neutral deltas."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import UpstreamError
from penstock.providers.base import (
    Delta,
    Finish,
    Opaque,
    OpaqueDelta,
    Quirks,
    ReasoningDelta,
    TextDelta,
    Tool,
    ToolDelta,
    Usage,
)
from penstock.providers.failures import ContextTooLong, Failure, ModelFailed, Overloaded, ShapeMismatch, Truncated
from penstock.providers.wires.openai.reader import ChatReader
from penstock.providers.wires.openai.thinking import ThinkSplitter
from penstock.providers.wires.tool_calls import ToolCalls
from penstock.providers.wires.tool_names import wire_names
from tests.providers.streams import (
    DONE,
    ERROR_SHAPES,
    HI,
    HI_ENDS,
    LINE_ENDS,
    SAMPLES,
    STOP,
    TAIL,
    USED,
    chunk,
    counts,
    cuts,
    tool,
    until_failure,
)


def read(pieces: list[bytes], **options: Any) -> list[Delta]:
    reader = ChatReader(**options)
    deltas = [delta for piece in pieces for delta in reader.feed(piece)]
    return [*deltas, *reader.end()]


@pytest.mark.parametrize("line_end", LINE_ENDS.values(), ids=LINE_ENDS)
@pytest.mark.parametrize("name", SAMPLES)
def test_every_known_deviation_is_read_however_it_is_cut(name: str, line_end: bytes) -> None:
    sample = SAMPLES[name]
    stream = sample.bytes_with(line_end)
    for pieces in cuts(stream):
        assert read(pieces, quirks=sample.quirks) == sample.deltas


def test_what_the_reader_knows_at_the_end() -> None:
    reader = ChatReader()
    reader.feed(HI.encode())
    assert (reader.begun, reader.complete, reader.terminated) == (True, False, False)
    reader.feed(STOP.encode())
    assert (reader.complete, reader.finish, reader.terminated) == (True, "stop", False)
    reader.feed(DONE.encode())
    assert reader.terminated
    assert reader.usage == Usage(output_tokens=1, estimated=True)
    assert reader.end() == ()


def test_nothing_visible_is_no_beginning() -> None:
    reader = ChatReader()
    reader.feed((": c\n\n" + chunk({"role": "assistant", "content": ""})).encode())
    assert not reader.begun


def test_a_call_given_up_is_estimated_from_what_was_sent_and_received() -> None:
    reader = ChatReader(sent_bytes=400)
    reader.feed(chunk({"content": "x" * 40}).encode())
    assert reader.estimate() == Usage(input_tokens=100, output_tokens=10, estimated=True)


def test_a_missing_tool_id_is_made_up() -> None:
    (first, *_) = read([(chunk(tool("{}", name="f")) + TAIL).encode()])
    assert isinstance(first, ToolDelta)
    assert first.id is not None
    assert first.id.startswith("call_")
    assert len(first.id) == len("call_") + 24


def test_the_same_function_called_twice_without_ids_is_two_calls() -> None:
    deltas = read([(chunk(tool('{"a":1}', name="f")) + chunk(tool('{"a":2}', name="f")) + TAIL).encode()])
    assert [(one.index, one.arguments) for one in deltas if isinstance(one, ToolDelta)] == [
        (0, '{"a":1}'),
        (1, '{"a":2}'),
    ]


@given(st.text(alphabet='a"\\\\{}', max_size=12), st.integers(1, 3))
def test_a_second_copy_of_the_arguments_is_dropped_however_they_are_cut(value: str, size: int) -> None:
    whole = json.dumps({"a": value})
    calls = ToolCalls()
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)] + [whole]
    found = [one for piece in pieces for one in calls.feed([{"index": 0, "function": {"arguments": piece}}])]
    found += calls.end(cut_short=False)
    assert "".join(one.arguments for one in found) == whole
    assert [one.code for one in calls.warnings] == ["TOOL_ARGUMENTS_REPAIRED"]


def test_the_name_that_the_caller_gave_a_tool_comes_back() -> None:
    name = "mcp.server/" + "x" * 70
    (short,) = wire_names([name]).values()
    deltas = read([(chunk(tool("{}", id="a", name=short)) + TAIL).encode()], tools=[Tool(name, "", {})])
    assert deltas[0] == ToolDelta(0, "{}", "a", name)


@pytest.mark.parametrize("line_end", LINE_ENDS.values(), ids=LINE_ENDS)
@pytest.mark.parametrize("shape", ERROR_SHAPES)
def test_an_error_before_the_first_content_is_a_failure(shape: str, line_end: bytes) -> None:
    stream = (chunk({"role": "assistant", "content": ""}) + ERROR_SHAPES[shape]).encode().replace(b"\n", line_end)
    for pieces in cuts(stream):
        reader = ChatReader()
        assert not any(until_failure(reader, pieces))
        assert not reader.begun
        assert isinstance(reader.failure, Failure)


@pytest.mark.parametrize("shape", ERROR_SHAPES)
def test_an_error_after_content_loses_none_of_it(shape: str) -> None:
    stream = (HI + HI + ERROR_SHAPES[shape]).encode()
    for pieces in cuts(stream):
        reader = ChatReader()
        deltas = [delta for given in until_failure(reader, pieces) for delta in given]
        assert deltas == [TextDelta("Hi"), TextDelta("Hi")]
        assert reader.begun


def test_after_a_failure_every_call_raises_it_again() -> None:
    reader = ChatReader()
    assert reader.feed((HI + ERROR_SHAPES["error object"]).encode()) == [TextDelta("Hi")]
    assert reader.failure is not None
    with pytest.raises(UpstreamError, match="boom"):
        reader.feed(HI.encode())
    with pytest.raises(UpstreamError, match="boom"):
        reader.end()


def test_a_stream_without_a_finish_reason_is_cut_off_even_with_its_terminator() -> None:
    for stream in (HI, HI + DONE):
        with pytest.raises(Truncated):
            read([stream.encode()])


def test_where_finish_reasons_may_be_missing_the_terminator_may_not() -> None:
    with pytest.raises(Truncated):
        read([HI.encode()], quirks=Quirks(ends_without_finish=True))


def test_an_empty_stream_hints_at_the_context_length() -> None:
    for stream in ("", DONE, "\n\n", ": c\n\n"):
        with pytest.raises(Truncated) as caught:
            read([stream.encode()], quirks=Quirks(ends_without_finish=True))
        assert caught.value.explanation is not None
        assert "context" in caught.value.explanation


def test_a_body_cut_inside_an_event_is_cut_off() -> None:
    with pytest.raises(Truncated):
        read([(HI + 'data: {"choices":[{"del').encode()])


def test_a_document_with_an_error_is_that_error() -> None:
    with pytest.raises(ContextTooLong):
        read([b' {"error":"prompt is too long"}'], content_type="application/json")


def test_a_document_that_is_a_page_is_not_in_the_right_format() -> None:
    for content_type in ("text/html; charset=utf-8", "text/event-stream"):
        with pytest.raises(ShapeMismatch, match="HTML"):
            read([b"<!doctype html><title>x</title>"], content_type=content_type)


def test_an_answer_without_choices_is_cut_off() -> None:
    with pytest.raises(Truncated):
        read([b'{"object":"chat.completion"}'])


def test_a_stream_under_the_type_of_a_document_is_read_as_a_stream() -> None:
    assert read([(HI + TAIL).encode()], content_type="application/json") == HI_ENDS


def test_broken_utf8_becomes_replacement_characters() -> None:
    stream = b'data: {"choices":[{"delta":{"content":"a\xffb"}}]}\n\n' + STOP.encode()
    assert read([stream])[0] == TextDelta("a\ufffdb")


@pytest.mark.parametrize(
    "reason, kind", [("error", ModelFailed), ("abort", ModelFailed), ("insufficient_system_resource", Overloaded)]
)
def test_a_finish_reason_that_means_failure_raises(reason: str, kind: type[Failure]) -> None:
    with pytest.raises(kind):
        read([chunk({}, reason).encode()])


def test_blank_lines_that_keep_a_connection_alive_may_precede_a_document() -> None:
    message = {"role": "assistant", "content": "Hi"}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": counts()}
    assert read([b"\n", b"\n\n \n", json.dumps(body).encode()], content_type="application/json") == HI_ENDS


DETAIL = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}
SEALED = {"type": "reasoning.encrypted", "data": "x", "id": "r", "index": 1}
KEPT: dict[str, tuple[str, list[str], dict[str, Any] | None]] = {
    "pieces of one block of OpenRouter become one": (
        "reasoning_details",
        [
            chunk({"reasoning": "Let", "reasoning_details": [DETAIL | {"text": "Let"}]}),
            chunk({"reasoning": " me", "reasoning_details": [DETAIL | {"text": " me", "signature": None}]}),
            chunk({"reasoning_details": [DETAIL | {"signature": "Et8B"}, SEALED]}),
        ],
        {"reasoning_details": [DETAIL | {"text": "Let me", "signature": "Et8B"}, SEALED]},
    ),
    "blocks without an index stay apart": (
        "reasoning_details",
        [chunk({"reasoning_details": [{"type": "reasoning.text", "text": "a"}] * 2})],
        {"reasoning_details": [{"type": "reasoning.text", "text": "a"}] * 2},
    ),
    "a chunk of Mistral's thinking becomes one with the next": (
        "thinking",
        [
            chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Let"}]}]}),
            chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": " me"}], "closed": True}]}),
            chunk({"content": [{"type": "text", "text": "Hi"}]}),
        ],
        {"thinking": [{"type": "thinking", "thinking": [{"type": "text", "text": "Let me"}], "closed": True}]},
    ),
    "DeepSeek's thoughts beside a call": (
        "reasoning_content",
        [chunk({"reasoning_content": "Let"}), chunk({"reasoning_content": " me"}), chunk(tool("{}", id="a", name="f"))],
        {"reasoning_content": "Let me"},
    ),
    "DeepSeek's thoughts without a call": ("reasoning_content", [chunk({"reasoning_content": "Let"}), HI], None),
    "thoughts of others": ("", [chunk({"reasoning_content": "Let", "reasoning_details": [SEALED]}), HI], None),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_a_vendor_wants_back_is_kept_whole(name: str) -> None:
    kind, chunks, block = KEPT[name]
    stream = ("".join(chunks) + TAIL).encode()
    quirks = Quirks(thoughts=kind or None)  # type: ignore[arg-type]
    for pieces in cuts(stream):
        kept = [one.opaque for one in read(pieces, model="m", quirks=quirks) if isinstance(one, OpaqueDelta)]
        assert kept == ([] if block is None else [Opaque("openai_chat", "m", block)])


@pytest.mark.parametrize(
    "model, text, reasoning, answer",
    [
        ("deepseek-r1:8b", "Hm.</think>\n\nHi", "Hm.", "Hi"),
        ("Qwen/Qwen3-4B-Thinking-2507", "Hm.</think>Hi", "Hm.", "Hi"),
        ("qwq-32b", "<think>Hm.</think>Hi", "Hm.", "Hi"),
        ("qwq-32b", "Hi there", "Hi there", "Hi there"),
        ("llama", "Hm.</think>Hi", "", "Hm.</think>Hi"),
    ],
)
def test_families_whose_templates_open_the_thought_begin_inside_it(
    model: str, text: str, reasoning: str, answer: str
) -> None:
    for size in (1, 3, 100):
        chunks = "".join(chunk({"content": text[at : at + size]}) for at in range(0, len(text), size))
        deltas = read([(chunks + TAIL).encode()], model=model)
        assert "".join(one.text for one in deltas if isinstance(one, ReasoningDelta)) == reasoning
        assert "".join(one.text for one in deltas if isinstance(one, TextDelta)) == answer


def test_a_parsed_thought_settles_that_the_text_is_text() -> None:
    deltas = read([(chunk({"reasoning_content": "Hm"}) + HI + TAIL).encode()], model="deepseek-r1")
    assert deltas[:2] == [ReasoningDelta("Hm"), TextDelta("Hi")]


@pytest.mark.parametrize(
    "cost, text",
    [(0.000012, "0.000012"), (1, "1"), ("0.10", "0.10"), (True, None), ("x", None), ("1e99", None), ([], None)],
)
def test_what_a_router_says_that_it_costs_is_kept_as_digits(cost: object, text: str | None) -> None:
    deltas = read([(HI + chunk(finish="stop", usage=counts(cost=cost)) + DONE).encode()])
    usage = next(one for one in deltas if isinstance(one, Usage))
    assert usage.upstream_cost == text


def test_groqs_broken_tool_call_may_be_tried_once_more() -> None:
    for stream in (ERROR_SHAPES["groq"], HI + ERROR_SHAPES["groq"]):
        reader = ChatReader()
        until_failure(reader, [stream.encode()])
        assert isinstance(reader.failure, ModelFailed)
        assert reader.failure.same_key_once


@pytest.mark.parametrize("pieces", [["Hello END and"], ["Hello E", "ND"], list("Hello END")])
def test_a_stop_sequence_that_the_model_was_not_sent_ends_the_answer(pieces: list[str]) -> None:
    reader = ChatReader(stop=["END"])
    deltas = [delta for piece in pieces for delta in reader.feed(chunk({"content": piece}).encode())]
    assert "".join(one.text for one in deltas if isinstance(one, TextDelta)) == "Hello "
    assert deltas[-1] == Finish("stop", "stop")
    assert reader.terminated


def test_a_stop_sequence_in_a_whole_document_ends_it_there() -> None:
    message = {"role": "assistant", "content": "Hello END and"}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "length"}], "usage": counts()}
    assert read([json.dumps(body).encode()], stop=["END"]) == [TextDelta("Hello "), USED, Finish("stop", "stop")]


HOSTILE = [
    ": OPENROUTER PROCESSING\n\n",
    'data: {"choices":[]}\n\n',
    'data:{"choices":[{"delta":{"content":"é"}}]}\r\n\r\n',
    'data: {"choices":[{"index":0,"delta":{"role":null,"content":null,"tool_calls":null},"finish_reason":null}]}\n\n',
    'data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]}}]}\n\n',
    'data: {"error":"plain text"}\n\n',
    'error: {"code":500,"message":"slot unavailable"}\n\n',
    '{"error":{"code":503,\n"message":"overloaded",\n"status":"UNAVAILABLE"}}\n',
    "data: [DONE]",
    'event: ping\ndata: {"type": "ping"}   \n\n',
    'data: {"choices":[{"delta":[],"finish_reason":[]}]}\n\n',
    'data: {"choices":{"a":1},"usage":[]}\n\n',
    'data: {"choices":[7,null,{"delta":{"content":7,"tool_calls":{"a":1}}}]}\n\n',
    'data: {"choices":[{"delta":{"tool_calls":[7,{"index":"x","id":7,"function":{"name":[],"arguments":7}}]}}]}\n\n',
    'data: {"choices":[],"usage":{"prompt_tokens":"9","completion_tokens":-1,"total_tokens":1e400}}\n\n',
    'data: {"choices":[],"usage":{"prompt_tokens":1e308,"prompt_tokens_details":7}}\n\n',
    "data: " + "[" * 5000 + "\n\n",
    'data: {"choices":[{"delta":{"content":' + "[" * 800 + "]" * 800 + "}}]}\n\n",
    'data: {"choices":[{"delta":{"tool_calls":[{"function":{"arguments":'
    + '{"a":' * 800
    + "1"
    + "}" * 800
    + "}}]}}]}\n\n",
    'data: {"error":' + '{"message":' * 700 + "1" + "}" * 700 + "}\n\n",
    HI,
    STOP,
    DONE,
]
NOISE = st.lists(st.sampled_from(HOSTILE).map(str.encode) | st.binary(max_size=12), max_size=12).map(b"".join)


@given(NOISE, st.integers(1, 2000), st.booleans())
def test_any_bytes_end_in_a_finish_or_in_a_failure(stream: bytes, size: int, lax: bool) -> None:
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    try:
        deltas = read(pieces, quirks=Quirks(ends_without_finish=lax))
    except UpstreamError:
        return
    assert isinstance(deltas[-1], Finish)
    assert isinstance(deltas[-2], Usage)
    assert sum(isinstance(delta, Finish) for delta in deltas) == 1


CHUNKS = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5) | st.just("stop"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "content",
                    "tool_calls",
                    "function",
                    "arguments",
                    "name",
                    "id",
                    "index",
                    "usage",
                    "finish_reason",
                    "reasoning",
                    "annotations",
                    "prompt_tokens",
                    "error",
                    "x_groq",
                    "thinking",
                    "text",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=25,
)


@given(st.lists(CHUNKS, max_size=4))
def test_any_json_in_a_stream_ends_in_a_finish_or_in_a_failure(chunks: list[object]) -> None:
    stream = "".join(f"data: {json.dumps({'choices': [one]} if at else one)}\n\n" for at, one in enumerate(chunks))
    try:
        deltas = read([(stream + STOP).encode()])
    except UpstreamError:
        return
    assert isinstance(deltas[-1], Finish)


@given(st.lists(st.sampled_from(["<", "think", ">", "</", "Hm", "\n", "<think>", "</think>"]), max_size=12))
def test_splitting_off_the_reasoning_does_not_depend_on_the_pieces(pieces: list[str]) -> None:
    def split(parts: list[str]) -> tuple[str, str]:
        splitter = ThinkSplitter()
        pairs = [splitter.feed(part) for part in parts] + [splitter.end()]
        return "".join(pair[0] for pair in pairs), "".join(pair[1] for pair in pairs)

    assert split(pieces) == split(list("".join(pieces))) == split(["".join(pieces)])


@given(st.lists(st.text(max_size=80), max_size=8))
def test_names_of_tools_are_acceptable_and_all_different(names: list[str]) -> None:
    short = wire_names(names)
    assert set(short) == set(names)
    assert len(set(short.values())) == len(short)
    for name in short.values():
        assert name.isascii()
        assert 1 <= len(name) <= 64
        assert name.replace("-", "_").replace("_", "a").isalnum()
