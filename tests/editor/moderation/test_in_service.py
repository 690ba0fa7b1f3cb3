"""Moderation in the running service: what is flagged or cannot be screened never reaches a model."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.fakes.openai_upstream import Upstream, running_upstream
from tests.fakes.web_server import as_json, serving
from tests.fakes.wire_server import Wire
from tests.service import Service, service_env, start_service, with_tenant


def test_w32_the_boot_report_says_that_nothing_is_screened(service: Service) -> None:
    assert "Moderation is off" in service.wait_for_log("Moderation is")


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


async def test_a_flagged_or_unscreened_message_is_refused_before_any_model_is_asked(upstream: Upstream) -> None:
    async def screening(wire: Wire) -> None:
        body = json.loads((await wire.request()).body)
        flagged = {"flagged": True, "categories": {"hate": True}}
        verdict = {"flagged": False} if body["content"] == "Hello" else flagged
        await wire.send(as_json(verdict, b"500 Oops" if body["content"] == "Crash" else b"200 OK"))

    async with serving(screening) as server:
        provider = {"type": "custom", "url": f"http://127.0.0.1:{server.port}/"}
        more = {"MODERATION": json.dumps({"enabled": True, "provider": provider})}
        with tempfile.TemporaryDirectory() as directory:
            statuses = await _said(service_env(upstream, Path(directory), **more), upstream)
    assert statuses == {
        "Bad words": (422, "content-moderated", {"flaggedCategories": ["hate"]}),
        "Crash": (502, "moderation-unavailable", None),
        "Hello": (200, None, None),
    }
    assert len(upstream.chats) == 1


async def _said(env: dict[str, str], upstream: Upstream) -> dict[str, tuple[int, str | None, object]]:
    with start_service(env, upstream) as started:
        assert "is sent to the service at http://127.0.0.1 " in started.wait_for_log("Moderation is on")
        headers = with_tenant(started).token_headers(permissions=["ai:conversations:*", "ai:models:*"])
        found: dict[str, tuple[int, str | None, object]] = {}
        async with httpx.AsyncClient(base_url=started.url, headers=headers, timeout=30) as client:
            path = f"/v1/conversations/{(await client.post('/v1/conversations', json={})).json()['id']}/messages"
            for prompt in ("Bad words", "Crash", "Hello"):
                answer = await client.post(path, json={"prompt": prompt, "model": "one"})
                body = answer.json() if answer.status_code != 200 else {}
                found[prompt] = (answer.status_code, body.get("code"), body.get("data"))
        return found
