"""OpenAI's own endpoints, and those of its many relatives: bodies go on as they came, but for the model's name."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from penstock.providers.base import Exchange, Quirks, Reader, Usage, Wire
from penstock.providers.failures import shape_mismatch
from penstock.providers.json_text import encode_json
from penstock.providers.media import asked as ask
from penstock.providers.media.forms import Form
from penstock.providers.media.hearing import by_chat
from penstock.providers.media.plans import Ask, Plan, not_offered
from penstock.providers.media.relay import EventRelay, SoundRelay, guessed_recording, guessed_text, read_raw, usage_in
from penstock.providers.media.results import Drawn, Embedded, Picture
from penstock.providers.media.vectors import format_of
from penstock.providers.media.whole import WholeReader, json_object, unreadable

IMAGES_AT_ONCE = 10

_encode = msgspec.json.Encoder().encode
_JSON = "application/json"
_SOUNDS = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
_TEXTS = {"text": "text/plain", "srt": "text/plain", "vtt": "text/vtt"}
_PLAIN_QUALITIES = {"standard": "medium", "hd": "high"}
_NOT_OF_GPT_IMAGES = ("response_format", "style")
# What may be left out after a refusal without giving the caller something else than was asked for.
_EXPENDABLE = frozenset({"user", "encoding_format"})


# --- embeddings -------------------------------------------------------------------------------------------------------


class _Vector(msgspec.Struct, gc=False):
    embedding: msgspec.Raw
    index: int | None = None


class _Vectors(msgspec.Struct, gc=False):
    data: list[_Vector]
    usage: msgspec.Raw = msgspec.Raw()
    error: None = None


_vectors_of = msgspec.json.Decoder(_Vectors).decode


def embeddings(asked: ask.Embeddings, model: str, quirks: Quirks) -> Plan[Embedded]:
    _need(quirks, "embeddings", "makes no embeddings")

    def exchange(first: int, count: int) -> Exchange:
        fields = dict(asked.fields)
        if count < len(asked.inputs):
            fields["input"] = msgspec.Raw(_encode(asked.inputs[first : first + count]))
        if not quirks.media.base64_vectors:
            fields.pop("encoding_format", None)
        return Exchange("/embeddings", _body(fields, model, quirks))

    return Plan(quirks.media.embeddings_at_once, exchange, partial(_read_vectors, asked.format))


def _read_vectors(wanted: ask.VectorFormat, body: bytes, count: int) -> tuple[Embedded, Usage | None]:
    answer = _vectors_of(body)
    found = answer.data
    if len(found) != count:
        raise shape_mismatch(f"{len(found)} vectors for {count} inputs")
    if all(one.index is not None for one in found):
        found = sorted(found, key=lambda one: one.index or 0)
    vectors = [one.embedding for one in found]
    as_asked = all(format_of(vector) == wanted for vector in vectors)
    return Embedded(vectors, body if as_asked else None), usage_in(read_raw(answer.usage))


# --- images -----------------------------------------------------------------------------------------------------------


def pictures(asked: ask.Pictures, model: str, quirks: Quirks) -> Plan[Drawn]:
    _need(quirks, "images", "makes no images")
    exchange, warnings = _picture_exchange(asked, model, quirks)
    # A provider takes ten, and the surface takes no more: one exchange is all of it.
    return Plan(IMAGES_AT_ONCE, lambda first, count: exchange, _read_pictures, warnings)


def picture_events(asked: ask.Pictures, model: str, quirks: Quirks) -> Ask:
    _need(quirks, "images", "makes no images")
    exchange, warnings = _picture_exchange(asked, model, quirks)

    def reader(content_type: str) -> tuple[Reader[Sequence[bytes]], str]:
        if content_type.lower().startswith("text/event-stream"):
            return EventRelay(guess=guessed_text(asked.prompt)), "text/event-stream"
        # A server that does not stream images answers with all of them.
        return WholeReader(_whole_pictures, content_type=content_type, guess=guessed_text(asked.prompt)), _JSON

    return Ask(exchange, reader, warnings)


def _picture_exchange(asked: ask.Pictures, model: str, quirks: Quirks) -> tuple[Exchange, tuple[str, ...]]:
    path = "/images/edits" if asked.is_edit else "/images/generations"
    given = asked.form.names() if asked.form is not None else set(asked.fields)
    quality = _PLAIN_QUALITIES.get(asked.quality or "") if quirks.media.gpt_images else None
    left_out = [name for name in _NOT_OF_GPT_IMAGES if quirks.media.gpt_images and name in given]
    warnings = tuple(f"`{name}` is not known to this model and was left out." for name in left_out if name == "style")
    if asked.form is not None:
        form = asked.form.without([*left_out, *quirks.dropped & _EXPENDABLE])
        form = form if quality is None else form.with_field("quality", quality)
        return _form_exchange(path, form, model), warnings
    fields = {name: value for name, value in asked.fields.items() if name not in left_out}
    if quality is not None:
        fields["quality"] = msgspec.Raw(_encode(quality))
    if not quirks.media.gpt_images and not asked.stream and "response_format" not in quirks.dropped:
        # Older servers would answer with addresses of files that they keep for an hour.
        fields["response_format"] = msgspec.Raw(b'"b64_json"')
    elif "response_format" in quirks.dropped:
        fields.pop("response_format", None)
    return Exchange(path, _body(fields, model, quirks)), warnings


def _read_pictures(body: bytes, _: int) -> tuple[Drawn, Usage | None]:
    answer = json_object(body)
    found = [one for one in answer.get("data") or () if isinstance(one, dict)]
    if not found:
        raise shape_mismatch("an answer without images", body[:200])
    drawn = [Picture(one["b64_json"]) for one in found if isinstance(one.get("b64_json"), str)]
    return Drawn(drawn, body), usage_in(answer.get("usage"))


def _whole_pictures(body: bytes) -> tuple[bytes, Usage | None]:
    return body, _read_pictures(body, 0)[1]


# --- transcription ----------------------------------------------------------------------------------------------------


def transcription(asked: ask.Recording, wire: Wire, model: str, quirks: Quirks) -> Ask:
    if quirks.media.transcribes_by_chat:
        return by_chat(asked, wire, model, quirks)
    _need(quirks, "transcription", "writes no speech down")
    path = "/audio/translations" if asked.translate else "/audio/transcriptions"
    guess = guessed_recording(len(asked.data))

    def reader(content_type: str) -> tuple[Reader[Sequence[bytes]], str]:
        kind = content_type.partition(";")[0].strip().lower()
        if kind == "text/event-stream":
            return EventRelay(guess=guess), kind
        text = _TEXTS.get(asked.format)
        if text is not None and kind != _JSON:
            return WholeReader(_plain_text, content_type=kind, guess=guess), f"{text}; charset=utf-8"
        return WholeReader(_transcript, content_type=kind, guess=guess), _JSON

    return Ask(_form_exchange(path, asked.form.without(quirks.dropped & _EXPENDABLE), model), reader)


def _transcript(body: bytes) -> tuple[bytes, Usage | None]:
    answer = json_object(body)
    if not isinstance(answer.get("text"), str) and "segments" not in answer:
        raise shape_mismatch("a document without a transcript", body[:200])
    return body, usage_in(answer.get("usage"))


def _plain_text(body: bytes) -> tuple[bytes, Usage | None]:
    """A transcript may be empty: the recording was silent."""
    if body[:200].lstrip()[:1] == b"<":
        raise unreadable(body, "text/html")
    return body, None


# --- speech -----------------------------------------------------------------------------------------------------------


def speech(asked: ask.Speech, model: str, quirks: Quirks) -> Ask:
    _need(quirks, "speech", "does not speak")
    guess = guessed_text(asked.text)

    def reader(content_type: str) -> tuple[Reader[Sequence[bytes]], str]:
        kind = content_type.partition(";")[0].strip().lower()
        if kind == "text/event-stream":
            return EventRelay(guess=guess), kind
        known = kind and kind not in ("application/octet-stream", "binary/octet-stream")
        sound = content_type if known else _SOUNDS.get(asked.format or "mp3", "application/octet-stream")
        return SoundRelay(content_type=kind, guess=guess), sound

    headers = ((b"accept", b"*/*"),)
    return Ask(Exchange("/audio/speech", _body(dict(asked.fields), model, quirks), headers), reader)


# ----------------------------------------------------------------------------------------------------------------------


def _need(quirks: Quirks, service: str, lacks: str) -> None:
    if service in quirks.media.lacks:
        raise not_offered(f"This provider {lacks} on this interface", f"Its entry in PROVIDERS has no {service}")


def _body(fields: dict[str, Any], model: str, quirks: Quirks) -> bytes:
    for name in quirks.dropped & _EXPENDABLE:
        fields.pop(name, None)
    for ours, theirs in quirks.renamed:
        if ours in fields:
            fields[theirs] = fields.pop(ours)
    # Last: servers that ignore case take the last of `model` and `MODEL`, and the caller may use this one only.
    fields.pop("model", None)
    return encode_json({**fields, "model": model})


def _form_exchange(path: str, form: Form, model: str) -> Exchange:
    form = form.with_field("model", model)
    return Exchange(path, form.encode(), ((b"content-type", form.content_type),))
