"""Vectors of Google's models, at AI Studio and on Vertex (`spec/providers.md` 7.1, 8.3)."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.providers.base import Exchange, Quirks, Usage
from penstock.providers.failures import shape_mismatch
from penstock.providers.json_text import encode_json
from penstock.providers.media import asked as ask
from penstock.providers.media.gemini_usage import usage_of
from penstock.providers.media.plans import Plan, texts_of
from penstock.providers.media.results import Embedded

_AT_ONCE = 100
# How models on Vertex are asked for vectors; the first pattern that matches (8.3).
_ON_VERTEX = ((r"gemini-embedding-001", "predict", 1), (r"gemini-embedding-", "embedContent", 1), (r"", "predict", 100))


def embeddings(asked: ask.Embeddings, model: str, quirks: Quirks) -> Plan[Embedded]:
    texts = texts_of(asked)
    if not quirks.media.predicts:
        return Plan(_AT_ONCE, lambda first, count: _batch(asked, texts[first : first + count], model), _read_batch)
    verb, at_once = next((verb, most) for pattern, verb, most in _ON_VERTEX if re.match(pattern, model))
    if verb == "embedContent":
        return Plan(at_once, lambda first, _: _embed(asked, texts[first]), _read_one)
    return Plan(at_once, lambda first, count: _predict(asked, texts[first : first + count]), _read_predictions)


def _batch(asked: ask.Embeddings, texts: Sequence[str], model: str) -> Exchange:
    requests = [{"model": f"models/{model}", **_content(asked, text)} for text in texts]
    return Exchange("/models/{model}:batchEmbedContents", encode_json({"requests": requests}))


def _embed(asked: ask.Embeddings, text: str) -> Exchange:
    return Exchange("/models/{model}:embedContent", encode_json(_content(asked, text)))


def _content(asked: ask.Embeddings, text: str) -> dict[str, Any]:
    body: dict[str, Any] = {"content": {"parts": [{"text": text}]}}
    if asked.task is not None:
        body["taskType"] = asked.task.upper()
    if asked.dimensions is not None:
        body["outputDimensionality"] = asked.dimensions
    return body


def _predict(asked: ask.Embeddings, texts: Sequence[str]) -> Exchange:
    task = {} if asked.task is None else {"task_type": asked.task.upper()}
    body: dict[str, Any] = {"instances": [{"content": text, **task} for text in texts]}
    if asked.dimensions is not None:
        body["parameters"] = {"outputDimensionality": asked.dimensions}
    return Exchange("/models/{model}:predict", encode_json(body))


class _Values(msgspec.Struct, gc=False):
    values: msgspec.Raw
    statistics: dict[str, Any] = {}


class _Batch(msgspec.Struct, gc=False, rename="camel"):
    embeddings: list[_Values]
    usage_metadata: dict[str, Any] | None = None


class _One(msgspec.Struct, gc=False, rename="camel"):
    embedding: _Values
    usage_metadata: dict[str, Any] | None = None


class _Prediction(msgspec.Struct, gc=False):
    embeddings: _Values


class _Predictions(msgspec.Struct, gc=False):
    predictions: list[_Prediction]


_batch_of = msgspec.json.Decoder(_Batch).decode
_one_of = msgspec.json.Decoder(_One).decode
_predictions_of = msgspec.json.Decoder(_Predictions).decode


def _read_batch(body: bytes, count: int) -> tuple[Embedded, Usage | None]:
    answer = _batch_of(body)
    return _embedded([one.values for one in answer.embeddings], count), usage_of(answer.usage_metadata)


def _read_one(body: bytes, count: int) -> tuple[Embedded, Usage | None]:
    answer = _one_of(body)
    return _embedded([answer.embedding.values], count), usage_of(answer.usage_metadata)


def _read_predictions(body: bytes, count: int) -> tuple[Embedded, Usage | None]:
    found = [one.embeddings for one in _predictions_of(body).predictions]
    tokens = [one.statistics.get("token_count") for one in found]
    known = [round(one) for one in tokens if isinstance(one, int | float)]
    usage = Usage(input_tokens=sum(known)) if len(known) == len(found) else None
    return _embedded([one.values for one in found], count), usage


def _embedded(vectors: Sequence[msgspec.Raw], count: int) -> Embedded:
    if len(vectors) != count:
        raise shape_mismatch(f"{len(vectors)} vectors for {count} inputs")
    return Embedded(vectors)
