"""A service in front of fakes for what models do beside chat, and its clients."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from openai import OpenAI

from tests.fakes.openai_upstream import running_upstream
from tests.service import Service, service_env, start_service, with_tenant

KEY = "sk-media-key-00001"


@contextmanager
def media_service(
    providers: Mapping[str, Mapping[str, Any]], models: Sequence[tuple[str, str, Sequence[str]]], **env: str
) -> Iterator[Service]:
    """`models` are `(provider, id, features)`."""
    entries = [{"id": one, "provider": key, "description": "x", "features": list(has)} for key, one, has in models]
    with tempfile.TemporaryDirectory() as directory, running_upstream() as upstream:
        whole = service_env(
            upstream, Path(directory), PROVIDERS=json.dumps(providers), MODELS=json.dumps(entries), **env
        )
        with start_service(whole, upstream) as service:
            yield with_tenant(service)


def client_of(service: Service, **more: Any) -> OpenAI:
    return OpenAI(api_key=service.api_key, base_url=service.url + "/oai/v1", max_retries=0, timeout=30, **more)


def metric(service: Service, request_id: str) -> dict[str, Any]:
    """The metric log line of a request."""
    found: dict[str, Any] = json.loads(service.wait_for_log(f'"traceId":"{request_id}","bytesOut"'))
    return found
