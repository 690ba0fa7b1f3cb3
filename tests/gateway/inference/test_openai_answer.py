"""What an OpenAI client reads when another wire has answered: frames of a stream, or one completion."""

import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from penstock.errors import UpstreamError
from penstock.gateway.inference.openai_answer import TranslatedWhole
from penstock.gateway.inference.openai_chunks import Envelope, summed
from penstock.gateway.inference.openai_streaming import TranslatedStream
from penstock.gateway.inference.openai_thoughts import Thoughts, thoughts_box
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
from penstock.providers.failures import ModelFailed, Truncated
from tests.gateway.inference.scripted import ScriptedReader

ENVELOPE = Envelope("chatcmpl-abc", 1_795_166_461, 'house/"model"')
BOX = thoughts_box(("the master secret of these tests",))
THOUGHTS = Thoughts(BOX, "tenant-1")
USAGE = Usage(input_tokens=9, output_tokens=4)
STOP = Finish("stop", "end_turn")
THOUGHT = Opaque("anthropic", "claude", {"type": "thinking", "thinking": "hm", "signature": "sig=="})

Reads = Sequence[Sequence[Delta | UpstreamError]]


def stream(*reads: Sequence[Delta | UpstreamError], **options: Any) -> list[bytes]:
    """What each read gave, and what the end gave."""
    reader = TranslatedStream(ScriptedReader(reads), ENVELOPE, THOUGHTS, **{"keep_usage": False, **options})
    return [reader.feed(b"x") for _ in reads] + [reader.end()]


def chunks(outputs: Sequence[bytes]) -> list[dict[str, Any]]:
    """The chunks of a stream that is complete, each also as the official types have it."""
    *frames, done, nothing = b"".join(outputs).decode().split("\n\n")
    assert (done, nothing) == ("data: [DONE]", "")
    read = [json.loads(frame.removeprefix("data: ")) for frame in frames]
    for one in read:
        ChatCompletionChunk.model_validate(one)
    return read


def deltas_of(read: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [choice["delta"] for chunk in read for choice in chunk["choices"]]


def whole(*reads: Sequence[Delta | UpstreamError], **options: Any) -> dict[str, Any]:
    reader = TranslatedWhole(ScriptedReader(reads), ENVELOPE, THOUGHTS, **options)
    assert [reader.feed(b"x") for _ in reads] == [b""] * len(reads)
    answer: dict[str, Any] = json.loads(reader.end())
    ChatCompletion.model_validate(answer)
    return answer


# --- streams ----------------------------------------------------------------------------------------------------------


def test_a_stream_opens_with_the_role_and_ends_with_its_reason_and_the_terminator() -> None:
    read = chunks(stream([TextDelta("Hel")], [TextDelta("lo")], [USAGE, STOP]))
    assert deltas_of(read) == [{"role": "assistant", "content": ""}, {"content": "Hel"}, {"content": "lo"}, {}]
    assert [chunk["choices"][0]["finish_reason"] for chunk in read] == [None, None, None, "stop"]


def test_all_chunks_have_the_same_id_time_and_model_of_the_caller() -> None:
    read = chunks(stream([TextDelta("Hi")], [USAGE, STOP], keep_usage=True))
    assert {(one["id"], one["created"], one["model"], one["object"]) for one in read} == {
        ("chatcmpl-abc", 1_795_166_461, 'house/"model"', "chat.completion.chunk")
    }


def test_every_answer_has_an_id_of_its_own() -> None:
    first, second = Envelope.fresh("m"), Envelope.fresh("m")
    assert first.id != second.id
    assert first.id.startswith("chatcmpl-")
    assert len(first.id) == len("chatcmpl-") + 24


def test_what_one_read_brought_is_one_frame_for_each_kind() -> None:
    outputs = stream(
        [ReasoningDelta("h"), ReasoningDelta("m"), TextDelta("a"), TextDelta("b"), TextDelta("c")], [USAGE, STOP]
    )
    assert deltas_of(chunks(outputs))[1:3] == [{"reasoning_content": "hm"}, {"content": "abc"}]
    assert outputs[0].count(b"data: ") == 3


def test_reasoning_is_left_out_when_the_caller_does_not_want_to_see_it() -> None:
    read = chunks(stream([ReasoningDelta("hm")], [TextDelta("4"), USAGE, STOP], shows_reasoning=False))
    assert deltas_of(read)[1:] == [{"content": "4"}, {}]


def test_usage_comes_last_and_only_when_it_was_asked_for() -> None:
    counted = Usage(input_tokens=9, output_tokens=4, cache_read_tokens=5, cache_write_tokens=1, reasoning_tokens=2)
    *others, last = chunks(stream([TextDelta("x")], [counted, STOP], keep_usage=True))
    assert last["choices"] == []
    assert last["usage"] == {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    assert all(one["usage"] is None for one in others)
    assert all("usage" not in one for one in chunks(stream([TextDelta("x")], [counted, STOP])))


def test_usage_that_nobody_told_is_estimated() -> None:
    last = chunks(stream([TextDelta("x")], [STOP], keep_usage=True))[-1]
    assert last["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def test_a_tool_call_has_id_and_name_in_its_first_chunk_only() -> None:
    read = chunks(
        stream(
            [ToolDelta(0, "", "call_a", "weather")],
            [ToolDelta(0, '{"city":'), ToolDelta(0, '"Köln"}'), ToolDelta(1, "{}", "call_b", "clock")],
            [USAGE, Finish("tool_calls")],
        )
    )
    assert [one["tool_calls"] for one in deltas_of(read)[1:-1]] == [
        [{"index": 0, "id": "call_a", "type": "function", "function": {"name": "weather", "arguments": ""}}],
        [{"index": 0, "function": {"arguments": '{"city":"Köln"}'}}],
        [{"index": 1, "id": "call_b", "type": "function", "function": {"name": "clock", "arguments": "{}"}}],
    ]
    assert read[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_caller_of_functions_is_answered_with_a_function_call() -> None:
    read = chunks(
        stream([ToolDelta(0, '{"a"', "call_a", "f")], [ToolDelta(0, ":1}"), Finish("tool_calls")], is_legacy=True)
    )
    assert deltas_of(read)[1:3] == [
        {"function_call": {"name": "f", "arguments": '{"a"'}},
        {"function_call": {"arguments": ":1}"}},
    ]
    assert read[-1]["choices"][0]["finish_reason"] == "function_call"


def test_signed_thoughts_are_numbered_entries_that_can_be_sent_back() -> None:
    other = Opaque("anthropic", "claude", {"type": "redacted_thinking", "data": "x"})
    read = chunks(stream([OpaqueDelta(THOUGHT)], [OpaqueDelta(other), TextDelta("4")], [USAGE, STOP]))
    details = [entry for one in deltas_of(read) for entry in one.get("reasoning_details", ())]
    assert [(one["type"], one["format"], one["index"]) for one in details] == [
        ("reasoning.encrypted", "penstock/1", 0),
        ("reasoning.encrypted", "penstock/1", 1),
    ]
    assert THOUGHTS.unpacked(details) == (THOUGHT, other)


@pytest.mark.parametrize(
    "details",
    [
        None,
        "text",
        [7, None, {}],
        [{"type": "reasoning.text", "text": "of another gateway", "format": "anthropic-claude-v1"}],
        [{"type": "reasoning.encrypted", "format": "penstock/1"}],
        [{"type": "reasoning.encrypted", "format": "penstock/1", "data": 5}],
        [{"type": "reasoning.encrypted", "format": "penstock/1", "data": "not base64!"}],
        [{"type": "reasoning.encrypted", "format": "penstock/1", "data": "é"}],
        [{"type": "reasoning.encrypted", "format": "penstock/1", "data": base64.b64encode(b"{").decode()}],
        [{"type": "reasoning.encrypted", "format": "penstock/1", "data": base64.b64encode(b'{"wire":1}').decode()}],
        [{"type": "reasoning.encrypted", "format": "penstock/1", "data": base64.b64encode(b"[" * 99_999).decode()}],
    ],
)
def test_foreign_and_broken_details_are_ignored(details: Any) -> None:
    assert THOUGHTS.unpacked(details) == ()


def test_thoughts_of_another_tenant_or_under_another_secret_are_ignored() -> None:
    details = [THOUGHTS.packed(THOUGHT, 0)]
    assert THOUGHTS.unpacked(details) == (THOUGHT,)
    assert Thoughts(BOX, "tenant-2").unpacked(details) == ()
    assert Thoughts(thoughts_box(("another master secret",)), "tenant-1").unpacked(details) == ()


def test_thoughts_outlive_the_rotation_of_the_master_secret() -> None:
    details = [THOUGHTS.packed(THOUGHT, 0)]
    rotated = thoughts_box(("a new one", "the master secret of these tests"))
    assert Thoughts(rotated, "tenant-1").unpacked(details) == (THOUGHT,)


def test_a_thought_that_a_client_made_up_or_changed_is_ignored() -> None:
    made_up = base64.b64encode(json.dumps({"wire": "w", "model": "m", "block": {"document": {}}}).encode()).decode()
    entry = THOUGHTS.packed(THOUGHT, 0)
    sealed = bytearray(base64.b64decode(entry["data"]))
    sealed[-1] ^= 1
    changed = base64.b64encode(sealed).decode()
    assert THOUGHTS.unpacked([entry | {"data": made_up}, entry | {"data": changed}]) == ()


def test_sources_are_collected_in_the_last_chunk() -> None:
    read = chunks(
        stream([Source("https://a.example/", "A"), TextDelta("x")], [Source("https://b.example/"), USAGE, STOP])
    )
    assert "annotations" not in json.dumps(read[:-1])
    cited = [one["url_citation"] for one in deltas_of(read)[-1]["annotations"]]
    assert [(one["url"], one["title"]) for one in cited] == [
        ("https://a.example/", "A"),
        ("https://b.example/", "https://b.example/"),
    ]


def test_warnings_are_not_on_the_wire() -> None:
    read = chunks(stream([Warning_("PARAMETER_IGNORED", "`seed`"), TextDelta("x")], [USAGE, STOP]))
    assert "PARAMETER_IGNORED" not in json.dumps(read)


def test_nothing_is_returned_before_the_answer_has_begun() -> None:
    outputs = stream([Source("https://a.example/")], [], [TextDelta("x")], [USAGE, STOP])
    assert outputs[:2] == [b"", b""]
    assert b'"role":"assistant"' in outputs[2]


def test_an_answer_without_a_word_is_a_complete_stream() -> None:
    read = chunks(stream([USAGE, STOP]))
    assert deltas_of(read) == [{"role": "assistant", "content": ""}, {}]


def test_a_refusal_that_the_provider_explains_is_passed_on() -> None:
    finish = Finish("content_filter", "SAFETY", "The prompt was blocked.")
    assert deltas_of(chunks(stream([USAGE, finish])))[-1] == {"refusal": "The prompt was blocked."}
    choice = whole([USAGE, finish])["choices"][0]
    assert (choice["finish_reason"], choice["message"]["refusal"]) == ("content_filter", "The prompt was blocked.")
    assert choice["message"]["content"] is None


def test_output_before_a_failure_is_given_and_the_failure_is_kept() -> None:
    failure = ModelFailed("it broke")
    reader = TranslatedStream(ScriptedReader([[TextDelta("so far"), failure]]), ENVELOPE, THOUGHTS, keep_usage=False)
    assert b"so far" in reader.feed(b"x")
    assert reader.failure is failure
    with pytest.raises(ModelFailed):
        reader.end()


def test_a_failure_before_the_first_word_leaves_nothing_on_the_wire() -> None:
    failure = ModelFailed("it broke")
    reader = TranslatedStream(
        ScriptedReader([[Source("https://a.example/"), failure]]), ENVELOPE, THOUGHTS, keep_usage=False
    )
    assert reader.feed(b"x") == b""
    assert not reader.begun
    with pytest.raises(ModelFailed):
        reader.end()


@pytest.mark.parametrize("kind", ["stream", "whole"])
def test_an_answer_whose_wire_never_says_that_it_is_complete_is_cut_short(kind: str) -> None:
    inner = ScriptedReader([[TextDelta("half")]])
    reader: TranslatedStream | TranslatedWhole
    reader = (
        TranslatedStream(inner, ENVELOPE, THOUGHTS, keep_usage=False)
        if kind == "stream"
        else TranslatedWhole(inner, ENVELOPE, THOUGHTS)
    )
    reader.feed(b"x")
    with pytest.raises(Truncated):
        reader.end()


def test_one_of_several_choices_leaves_the_end_to_others() -> None:
    outputs = stream([TextDelta("x")], [USAGE, STOP], keep_usage=True, index=2, is_alone=False)
    assert b"[DONE]" not in b"".join(outputs)
    frames = [json.loads(frame[6:]) for frame in b"".join(outputs).decode().split("\n\n")[:-1]]
    assert [frame["choices"][0]["index"] for frame in frames] == [2, 2, 2]


# --- whole answers ----------------------------------------------------------------------------------------------------


def test_a_whole_answer_is_one_completion() -> None:
    answer = whole([ReasoningDelta("h"), ReasoningDelta("m")], [TextDelta("4"), TextDelta("2")], [USAGE, STOP])
    assert answer == {
        "id": "chatcmpl-abc",
        "object": "chat.completion",
        "created": 1_795_166_461,
        "model": 'house/"model"',
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "42", "refusal": None, "reasoning_content": "hm"},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
    }


def test_content_is_null_when_there_are_only_tool_calls() -> None:
    calls = [ToolDelta(0, "", "call_a", "f"), ToolDelta(1, '{"b"', "call_b", "g"), ToolDelta(1, ":2}")]
    choice = whole(calls, [OpaqueDelta(THOUGHT), USAGE, Finish("tool_calls")])["choices"][0]
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [
        {"id": "call_a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "call_b", "type": "function", "function": {"name": "g", "arguments": '{"b":2}'}},
    ]
    assert THOUGHTS.unpacked(choice["message"]["reasoning_details"]) == (THOUGHT,)
    assert choice["finish_reason"] == "tool_calls"


def test_a_whole_answer_to_a_caller_of_functions_has_a_function_call() -> None:
    choice = whole([ToolDelta(0, "{}", "call_a", "f"), USAGE, Finish("tool_calls")], is_legacy=True)["choices"][0]
    assert choice["message"]["function_call"] == {"name": "f", "arguments": "{}"}
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "function_call"


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
def test_the_reason_of_the_end_is_kept(reason: Any) -> None:
    choice = whole([TextDelta("x"), USAGE, Finish(reason)])["choices"][0]
    assert choice["finish_reason"] == reason
    assert choice["message"]["content"] == "x"


def test_a_failure_in_the_middle_of_a_whole_answer_is_raised() -> None:
    reader = TranslatedWhole(ScriptedReader([[TextDelta("half"), ModelFailed("it broke")]]), ENVELOPE, THOUGHTS)
    assert reader.feed(b"x") == b""
    with pytest.raises(ModelFailed):
        reader.end()


def test_the_tokens_of_several_choices_are_added() -> None:
    both = summed([USAGE, Usage(input_tokens=1, output_tokens=2, reasoning_tokens=1, estimated=True)])
    assert (both.input_tokens, both.output_tokens, both.reasoning_tokens, both.estimated) == (10, 6, 1, True)


def test_the_cost_of_several_choices_is_exact_or_not_told() -> None:
    dear, cheap = Usage(upstream_cost="0.1"), Usage(upstream_cost="0.20")
    assert summed([dear, cheap]).upstream_cost == "0.30"
    assert summed([dear, cheap, USAGE]).upstream_cost is None
    assert summed([USAGE]).upstream_cost is None
    assert summed([dear, Usage(upstream_cost="much")]).upstream_cost is None


# --- any way of cutting -----------------------------------------------------------------------------------------------

_texts = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=12)
_cuts = st.lists(st.integers(1, 4), min_size=12, max_size=12)


@settings(max_examples=60, deadline=None)
@given(texts=_texts, cuts=_cuts, arguments=_texts)
def test_any_way_of_cutting_gives_the_same_text_and_arguments(
    texts: list[str], cuts: list[int], arguments: list[str]
) -> None:
    said: list[Delta] = [TextDelta(text) for text in texts]
    said += [ToolDelta(0, "", "call_a", "f"), *(ToolDelta(0, piece) for piece in arguments)]
    said += [USAGE, Finish("tool_calls")]
    reads: list[list[Delta]] = []
    rest = list(said)
    for size in cuts:
        reads.append(rest[:size])
        rest = rest[size:]
    reads.append(rest)
    deltas = deltas_of(chunks(stream(*reads)))
    assert "".join(one.get("content", "") for one in deltas) == "".join(texts)
    pieces = [call["function"]["arguments"] for one in deltas for call in one.get("tool_calls", ())]
    assert "".join(pieces) == "".join(arguments)
    message = whole(*reads)["choices"][0]["message"]
    assert message["content"] == "".join(texts)
    assert message["tool_calls"][0]["function"]["arguments"] == "".join(arguments)
