"""The same wire in and out: what goes on byte for byte, what is held back, what is noticed on the way."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InvalidRequest, UpstreamError
from penstock.providers.base import Delta, Quirks, Usage
from penstock.providers.failures import ContextTooLong, Failure, ShapeMismatch, Truncated
from penstock.providers.wires.openai.reader import ChatReader
from penstock.providers.wires.openai.relay import RelayStream
from penstock.providers.wires.openai.request import read_request
from penstock.providers.wires.openai.whole import RelayWhole
from tests.providers.streams import (
    DONE,
    ERROR_SHAPES,
    HI,
    LINE_ENDS,
    SAMPLES,
    STOP,
    TAIL,
    USAGE_CHUNK,
    USED,
    Sample,
    bytewise,
    chunk,
    counts,
    cuts,
    event,
    until_failure,
)
from tests.providers.test_openai_reader import NOISE

ROLE = chunk({"role": "assistant", "content": ""})


def relay(pieces: list[bytes], keep_usage_chunk: bool = True, **options: Any) -> bytes:
    reader = RelayStream(keep_usage_chunk=keep_usage_chunk, **options)
    return b"".join([*(reader.feed(piece) for piece in pieces), reader.end()])


def deltas_of(stream: bytes, sample: Sample) -> list[Delta]:
    reader = ChatReader(quirks=sample.quirks)
    return [*reader.feed(stream), *reader.end()]


# --- streams


@pytest.mark.parametrize("line_end", LINE_ENDS.values(), ids=LINE_ENDS)
@pytest.mark.parametrize("name", SAMPLES)
def test_what_is_relayed_says_the_same_however_it_was_cut(name: str, line_end: bytes) -> None:
    sample = SAMPLES[name]
    stream = sample.bytes_with(line_end)
    # Where lines end is the event reader's business, and its tests sweep every cut.
    sweep = cuts(stream) if line_end == b"\n" else [[stream], bytewise(stream)]
    outputs = {relay(pieces, quirks=sample.quirks) for pieces in sweep}
    for output in outputs:
        assert output.endswith(b"data: [DONE]\n\n")
        assert deltas_of(output, sample) == sample.deltas


@pytest.mark.parametrize("name", [name for name, sample in SAMPLES.items() if sample.stream.endswith(TAIL)])
def test_an_ordinary_stream_is_relayed_byte_for_byte(name: str) -> None:
    stream = SAMPLES[name].stream.encode()
    for pieces in cuts(stream):
        assert relay(pieces) == stream


def test_each_event_goes_out_when_it_is_whole_without_a_copy() -> None:
    reader = RelayStream(keep_usage_chunk=True)
    data = HI.encode()
    assert reader.feed(data) is data
    assert reader.feed(data[:10]) == b""
    assert reader.feed(data[10:]) == data


def test_the_usage_chunk_is_left_out_unless_the_client_asked_for_it() -> None:
    stream = (ROLE + HI + STOP + USAGE_CHUNK + DONE).encode()
    reader = RelayStream(keep_usage_chunk=False)
    output = reader.feed(stream) + reader.end()
    assert output == (ROLE + HI + STOP + DONE).encode()
    assert reader.usage == USED


def test_other_chunks_without_choices_stay() -> None:
    stream = (event({"choices": [], "prompt_filter_results": []}) + HI + event({"choices": []}) + STOP + DONE).encode()
    assert relay([stream], keep_usage_chunk=False) == stream


def test_usage_in_a_chunk_with_choices_stays_and_is_taken() -> None:
    stream = (HI + chunk(finish="stop", usage=counts()) + DONE).encode()
    reader = RelayStream(keep_usage_chunk=False)
    assert reader.feed(stream) + reader.end() == stream
    assert reader.usage == USED


def test_nothing_goes_out_before_there_is_something_to_see() -> None:
    reader = RelayStream(keep_usage_chunk=True)
    preamble = (": waiting\n\n" + ROLE).encode()
    assert reader.feed(preamble) == b""
    assert not reader.begun
    assert reader.feed(HI.encode()) == preamble + HI.encode()
    assert reader.begun


def test_a_call_of_a_legacy_function_is_something_to_see() -> None:
    reader = RelayStream(keep_usage_chunk=True)
    piece = chunk({"function_call": {"name": "f", "arguments": ""}}).encode()
    assert reader.feed(piece) == piece
    assert reader.estimate().output_tokens > 0


def test_a_stream_whose_first_words_are_parts_is_opened_with_a_role_too() -> None:
    parts = event({"id": "x", "model": "m", "choices": [{"index": 0, "delta": {"content": [{"text": "Hi"}]}}]}).encode()
    reader = RelayStream(keep_usage_chunk=True, add_role=True)
    opening, rest = reader.feed(parts).split(b"\n\n", 1)
    assert json.loads(opening[6:])["choices"][0]["delta"]["role"] == "assistant"
    assert rest == parts


def test_a_preamble_without_end_goes_out_in_the_end() -> None:
    reader = RelayStream(keep_usage_chunk=True)
    comment = b": " + b"x" * 40_000 + b"\n\n"
    assert reader.feed(comment) == b""
    assert reader.feed(comment) == comment * 2
    assert reader.begun


def test_comments_go_on_once_the_answer_has_begun() -> None:
    reader = RelayStream(keep_usage_chunk=True)
    reader.feed(HI.encode())
    assert reader.feed(b": keep-alive\n\n") == b": keep-alive\n\n"


def test_the_terminator_is_held_until_the_end() -> None:
    reader = RelayStream(keep_usage_chunk=True)
    assert reader.feed((HI + STOP + DONE).encode()) == (HI + STOP).encode()
    assert reader.terminated
    assert reader.feed(b"data: more\n\n") == b""
    assert reader.end() == DONE.encode()


def test_an_empty_answer_is_an_answer() -> None:
    stream = (ROLE + STOP + DONE).encode()
    assert relay([stream]) == stream


def test_usage_that_never_came_is_estimated() -> None:
    reader = RelayStream(keep_usage_chunk=True, sent_bytes=400)
    reader.feed((chunk({"content": "x" * 40}) + chunk({"reasoning": "y" * 4}) + STOP).encode())
    assert reader.estimate() == Usage(input_tokens=100, output_tokens=11, estimated=True)
    reader.end()
    assert reader.usage == reader.estimate()


def test_finish_reasons_become_neutral_ones() -> None:
    reader = RelayStream(keep_usage_chunk=True)
    reader.feed((HI + chunk(finish="model_length")).encode())
    assert (reader.finish, reader.complete) == ("length", True)


def test_a_stream_that_failed_never_looks_finished() -> None:
    for stream in ("", ROLE, HI, HI + DONE, HI + 'data: {"choices":[{"fin', DONE):
        reader = RelayStream(keep_usage_chunk=True)
        output = reader.feed(stream.encode())
        with pytest.raises(Truncated):
            reader.end()
        assert b"[DONE]" not in output


def test_a_missing_finish_reason_is_forgiven_where_it_is_usual() -> None:
    quirks = Quirks(ends_without_finish=True)
    assert relay([(HI + DONE).encode()], quirks=quirks) == (HI + DONE).encode()
    for stream in (HI, DONE, ROLE + DONE):
        with pytest.raises(Truncated):
            relay([stream.encode()], quirks=quirks)


def test_with_several_choices_one_finish_reason_is_not_the_end() -> None:
    second, second_ends = HI.replace('"index": 0', '"index": 1'), STOP.replace('"index": 0', '"index": 1')
    assert '"index": 1' in second
    for cut_short in (HI + second + STOP, HI + second + second_ends):
        reader = RelayStream(keep_usage_chunk=True, choices=2)
        reader.feed(cut_short.encode())
        assert not reader.complete
        with pytest.raises(Truncated):
            reader.end()
    whole = HI + second + STOP + second_ends
    assert relay([whole.encode()], choices=2).endswith(DONE.encode())
    assert relay([(HI + STOP + DONE).encode()], choices=2) == (HI + STOP + DONE).encode()


@pytest.mark.parametrize("line_end", LINE_ENDS.values(), ids=LINE_ENDS)
@pytest.mark.parametrize("shape", ERROR_SHAPES)
def test_an_error_before_the_first_content_lets_no_byte_out(shape: str, line_end: bytes) -> None:
    stream = (": c\n\n" + ROLE + ERROR_SHAPES[shape]).encode().replace(b"\n", line_end)
    for pieces in cuts(stream) if line_end == b"\n" else [[stream], bytewise(stream)]:
        reader = RelayStream(keep_usage_chunk=True)
        assert not any(until_failure(reader, pieces))
        assert not reader.begun
        assert isinstance(reader.failure, Failure)


@pytest.mark.parametrize("shape", ERROR_SHAPES)
def test_the_good_part_before_an_error_is_not_lost_and_the_error_is_not_relayed(shape: str) -> None:
    stream = (ROLE + HI + HI + ERROR_SHAPES[shape]).encode()
    for pieces in cuts(stream):
        reader = RelayStream(keep_usage_chunk=True)
        assert b"".join(until_failure(reader, pieces)) == (ROLE + HI + HI).encode()


def test_after_a_failure_every_call_raises_it_again() -> None:
    reader = RelayStream(keep_usage_chunk=True)
    assert reader.feed((HI + ERROR_SHAPES["error object"]).encode()) == HI.encode()
    assert reader.failure is not None
    with pytest.raises(UpstreamError, match="boom"):
        reader.feed(HI.encode())
    with pytest.raises(UpstreamError, match="boom"):
        reader.end()


def test_a_document_instead_of_a_stream_becomes_one() -> None:
    document = {
        "id": "x",
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hi",
                    "tool_calls": [{"id": "a", "function": {"name": "f"}}],
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": counts(),
    }
    output = relay([json.dumps(document, indent=1).encode()], content_type="application/json")
    first, second, done = (block.removeprefix(b"data: ") for block in output.strip().split(b"\n\n"))
    assert json.loads(first)["choices"][0]["delta"]["tool_calls"][0]["index"] == 0
    assert json.loads(first)["object"] == "chat.completion.chunk"
    assert json.loads(second)["usage"] == counts()
    assert done == b"[DONE]"
    assert b"usage" not in relay([json.dumps(document).encode()], keep_usage_chunk=False)


@given(NOISE, st.integers(1, 2000), st.booleans(), st.booleans())
def test_any_bytes_end_in_a_terminator_or_in_a_failure(stream: bytes, size: int, lax: bool, keep: bool) -> None:
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    try:
        output = relay(pieces, keep_usage_chunk=keep, quirks=Quirks(ends_without_finish=lax))
    except UpstreamError:
        return
    assert output.endswith(b"data: [DONE]\n\n")


# --- whole answers

ANSWER = {
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "length"}],
    "usage": counts(),
}


def whole(*pieces: bytes, content_type: str = "application/json") -> tuple[bytes, RelayWhole]:
    reader = RelayWhole(content_type=content_type, sent_bytes=40)
    for piece in pieces:
        assert reader.feed(piece) == b""
    return reader.end(), reader


def test_a_whole_answer_is_relayed_byte_for_byte() -> None:
    body = b"\n\n  " + json.dumps(ANSWER, indent=2).encode() + b"\n"
    output, reader = whole(body[:20], body[20:])
    assert output == body
    assert (reader.usage, reader.finish, reader.complete) == (USED, "length", True)


@pytest.mark.parametrize("count", [10**13, 2**64, 1e300, "1" * 30])
def test_a_count_that_cannot_be_is_replaced_by_a_guess(count: Any) -> None:
    absurd = {"prompt_tokens": count, "completion_tokens": 1}
    _, reader = whole(json.dumps(ANSWER | {"usage": absurd}).encode())
    assert reader.usage == Usage(input_tokens=10, output_tokens=1, estimated=True)
    details = {"prompt_tokens": 3, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": count}}
    _, reader = whole(json.dumps(ANSWER | {"usage": details}).encode())
    assert reader.usage == Usage(input_tokens=3, output_tokens=1)


def test_a_whole_answer_without_usage_is_estimated() -> None:
    _, reader = whole(json.dumps(ANSWER | {"usage": None}).encode())
    assert reader.usage == Usage(input_tokens=10, output_tokens=1, estimated=True)


@pytest.mark.parametrize(
    "body, kind",
    [
        (b'{"error":"prompt is too long"}', ContextTooLong),
        (b'{"error":{"code":400,"message":"prompt is too long"},"user_id":"u"}', ContextTooLong),
        (b"<html>", ShapeMismatch),
        (b"hello", ShapeMismatch),
        (b'{"choices":[', ShapeMismatch),
        (b'{"object":"list","data":[]}', ShapeMismatch),
        (b"[" * 5000, ShapeMismatch),
        (b"", Truncated),
        (b" \n ", Truncated),
        (b'{"choices":[]}', Truncated),
        (b'{"choices":[null,{}]}', Truncated),
    ],
)
def test_a_200_that_is_no_answer_is_a_failure(body: bytes, kind: type[Failure]) -> None:
    with pytest.raises(kind):
        whole(body)


@given(st.binary(max_size=200) | NOISE)
def test_any_body_is_an_answer_or_a_failure(body: bytes) -> None:
    try:
        output, reader = whole(body)
    except UpstreamError:
        return
    assert output == body
    assert reader.usage is not None


# --- requests


def test_every_other_field_keeps_its_bytes_and_the_model_comes_last() -> None:
    body = (
        b'{ "temperature" : 0.30, "model":"mine", "x_new": {"a" : [1, 2.0]},\n "messages": [ {"role":"user"} ], "n":1 }'
    )
    request = read_request(body)
    assert (request.model, request.stream, request.wants_usage) == ("mine", False, False)
    assert request.encode("up/stream:1", Quirks(stream_options=False)) == (
        b'{"temperature":0.30,"x_new":{"a" : [1, 2.0]},"messages":[ {"role":"user"} ],"n":1,"model":"up/stream:1"}'
    )


@pytest.mark.parametrize(
    "limits, field, sent",
    [
        ({"max_tokens": 5}, "max_completion_tokens", 5),
        ({"max_completion_tokens": 5}, "max_tokens", 5),
        ({"max_tokens": 4, "max_completion_tokens": 5}, "max_tokens", 5),
        ({"max_tokens": 4, "max_completion_tokens": 5}, "max_completion_tokens", 5),
        ({"max_tokens": 4, "max_completion_tokens": None}, "max_tokens", 4),
        ({"max_tokens": 4, "max_completion_tokens": None}, "max_completion_tokens", 4),
    ],
)
def test_the_output_limit_is_sent_once_under_the_vendors_name(limits: Any, field: Any, sent: int) -> None:
    request = read_request(json.dumps({"model": "m", "messages": [{}], **limits}).encode())
    written = json.loads(request.encode("m", Quirks(max_tokens_field=field)))
    assert {name: value for name, value in written.items() if "tokens" in name} == {field: sent}


def test_no_second_spelling_of_the_model_comes_after_the_one_that_was_checked() -> None:
    request = read_request(b'{"model":"mine","MODEL":"other","messages":[{}]}')
    assert request.encode("upstream", Quirks(stream_options=False)).endswith(
        b'"MODEL":"other","messages":[{}],"model":"upstream"}'
    )


@pytest.mark.parametrize(
    ("asked", "choices"), [("", 1), (',"n":3', 3), (',"n":null', 1), (',"n":"3"', 1), (',"n":' + "9" * 5000, 1)]
)
def test_it_is_known_how_many_answers_are_asked_for(asked: str, choices: int) -> None:
    assert read_request(f'{{"model":"m","messages":[{{}}]{asked}}}'.encode()).choices == choices


@pytest.mark.parametrize(
    "options, sent, wanted",
    [
        ("", '{"include_usage":true}', False),
        (',"stream_options":null', '{"include_usage":true}', False),
        (
            ',"stream_options":{"include_obfuscation":false}',
            '{"include_obfuscation":false,"include_usage":true}',
            False,
        ),
        (',"stream_options":{"include_usage":false}', '{"include_usage":true}', False),
        (',"stream_options":{ "include_usage": true }', '{ "include_usage": true }', True),
    ],
)
def test_usage_is_asked_for_whatever_the_client_said(options: str, sent: str, wanted: bool) -> None:
    request = read_request(f'{{"model":"m","messages":[{{}}],"stream":true{options}}}'.encode())
    assert request.wants_usage is wanted
    assert f'"stream_options":{sent}'.encode() in request.encode("m", Quirks())


def test_usage_is_not_asked_for_where_it_is_refused_or_without_a_stream() -> None:
    streamed = read_request(b'{"model":"m","messages":[{}],"stream":true}')
    assert b"stream_options" not in streamed.encode("m", Quirks(stream_options=False))
    whole_one = read_request(b'{"model":"m","messages":[{}],"stream":null}')
    assert b"stream_options" not in whole_one.encode("m", Quirks())


@pytest.mark.parametrize(
    "body, param",
    [
        (b'{"messages":[{}]}', "model"),
        (b'{"model":7,"messages":[{}]}', "model"),
        (b'{"model":null,"messages":[{}]}', "model"),
        (b'{"model":"","messages":[{}]}', "model"),
        (b'{"model":"m"}', "messages"),
        (b'{"model":"m","messages":{}}', "messages"),
        (b'{"model":"m","messages":null}', "messages"),
        (b'{"model":"m","messages":[ ]}', "messages"),
        (b'{"model":"m","messages":[{}],"stream":"yes"}', "stream"),
        (b'{"model":"m","messages":[{}],"stream":1}', "stream"),
        (b'{"model":"m","messages":[{}],"stream":true,"stream_options":[]}', "stream_options"),
        (b"[]", None),
        (b"", None),
        (b"null", None),
        (b'{"model":"m","messages":' + b"[" * 5000 + b"]" * 5000 + b"}", None),
        (b'{"\xff":1}', None),
        (b'{"model":"\xff","messages":[{}]}', None),
        (b'{"model":"m","messages":["\xff"]}', None),
    ],
)
def test_a_request_that_breaks_a_rule_names_the_field(body: bytes, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_request(body)
    assert caught.value.param == param


def test_malformed_json_is_told_with_its_line_and_column() -> None:
    with pytest.raises(InvalidRequest, match="line 2, column 8") as caught:
        read_request(b'{"model":"m",\n "n" : x}')
    assert caught.value.data == {"line": 2, "column": 8}


def test_json_that_ends_too_early_is_told_so() -> None:
    with pytest.raises(InvalidRequest, match="line 1, column 14: it ends too early"):
        read_request(b'{"model":"m",')


def test_lone_surrogates_are_repaired_and_pairs_and_backslashes_are_kept() -> None:
    body = rb'{"model":"m","messages":[{"content":"a\ud83d b\ud83d\ude00 c\\ud83d \uDE00"}]}'
    sent = read_request(body).encode("m", Quirks(stream_options=False))
    assert rb'"a\ufffd b\ud83d\ude00 c\\ud83d \ufffd"' in sent


@given(
    st.binary(max_size=60)
    | st.sampled_from([b'{"model":"m","messages":[{}]', b'{"a":']).flatmap(
        lambda b: st.binary(max_size=9).map(lambda t: b + t)
    )
)
def test_any_body_is_a_request_or_refused(body: bytes) -> None:
    try:
        request = read_request(body)
    except InvalidRequest:
        return
    assert request.encode("m", Quirks())


# --- hostile nesting


@pytest.mark.parametrize("at", ['{"choices":[{"delta":{"content":"x"}}],"usage":%s}', '{"error":%s}', "%s"])
def test_an_event_nested_without_end_fails_the_stream_and_nothing_else(at: str) -> None:
    deep = "[" * 50_000 + "]" * 50_000
    with pytest.raises(UpstreamError):
        relay([b"data: " + (at % deep).encode() + b"\n\n"])


def test_a_document_nested_without_end_fails_the_call_and_nothing_else() -> None:
    reader = RelayWhole()
    reader.feed(b'{"choices":[],"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}")
    with pytest.raises(UpstreamError):
        reader.end()


def test_a_document_nested_without_end_where_a_stream_was_asked_for_fails_too() -> None:
    reader = RelayStream(keep_usage_chunk=True, content_type="application/json")
    reader.feed(b'{"choices":[{"message":{"content":"x"}}],"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}")
    with pytest.raises(UpstreamError):
        reader.end()
