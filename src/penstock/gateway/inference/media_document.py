"""What the OpenAPI document says of the OpenAI surface's calls beside chat. Only what we read is bound to a type."""

from collections.abc import Mapping
from typing import Any

from penstock.gateway.inference.media_api import (
    EDITS,
    EMBEDDINGS,
    GENERATIONS,
    SPEECH,
    TRANSCRIPTIONS,
    TRANSLATIONS,
)
from penstock.http.document import Operation, error_response
from penstock.http.faces import OPENAI

_TEXT: dict[str, Any] = {"type": "string"}
_MODEL = {**_TEXT, "description": "A name of `GET /oai/v1/models`."}
_FILE = {"type": "string", "format": "binary"}
_OPTIONAL_TEXT = {"type": ["string", "null"]}
_KEPT = "Fields that are not listed here reach a provider of the same format as they are."
_WARNING = {
    "schema": _TEXT,
    "description": "A field that the provider does not know and that was left out. May be repeated.",
}


def _word(*words: str) -> dict[str, Any]:
    return {"enum": [*words, None]}


def _object(title: str, required: list[str], properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "title": title,
        "type": "object",
        "description": _KEPT,
        "required": required,
        "properties": properties,
        "additionalProperties": True,
    }


_EMBEDDINGS = _object(
    "EmbeddingsRequest",
    ["model", "input"],
    {
        "model": _MODEL,
        "input": {
            "description": "A text, a list of texts, a list of token numbers, or a list of such lists.",
            "anyOf": [_TEXT, {"type": "array", "minItems": 1}],
        },
        "encoding_format": _word("float", "base64"),
        "dimensions": {"type": ["integer", "null"], "minimum": 1},
        "input_type": {**_OPTIONAL_TEXT, "description": "What the vectors are for, in the provider's words."},
    },
)
_PICTURES: Mapping[str, Any] = {
    "model": _MODEL,
    "prompt": {"type": "string", "minLength": 1},
    "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 10},
    "size": {**_OPTIONAL_TEXT, "description": "`auto`, or width x height; some providers take the nearest shape."},
    "quality": _OPTIONAL_TEXT,
    "response_format": _word("b64_json"),
    "stream": {"type": ["boolean", "null"]},
}
_EDIT = {
    **_PICTURES,
    "image": {"description": "One file, or several called `image[]`.", **_FILE},
    "mask": _FILE,
}
_RECORDING: Mapping[str, Any] = {
    "model": _MODEL,
    "file": {"description": "At most 25 MiB, in a request of at most `MAX_BODY_BYTES`.", **_FILE},
    "language": {"type": "string", "description": "ISO 639-1; a region is cut off."},
    "prompt": _TEXT,
    "response_format": {"enum": ["json", "text", "srt", "verbose_json", "vtt", "diarized_json"]},
    "stream": {"type": "boolean"},
}
_SPEECH = _object(
    "SpeechRequest",
    ["model", "input"],
    {
        "model": _MODEL,
        "input": {"type": "string", "minLength": 1},
        "voice": {"anyOf": [_OPTIONAL_TEXT, {"type": "object"}]},
        "instructions": _OPTIONAL_TEXT,
        "response_format": _word("mp3", "opus", "aac", "flac", "wav", "pcm"),
        "stream_format": _word("audio", "sse"),
    },
)

_VECTORS = {"title": "EmbeddingsAnswer", "type": "object", "required": ["data"]}
_IMAGES = {"title": "ImagesAnswer", "type": "object", "required": ["data"]}
_TRANSCRIPT = {"title": "Transcript", "type": "object"}

_FAILURES = {
    "400": "The request breaks a rule, here or at the provider, or asks for what the provider does not have.",
    "401": "The credential is missing, unknown, expired or revoked.",
    "403": "The credential may not use this model.",
    "404": "No model has this name.",
    "413": "The body is larger than MAX_BODY_BYTES, or the recording larger than 25 MiB.",
    "429": "A limit was reached, here or at the provider; `Retry-After` says when to come back.",
    "502": "The provider failed, or refuses us.",
}


def _operation(
    operation_id: str, summary: str, description: str, request: Mapping[str, Any], answers: Mapping[str, Any]
) -> Operation:
    return {
        "tags": ["OpenAI"],
        "summary": summary,
        "description": description,
        "operationId": operation_id,
        "requestBody": {"required": True, "content": {kind: {"schema": schema} for kind, schema in request.items()}},
        "responses": {
            "200": {
                "description": summary,
                "headers": {"X-Request-Id": {"schema": _TEXT}, "X-Warning": _WARNING},
                "content": {kind: {"schema": schema} for kind, schema in answers.items()},
            },
            **{status: error_response(OPENAI, text) for status, text in _FAILURES.items()},
        },
    }


_JSON, _FORM, _EVENTS = "application/json", "multipart/form-data", "text/event-stream"
_TRANSCRIPTS = {_JSON: _TRANSCRIPT, "text/plain": _TEXT, "text/vtt": _TEXT, _EVENTS: _TEXT}

MEDIA_OPERATIONS: Mapping[str, Operation] = {
    EMBEDDINGS: _operation(
        "oai_embeddings",
        "Embeddings",
        "Vectors of texts, in the format that was asked for whatever the provider answers. More inputs than the "
        "provider takes at once are sent in portions; all vectors are of the same model.",
        {_JSON: _EMBEDDINGS},
        {_JSON: _VECTORS},
    ),
    GENERATIONS: _operation(
        "oai_images_generations",
        "Make images",
        "Images are given as `b64_json`; `url` is refused, because this service keeps no images.",
        {_JSON: _object("ImagesRequest", ["model", "prompt"], _PICTURES)},
        {_JSON: _IMAGES, _EVENTS: _TEXT},
    ),
    EDITS: _operation(
        "oai_images_edits",
        "Change images",
        "The images come as files of a form; for providers of the same format they may come as JSON too.",
        {
            _FORM: _object("ImageEditForm", ["model", "prompt", "image"], _EDIT),
            _JSON: _object("ImageEditRequest", ["model", "prompt"], _PICTURES),
        },
        {_JSON: _IMAGES, _EVENTS: _TEXT},
    ),
    TRANSCRIPTIONS: _operation(
        "oai_audio_transcriptions",
        "Write down what is said",
        "Providers without such models are asked through a chat model that hears; those write `json` and `text`.",
        {_FORM: _object("TranscriptionForm", ["model", "file"], _RECORDING)},
        _TRANSCRIPTS,
    ),
    TRANSLATIONS: _operation(
        "oai_audio_translations",
        "Write down in English what is said",
        "As transcription, whatever language is spoken.",
        {_FORM: _object("TranslationForm", ["model", "file"], _RECORDING)},
        _TRANSCRIPTS,
    ),
    SPEECH: _operation(
        "oai_audio_speech",
        "Speak a text",
        "Sound is given on as it comes. Google's models speak `wav` and `pcm` only, and `wav` unless asked otherwise.",
        {_JSON: _SPEECH},
        {"audio/*": _FILE, "application/octet-stream": _FILE, _EVENTS: _TEXT},
    ),
}
