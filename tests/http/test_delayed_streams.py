"""Streams that send no headers before their first event, and that are cut when they fail (`spec/editor-api.md` 7.3)."""

import json
from collections.abc import Iterator

import pytest

from tests.http.raw import Raw, connected, head
from tests.http.small_house import SmallHouse, small_house

OPENING = b'event: opening\ndata: {"callId":"1"}\n\n'


@pytest.fixture(scope="module")
def house() -> Iterator[SmallHouse]:
    with small_house() as house:
        yield house


def test_a_failure_before_the_first_event_is_an_http_error(house: SmallHouse) -> None:
    with connected(house.port) as raw:
        raw.send(head("GET", "/v1/actions/refused"))
        answer = raw.answer()
        assert (answer.status, answer.headers["content-type"]) == (503, "application/json")
        assert answer.json["message"] == "It is down."
        raw.send(head("GET", "/v1/actions/refused"))
        assert raw.answer().status == 503


def test_a_failure_after_the_first_event_is_told_and_leaves_the_body_without_its_end(house: SmallHouse) -> None:
    with connected(house.port) as raw:
        raw.send(head("GET", "/v1/actions/late"))
        chunks = _until_the_cut(raw)
    assert chunks.startswith(OPENING + b"event: text-delta\n")
    assert chunks.split(b"\n\n")[-2].startswith(b'event: error\ndata: {"message":"It is down."')
    assert chunks.endswith(b"\n\n")


def test_a_bug_after_the_first_event_cuts_the_body_too_and_tells_nothing(house: SmallHouse) -> None:
    with connected(house.port) as raw:
        raw.send(head("GET", "/v1/actions/bug"))
        chunks = _until_the_cut(raw)
    assert b"event: error\n" in chunks
    assert b"secret" not in chunks


def test_after_long_silence_the_stream_begins_with_its_opening_and_stays_alive(house: SmallHouse) -> None:
    with connected(house.port) as raw:
        raw.send(head("GET", "/v1/actions/silent"))
        _read_until(raw, OPENING, b": keep-alive\n")
        assert raw._read.index(OPENING) < raw._read.index(b": keep-alive\n")


def test_events_can_open_the_stream_before_there_is_anything_to_tell(house: SmallHouse) -> None:
    with connected(house.port) as raw:
        raw.send(head("GET", "/v1/actions/begun"))
        _read_until(raw, OPENING, b": keep-alive\n")
        assert raw._read.count(OPENING) == 1


def test_a_rush_of_modifications_becomes_a_few_events_and_done_can_be_left_out(house: SmallHouse) -> None:
    with connected(house.port) as raw:
        raw.send(head("GET", "/v1/actions/rush"))
        answer = raw.answer()
    events = answer.body.decode().split("\n\n")[:-1]
    texts = [json.loads(event.partition("data: ")[2])["textDelta"] for event in events[1:]]
    assert "".join(texts) == "".join(f"{number} " for number in range(500))
    assert len(texts) < 20
    assert b"done" not in answer.body


def test_a_client_that_leaves_before_the_headers_ends_the_work() -> None:
    with small_house() as house:
        with connected(house.port) as raw:
            raw.send(head("GET", "/v1/actions/silent"))
        with connected(house.port) as raw:
            raw.send(head("GET", "/v1/actions/refused"))
            assert raw.answer().status == 503
        _, output = house.stop()
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert any(line.get("message") == "the silence was broken off" for line in lines)
    metric = next(line for line in lines if line.get("path") == "/v1/actions/silent")
    assert (metric["statusCode"], metric["outcome"]) == (499, "client-abort")


def _until_the_cut(raw: Raw) -> bytes:
    """The pieces of a chunked body whose last chunk never comes."""
    while b"\r\n\r\n" not in raw._read:
        raw._more("an answer")
    answer_head, raw._read = raw._read.split(b"\r\n\r\n", 1)
    assert b" 200 " in answer_head
    pieces: list[bytes] = []
    with pytest.raises(ConnectionError, match="instead of a chunk"):
        pieces.extend(raw._chunks())
    return b"".join(pieces)


def _read_until(raw: Raw, *wanted: bytes) -> None:
    while not all(one in raw._read for one in wanted):
        raw._more("the rest of a stream")
