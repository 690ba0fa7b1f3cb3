"""Google's models beside chat, at AI Studio and on Vertex (`spec/providers.md` 7.1, 8.3)."""

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from penstock.errors import UpstreamError
from penstock.providers.base import Exchange, Quirks, Reader, Usage, Wire
from penstock.providers.failures import ContentFiltered, ModelFailed, shape_mismatch
from penstock.providers.json_text import encode_json
from penstock.providers.media import asked as ask
from penstock.providers.media.gemini_usage import usage_of
from penstock.providers.media.gemini_vectors import embeddings
from penstock.providers.media.hearing import by_chat
from penstock.providers.media.plans import Ask, NotOffered, Plan, not_offered
from penstock.providers.media.relay import guessed_text
from penstock.providers.media.results import Drawn, Picture
from penstock.providers.media.sizes import nearest_shape
from penstock.providers.media.sound import rate_of, wav
from penstock.providers.media.whole import WholeReader, json_object

__all__ = ["embeddings", "picture_events", "pictures", "speech", "transcription"]

# Fields of the surface that have no counterpart here; what is left out is said.
_NOT_SENT = ("background", "moderation", "output_compression", "output_format", "quality", "style", "user")
_DRAWN_SHAPES = ("1:1", "3:2", "2:3", "4:3", "3:4", "5:4", "4:5", "16:9", "9:16", "21:9")
_IMAGEN_SHAPES = ("1:1", "4:3", "3:4", "16:9", "9:16")
_IMAGEN_AT_ONCE = 4
_BLOCKS = frozenset(
    {"SAFETY", "IMAGE_SAFETY", "PROHIBITED_CONTENT", "IMAGE_PROHIBITED_CONTENT", "BLOCKLIST", "RECITATION"}
    | {"IMAGE_RECITATION", "SPII", "MODEL_ARMOR", "JAILBREAK"}
)


# --- images -----------------------------------------------------------------------------------------------------------


def pictures(asked: ask.Pictures, model: str, quirks: Quirks) -> Plan[Drawn]:
    warnings = tuple(f"`{name}` is not known to this provider and was left out." for name in _left_out(asked))
    if model.startswith("imagen"):
        if asked.is_edit:
            raise not_offered("This model draws, and does not change images", "Imagen takes a text alone")
        return Plan(_IMAGEN_AT_ONCE, lambda _, count: _imagen(asked, count), _read_imagen, warnings)
    exchange = _drawing(asked)
    return Plan(1, lambda first, count: exchange, _read_drawing, warnings)


def picture_events(asked: ask.Pictures, model: str, quirks: Quirks) -> Ask:
    raise NotOffered("This provider's images are not streamed.", action="Leave `stream` out.", param="stream")


def _left_out(asked: ask.Pictures) -> list[str]:
    given = asked.form.names() if asked.form is not None else asked.fields
    return [name for name in _NOT_SENT if name in given]


def _imagen(asked: ask.Pictures, count: int) -> Exchange:
    parameters: dict[str, Any] = {"sampleCount": count}
    if asked.size is not None:
        parameters["aspectRatio"] = nearest_shape(asked.size, _IMAGEN_SHAPES)
    body = {"instances": [{"prompt": asked.prompt}], "parameters": parameters}
    return Exchange("/models/{model}:predict", encode_json(body))


def _read_imagen(body: bytes, _: int) -> tuple[Drawn, Usage | None]:
    predictions = [one for one in json_object(body).get("predictions") or () if isinstance(one, dict)]
    drawn = [
        Picture(one["bytesBase64Encoded"]) for one in predictions if isinstance(one.get("bytesBase64Encoded"), str)
    ]
    if not drawn:
        # Filtered images are simply not there; sometimes a reason is.
        reason = next((one["raiFilteredReason"] for one in predictions if "raiFilteredReason" in one), None)
        raise ContentFiltered(str(reason or "The provider drew nothing: its filter refused the prompt."))
    return Drawn(drawn), None


def _drawing(asked: ask.Pictures) -> Exchange:
    parts: list[dict[str, Any]] = [{"text": asked.prompt}]
    if asked.is_edit:
        parts += _given_images(asked)
    config: dict[str, Any] = {"responseModalities": ["TEXT", "IMAGE"]}
    if asked.size is not None:
        config["imageConfig"] = {"aspectRatio": nearest_shape(asked.size, _DRAWN_SHAPES)}
    body = {"contents": [{"role": "user", "parts": parts}], "generationConfig": config}
    return Exchange("/models/{model}:generateContent", encode_json(body))


def _given_images(asked: ask.Pictures) -> Iterator[dict[str, Any]]:
    if asked.form is None:
        raise NotOffered(
            "This provider takes the images of an edit as files.", action="Send a multipart form.", param="images"
        )
    if asked.form.files("mask"):
        raise NotOffered("This provider knows no masks.", action="Say in `prompt` what is to be changed.", param="mask")
    for file in asked.form.files("image", "image[]"):
        mime = file.content_type if file.content_type.startswith("image/") else "image/png"
        yield {"inlineData": {"mimeType": mime, "data": base64.b64encode(file.value).decode()}}


def _read_drawing(body: bytes, _: int) -> tuple[Drawn, Usage | None]:
    answer = json_object(body)
    images = [one["data"] for one in _inline(answer) if str(one.get("mimeType", "")).startswith("image/")]
    if not images:
        raise _nothing_made(answer, "image")
    return Drawn([Picture(data) for data in images]), usage_of(answer.get("usageMetadata"))


# --- transcription and speech -----------------------------------------------------------------------------------------


def transcription(asked: ask.Recording, wire: Wire, model: str, quirks: Quirks) -> Ask:
    return by_chat(asked, wire, model, quirks)


def speech(asked: ask.Speech, model: str, quirks: Quirks) -> Ask:
    if asked.events:
        raise NotOffered(
            "This provider's speech is not streamed.", action="Leave `stream_format` out.", param="stream_format"
        )
    if asked.format not in (None, "wav", "pcm"):
        raise NotOffered(
            f"This provider speaks WAV and bare samples, no `{asked.format}`.",
            explanation="Sound is passed on as it comes; it is not converted.",
            action="Set `response_format` to `wav` or `pcm`.",
            param="response_format",
        )
    voice = {} if asked.voice is None else {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": asked.voice}}}
    text = f"{asked.instructions}: {asked.text}" if asked.instructions else asked.text
    config = {"responseModalities": ["AUDIO"], "speechConfig": voice}
    body = {"contents": [{"role": "user", "parts": [{"text": text}]}], "generationConfig": config}
    bare = asked.format == "pcm"

    def reader(content_type: str) -> tuple[Reader[Sequence[bytes]], str]:
        read = partial(_read_speech, bare)
        kind = "audio/pcm" if bare else "audio/wav"
        return WholeReader(read, content_type=content_type, guess=guessed_text(asked.text)), kind

    warnings = ("`speed` is not known to this provider and was left out.",) if "speed" in asked.fields else ()
    return Ask(Exchange("/models/{model}:generateContent", encode_json(body)), reader, warnings)


def _read_speech(bare: bool, body: bytes) -> tuple[bytes, Usage | None]:
    answer = json_object(body)
    pieces = [one for one in _inline(answer) if str(one.get("mimeType", "")).lower().startswith("audio/")]
    if not pieces:
        raise _nothing_made(answer, "speech")
    try:
        samples = b"".join(base64.b64decode(one["data"], validate=True) for one in pieces)
    except (binascii.Error, ValueError) as error:
        raise shape_mismatch("sound that is not base64") from error
    usage = usage_of(answer.get("usageMetadata"))
    return (samples if bare else wav(samples, rate_of(str(pieces[0]["mimeType"])))), usage


# ----------------------------------------------------------------------------------------------------------------------


def _inline(answer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The `inlineData` of the first candidate, wherever the model has put text between."""
    for part in _parts(answer):
        data = part.get("inlineData") if isinstance(part, dict) else None
        if isinstance(data, dict) and isinstance(data.get("data"), str) and not part.get("thought"):
            yield data


def _parts(answer: Mapping[str, Any]) -> list[Any]:
    content = _candidate(answer).get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    return parts if isinstance(parts, list) else []


def _candidate(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    candidates = answer.get("candidates")
    found = candidates[0] if isinstance(candidates, list) and candidates else None
    return found if isinstance(found, dict) else {}


def _nothing_made(answer: Mapping[str, Any], what: str) -> UpstreamError:
    feedback = answer.get("promptFeedback")
    blocked = feedback.get("blockReason") if isinstance(feedback, dict) else None
    candidate = _candidate(answer)
    reason = blocked or candidate.get("finishReason")
    said = candidate.get("finishMessage") or " ".join(
        part["text"] for part in _parts(answer) if isinstance(part, dict) and isinstance(part.get("text"), str)
    )
    message = f"The model made no {what} ({reason or 'no reason given'}). {str(said)[:300]}".rstrip()
    return ContentFiltered(message) if blocked or reason in _BLOCKS else ModelFailed(message)
