"""Quick actions and reviews over every deployment (`spec/editor-api.md` 7.3, 7.4, 8.4, 8.5)."""

import json

import pytest

from tests.acceptance.checks import checks
from tests.acceptance.conftest import EVERYTHING
from tests.acceptance.deployments import MODELS, Deployment
from tests.editor.actions import test_action_failures, test_system_actions
from tests.editor.conftest import Tenant
from tests.editor.reviews import test_system_reviews
from tests.fakes.editor_client import EditorClient, Refused
from tests.fakes.openai_upstream import Status

globals().update(checks(test_system_actions, "t_22"))
globals().update(checks(test_system_reviews, "t_22", "t_23"))
globals().update(checks(test_action_failures, "t_21", "t_35"))

REFUSAL = {"error": {"message": "Incorrect API key provided: sk-up*1234", "code": "invalid_api_key"}}


def test_t_19_t_20_an_upstream_401_is_an_event_in_chats_and_a_502_elsewhere(service: Deployment) -> None:
    """A replica of its own: a refused key is set aside for a while."""
    content = '<p data-id="aaaa">One.</p>'
    service.upstream.always_plays(Status(401, REFUSAL))
    with service.editor_beside(EVERYTHING) as editor:
        reply = editor.said(editor.create(title="t"), "Hi")
        assert reply.names == ["message-metadata", "error"]
        assert reply.first("error")["cause"]["providerStatusCode"] == 401
        assert "Incorrect API key provided" in reply.first("error")["message"]
        for call in (editor.acted, editor.reviewed):
            with pytest.raises(Refused) as refused:
                call("make-shorter", content)
            assert (refused.value.status, refused.value.body["code"]) == (502, "provider-error")
            assert "Incorrect API key provided" in refused.value.body["message"]


def test_t_29_a_misspelt_provider_is_in_the_log_and_the_service_starts(service: Deployment) -> None:
    models = [*MODELS, {"id": "three", "provider": "mok", "description": "", "features": ["conversations"]}]
    with service.beside(MODELS=json.dumps(models)) as beside:
        line = json.loads(beside.wait_for_log("`mok`"))
        assert line["level"] == 50
        assert "`mock`" in line["message"]
        with EditorClient(beside.url, Tenant(beside).headers()) as editor:
            assert [one["id"] for one in editor.models()["items"]] == ["agent-1", "one", "two"]
            assert editor.said(editor.create(), "Hi", model="two").names[-1] == "done"
