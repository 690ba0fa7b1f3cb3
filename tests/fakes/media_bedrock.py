"""`InvokeModel` of Bedrock's models beside chat, as strict as they are. Checked with `boto3`."""

import base64
import re
from typing import Any
from urllib.parse import unquote

from tests.fakes.media_server import Asked, Reply, as_json

PNG = base64.b64encode(b"\x89PNG of Amazon").decode()


def vector_of(text: str) -> list[float]:
    return [sum(map(ord, text)) / 4, 0.75]


def bedrock(asked: Asked) -> Reply | None:
    found = re.fullmatch(r"/model/([^/]+)/invoke", asked.path)
    if found is None:
        return None
    assert asked.headers["content-type"] == "application/json", "content-type"
    assert asked.headers.get("accept", "*/*") in ("application/json", "*/*"), "accept"
    return _answer(unquote(found[1]), asked.json)


def _answer(model: str, body: dict[str, Any]) -> Reply | None:
    if "titan-embed" in model:
        second = "-v2" in model
        assert set(body) <= ({"inputText", "dimensions", "normalize"} if second else {"inputText"}), str(set(body))
        return as_json({"embedding": vector_of(body["inputText"]), "inputTextTokenCount": 3})
    if "cohere.embed" in model:
        assert 1 <= len(body["texts"]) <= 96, "texts"
        assert body["input_type"] in {"search_document", "search_query", "classification", "clustering"}, "input_type"
        vectors = [vector_of(text) for text in body["texts"]]
        if "v4" in model:
            assert body["embedding_types"] == ["float"], "embedding_types"
            return as_json({"embeddings": {"float": vectors}, "response_type": "embeddings_by_type"})
        assert "output_dimension" not in body, "output_dimension"
        return as_json({"embeddings": vectors, "response_type": "embeddings_floats"})
    if "nova" in model and "embed" in model:
        params = body["singleEmbeddingParams"]
        assert body["taskType"] == "SINGLE_EMBEDDING", "taskType"
        assert params["embeddingPurpose"].isupper(), "embeddingPurpose"
        return as_json({"embeddings": [{"embedding": vector_of(params["text"]["value"]), "embeddingType": "TEXT"}]})
    if "nova-canvas" in model:
        config = body["imageGenerationConfig"]
        assert body["taskType"] == "TEXT_IMAGE", "taskType"
        assert set(config) <= {"numberOfImages", "width", "height", "quality", "seed"}, "config"
        assert config.get("quality", "standard") in ("standard", "premium"), "quality"
        assert 1 <= config["numberOfImages"] <= 5, "numberOfImages"
        return as_json({"images": [PNG] * config["numberOfImages"], "error": None})
    if "stability" in model:
        assert set(body) <= {"prompt", "aspect_ratio", "output_format", "mode"}, str(set(body))
        if "forbidden" in body["prompt"]:
            return as_json({"images": [""], "seeds": [1], "finish_reasons": ["Filter reason: prompt"]})
        return as_json({"images": [PNG], "seeds": [1], "finish_reasons": [None]})
    return None
