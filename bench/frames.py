"""The bytes that the mock upstream writes, and the check that a stream brought all of them, once and in order.

The content of every chunk is a token of fixed width: number of the stream, number of the chunk, microseconds of the
machine's monotonic clock at the moment of writing. So loss, reordering, doubling, damage and a chunk that strayed into
another stream can be proved, and the time on the way can be read, although writer and reader are two processes.
"""

import re
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

_HEAD = b'{"id":"chatcmpl-BenchBenchBenchBenchBench01","object":"chat.completion.chunk","created":1770000000,'
_HEAD += b'"model":"mock",'
_CHUNK = (
    b"data: " + _HEAD + b'"choices":[{"index":0,"delta":{"content":"%s"},"logprobs":null,"finish_reason":null}]}\n\n'
)
_TOKEN = b"%04d-%06d-%013d "
_NUMBERS = b"%04d-%06d-"
_NUMBERS_END = 12
_TIME_END = 25
_MARK = b'"content":"'
# One or several: a translating relay may put the texts that one read brought into one frame.
_TOKENS = re.compile(r"(?:\d{4}-\d{6}-\d{13} )+", re.ASCII)
_TOKEN_CHARS = 26

ROLE = (
    b"data: "
    + _HEAD
    + b'"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}\n\n'
)
FINISH = b"data: " + _HEAD + b'"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
ANSWER_TEXT = b"The gate is open and the wheel turns; nothing else is known about the water."
ANSWER = (
    b'{"id":"chatcmpl-BenchBenchBenchBenchBench01","object":"chat.completion","created":1770000000,"model":"mock",'
    b'"choices":[{"index":0,"message":{"role":"assistant","content":"' + ANSWER_TEXT + b'","refusal":null},'
    b'"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":17,"total_tokens":29,'
    b'"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}},'
    b'"system_fingerprint":null}'
)


def token(stream: int, number: int, now_us: int) -> bytes:
    """26 characters that no format has to escape, a space last."""
    return _TOKEN % (stream, number, now_us)


def around(content: bytes) -> bytes:
    """A content frame."""
    return _CHUNK % content


def chunk(stream: int, number: int, now_us: int) -> bytes:
    """One content frame. Always the same length, because the token has a fixed width."""
    return around(token(stream, number, now_us))


def usage(chunks: int) -> bytes:
    """The usage frame: it has no choices, and counts one token per chunk."""
    counts = b'{"prompt_tokens":12,"completion_tokens":%d,"total_tokens":%d}' % (chunks, chunks + 12)
    return b"data: " + _HEAD + b'"choices":[],"usage":' + counts + b"}\n\n"


CHUNK_BYTES = len(chunk(0, 0, 0))


@dataclass(slots=True)
class StreamCheck:
    """Reads one stream's body and keeps account of what is wrong with it.

    `lags_us` is shared by all streams of a run: microseconds from the upstream's write to our read, one per chunk.
    """

    stream: int
    chunks: int
    lags_us: "array[int]"
    received: int = 0
    pieces: int = 0
    """Of the body, as they were written, that brought any chunk."""
    reordered: int = 0
    doubled: int = 0
    damaged: int = 0
    finished: bool = False
    done: bool = False
    usage_tokens: int | None = None
    error: str | None = None
    _next: int = 0
    _skipped: set[int] = field(default_factory=set)
    _rest: bytes = b""

    def feed(self, data: bytes, now_us: int) -> None:
        """Take a piece of the body in whatever size it came."""
        before = self.received
        frames = (self._rest + data).split(b"\n\n")
        self._rest = frames.pop()
        for frame in frames:
            at = frame.find(_MARK) + len(_MARK)
            found = frame[at : at + _TIME_END]
            is_next = found[:_NUMBERS_END] == _NUMBERS % (self.stream, self._next)
            if is_next and frame[at + _TIME_END : at + _TIME_END + 2] == b' "' and not self.done:
                self._next += 1
                self.received += 1
                self._note_lag(found, now_us)
            else:
                self._unusual(frame, now_us)
        self.pieces += self.received > before

    @property
    def lost(self) -> int:
        """Chunks that did not come. Final once the stream has ended."""
        return len(self._skipped) + max(0, self.chunks - self._next)

    @property
    def is_whole(self) -> bool:
        """Every chunk once and in order, then the finish, then the terminator, and nothing after it."""
        wrong = self.lost + self.reordered + self.doubled + self.damaged
        return self.finished and self.done and not wrong and not self._rest and self.error is None

    def _note_lag(self, found: bytes, now_us: int) -> None:
        try:
            # A clock reading from another core may be a microsecond ahead of ours.
            self.lags_us.append(max(0, now_us - int(found[_NUMBERS_END:_TIME_END])))
        except (ValueError, OverflowError):
            self.damaged += 1

    def _unusual(self, frame: bytes, now_us: int) -> None:
        if frame.startswith(b":"):
            return
        if self.done:
            self.damaged += 1
        elif frame == b"data: [DONE]":
            self.done = True
        else:
            self._decoded(frame.removeprefix(b"data: "), now_us)

    def _decoded(self, text: bytes, now_us: int) -> None:
        """Frames without a token, with several, out of turn, and JSON that a translating relay wrote in its own way."""
        try:
            event = msgspec.json.decode(text, type=dict[str, Any])
            if "error" in event:
                self.error = text[:300].decode()
                return
            if counts := event.get("usage"):
                self.usage_tokens = counts["completion_tokens"]
            for choice in event["choices"]:
                self._choice(choice, now_us)
        except (msgspec.DecodeError, UnicodeDecodeError, LookupError, TypeError, ValueError):
            self.damaged += 1

    def _choice(self, choice: Mapping[str, Any], now_us: int) -> None:
        if content := choice["delta"].get("content"):
            if not _TOKENS.fullmatch(content):
                raise ValueError("content that is no tokens")
            for at in range(0, len(content), _TOKEN_CHARS):
                found = content[at : at + _TOKEN_CHARS]
                stream, number, _ = found.split("-")
                self._out_of_turn(int(stream), int(number))
                self._note_lag(found.encode(), now_us)
        if choice.get("finish_reason") == "stop":
            self.finished = True

    def _out_of_turn(self, stream: int, number: int) -> None:
        if stream != self.stream or number >= self.chunks:
            self.damaged += 1
            return
        self.received += 1
        if number >= self._next:
            self._skipped.update(range(self._next, number))
            self._next = number + 1
        elif number in self._skipped:
            self._skipped.remove(number)
            self.reordered += 1
        else:
            self.doubled += 1
