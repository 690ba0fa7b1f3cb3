"""What clients of the OpenAI surface ask beside chat, read and checked (`spec/providers.md` 4.9, 15.6–15.8)."""

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from penstock.errors import InvalidRequest, PayloadTooLarge
from penstock.providers.json_text import repair_escapes
from penstock.providers.media.asked import Embeddings, Fields, Pictures, Recording, Speech
from penstock.providers.media.forms import Form, read_form
from penstock.providers.media.sizes import read_size

T = TypeVar("T")

MAX_INPUTS = 16_384
MAX_IMAGES = 10
MAX_AUDIO_BYTES = 25 * 1024 * 1024

_TRANSCRIPT_FORMATS = ("json", "text", "srt", "verbose_json", "vtt", "diarized_json")
_SOUND_FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
_LANGUAGE = re.compile(r"([A-Za-z]{2,3})[-_].+")

_fields_of = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_items_of = msgspec.json.Decoder(list[msgspec.Raw]).decode
_text_of = msgspec.json.Decoder(str).decode
_texts_of = msgspec.json.Decoder(list[str]).decode
_tokens_of = msgspec.json.Decoder(list[int]).decode
_token_lists_of = msgspec.json.Decoder(list[list[int]]).decode
_whole_of = msgspec.json.Decoder(int).decode
_flag_of = msgspec.json.Decoder(bool).decode
_any_of = msgspec.json.Decoder(Any).decode


class Request(msgspec.Struct, frozen=True):
    """`model` is the name that the caller uses for it."""

    model: str


class EmbeddingsRequest(Request, frozen=True):
    asked: Embeddings


class PicturesRequest(Request, frozen=True):
    asked: Pictures


class RecordingRequest(Request, frozen=True):
    asked: Recording


class SpeechRequest(Request, frozen=True):
    asked: Speech


# Each raises InvalidRequest.


def read_embeddings(body: bytes) -> EmbeddingsRequest:
    fields = _object(body)
    inputs, texts = _inputs(fields)
    wanted = _word(_optional_text(fields, "encoding_format"), "encoding_format", ("float", "base64")) or "float"
    asked = Embeddings(
        fields=fields,
        inputs=inputs,
        texts=texts,
        format="base64" if wanted == "base64" else "float",
        dimensions=_whole(fields, "dimensions", 1, 65_536),
        task=_optional_text(fields, "input_type") or _optional_text(fields, "task_type"),
    )
    return EmbeddingsRequest(_model(_optional_text(fields, "model")), asked)


def read_pictures(body: bytes, *, is_edit: bool = False) -> PicturesRequest:
    fields = _object(body)
    _check_image_format(_optional_text(fields, "response_format"))
    asked = Pictures(
        prompt=_prompt(_optional_text(fields, "prompt")),
        count=_whole(fields, "n", 1, MAX_IMAGES) or 1,
        size=read_size(_optional_text(fields, "size")),
        quality=_optional_text(fields, "quality"),
        fields=fields,
        is_edit=is_edit,
        stream=_read(fields, "stream", _flag_of, "true or false") or False,
    )
    return PicturesRequest(_model(_optional_text(fields, "model")), asked)


def read_edit(content_type: bytes | None, body: bytes) -> PicturesRequest:
    """An edit comes as a form, or as JSON with addresses of its images."""
    if (content_type or b"").partition(b";")[0].strip().lower() == b"application/json":
        return read_pictures(body, is_edit=True)
    form = read_form(content_type, body)
    _check_image_format(form.text("response_format"))
    if not form.files("image", "image[]"):
        raise InvalidRequest("`image` is missing.", action="Send the image as a file of the form.", param="image")
    count = form.text("n") or "1"
    if not count.isdigit() or not 1 <= int(count[:9]) <= MAX_IMAGES:
        raise InvalidRequest(f"`n` must be a number from 1 to {MAX_IMAGES}.", param="n")
    asked = Pictures(
        prompt=_prompt(form.text("prompt")),
        count=int(count),
        size=read_size(form.text("size")),
        quality=form.text("quality"),
        form=form.without(["response_format"]),
        is_edit=True,
        stream=_form_flag(form, "stream"),
    )
    return PicturesRequest(_model(form.text("model")), asked)


def read_recording(content_type: bytes | None, body: bytes, *, translate: bool) -> RecordingRequest:
    """Raises PayloadTooLarge too."""
    form = read_form(content_type, body).renamed("timestamp_granularities", "timestamp_granularities[]")
    files = form.files("file")
    if not files:
        raise InvalidRequest("`file` is missing.", action="Send the recording as a file of the form.", param="file")
    if len(files[0].value) > MAX_AUDIO_BYTES:
        raise PayloadTooLarge(
            f"The recording is larger than {MAX_AUDIO_BYTES} bytes.",
            action="Send it in parts, or compress it more.",
            param="file",
        )
    language = form.text("language")
    if language is not None and (region := _LANGUAGE.fullmatch(language)) is not None:
        language = region[1].lower()
        form = form.with_field("language", language)
    asked = Recording(
        form=form,
        data=files[0].value,
        file_name=files[0].file_name or "",
        language=language,
        prompt=form.text("prompt"),
        format=_word(form.text("response_format"), "response_format", _TRANSCRIPT_FORMATS) or "json",
        translate=translate,
        stream=_form_flag(form, "stream"),
    )
    return RecordingRequest(_model(form.text("model")), asked)


def read_speech(body: bytes) -> SpeechRequest:
    fields = _object(body)
    text = _optional_text(fields, "input")
    if not text:
        raise InvalidRequest("`input` is missing.", action="Send the text to be spoken.", param="input")
    events = _word(_optional_text(fields, "stream_format"), "stream_format", ("audio", "sse"))
    asked = Speech(
        fields=fields,
        text=text,
        voice=_voice(fields),
        instructions=_optional_text(fields, "instructions"),
        format=_word(_optional_text(fields, "response_format"), "response_format", _SOUND_FORMATS),
        events=events == "sse",
    )
    return SpeechRequest(_model(_optional_text(fields, "model")), asked)


# ----------------------------------------------------------------------------------------------------------------------


def _object(body: bytes) -> Fields:
    body = repair_escapes(body)
    try:
        if not body.isascii():
            body.decode()  # the decoder looks at the keys only; a provider would refuse the rest
        return _fields_of(body)
    except msgspec.ValidationError as error:
        raise InvalidRequest("The request body must be a JSON object.") from error
    except UnicodeDecodeError as error:
        raise InvalidRequest("The request body is not UTF-8.") from error
    except RecursionError as error:
        raise InvalidRequest("The request body is too deeply nested.") from error
    except msgspec.DecodeError as error:
        raise InvalidRequest("The request body is not valid JSON.", explanation=str(error)[:200]) from error


def _read(fields: Fields, name: str, decode: Callable[[msgspec.Raw], T], what: str) -> T | None:
    raw = fields.get(name)
    if raw is None or bytes(raw) == b"null":
        return None
    try:
        return decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"`{name}` must be {what}.", param=name) from error


def _optional_text(fields: Fields, name: str) -> str | None:
    return _read(fields, name, _text_of, "a string")


def _whole(fields: Fields, name: str, least: int, most: int) -> int | None:
    value = _read(fields, name, _whole_of, f"a number from {least} to {most}")
    if value is not None and not least <= value <= most:
        raise InvalidRequest(f"`{name}` must be a number from {least} to {most}.", param=name)
    return value


def _model(name: str | None) -> str:
    if not name:
        raise InvalidRequest("`model` is missing.", action="Name the model to be used.", param="model")
    return name


def _prompt(text: str | None) -> str:
    if not text:
        raise InvalidRequest("`prompt` is missing.", action="Say what the image is to show.", param="prompt")
    return text


def _word(value: str | None, name: str, words: Sequence[str]) -> str | None:
    if value is not None and value not in words:
        raise InvalidRequest(f"`{name}` must be one of {', '.join(words)}.", param=name)
    return value


def _form_flag(form: Form, name: str) -> bool:
    return _word(form.text(name), name, ("true", "false", "True", "False", "1", "0", "")) in ("true", "True", "1")


def _check_image_format(value: str | None) -> None:
    if _word(value, "response_format", ("url", "b64_json")) == "url":
        raise InvalidRequest(
            "Images are given as `b64_json`, not as `url`.",
            explanation="This service keeps no images, so it has no address for one.",
            action="Leave `response_format` out, or set it to `b64_json`.",
            param="response_format",
        )


def _voice(fields: Fields) -> str | None:
    value: Any = _read(fields, "voice", _any_of, "a string")
    if isinstance(value, dict):
        value = value.get("id")
    if value is not None and not isinstance(value, str):
        raise InvalidRequest("`voice` must be a string, or an object with `id`.", param="voice")
    return value


def _inputs(fields: Fields) -> tuple[Sequence[msgspec.Raw], Sequence[str] | None]:
    """Each input as it was written; and the texts, unless they are token numbers."""
    raw = fields.get("input")
    if raw is None:
        raise InvalidRequest("`input` is missing.", action="Send a text, or a list of texts.", param="input")
    try:
        if memoryview(raw)[0] == ord('"'):
            return [raw], [_text_of(raw)]
        inputs = _items_of(raw)
        first = memoryview(inputs[0])[0] if inputs else 0
        if first == ord('"'):
            return _few(inputs), _texts_of(raw)
        if first == ord("["):
            _token_lists_of(raw)
            return _few(inputs), None
        if not inputs:
            raise InvalidRequest("`input` is empty.", action="Send at least one text.", param="input")
        _tokens_of(raw)
        return [raw], None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        what = "a string, a list of strings, a list of token numbers, or a list of such lists"
        raise InvalidRequest(f"`input` must be {what}.", param="input") from error


def _few(inputs: Sequence[msgspec.Raw]) -> Sequence[msgspec.Raw]:
    if len(inputs) > MAX_INPUTS:
        raise InvalidRequest(f"`input` has more than {MAX_INPUTS} entries.", action="Send fewer.", param="input")
    return inputs
