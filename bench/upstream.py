"""A mock OpenAI-compatible upstream that costs next to nothing: `python -m bench.upstream` prints its port.

The last message of a request steers a streamed answer with words such as `bench chunks=100 rate=30 stream=7`:

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
from typing import Any, cast

import httptools
import msgspec

from bench import frames

MAX_CHUNKS = 100_000
_WORDS = re.compile(r"(\w+)=(\d+)")
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
_LAST_CHUNK = b"0\r\n\r\n"
_JSON = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
_ANSWER = _JSON % (b"200 OK", len(frames.ANSWER), frames.ANSWER)
_REFUSAL_BODY = b'{"error":{"message":"not a chat completion","type":"invalid_request_error"}}'
_REFUSAL = _JSON % (b"400 Bad Request", len(_REFUSAL_BODY), _REFUSAL_BODY)


class _Message(msgspec.Struct, gc=False):
    content: Any = ""


class _StreamOptions(msgspec.Struct, gc=False):
    include_usage: bool = False


class _Body(msgspec.Struct, gc=False):
    messages: list[_Message]
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


def _script(body: _Body) -> _Script:
    content = body.messages[-1].content
    text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    words = {name: int(value) for name, value in _WORDS.findall(text)}
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

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        try:
            body = _decode(b"".join(self._body))
            script = _script(body) if body.stream else None
        except (msgspec.DecodeError, LookupError, AttributeError):
            self._transport.write(_REFUSAL)
            return
        if script is None:
            self._transport.write(_ANSWER)
        else:
            self._begin(script)

    def _begin(self, script: _Script) -> None:
        self._script = script
        self._number = 0
        if script.wait:
            self._timer = self._loop.call_later(script.wait / 1000, self._first)
        else:
            self._first()

    def _first(self) -> None:
        self._started_at = self._loop.time()
        head = _STREAM_HEAD + _framed(frames.ROLE)
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
        data = _framed(frames.chunk(script.stream, number, now_us))
        if number == script.damage:
            return data.replace(b"%06d-" % number, b"%06d-" % (number + script.chunks))
        return data * 2 if number == script.double else data

    def _tail(self) -> bytes:
        usage = _framed(frames.usage(self._script.chunks)) if self._script.with_usage else b""
        return _framed(frames.FINISH) + usage + _framed(frames.DONE) + _LAST_CHUNK


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
