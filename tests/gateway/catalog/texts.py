"""Short ways to write PROVIDERS and MODELS, and to read the catalog that they give."""

import json
from typing import Any

import pytest

from penstock.gateway.catalog.documents import Document, Refused
from penstock.gateway.catalog.reading import read_catalog
from penstock.gateway.catalog.snapshot import Problem, Snapshot
from penstock.providers.transport.base import Limits

OPENAI = {"type": "openai", "apiKeys": ["sk-one"]}
EXAMPLES: dict[str, dict[str, Any]] = {
    "openai": OPENAI,
    "anthropic": {"type": "anthropic", "apiKeys": ["sk-ant-one"]},
    "google": {"type": "google", "apiKeys": ["AIzaOne"]},
    "azure": {"type": "azure", "resourceName": "mine", "apiKeys": ["one"], "apiVersion": "2024-10-21"},
    "bedrock": {
        "type": "bedrock",
        "region": "eu-central-1",
        "credentials": {"accessKeyId": "AKIDEXAMPLE", "secretAccessKey": "secret"},
    },
    "vertex": {"type": "vertex", "project": "mine", "location": "europe-west4", "apiKeys": ["AQ.one"]},
    "openai-compatible": {"type": "openai-compatible", "baseUrl": "http://ollama:11434/v1"},
    "mistral": {"type": "mistral", "apiKeys": ["one"]},
    "qwen": {"type": "qwen", "apiKeys": ["sk-one"]},
}
"""An entry of each type with what it needs and no more (`spec/editor-api.md` 12)."""

ALL_FEATURES = ["conversations", "reviews", "actions"]


def model(**fields: Any) -> dict[str, Any]:
    return {"id": "gpt-5", "provider": "main", "description": "Good.", "features": ALL_FEATURES, **fields}


def catalog(providers: Any = None, models: Any = None, *, strict: bool = False) -> Snapshot:
    return read_catalog(document("PROVIDERS", providers), document("MODELS", models), Limits(), strict=strict)


def document(variable: str, value: Any) -> Document | None:
    if value is None:
        return None
    return Document(variable, value if isinstance(value, str) else json.dumps(value), "environment")


def refusal(providers: Any = None, models: Any = None, *, strict: bool = False) -> tuple[Problem, ...]:
    """The errors with which the two are refused."""
    with pytest.raises(Refused) as caught:
        catalog(providers, models, strict=strict)
    return tuple(problem for problem in caught.value.problems if problem.severity == "error")


def warnings(snapshot: Snapshot) -> dict[str, str]:
    """Path and message of each warning."""
    return {one.variable + one.path: one.message for one in snapshot.problems if one.severity == "warning"}


def errors(snapshot: Snapshot) -> dict[str, str]:
    return {one.variable + one.path: one.message for one in snapshot.problems if one.severity == "error"}
