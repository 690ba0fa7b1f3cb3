"""Embeddings and images of Bedrock's models, each with a body of its own (`spec/providers.md` 9.7)."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from penstock.providers.base import Exchange, Quirks, Usage, Wire
from penstock.providers.failures import ContentFiltered, shape_mismatch
from penstock.providers.json_text import encode_json
from penstock.providers.media import asked as ask
from penstock.providers.media.plans import Ask, NotOffered, Plan, not_offered, texts_of
from penstock.providers.media.results import Drawn, Embedded, Picture
from penstock.providers.media.sizes import nearest_shape
from penstock.providers.media.whole import json_object

_STABILITY_SHAPES = ("1:1", "3:2", "2:3", "5:4", "4:5", "16:9", "9:16", "21:9", "9:21")
_NOT_SENT = ("background", "moderation", "output_compression", "style", "user")
_PREMIUM = frozenset({"hd", "high", "premium", "xhigh", "max"})


def invoke(body: Mapping[str, Any]) -> Exchange:
    return Exchange("/model/{model}/invoke", encode_json(body), ((b"accept", b"application/json"),))


# --- embeddings -------------------------------------------------------------------------------------------------------


_NONE = msgspec.Raw()
_BRACE = ord("{")


class _Vectors(msgspec.Struct, gc=False, rename="camel"):
    """All the forms: Titan's one vector, Cohere's lists by type and without, Nova's objects."""

    embedding: msgspec.Raw = _NONE
    embeddings: msgspec.Raw = _NONE
    input_text_token_count: int | None = None


class _ByType(msgspec.Struct, gc=False):
    float: list[msgspec.Raw]


class _OfNova(msgspec.Struct, gc=False):
    embedding: msgspec.Raw


_vectors_of = msgspec.json.Decoder(_Vectors).decode
_list_of = msgspec.json.Decoder(list[msgspec.Raw]).decode
_by_type_of = msgspec.json.Decoder(_ByType).decode
_of_nova = msgspec.json.Decoder(list[_OfNova]).decode

Texts = Sequence[str]
Body = Callable[[ask.Embeddings, Texts], dict[str, Any]]


def _titan(asked: ask.Embeddings, texts: Texts) -> dict[str, Any]:
    body: dict[str, Any] = {"inputText": texts[0]}
    if asked.dimensions is not None:
        body["dimensions"] = asked.dimensions
    return body


def _first_titan(asked: ask.Embeddings, texts: Texts) -> dict[str, Any]:
    _refuse_dimensions(asked)
    return {"inputText": texts[0]}


def _cohere(asked: ask.Embeddings, texts: Texts) -> dict[str, Any]:
    body: dict[str, Any] = {"texts": list(texts), "input_type": (asked.task or "search_document").lower()}
    if asked.dimensions is not None:
        body["output_dimension"] = asked.dimensions
    return body


def _third_cohere(asked: ask.Embeddings, texts: Texts) -> dict[str, Any]:
    _refuse_dimensions(asked)
    return _cohere(asked, texts)


def _fourth_cohere(asked: ask.Embeddings, texts: Texts) -> dict[str, Any]:
    return _cohere(asked, texts) | {"embedding_types": ["float"]}


def _nova(asked: ask.Embeddings, texts: Texts) -> dict[str, Any]:
    params: dict[str, Any] = {
        "embeddingPurpose": (asked.task or "GENERIC_INDEX").upper(),
        "text": {"value": texts[0], "truncationMode": "END"},
    }
    if asked.dimensions is not None:
        params["embeddingDimension"] = asked.dimensions
    return {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": params}


def _refuse_dimensions(asked: ask.Embeddings) -> None:
    if asked.dimensions is not None:
        raise NotOffered("This model's vectors have one length.", action="Leave `dimensions` out.", param="dimensions")


# Where the name holds it, with a region before or a version behind: the body, and how many texts it takes.
_EMBEDDERS: Sequence[tuple[str, Body, int]] = (
    (r"amazon\.titan-embed-text-v2", _titan, 1),
    (r"amazon\.titan-embed-(?:text-v1|g1)", _first_titan, 1),
    (r"amazon\.nova.*embed", _nova, 1),
    (r"cohere\.embed-v4", _fourth_cohere, 96),
    (r"cohere\.embed-", _third_cohere, 96),
)


def embeddings(asked: ask.Embeddings, model: str, quirks: Quirks) -> Plan[Embedded]:
    found = next(((body, most) for pattern, body, most in _EMBEDDERS if re.search(pattern, model)), None)
    if found is None:
        raise not_offered(
            f"`{model[:100]}` makes no embeddings that are known here",
            "Bedrock's models differ in what they are sent, and their names must say which one it is: "
            "Titan, Nova or Cohere",
        )
    texts, (body, at_once) = texts_of(asked), found
    return Plan(at_once, lambda first, count: invoke(body(asked, texts[first : first + count])), _read_vectors)


def _read_vectors(body: bytes, count: int) -> tuple[Embedded, Usage | None]:
    answer = _vectors_of(body)
    vectors = [answer.embedding] if _is_there(answer.embedding) else _listed(answer.embeddings)
    if len(vectors) != count:
        raise shape_mismatch(f"{len(vectors)} vectors for {count} inputs", body[:200])
    tokens = answer.input_text_token_count
    return Embedded(vectors), None if tokens is None else Usage(input_tokens=max(tokens, 0))


def _is_there(raw: msgspec.Raw) -> bool:
    return bytes(raw) not in (b"", b"null")


def _listed(raw: msgspec.Raw) -> list[msgspec.Raw]:
    if not _is_there(raw):
        return []
    if memoryview(raw)[0] == _BRACE:
        return _by_type_of(raw).float
    listed = _list_of(raw)
    return [one.embedding for one in _of_nova(raw)] if listed and memoryview(listed[0])[0] == _BRACE else listed


# --- images -----------------------------------------------------------------------------------------------------------


def pictures(asked: ask.Pictures, model: str, quirks: Quirks) -> Plan[Drawn]:
    if asked.is_edit:
        raise not_offered("Images are not changed here, only made", "Bedrock's models differ in how they change them")
    warnings = tuple(
        f"`{name}` is not known to this model and was left out." for name in _NOT_SENT if name in asked.fields
    )
    if re.search(r"amazon\.(?:nova-canvas|titan-image)", model):
        return Plan(5, lambda _, count: invoke(_canvas(asked, count)), _read_images, warnings)
    if re.search(r"stability\.", model):
        return Plan(1, lambda _, count: invoke(_stability(asked)), _read_images, warnings)
    raise not_offered(
        f"`{model[:100]}` makes no images that are known here",
        "Bedrock's models differ in what they are sent, and their names must say which one it is: "
        "Nova Canvas, Titan Image or Stability",
    )


def _canvas(asked: ask.Pictures, count: int) -> dict[str, Any]:
    config: dict[str, Any] = {"numberOfImages": count}
    if asked.size is not None:
        config["width"], config["height"] = asked.size
    if asked.quality not in (None, "auto"):
        config["quality"] = "premium" if asked.quality in _PREMIUM else "standard"
    return {
        "taskType": "TEXT_IMAGE",
        "textToImageParams": {"text": asked.prompt},
        "imageGenerationConfig": config,
    }


def _stability(asked: ask.Pictures) -> dict[str, Any]:
    shape = {} if asked.size is None else {"aspect_ratio": nearest_shape(asked.size, _STABILITY_SHAPES)}
    return {"prompt": asked.prompt, "mode": "text-to-image", "output_format": "png", **shape}


def _read_images(body: bytes, _: int) -> tuple[Drawn, Usage | None]:
    answer = json_object(body)
    images = [one for one in answer.get("images") or () if isinstance(one, str)]
    reasons = [one for one in answer.get("finish_reasons") or () if isinstance(one, str)]
    if not images or (reasons and len(reasons) == len(images)):
        raise ContentFiltered(f"The model made no image. {reasons[0] if reasons else ''}".rstrip())
    return Drawn([Picture(one) for one in images]), None


def picture_events(asked: ask.Pictures, model: str, quirks: Quirks) -> Ask:
    raise NotOffered("This provider's images are not streamed.", action="Leave `stream` out.", param="stream")


# --- what there is not ------------------------------------------------------------------------------------------------


def transcription(asked: ask.Recording, wire: Wire, model: str, quirks: Quirks) -> Ask:
    raise not_offered("This provider writes no speech down", "Bedrock has no such models")


def speech(asked: ask.Speech, model: str, quirks: Quirks) -> Ask:
    raise not_offered("This provider does not speak", "Bedrock has no such models")
