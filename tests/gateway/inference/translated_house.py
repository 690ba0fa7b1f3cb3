"""A service in front of providers that do not speak the chat completions format: one entry for each dialect."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.fakes.dialects.anthropic import ANTHROPIC
from tests.fakes.dialects.base import Dialect, Says
from tests.fakes.dialects.bedrock import BEDROCK
from tests.fakes.dialects.google import GOOGLE
from tests.fakes.dialects.openai_responses import ResponsesDialect
from tests.fakes.openai_upstream import running_upstream
from tests.fakes.provider_server import Breaks, ProviderServer, serving
from tests.service import FEATURES, Service, service_env, start_service, with_tenant

CHAT = "/oai/v1/chat/completions"


class _Responses(ResponsesDialect):
    """Without `api` the entry would be called in the client's own format first."""

    def entry(self, url: str, *keys: str) -> dict[str, Any]:
        return {**super().entry(url, *keys), "api": "responses"}


DIALECTS: tuple[Dialect, ...] = (ANTHROPIC, BEDROCK, GOOGLE, _Responses(kind="responses"))


class House:
    """`service` in front of `servers`, by the kind of their dialect."""

    def __init__(self, service: Service, servers: dict[str, ProviderServer]) -> None:
        self.service = service
        self.servers = servers


class There:
    """One provider of the house, and what a client of the OpenAI surface says to it."""

    def __init__(self, house: House, kind: str) -> None:
        self.service = house.service
        self.server = house.servers[kind]
        self.kind = kind
        self.model = f"{kind}/{self.server.dialect.model}"

    def body(self, content: Any = "Hello", **more: Any) -> dict[str, Any]:
        return {"model": self.model, "messages": [{"role": "user", "content": content}], **more}

    def post(self, body: dict[str, Any]) -> httpx.Response:
        headers = self.service.api_key_headers
        return httpx.post(self.service.url + CHAT, json=body, headers=headers, timeout=30)

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        response = self.post(body)
        assert response.status_code == 200, response.text
        assert self.server.faults == []
        answer: dict[str, Any] = response.json()
        return answer

    def broken_off(self, how: str) -> Breaks:
        """A stream that breaks off after some words, and before what says that it is finished."""
        self.post(self.body(stream=True))
        says = Says(pieces=("Hello ",) * 6)
        return Breaks(how, len(self.server.dialect.frames(says, self.server.asked[-1])) - 3, says)


@contextmanager
def running_house() -> Iterator[House]:
    with (
        tempfile.TemporaryDirectory() as directory,
        running_upstream() as upstream,
        serving(*DIALECTS) as servers,
    ):
        by_kind = {server.dialect.kind: server for server in servers}
        env = service_env(upstream, Path(directory))
        providers, models = json.loads(env["PROVIDERS"]), json.loads(env["MODELS"])
        for kind, server in by_kind.items():
            # A model that is asked for by its id alone meets the entry whose server is gone first. A key that is
            # refused is set aside for all tests: the one that needs that has an entry of its own.
            gone = {**server.entry(), "baseUrl": "http://127.0.0.1:9"}
            for name, entry in ((f"{kind}-gone", gone), (kind, server.entry()), (f"{kind}-spare", server.entry())):
                providers[name] = entry
                models.append({"id": server.dialect.model, "provider": name, "description": "x", "features": FEATURES})
        env |= {"PROVIDERS": json.dumps(providers), "MODELS": json.dumps(models)}
        with start_service(env, upstream) as service:
            yield House(with_tenant(service), by_kind)


def frames(text: str) -> list[str]:
    return [line[6:] for line in text.split("\n") if line.startswith("data: ")]


def deltas(text: str) -> list[dict[str, Any]]:
    """The deltas of a stream that is complete."""
    *chunks, done = frames(text)
    assert done == "[DONE]"
    return [choice["delta"] for chunk in chunks for choice in json.loads(chunk)["choices"]]
