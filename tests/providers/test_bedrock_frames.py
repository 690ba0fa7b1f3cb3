"""The binary event stream of AWS: every cut, every type of header, every flipped bit."""

import struct
import zlib
from contextlib import suppress

import pytest
from botocore.eventstream import EventStreamBuffer  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.providers.failures import ShapeMismatch
from penstock.providers.wires.bedrock.frames import (
    MAX_HEADERS_BYTES,
    MAX_PAYLOAD_BYTES,
    Frame,
    FrameReader,
    Headers,
)
from tests.fakes.dialects.bedrock import error, event, exception
from tests.providers.streams import bytewise, cuts

VECTOR = bytes.fromhex(
    "0000009e00000057fe1b824f0b3a6576656e742d74797065070011636f6e74656e74426c6f636b44656c74610d3a"
    "636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d7479706507"
    "00056576656e747b22636f6e74656e74426c6f636b496e646578223a302c2264656c7461223a7b2274657874223a"
    "224869227d2c2270223a22616263227d9343f010"
)
HI = Frame(Headers("event", "contentBlockDelta"), b'{"contentBlockIndex":0,"delta":{"text":"Hi"},"p":"abc"}')


def frames(pieces: list[bytes]) -> list[Frame]:
    reader = FrameReader()
    taken = []
    for piece in pieces:
        reader.feed(piece)
        while (frame := reader.take()) is not None:
            taken.append(frame)
    return taken


def built(block: bytes, payload: bytes = b"{}") -> bytes:
    """A frame with any block of headers."""
    prelude = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + block + payload
    return message + struct.pack(">I", zlib.crc32(message))


def header(name: str, kind: int, value: bytes = b"") -> bytes:
    return bytes([len(name)]) + name.encode() + bytes([kind]) + value


def text(name: str, value: str) -> bytes:
    return header(name, 7, struct.pack(">H", len(value)) + value.encode())


def test_the_vector_of_the_specification_is_read_however_it_is_cut() -> None:
    assert frames([VECTOR]) == [HI]
    for pieces in cuts(VECTOR + VECTOR):
        assert frames(pieces) == [HI, HI]


def test_the_three_kinds_of_frames_have_their_names() -> None:
    stream = event("messageStop", {}) + exception("throttlingException", {}) + error("InternalFailure", "boom")
    assert [frame.headers for frame in frames([stream])] == [
        Headers("event", "messageStop"),
        Headers("exception", "throttlingException"),
        Headers("error", "InternalFailure", "boom"),
    ]


def test_headers_of_every_type_are_stepped_over() -> None:
    block = (
        header("yes", 0)
        + header("no", 1)
        + header("byte", 2, b"\x01")
        + header("short", 3, b"\x01" * 2)
        + header("int", 4, b"\x01" * 4)
        + header("long", 5, b"\x01" * 8)
        + header("bytes", 6, struct.pack(">H", 3) + b"abc")
        + header("moment", 8, b"\x01" * 8)
        + header("uuid", 9, b"\x01" * 16)
        + text(":event-type", "metadata")
        + text(":message-type", "event")
    )
    assert frames([built(block)]) == [Frame(Headers("event", "metadata"), b"{}")]
    buffer = EventStreamBuffer()
    buffer.add_data(built(block))
    assert next(iter(buffer)).headers["short"] == 0x0101


@pytest.mark.parametrize(
    "block",
    [
        header("x", 10),
        header("x", 4, b"\x01"),
        header("x", 7, b"\x00"),
        header("x", 7, b"\x00\x09abc"),
        b"\xff",
        b"\x05ab",
    ],
    ids=["unknown type", "number cut off", "length cut off", "text cut off", "name missing", "name cut off"],
)
def test_headers_that_cannot_be_read_are_not_in_the_right_format(block: bytes) -> None:
    with pytest.raises(ShapeMismatch):
        frames([built(block)])


def test_an_unknown_kind_of_frame_is_not_in_the_right_format() -> None:
    with pytest.raises(ShapeMismatch, match="surprise"):
        frames([built(text(":message-type", "surprise"))])


@pytest.mark.parametrize(
    "total, headers_size",
    [
        (MAX_PAYLOAD_BYTES + 17, 0),
        (MAX_HEADERS_BYTES + 17, MAX_HEADERS_BYTES + 1),
        (0xFFFFFFFF, 0),
        (15, 0),
        (0, 0),
        (20, 0xFFFF),
    ],
)
def test_lengths_beyond_the_limits_are_refused_before_anything_is_kept(total: int, headers_size: int) -> None:
    prelude = struct.pack(">II", total, headers_size)
    with pytest.raises(ShapeMismatch):
        frames([prelude + struct.pack(">I", zlib.crc32(prelude))])


def test_every_flipped_bit_is_noticed() -> None:
    for at in range(len(VECTOR) * 8):
        flipped = bytearray(VECTOR)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(ShapeMismatch):
            frames([bytes(flipped)])


def test_a_frame_that_has_not_arrived_whole_is_waited_for() -> None:
    reader = FrameReader()
    for piece in bytewise(VECTOR[:-1]):
        reader.feed(piece)
        assert reader.take() is None
    assert not reader.is_between
    reader.feed(VECTOR[-1:])
    assert reader.take() == HI
    assert reader.is_between


def test_many_different_headers_are_all_read() -> None:
    names = [f"event{number}" for number in range(40)]
    assert [frame.headers.name for frame in frames([b"".join(event(name, {}) for name in names)] * 2)] == names * 2


@given(st.binary(max_size=400), st.integers(1, 50))
@settings(max_examples=100)
def test_any_bytes_are_frames_or_a_failure(data: bytes, size: int) -> None:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    with suppress(ShapeMismatch):
        assert isinstance(frames(pieces), list)


@given(st.lists(st.binary(max_size=60), max_size=6), st.integers(1, 40))
@settings(max_examples=60)
def test_botocore_and_we_read_the_same_from_any_frames(payloads: list[bytes], size: int) -> None:
    block = text(":event-type", "e") + text(":message-type", "event")
    stream = b"".join(built(block, payload) for payload in payloads)
    buffer = EventStreamBuffer()
    buffer.add_data(stream)
    ours = frames([stream[at : at + size] for at in range(0, len(stream), size)])
    assert [frame.payload for frame in ours] == [message.payload for message in buffer] == payloads
