"""Google's models beside chat, at AI Studio and on Vertex, as strict as Google. Checked with `google-genai`."""

import base64
import re
from typing import Any

from tests.fakes.media_server import Asked, Reply, as_json

PNG = base64.b64encode(b"\x89PNG of Google").decode()
SAMPLES = bytes(range(200)) * 20
_USAGE = {"promptTokenCount": 11, "candidatesTokenCount": 1290, "totalTokenCount": 1301}
_SHAPES = {"1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"}


def vector_of(text: str) -> list[float]:
    return [sum(map(ord, text)) / 4, -0.25]


def gemini(asked: Asked) -> Reply | None:
    assert asked.headers["x-goog-api-key"] == "AIza-of-the-tests-0001", "API key not valid"
    assert "key=" not in asked.query, "the key is in the address"
    found = re.fullmatch(r"/v1beta/models/([\w.-]+):(\w+)", asked.path)
    return None if found is None else _answer(found[1], found[2], asked.json)


def vertex(asked: Asked) -> Reply | None:
    assert asked.headers["x-goog-api-key"] == "vertex-key-0001", "key"
    prefix = "/v1beta1/projects/my-project/locations/europe-west4/publishers/google/models/"
    found = re.fullmatch(re.escape(prefix) + r"([\w.@-]+):(\w+)", asked.path)
    if found is None:
        return None
    model, verb = found[1], found[2]
    assert verb != "batchEmbedContents", "unknown method"
    if verb == "predict" and "embed" in model:
        return _predicted(model, asked.json)
    return _answer(model, verb, asked.json)


def _answer(model: str, verb: str, body: dict[str, Any]) -> Reply | None:
    match verb:
        case "batchEmbedContents":
            return _batch(model, body)
        case "embedContent":
            assert set(body) <= {"content", "taskType", "outputDimensionality", "model"}, str(set(body))
            return as_json({"embedding": {"values": vector_of(body["content"]["parts"][0]["text"])}})
        case "predict":
            assert model.startswith("imagen"), "model"
            return _imagen(body)
        case "generateContent" | "streamGenerateContent":
            return _generated(model, body)
    return None


def _batch(model: str, body: dict[str, Any]) -> Reply:
    requests = body["requests"]
    assert len(requests) <= 100, "at most 100 requests can be in one batch"
    assert all(one["model"] == f"models/{model}" for one in requests), "model"
    assert all(set(one) <= {"model", "content", "taskType", "outputDimensionality"} for one in requests), "fields"
    texts = [one["content"]["parts"][0]["text"] for one in requests]
    return as_json({"embeddings": [{"values": vector_of(text)} for text in texts]})


def _predicted(model: str, body: dict[str, Any]) -> Reply:
    instances = body["instances"]
    assert len(instances) == 1 or model != "gemini-embedding-001", "one instance"
    assert all(set(one) <= {"content", "task_type", "title"} for one in instances), "fields"
    return as_json(
        {
            "predictions": [
                {
                    "embeddings": {
                        "values": vector_of(one["content"]),
                        "statistics": {"token_count": 4, "truncated": False},
                    }
                }
                for one in instances
            ]
        }
    )


def _imagen(body: dict[str, Any]) -> Reply:
    assert body["instances"][0]["prompt"], "prompt"
    parameters = body["parameters"]
    assert parameters.get("aspectRatio", "1:1") in {"1:1", "3:4", "4:3", "9:16", "16:9"}, "aspectRatio"
    assert 1 <= parameters["sampleCount"] <= 4, "sampleCount"
    if "forbidden" in body["instances"][0]["prompt"]:
        return as_json({})
    picture = {"bytesBase64Encoded": PNG, "mimeType": "image/png"}
    return as_json({"predictions": [picture] * parameters["sampleCount"]})


def _generated(model: str, body: dict[str, Any]) -> Reply:
    config = body.get("generationConfig", {})
    modalities = config.get("responseModalities", ["TEXT"])
    if modalities == ["AUDIO"]:
        assert config["speechConfig"]["voiceConfig"]["prebuiltVoiceConfig"]["voiceName"] == "Kore", "voice"
        sound = {"mimeType": "audio/L16;codec=pcm;rate=24000", "data": base64.b64encode(SAMPLES).decode()}
        return _said({"inlineData": sound})
    if "IMAGE" in modalities:
        return _drawn(body)
    return _heard(body)


def _drawn(body: dict[str, Any]) -> Reply:
    shape = body["generationConfig"].get("imageConfig", {}).get("aspectRatio", "1:1")
    assert shape in _SHAPES, shape
    text = body["contents"][0]["parts"][0]["text"]
    if "forbidden" in text:
        return as_json({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": _USAGE})
    if "shy" in text:
        return _said({"text": "I would rather not."})
    return _said({"text": "Here you are."}, {"inlineData": {"mimeType": "image/png", "data": PNG}})


def _heard(body: dict[str, Any]) -> Reply:
    sounds = [part["inlineData"] for one in body["contents"] for part in one["parts"] if "inlineData" in part]
    assert [one["mimeType"].partition("/")[0] for one in sounds] == ["audio"], "no sound"
    answer = _said({"text": "Good morning.\n"}).body
    assert isinstance(answer, bytes)
    return Reply(b"data: " + answer + b"\r\n\r\n", content_type="text/event-stream")


def _said(*parts: dict[str, Any]) -> Reply:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "finishReason": "STOP", "index": 0}
    return as_json({"candidates": [candidate], "usageMetadata": _USAGE, "modelVersion": "x"})
