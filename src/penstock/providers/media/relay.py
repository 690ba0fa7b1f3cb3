"""Answers that go to the caller as they come: sound, and server-sent events of images, transcripts and speech."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from penstock.errors import UpstreamError
from penstock.kit.sse import SseEvent, SseReader, SseTooLarge
from penstock.providers.base import FinishReason, Usage
from penstock.providers.failures import from_event, shape_mismatch, truncated
from penstock.providers.json_text import NotJson, lenient_json
from penstock.providers.media.whole import unreadable
from penstock.providers.wires.estimates import CHARS_PER_TOKEN

_MAX_ODD_BYTES = 64 * 1024
_ABSENT = (b"", b"null")
_AUDIO_TOKENS_PER_S = 10  # OpenAI's, for an estimate (`spec/providers.md` 16)
_AUDIO_BYTES_PER_S = 16_000

# The last event of each kind of stream (`spec/providers.md` 4.9).
_LAST = frozenset({"image_generation.completed", "image_edit.completed", "transcript.text.done", "speech.audio.done"})


class _Kind(msgspec.Struct, gc=False):
    type: str | None = None
    usage: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


_kind_of = msgspec.json.Decoder(_Kind).decode


class SoundRelay:
    """A `Reader` of bytes that mean nothing to us. A body that says that it is text is an error, not sound."""

    def __init__(self, *, content_type: str, guess: Usage) -> None:
        self.begun = False
        self.complete = False
        self.terminated = False
        self.usage: Usage | None = None
        self.finish: FinishReason | None = None
        self.failure: UpstreamError | None = None
        self._guess = guess
        kind = content_type.partition(";")[0].strip().lower()
        self._is_odd = kind.startswith("text/") or kind == "application/json"
        self._odd = bytearray()

    def feed(self, data: bytes) -> Sequence[bytes]:
        if not self._is_odd:
            self.begun = True
            return (data,)
        self._odd += data[: _MAX_ODD_BYTES - len(self._odd)]
        return ()

    def end(self) -> Sequence[bytes]:
        if self._is_odd or not self.begun:
            self.failure = unreadable(bytes(self._odd), "")
            raise self.failure
        self.finish = "stop"
        self.complete = self.terminated = True
        return ()

    def estimate(self) -> Usage:
        return self._guess


class EventRelay:
    """A `Reader` of server-sent events, given on byte for byte. A stream without its last event failed."""

    def __init__(self, *, guess: Usage) -> None:
        self.begun = False
        self.complete = False
        self.terminated = False
        self.usage: Usage | None = None
        self.finish: FinishReason | None = None
        self.failure: UpstreamError | None = None
        self._guess = guess
        self._events = SseReader()

    def feed(self, data: bytes) -> Sequence[bytes]:
        if self.failure is not None:
            raise self.failure
        try:
            return self._take(self._events.feed(data))
        except SseTooLarge as error:
            self.failure = shape_mismatch("an event that is too large")
            raise self.failure from error

    def end(self) -> Sequence[bytes]:
        if self.failure is not None:
            raise self.failure
        given = self._take(self._events.end())
        if self.failure is None and not self.complete:
            self.failure = truncated(empty=not self.begun)
        if self.failure is not None and not given:
            raise self.failure
        self.terminated = True
        return given

    def estimate(self) -> Usage:
        return self.usage or self._guess

    def _take(self, events: Sequence[SseEvent]) -> Sequence[bytes]:
        given: list[bytes] = []
        for event in events:
            failure = self._look(event)
            if failure is not None:
                self.failure = failure
                if not given:
                    raise failure
                break
            given.append(event.raw)
        return (b"".join(given),) if given else ()

    def _look(self, event: SseEvent) -> UpstreamError | None:
        if event.stray is not None and event.data is None:
            return unreadable(event.stray, "")
        if not event.data or event.data.strip() == b"[DONE]":
            return None
        try:
            seen = _kind_of(event.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return shape_mismatch("an event that is not JSON", event.data)
        if event.name == b"error" or bytes(seen.error) not in _ABSENT or seen.type == "error":
            return from_event(lenient_json(event.data), name=b"error")
        self.begun = True
        if seen.type in _LAST:
            self.complete = True
            self.finish = "stop"
            self.usage = usage_in(read_raw(seen.usage))
        return None


def usage_in(reported: Any) -> Usage | None:
    """What OpenAI reports beside chat: tokens, or the duration of a recording; None when it says neither.

    A duration is counted as ten tokens a second, and that is a guess.
    """
    if not isinstance(reported, Mapping):
        return None
    seconds = reported.get("seconds")
    if isinstance(seconds, int | float) and reported.get("type") == "duration":
        return Usage(input_tokens=math.ceil(max(seconds, 0) * _AUDIO_TOKENS_PER_S), estimated=True)
    read, written = _count(reported, "input_tokens", "prompt_tokens"), _count(reported, "output_tokens")
    return None if read is None else Usage(input_tokens=read, output_tokens=written or 0)


def guessed_recording(size_bytes: int) -> Usage:
    """Of a recording at 128 kbit/s, which is all that can be said without decoding it."""
    return Usage(input_tokens=math.ceil(size_bytes / _AUDIO_BYTES_PER_S * _AUDIO_TOKENS_PER_S), estimated=True)


def guessed_text(text: str) -> Usage:
    return Usage(input_tokens=math.ceil(len(text) / CHARS_PER_TOKEN), estimated=True)


def _count(reported: Mapping[str, Any], *names: str) -> int | None:
    found = (reported.get(name) for name in names)
    return next((max(value, 0) for value in found if isinstance(value, int) and not isinstance(value, bool)), None)


def read_raw(raw: msgspec.Raw) -> Any:
    """What a field holds; None also for one that is not there."""
    try:
        return lenient_json(bytes(raw))
    except NotJson:
        return None
