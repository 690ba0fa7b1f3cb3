"""The small parts of what models do beside chat: forms, vectors, shapes, sound, and streams cut anywhere."""

import json
import math
import struct
import wave
from base64 import b64decode
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import InvalidRequest, UpstreamError
from penstock.providers.base import Quirks, Reader, Usage
from penstock.providers.failures import ContentFiltered, ShapeMismatch, Truncated
from penstock.providers.media.asked import Embeddings, Pictures, Recording
from penstock.providers.media.forms import Form, Part, read_form
from penstock.providers.media.hearing import by_chat
from penstock.providers.media.plans import NotOffered, drawing, embedding
from penstock.providers.media.relay import EventRelay, SoundRelay, usage_in
from penstock.providers.media.sizes import nearest_shape, read_size
from penstock.providers.media.sound import rate_of, wav
from penstock.providers.media.vectors import written_as
from penstock.providers.media.whole import WholeReader, json_object
from penstock.providers.vendors import VENDORS, load_wire, wire_for

GUESS = Usage(input_tokens=1, estimated=True)
few = settings(max_examples=60)

# --- forms ------------------------------------------------------------------------------------------------------------

names = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8)
contents = st.binary(max_size=60) | st.sampled_from([b"\r\n--b", b"--b--", b"\r\n\r\n", b"\r", b""])


def form_of(*fields: tuple[str, bytes, str | None]) -> Form:
    parts = []
    for name, value, file_name in fields:
        head = f'Content-Disposition: form-data; name="{name}"' + (f'; filename="{file_name}"' if file_name else "")
        parts.append(Part(name, value, head.encode(), file_name))
    return Form(tuple(parts), b"b-of-the-test-0123456789")


@few
@given(st.lists(st.tuples(names, contents, st.none() | names), max_size=5))
def test_a_form_that_is_written_is_read_again(fields: list[tuple[str, bytes, str | None]]) -> None:
    form = form_of(*fields)
    if not fields:
        return
    assert read_form(form.content_type, form.encode()) == form


@few
@given(st.binary(max_size=80))
def test_no_bytes_break_the_reading_of_forms(noise: bytes) -> None:
    for body in (noise, b"--b\r\n" + noise, b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + noise):
        try:
            found = read_form(b"multipart/form-data; boundary=b", body)
        except InvalidRequest:
            continue
        assert all(isinstance(part.value, bytes) for part in found.parts)


def test_a_field_takes_the_place_of_all_that_have_its_name() -> None:
    form = form_of(("a", b"1", None), ("model", b"x", None), ("file", b"f", "f.wav"), ("model", b"y", None))
    changed = form.with_field("model", "zä")
    assert [(part.name, part.value) for part in changed.parts] == [
        ("a", b"1"),
        ("model", "zä".encode()),
        ("file", b"f"),
    ]
    assert form.with_field("new", "1").text("new") == "1"


def test_a_form_of_very_many_parts_is_refused() -> None:
    form = form_of(*[("a", b"", None)] * 101)
    with pytest.raises(InvalidRequest, match="more than 100 parts"):
        read_form(form.content_type, form.encode())


# --- vectors ----------------------------------------------------------------------------------------------------------

numbers = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=8)


@few
@given(numbers)
def test_a_vector_survives_both_formats(vector: list[float]) -> None:
    raw = msgspec.Raw(msgspec.json.encode(vector))
    packed = written_as("base64", raw)
    assert struct.unpack(f"<{len(vector)}f", b64decode(json.loads(bytes(packed)))) == tuple(vector)
    assert json.loads(bytes(written_as("float", packed))) == vector


@pytest.mark.parametrize("raw", [b'"not base64!"', b'"AAA="', b'["a"]', b"{}", b"[1e300]"])
def test_what_is_no_vector_is_no_answer(raw: bytes) -> None:
    wanted: Any = "float" if raw[:1] == b'"' else "base64"
    if raw == b"[1e300]":
        assert math.isinf(struct.unpack("<f", b64decode(json.loads(bytes(written_as(wanted, msgspec.Raw(raw))))))[0])
        return
    with pytest.raises(ShapeMismatch):
        written_as(wanted, msgspec.Raw(raw))


# --- shapes and sound -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "shape"),
    [("1024x1024", "1:1"), ("1536x1024", "3:2"), ("1024x1536", "2:3"), ("1792x1024", "16:9"), ("1024x1792", "9:16")],
)
def test_sizes_become_shapes(size: str, shape: str) -> None:
    found = read_size(size)
    assert found is not None
    assert nearest_shape(found, ("1:1", "3:2", "2:3", "16:9", "9:16")) == shape


@pytest.mark.parametrize("size", ["big", "0x5", "1024", "99999x1", "1024x1024x3", ""])
def test_what_is_no_size_is_refused(size: str) -> None:
    with pytest.raises(InvalidRequest):
        read_size(size)


def test_samples_become_a_file_that_others_can_read() -> None:
    samples = struct.pack("<4h", 0, 1000, -1000, 7)
    with wave.open(BytesIO(wav(samples, 16_000))) as found:
        assert (found.getframerate(), found.readframes(10)) == (16_000, samples)
    assert rate_of("audio/L16;codec=pcm;rate=16000") == 16_000
    assert rate_of("audio/pcm") == 24_000


# --- streams ----------------------------------------------------------------------------------------------------------

EVENTS = (
    b'event: transcript.text.delta\ndata: {"type":"transcript.text.delta","delta":"h\xc3\xa4"}\n\n'
    b": a comment\n\n"
    b'data: {"type":"transcript.text.done","text":"h\xc3\xa4",'
    b'"usage":{"type":"tokens","input_tokens":3,"output_tokens":2}}\r\n\r\n'
)


def read_all(reader: Reader[Sequence[Any]], *pieces: bytes) -> list[Any]:
    found: list[Any] = []
    for piece in pieces:
        found += reader.feed(piece)
    return found + list(reader.end())


@pytest.mark.parametrize("at", range(len(EVENTS) + 1))
def test_a_stream_cut_anywhere_goes_on_byte_for_byte(at: int) -> None:
    reader = EventRelay(guess=GUESS)
    assert b"".join(read_all(reader, EVENTS[:at], EVENTS[at:])) == EVENTS
    assert reader.complete
    assert reader.estimate() == Usage(input_tokens=3, output_tokens=2)


@pytest.mark.parametrize("end", [1, 40, EVENTS.index(b": a comment"), len(EVENTS) - 30])
def test_a_stream_without_its_last_event_failed(end: int) -> None:
    reader = EventRelay(guess=GUESS)
    reader.feed(EVENTS[:end])
    with pytest.raises(UpstreamError):
        reader.end()
    assert not reader.complete
    assert reader.estimate().estimated


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"error":{"message":"out of paint"}}\n\n',
        b'event: error\ndata: {"message":"out of paint"}\n\n',
        b'data: {"type":"error","message":"out of paint"}\n\n',
        b'{"error":{"message":"out of paint"}}\n\n',
    ],
)
def test_an_error_in_a_stream_comes_after_what_came_before_it(event: bytes) -> None:
    before = EVENTS[: EVENTS.index(b": a comment")]
    reader = EventRelay(guess=GUESS)
    assert reader.feed(before + event) == (before,)
    assert reader.failure is not None
    with pytest.raises(UpstreamError, match="out of paint"):
        reader.end()
    with pytest.raises(UpstreamError, match="out of paint"):
        EventRelay(guess=GUESS).feed(event)


def test_fields_that_are_null_are_not_there() -> None:
    reader = EventRelay(guess=GUESS)
    reader.feed(b'data: {"type":"transcript.text.done","error":null,"usage":null}\n\n')
    assert (reader.complete, reader.failure, reader.estimate()) == (True, None, GUESS)


def test_sound_begins_with_its_first_bytes() -> None:
    reader = SoundRelay(content_type="audio/mpeg", guess=GUESS)
    assert not reader.begun
    assert reader.feed(b"\x00{") == (b"\x00{",)
    assert reader.begun
    reader.end()
    assert reader.complete


@pytest.mark.parametrize(
    ("content_type", "body", "what"),
    [
        ("application/json", b'{"error":{"message":"no voice"}}', "no voice"),
        ("text/html", b"<html>hello</html>", "HTML"),
        ("application/json; charset=utf-8", b'{"a":1}', "no answer to this call"),
        ("audio/mpeg", b"", "before an answer began"),
    ],
)
def test_what_is_no_sound_is_a_failure(content_type: str, body: bytes, what: str) -> None:
    reader = SoundRelay(content_type=content_type, guess=GUESS)
    with pytest.raises(UpstreamError, match=what):
        read_all(reader, *([body] if body else []))
    assert not reader.begun


@pytest.mark.parametrize(
    ("body", "kind"), [(b"", Truncated), (b"<html>", ShapeMismatch), (b"{", ShapeMismatch), (b"[1]", ShapeMismatch)]
)
def test_a_whole_answer_that_is_none_is_a_failure(body: bytes, kind: type[UpstreamError]) -> None:
    reader = WholeReader(lambda whole: (json_object(whole), None), sent_bytes=40)
    with pytest.raises(kind):
        read_all(reader, body)
    assert reader.estimate() == Usage(input_tokens=10, estimated=True)


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        ({"prompt_tokens": 5, "total_tokens": 5}, Usage(input_tokens=5)),
        ({"type": "tokens", "input_tokens": 5, "output_tokens": 2}, Usage(input_tokens=5, output_tokens=2)),
        ({"type": "duration", "seconds": 1.25}, Usage(input_tokens=13, estimated=True)),
        ({"input_tokens": True}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
)
def test_usage_is_read_or_said_to_be_unknown(reported: Any, usage: Usage | None) -> None:
    assert usage_in(reported) == usage


# --- plans ------------------------------------------------------------------------------------------------------------

VECTORS = Embeddings(fields={}, inputs=[msgspec.Raw(b'"x"')], texts=["x"])
LACKING = [
    ("anthropic", "claude-opus", "embeddings"),
    ("anthropic", "claude-opus", "images"),
    ("vertex", "claude-opus", "embeddings"),
    ("vertex", "meta/llama", "embeddings"),
    ("mistral", "mistral-large", "images"),
    ("qwen", "qwen-max", "images"),
    ("demo", "demo", "embeddings"),
]


@pytest.mark.parametrize(("kind", "model", "service"), LACKING)
def test_what_a_type_lacks_is_refused_when_it_is_planned(kind: str, model: str, service: str) -> None:
    vendor = VENDORS[kind]
    way = vendor.way_of(wire_for(vendor, model))
    assert way is not None
    plan = embedding(VECTORS) if service == "embeddings" else drawing(Pictures(prompt="A cat"))
    with pytest.raises(NotOffered) as caught:
        plan(load_wire(way.wire), model, way.quirks)
    assert (caught.value.status, caught.value.code) == (400, "upstream_unsupported")
    assert caught.value.explanation
    assert caught.value.action


def test_a_recording_that_a_filter_refuses_has_no_transcript() -> None:
    asked = Recording(form=form_of(), data=b"RIFF", file_name="a.wav")
    quirks = VENDORS["qwen"].ways[0].quirks
    ask = by_chat(asked, load_wire("openai_chat"), "qwen-omni", quirks)
    audio = json.loads(ask.exchange.body)["messages"][0]["content"][1]["input_audio"]
    assert (audio["data"], audio["format"]) == ("data:audio/wav;base64,UklGRg==", "wav")
    reader, kind = ask.reader("text/event-stream")
    assert kind == "application/json"
    filtered = b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"content_filter"}]}\n\n'
    with pytest.raises(ContentFiltered):
        read_all(reader, filtered, b"data: [DONE]\n\n")
    assert not reader.begun


def test_the_chats_own_failure_is_the_transcripts() -> None:
    asked = Recording(form=form_of(), data=b"RIFF", file_name="a.wav")
    reader, _ = by_chat(asked, load_wire("openai_chat"), "m", Quirks(audio="plain")).reader("text/event-stream")
    with pytest.raises(UpstreamError, match="asleep"):
        read_all(reader, b'data: {"error":{"message":"asleep"}}\n\n')
