"""The model lists of each type of provider, in pages where they have pages."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from tests.fakes.media_server import Asked, Reply, Vendor, as_json

GOOD = "good-key-0000000001"


def _refused(message: str = "Incorrect API key provided") -> Reply:
    return as_json({"error": {"message": message, "type": "invalid_request_error", "code": "invalid_api_key"}}, 401)


def _guarded(header: str, answer: Callable[[Asked, dict[str, str]], Any]) -> Vendor:
    def vendor(asked: Asked) -> Reply | None:
        assert asked.method == "GET", asked.method
        assert asked.body == b"", "a body"
        if asked.headers.get(header, "").removeprefix("Bearer ") != GOOD:
            return _refused()
        found = answer(asked, {name: values[0] for name, values in parse_qs(asked.query).items()})
        return None if found is None else as_json(found)

    return vendor


def _openai(asked: Asked, _: dict[str, str]) -> Any:
    if asked.path != "/v1/models":
        return None
    names = ("gpt-4o", "gpt-4o-mini", "llama3:latest")
    return {"object": "list", "data": [{"id": name, "object": "model"} for name in names]}


def _anthropic(asked: Asked, query: dict[str, str]) -> Any:
    assert asked.headers["anthropic-version"] == "2023-06-01", "version"
    assert query["limit"] == "1000", "limit"
    if asked.path != "/v1/models":
        return None
    if query.get("after_id") == "claude-a-20250101":
        return {"data": [{"id": "claude-b-20250202"}], "has_more": False, "last_id": "claude-b-20250202"}
    return {"data": [{"id": "claude-a-20250101"}], "has_more": True, "last_id": "claude-a-20250101"}


def _google(asked: Asked, query: dict[str, str]) -> Any:
    if asked.path != "/v1beta/models":
        return None
    if query.get("pageToken") == "a/b+c=":
        return {"models": [{"name": "models/gemini-b"}]}
    return {"models": [{"name": "models/gemini-a"}], "nextPageToken": "a/b+c="}


def _vertex(asked: Asked, query: dict[str, str]) -> Any:
    lists = {"google": "gemini-a", "anthropic": "claude-a"}
    for publisher, name in lists.items():
        if asked.path == f"/v1beta1/publishers/{publisher}/models":
            return {"publisherModels": [{"name": f"publishers/{publisher}/models/{name}", "versionId": "1"}]}
    return None


def _bedrock(asked: Asked, query: dict[str, str]) -> Any:
    if asked.path == "/foundation-models":
        return {"modelSummaries": [{"modelId": "amazon.nova-lite-v1:0"}]}
    if asked.path == "/inference-profiles":
        assert query["type"] == "SYSTEM_DEFINED", "type"
        if "nextToken" in query:
            return {"inferenceProfileSummaries": [{"inferenceProfileId": "us.amazon.nova-lite-v1:0"}]}
        return {"inferenceProfileSummaries": [{"inferenceProfileId": "eu.amazon.nova-lite-v1:0"}], "nextToken": "n"}
    return None


def _azure(asked: Asked, query: dict[str, str]) -> Any:
    if asked.path == "/openai/deployments" and query == {"api-version": "2022-12-01"}:
        return {"data": [{"id": "my-gpt-4o", "model": "gpt-4o"}, {"id": "my-embeddings", "model": "embed"}]}
    return None


def _azure_without_deployments(asked: Asked, query: dict[str, str]) -> Any:
    return {"data": [{"id": "gpt-4o"}]} if asked.path == "/openai/v1/models" else None


openai_list = _guarded("authorization", _openai)
anthropic_list = _guarded("x-api-key", _anthropic)
google_list = _guarded("x-goog-api-key", _google)
vertex_list = _guarded("x-goog-api-key", _vertex)
bedrock_list = _guarded("authorization", _bedrock)
azure_list = _guarded("api-key", _azure)
azure_models = _guarded("api-key", _azure_without_deployments)


def entry(kind: str, url: str, *keys: str, **more: Any) -> dict[str, Any]:
    """The entry of PROVIDERS for a fake at `url`, with the good key unless others are given."""
    bases = {"google": "/v1beta", "vertex": "/v1beta1", "anthropic": "", "bedrock": "", "azure": "/openai"}
    own: dict[str, dict[str, str]] = {
        "vertex": {"project": "my-project", "location": "global"},
        "bedrock": {"region": "eu-west-1"},
        "azure": {"apiVersion": "2024-10-21"},
    }
    base_url = url + bases.get(kind, "/v1")
    return {"type": kind, "baseUrl": base_url, "apiKeys": list(keys or (GOOD,)), **own.get(kind, {}), **more}
