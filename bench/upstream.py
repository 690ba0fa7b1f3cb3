"""A mock upstream that costs next to nothing: `python -m bench.upstream` prints its port.

It speaks the format of the path that it is asked at (`bench/formats.py`), and looks at nothing in a request but for
this: the last text steers a streamed answer with words such as `bench chunks=100 rate=30 stream=7`.

* `chunks` how many (default 16), `rate` per second (0, the default: all at once), `stream` the number in each token;
* `wait` milliseconds before the first chunk;
* faults for the tests of the tools, each with a chunk's number: `drop` leaves it out, `swap` sends it after its
  successor, `double` sends it twice, `damage` changes a digit, `cut` closes the connection instead of sending it.
"""

import asyncio
import gc
import os
import re
import sys
import time
from contextlib import suppress
from typing import cast

import httptools
import msgspec

from bench import frames
from bench.formats import CHAT, Ending, Format, format_of

MAX_CHUNKS = 100_000
_SCRIPT = re.compile(rb"bench((?: \w+=\d+)+)")
_WORDS = re.compile(r"(\w+)=(\d+)")
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
_JSON = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
_ANSWER = _JSON % (b"200 OK", len(frames.ANSWER), frames.ANSWER)
_REFUSAL_BODY = b'{"error":{"message":"nothing that is answered here","type":"invalid_request_error"}}'
_REFUSAL = _JSON % (b"400 Bad Request", len(_REFUSAL_BODY), _REFUSAL_BODY)


class _StreamOptions(msgspec.Struct, gc=False):
    include_usage: bool = False


class _Body(msgspec.Struct, gc=False):
    stream: bool = False
    stream_options: _StreamOptions | None = None


class _Script(msgspec.Struct, gc=False, kw_only=True):
    chunks: int = 16
    rate: int = 0
    stream: int = 0
    wait: int = 0
    drop: int = -1
    swap: int = -1
    double: int = -1
    damage: int = -1
    cut: int = -1
    with_usage: bool = False


_decode = msgspec.json.Decoder(_Body).decode


def _script(raw: bytes, body: _Body) -> _Script:
    """What the last text of a request asks for, wherever its format has it: later texts come later in the body."""
    told = _SCRIPT.findall(raw)
    words = {name: int(value) for name, value in _WORDS.findall(told[-1].decode())} if told else {}
    script = msgspec.convert(words, _Script)
    script.chunks = min(script.chunks, MAX_CHUNKS)
    script.with_usage = body.stream_options is not None and body.stream_options.include_usage
    return script


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class _Upstream(asyncio.Protocol):
    """One connection. Requests are answered one after the other; pipelining is not supported."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._body: list[bytes] = []
        self._target = b""
        self._format = CHAT
        self._text = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def on_message_begin(self) -> None:
        self._body = []
        self._target = b""

    def on_url(self, target: bytes) -> None:
        self._target += target

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        spoken, raw = format_of(self._target), b"".join(self._body)
        try:
            body = _decode(raw)
            is_stream = body.stream or spoken.always_streams
            script = _script(raw, body) if is_stream else None
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._transport.write(_REFUSAL)
            return
        if script is not None:
            self._begin(script, spoken)
        else:
            self._transport.write(_ANSWER if spoken is CHAT else _REFUSAL)

    def _begin(self, script: _Script, spoken: Format) -> None:
        self._script, self._format = script, spoken
        self._text.clear()
        self._number = 0
        if script.wait:
            self._timer = self._loop.call_later(script.wait / 1000, self._first)
        else:
            self._first()

    def _first(self) -> None:
        self._started_at = self._loop.time()
        opening = b"".join(_framed(frame) for frame in self._format.opening)
        head = _STREAM_HEAD % self._format.content_type + opening
        if self._script.rate:
            self._transport.write(head)
            self._step()
        else:
            body = b"".join(self._chunk(number) for number in range(self._script.chunks))
            self._transport.write(head + body + self._tail())

    def _step(self) -> None:
        """Write one chunk and plan the next on the absolute timetable, so that a late one does not delay the rest."""
        script = self._script
        if self._number >= script.chunks:
            self._transport.write(self._tail())
            return
        if self._number == script.cut:
            self._transport.close()
            return
        data = self._chunk(self._number)
        if data:
            self._transport.write(data)
        self._number += 1
        self._timer = self._loop.call_at(self._started_at + self._number / script.rate, self._step)

    def _chunk(self, number: int) -> bytes:
        script = self._script
        now_us = time.monotonic_ns() // 1000
        if number == script.drop:
            return b""
        if number == script.swap:
            number += 1
        elif number == script.swap + 1 and script.swap >= 0:
            number -= 1
        shown = number + script.chunks if number == script.damage else number
        token = frames.token(script.stream, shown, now_us)
        times = 2 if number == script.double else 1
        if self._format.repeats_text:
            self._text += token * times
        return _framed(self._format.delta(token, number)) * times

    def _tail(self) -> bytes:
        end = Ending(self._script.chunks, bytes(self._text), self._script.with_usage)
        return b"".join(_framed(frame) for frame in self._format.ending(end)) + _LAST_CHUNK


async def listen(port: int = 0) -> asyncio.Server:
    """Listen on loopback. The port is in `server.sockets`."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: _Upstream(loop), "127.0.0.1", port, backlog=4096)


async def _serve() -> None:
    """Until standard input, a pipe, ends: whoever started us holds its other end, so we cannot outlive them."""
    server = await listen()
    print(server.sockets[0].getsockname()[1], flush=True)
    gc.freeze()
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    held = sys.stdin.fileno()
    loop.add_reader(held, lambda: None if os.read(held, 1) else ended.set())
    await ended.wait()
    loop.remove_reader(held)
    server.close()


if __name__ == "__main__":
    import uvloop

    with suppress(KeyboardInterrupt):
        uvloop.run(_serve())
