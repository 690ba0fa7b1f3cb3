"""The relay's reading of answers, for every way TCP may cut them and for bytes that nobody should send."""

import asyncio
import itertools
import tracemalloc
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.providers.transport.answer import Answer
from penstock.providers.transport.base import (
    MAX_HEADER_BYTES,
    Header,
    Limits,
    Origin,
    Request,
    ResponseTooLarge,
    TransportError,
)
from penstock.providers.transport.connection import HIGH_WATER_BYTES, Connection
from tests.fakes.wire_server import CHUNKED_HEAD, LAST_CHUNK, chunk, ok

ORIGIN = Origin("http", "upstream.example", 80)


class Line(asyncio.Transport):
    """The other end of a connection, in memory: it keeps what was written, and can be cut or held."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection
        self.written = b""
        self.is_cut = False
        self._held = False
        connection.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self._held = True

    def resume_reading(self) -> None:
        self._held = False

    def is_reading(self) -> bool:
        return not self._held

    def abort(self) -> None:
        if not self.is_cut:
            self.is_cut = True
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)


class Kept:
    """What the relay's pool does, for one connection."""

    def __init__(self) -> None:
        self.idle: list[Connection] = []
        self.lost: list[Connection] = []

    def keep(self, connection: Connection) -> None:
        self.idle.append(connection)

    def forget(self, connection: Connection) -> None:
        if connection in self.idle:
            self.idle.remove(connection)

    def gone(self, connection: Connection) -> None:
        self.forget(connection)
        self.lost.append(connection)


class Outcome(NamedTuple):
    status: int
    headers: list[Header]
    body: bytes
    error: str | None
    kept: bool


def begin(method: bytes = b"POST") -> tuple[Connection, Line, Answer, Kept]:
    kept = Kept()
    connection = Connection(asyncio.get_running_loop(), ORIGIN, kept)
    line = Line(connection)
    answer = connection.start(Request(method, ORIGIN, b"/", ()), b"", Limits(), None)
    return connection, line, answer, kept


async def read(pieces: list[bytes], *, ends: bool, method: bytes = b"POST") -> Outcome:
    """Feed `pieces` as TCP would, and read everything."""
    connection, line, answer, kept = begin(method)
    for piece in pieces:
        if not line.is_cut:
            connection.data_received(piece)
    if ends and not line.is_cut:
        connection.eof_received()
    body, error = b"", None
    try:
        async with asyncio.timeout(0.01 if not ends else 10):
            while data := await answer.read():
                body += data
    except TransportError as failure:
        error = failure.name
    except TimeoutError:
        error = "more"
    outcome = Outcome(answer.status, answer.headers, body, error, bool(kept.idle))
    answer.close()
    if not line.is_cut:
        connection.abort()
    await asyncio.sleep(0)
    assert kept.lost == [connection]
    return outcome


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(marks)]


TOKEN = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12).map(lambda text: b"x-" + text.encode())
VALUE = st.text("abc DEF:;=/\t\u00e9", max_size=20).map(lambda text: text.strip().encode("latin-1"))
HEADERS = st.lists(st.tuples(TOKEN, VALUE), max_size=5)
PIECES = st.lists(st.binary(min_size=1, max_size=60), max_size=6)
PLACES = st.lists(st.integers(0, 2000), max_size=8)


@given(headers=HEADERS, pieces=PIECES, places=PLACES, framing=st.sampled_from(["length", "chunks", "close"]))
async def test_an_answer_reads_the_same_however_it_is_cut(
    headers: list[Header], pieces: list[bytes], places: list[int], framing: str
) -> None:
    body = b"".join(pieces)
    framed = {
        "length": ([(b"content-length", b"%d" % len(body))], body),
        "chunks": ([(b"transfer-encoding", b"chunked")], b"".join(map(chunk, pieces)) + LAST_CHUNK),
        "close": ([], body),
    }
    own, text = framed[framing]
    lines = b"".join(b"%b: %b\r\n" % header for header in headers + own)
    answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n" + lines + b"\r\n" + text
    outcome = await read(cut(answer, places), ends=framing == "close")
    assert outcome == Outcome(201, headers + own, body, None, framing != "close")


@given(data=st.binary(max_size=400), places=PLACES)
async def test_garbage_is_a_transport_error(data: bytes, places: list[int]) -> None:
    outcome = await read(cut(data, places), ends=True)
    assert outcome.error in ("EPROTO", "ECONNRESET")


HOSTILE = st.lists(
    st.one_of(
        st.sampled_from(
            [
                b"HTTP/1.1 200 OK\r\n",
                b"HTTP/1.0 200 OK\r\n",
                b"HTTP/1.1 100 Continue\r\n\r\n",
                b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
                b"HTTP/1.1 199 Odd\r\ncontent-length: 3\r\n\r\nodd",
                b"HTTP/1.1 204 No Content\r\n\r\n",
                b"HTTP/2 200\r\n",
                b"content-length: 5\r\n",
                b"content-length: 99999999999999999999\r\n",
                b"transfer-encoding: chunked\r\n",
                b"transfer-encoding: gzip\r\n",
                b"content-encoding: br\r\n",
                b"connection: close\r\n",
                b"\r\n",
                b"\n",
                b"0\r\n\r\n",
                b"5\r\nhello\r\n",
                b"5;x=y\r\nhello\r\n",
                b"ffffffffffffffffff\r\n",
                b"x-trailer: 1\r\n\r\n",
                b"hello",
            ]
        ),
        st.binary(max_size=10),
    ),
    max_size=12,
)


@given(parts=HOSTILE, places=PLACES, ends=st.booleans(), method=st.sampled_from([b"POST", b"HEAD"]))
@settings(max_examples=300)
async def test_a_hostile_answer_ends_in_order_or_in_a_transport_error(
    parts: list[bytes], places: list[int], ends: bool, method: bytes
) -> None:
    data = b"".join(parts)
    outcome = await read(cut(data, places), ends=ends, method=method)
    assert len(outcome.body) <= len(data)
    whole = await read([data] if data else [], ends=ends, method=method)
    assert (outcome.status, outcome.body, outcome.error) == (whole.status, whole.body, whole.error)


@pytest.mark.parametrize(
    "head, more",
    [
        (b"HTTP/1.1 200 OK\r\nx: ", b"v" * 4096),
        (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 500),
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 100),
        (b"", b"\r\n" * 2048),
        (CHUNKED_HEAD, b"0" * 4096),
        (CHUNKED_HEAD + b"5;", b"e" * 4096),
        (CHUNKED_HEAD + b"0\r\n", b"x: y\r\n" * 500),
        (CHUNKED_HEAD + b"0\r\nx: ", b"v" * 4096),
    ],
)
async def test_nothing_without_end_is_collected(head: bytes, more: bytes) -> None:
    connection, line, answer, _ = begin()
    tracemalloc.start()
    connection.data_received(head)
    fed = 0
    while not line.is_cut:
        connection.data_received(more)
        fed += len(more)
        assert fed < 40 * MAX_HEADER_BYTES
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * MAX_HEADER_BYTES
    with pytest.raises(TransportError):
        await answer.read()


async def test_a_header_that_passes_the_cap_is_not_read_further() -> None:
    connection, _, answer, _ = begin()
    connection.data_received(b"HTTP/1.1 200 OK\r\nx: " + b"v" * (4 * MAX_HEADER_BYTES))
    with pytest.raises(ResponseTooLarge):
        await answer.read()


async def test_an_unread_body_holds_its_connection_until_it_is_read() -> None:
    connection, line, answer, kept = begin()
    size = 2 * HIGH_WATER_BYTES
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (size + 1))
    connection.data_received(b"x" * size)
    assert not line.is_reading()
    assert len(await answer.read()) == size
    assert line.is_reading()
    connection.data_received(b"y")
    assert await answer.read_all() == b"y"
    assert kept.idle == [connection]
    connection.abort()


async def test_reads_that_queued_up_are_joined() -> None:
    connection, _, answer, _ = begin()
    connection.data_received(CHUNKED_HEAD + chunk(b"a"))
    connection.data_received(chunk(b"b") + chunk(b"c"))
    assert await answer.read() == b"abc"
    connection.abort()


async def test_a_second_reader_is_a_bug() -> None:
    connection, _, answer, _ = begin()
    connection.data_received(CHUNKED_HEAD)
    first = asyncio.ensure_future(answer.read())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError):
        await answer.read()
    connection.data_received(chunk(b"a"))
    assert await first == b"a"
    connection.abort()


async def test_an_idle_connection_that_speaks_is_cut() -> None:
    connection, line, answer, kept = begin()
    connection.data_received(ok(b"fine"))
    assert await answer.read_all() == b"fine"
    assert kept.idle == [connection]
    connection.data_received(b"\r\n")
    assert line.is_cut
    assert kept.idle == []
