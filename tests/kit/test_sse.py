"""The event reader: every cut of a stream gives the same events, and no byte is lost."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.kit.sse import MAX_EVENT_BYTES, SseEvent, SseReader, SseTooLarge, encode_event

Meaning = tuple[bytes | None, bytes | None, bytes | None, bool]

SAMPLE = (
    b": OPENROUTER PROCESSING\n\n"
    b'data: {"a":"\xc3\xa9"}\n\n'
    b"event: ping\ndata: one\ndata:two\nid: 7\nretry: 10\n\n"
    b"data\n\n"
    b'{"error":{"code":503,\n"status":"UNAVAILABLE"}}\n\n'
    b'error: {"code":500}\n\n'
    b"event: nothing\n\n"
    b": c\ndata: after a comment\n\n\n\n"
    b"data: [DONE]\n\n"
)
MEANINGS: list[Meaning] = [
    (None, None, None, True),
    (None, b'{"a":"\xc3\xa9"}', None, False),
    (b"ping", b"one\ntwo", None, False),
    (None, b"", None, False),
    (None, None, b'{"error":{"code":503,\n"status":"UNAVAILABLE"}}', False),
    (b"error", b'{"code":500}', None, False),
    (b"nothing", None, None, False),
    (None, b"after a comment", None, True),
    (None, b"[DONE]", None, False),
]


def read(pieces: list[bytes]) -> list[SseEvent]:
    reader = SseReader()
    events = list(itertools.chain.from_iterable(reader.feed(piece) for piece in pieces))
    return events + reader.end()


def meaning(event: SseEvent) -> Meaning:
    return event.name, event.data, event.stray, event.comment


def meanings(events: list[SseEvent]) -> list[Meaning]:
    return [meaning(event) for event in events if meaning(event) != (None, None, None, False)]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["bare", "BOM"])
def test_every_cut_and_line_end_gives_the_same_events(line_end: bytes, mark: bytes) -> None:
    stream = mark + SAMPLE.replace(b"\n", line_end)
    # The reader joins data and stray lines with LF, whatever the stream has.
    for cut in range(len(stream) + 1):
        events = read([stream[:cut], stream[cut:]])
        assert meanings(events) == MEANINGS
        assert b"".join(event.raw for event in events) == stream


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_a_stream_may_come_byte_by_byte(line_end: bytes) -> None:
    stream = SAMPLE.replace(b"\n", line_end)
    events = read([bytes([byte]) for byte in stream])
    assert meanings(events) == MEANINGS
    assert b"".join(event.raw for event in events) == stream


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_an_event_is_given_as_soon_as_its_blank_line_is_there(line_end: bytes) -> None:
    reader = SseReader()
    (event,) = reader.feed(b"data: x" + line_end * 2)
    assert event.data == b"x"


def test_an_event_without_its_blank_line_counts_when_the_body_ends() -> None:
    reader = SseReader()
    assert reader.feed(b"data: [DONE]") == []
    assert reader.end() == [SseEvent(b"data: [DONE]", None, b"[DONE]")]
    assert reader.end() == []


def test_one_plain_event_is_handed_on_without_a_copy() -> None:
    data = b'data: {"a":1}\n\n'
    (event,) = SseReader().feed(data)
    assert event.raw is data


def test_only_one_space_after_the_colon_is_dropped() -> None:
    (event,) = SseReader().feed(b"event:  x\ndata:  y \n\n")
    assert (event.name, event.data) == (b" x", b" y ")


def test_an_event_that_never_ends_is_refused_before_it_fills_the_memory() -> None:
    reader = SseReader(limit=100)
    reader.feed(b"data: " + b"x" * 200)
    with pytest.raises(SseTooLarge):
        reader.feed(b"y")


def test_sixteen_megabytes_are_one_event() -> None:
    reader = SseReader()
    block = b"x" * 65536
    reader.feed(b"data: ")
    for _ in range(MAX_EVENT_BYTES // len(block) - 1):
        assert reader.feed(block) == []
    (event,) = reader.feed(b"\n\n")
    assert event.data is not None
    assert len(event.data) == MAX_EVENT_BYTES - len(block)


# Bytes that mean something to the format, so that random streams are not only noise.
PIECES = st.sampled_from(
    [
        b"\n",
        b"\r",
        b"\r\n",
        b"data",
        b"data:",
        b"data: ",
        b":",
        b" ",
        b"event: ",
        b"error: ",
        b"{",
        b"[",
        b"\xef\xbb\xbf",
    ]
)
STREAMS = st.lists(PIECES | st.binary(max_size=4), max_size=60).map(b"".join)


@settings(deadline=None)
@given(STREAMS, st.data())
def test_any_bytes_cut_anywhere_give_the_events_of_the_whole(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    bounds = [0, *cuts, len(stream)]
    pieces = [stream[start:end] for start, end in itertools.pairwise(bounds)]
    whole, cut = read([stream]), read(pieces)
    assert meanings(cut) == meanings(whole)
    assert b"".join(event.raw for event in cut) == stream


@settings(deadline=None)
@given(
    st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=40),
    st.sampled_from([None, "delta"]),
)
def test_what_is_encoded_is_read_back(text: str, name: str | None) -> None:
    (event,) = read([encode_event(text.encode(), name)])
    assert event.data == text.encode()
    assert event.name == (None if name is None else name.encode())


def test_several_lines_become_several_data_fields() -> None:
    assert encode_event(b"one\ntwo") == b"data: one\ndata: two\n\n"
    assert encode_event(b"{}", "done") == b"event: done\ndata: {}\n\n"
