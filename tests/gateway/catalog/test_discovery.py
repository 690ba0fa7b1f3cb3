"""A service with PROVIDERS alone: what a server of models lists is what there is."""

from pathlib import Path

import pytest

from penstock.gateway.inference.discovery import chat_models
from tests.editor.conftest import Tenant, eventually
from tests.fakes.editor_client import EditorClient
from tests.fakes.openai_upstream import running_upstream
from tests.service import service_env, start_service


def test_models_that_nobody_listed_are_found_at_the_provider(tmp_path: Path) -> None:
    with running_upstream() as upstream:
        upstream.models = ["llama3.3:70b", "nomic-embed-text", "mistral-small"]
        env = service_env(upstream, tmp_path)
        del env["MODELS"]
        with start_service(env, upstream) as service:
            tenant = Tenant(service)
            with EditorClient(service.url, tenant.headers(permissions=["ai:conversations:*", "ai:models:*"])) as editor:
                eventually(lambda: len(editor.models()["items"]) > 1)
                items = editor.models()["items"]
                assert [item["id"] for item in items if item["id"] != "agent-1"] == ["llama3.3:70b", "mistral-small"]
                assert all(item["allowed"] for item in items)
                reply = editor.said(editor.create(), "Hi", model="mistral-small")
                assert reply.names[-1] == "done"
                assert upstream.chats[-1].json["model"] == "mistral-small"


@pytest.mark.parametrize("name", ["nomic-embed-text", "bge-m3", "whisper-large-v3", "tts-1", "stable-diffusion-3"])
def test_what_cannot_chat_is_left_out(name: str) -> None:
    assert chat_models([name, "qwen3:8b"]) == ["qwen3:8b"]
