"""Transcription by a chat model that hears: the recording is part of a message, and the answer is the transcript."""

import base64
from collections.abc import Sequence
from pathlib import PurePath

from penstock.errors import UpstreamError
from penstock.providers.base import (
    Audio,
    Call,
    Delta,
    FinishReason,
    Message,
    Quirks,
    Reader,
    Text,
    TextDelta,
    Usage,
    Wire,
)
from penstock.providers.failures import ContentFiltered, shape_mismatch
from penstock.providers.json_text import encode_json
from penstock.providers.media.asked import Recording
from penstock.providers.media.plans import Ask, NotOffered
from penstock.providers.media.relay import guessed_recording
from penstock.providers.transport.base import MAX_BODY_BYTES

_WRITE_DOWN = (
    "Write down exactly what is said in this recording, in the language that is spoken. "
    "Answer with the words alone. If nothing is said, answer with nothing."
)
_TRANSLATE = (
    "Write down in English what is said in this recording, whatever language is spoken. "
    "Answer with the words alone. If nothing is said, answer with nothing."
)
_FORMATS = {"mpga": "mp3", "mpeg": "mp3", "oga": "ogg", "wave": "wav"}


def by_chat(asked: Recording, wire: Wire, model: str, quirks: Quirks) -> Ask:
    if asked.format not in ("json", "text"):
        raise NotOffered(
            f"This model writes no `{asked.format}`: it does not tell when something is said.",
            action="Ask for `json` or `text`, or use a model that was made for transcription.",
            param="response_format",
        )
    if asked.stream:
        raise NotOffered("This model's transcripts are not streamed.", action="Leave `stream` out.", param="stream")
    call = Call(messages=[Message(role="user", content=[Text(_task(asked)), _audio(asked)])], temperature=0)

    def reader(content_type: str) -> tuple[Reader[Sequence[bytes]], str]:
        heard = wire.reader(model=model, content_type=content_type, quirks=quirks)
        if asked.format == "text":
            return Heard(heard, asked), "text/plain; charset=utf-8"
        return Heard(heard, asked), "application/json"

    return Ask(wire.request(call, model, quirks), reader)


def _task(asked: Recording) -> str:
    sentences = [_TRANSLATE if asked.translate else _WRITE_DOWN]
    if asked.language and not asked.translate:
        sentences.append(f"The language is {asked.language} (ISO 639-1).")
    if asked.prompt:
        sentences.append(f"Words and spellings that may occur: {asked.prompt}")
    return "\n".join(sentences)


def _audio(asked: Recording) -> Audio:
    suffix = PurePath(asked.file_name).suffix[1:].lower() or "wav"
    return Audio(base64.b64encode(asked.data).decode(), _FORMATS.get(suffix, suffix))


class Heard:
    """A `Reader` around the chat's: the text of its deltas, given at the end in the form that was asked for."""

    def __init__(self, chat: Reader[Sequence[Delta]], asked: Recording) -> None:
        self.begun = False
        self.complete = False
        self.terminated = False
        self.usage: Usage | None = None
        self.finish: FinishReason | None = None
        self.failure: UpstreamError | None = None
        self._chat = chat
        self._asked = asked
        self._texts: list[str] = []
        self._size = 0

    def feed(self, data: bytes) -> Sequence[bytes]:
        self._size += len(data)
        if self._size > MAX_BODY_BYTES:
            self.failure = shape_mismatch("more than 64 MiB")
            raise self.failure
        self._take(self._chat.feed(data))
        return ()

    def end(self) -> Sequence[bytes]:
        self._take(self._chat.end())
        if self.finish == "content_filter":
            self.failure = ContentFiltered("The provider's content filter refused the recording.")
            raise self.failure
        self.begun = True
        return (self._written("".join(self._texts).strip()),)

    def _written(self, text: str) -> bytes:
        if self._asked.format == "text":
            return text.encode() + b"\n"
        usage = self.estimate()
        total = usage.input_tokens + usage.output_tokens
        tokens = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, "total_tokens": total}
        return encode_json({"text": text, "usage": {"type": "tokens", **tokens}})

    def estimate(self) -> Usage:
        return self.usage or guessed_recording(len(self._asked.data))

    def _take(self, deltas: Sequence[Delta]) -> None:
        self._texts += [delta.text for delta in deltas if isinstance(delta, TextDelta)]
        chat = self._chat
        self.complete, self.terminated, self.finish = chat.complete, chat.terminated, chat.finish
        self.usage, self.failure = chat.usage, chat.failure
