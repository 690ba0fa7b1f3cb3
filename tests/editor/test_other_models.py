"""A model that fails before its first word is replaced by the next one with the same feature (W-36)."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.editor.conftest import Tenant
from tests.fakes.editor_client import EditorClient
from tests.fakes.openai_upstream import CutShort, Finish, Status, Step, Text, Upstream, running_upstream
from tests.service import FEATURES, Service, service_env, start_service

BUSY = Status(429, {"error": {"message": "Slow down"}}, (("retry-after", "60"),))
BROKEN = Status(500, {"error": {"message": "Out of order"}})
EDITED = '<p data-id="aaaa">Short.</p>'


@contextmanager
def two_providers() -> Iterator[tuple[Service, EditorClient, Upstream, Upstream]]:
    with ExitStack() as stack:
        first, second = (stack.enter_context(running_upstream()) for _ in range(2))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        providers = {
            key: {"type": "openai-compatible", "baseUrl": one.url, "apiKeys": ["sk-upstream-key-1234"]}
            for key, one in (("first", first), ("second", second))
        }
        models = [
            {"id": f"{key}-model", "provider": key, "description": "x", "features": FEATURES} for key in providers
        ]
        env = service_env(first, folder, PROVIDERS=json.dumps(providers), MODELS=json.dumps(models))
        service = stack.enter_context(start_service(env, first))
        permissions = ["ai:conversations:*", "ai:models:*", "ai:actions:*"]
        editor = stack.enter_context(EditorClient(service.url, Tenant(service).headers(permissions=permissions)))
        yield service, editor, first, second


@pytest.mark.parametrize("step", [BUSY, BROKEN, CutShort()], ids=["429", "500", "cut"])
def test_w36_a_chat_and_an_action_go_on_with_the_next_model(step: Step) -> None:
    with two_providers() as (service, editor, first, second):
        first.always_plays(step)
        second.plays(Text("From the second."), Finish())
        reply = editor.said(editor.create(title="t"), "Hi")
        assert (reply.text, reply.names[-1]) == ("From the second.", "done")
        second.plays(Text(EDITED), Finish())
        assert editor.acted("make-shorter", '<p data-id="aaaa">Rather long.</p>').edit == EDITED
        assert first.chats
        line = json.loads(service.wait_for_log('"model":"second/second-model"'))
        assert line["outcome"] == "ok"
        assert line["attempts"] > 1


def test_w36_nothing_is_repeated_after_the_first_word() -> None:
    with two_providers() as (_, editor, first, second):
        first.plays(Text("Half an"), CutShort())
        reply = editor.said(editor.create(title="t"), "Hi")
        assert (reply.text, reply.names[-1]) == ("Half an", "error")
        assert second.chats == []
