"""Web search and MCP tools in chats, over every deployment (`spec/editor-api.md` 10.1, 10.3 and 10.4)."""

import httpx
import pytest

from tests.acceptance.conftest import Editor
from tests.acceptance.deployments import Deployment
from tests.fakes.editor_client import EditorClient, Refused
from tests.fakes.openai_upstream import CallsTool, Finish, Text, Upstream

SEARCH = {"model": "two", "capabilities": {"webSearch": {}}}


def tool_names(upstream: Upstream) -> set[str]:
    """Those that the model was offered last."""
    return {one["function"]["name"] for one in upstream.chats[-1].json.get("tools", [])}


@pytest.mark.parametrize("value", [True, {"enabled": True}, "on", None, []])
def test_t_27_a_capability_is_an_empty_object(editor: EditorClient, conversation: str, value: object) -> None:
    with pytest.raises(Refused) as refused:
        editor.said(conversation, "News?", model="two", capabilities={"webSearch": value})
    assert (refused.value.status, refused.value.body["code"]) == (400, "invalid-request-data")
    assert editor.messages(conversation) == []


def test_t_27_a_search_is_made_and_its_pages_are_sources(
    service: Deployment, editor: EditorClient, conversation: str
) -> None:
    assert editor.models()["items"][2]["capabilities"]["webSearch"] == {"enabled": True, "allowed": True}
    service.upstream.plays(CallsTool("web_search", '{"query":"weather in Bonn"}'), Finish("tool_calls"))
    service.upstream.plays(Text("It rained."), Finish())
    reply = editor.said(conversation, "Weather?", **SEARCH)
    assert service.outside.queries == ["weather in Bonn"]
    assert reply.names.index("web-search") < reply.names.index("source") < len(reply.names) - 1
    source = reply.first("source")["source"]
    assert (source["type"], source["url"], source["title"]) == ("url", "https://example.com/news", "News")
    assert "It rained in Bonn." in str(service.upstream.chats[-1].last_text)
    kept = editor.messages(conversation)[1]["content"]
    assert [one["url"] for one in kept if one["type"] == "url"] == ["https://example.com/news"]
    assert reply.names[-1] == "done"


def test_t_27_a_search_that_fails_is_an_event_and_the_reply_goes_on(
    service: Deployment, editor: EditorClient, conversation: str
) -> None:
    service.outside.search_status = 500
    service.upstream.plays(CallsTool("web_search", '{"query":"weather"}'), Finish("tool_calls"))
    service.upstream.plays(Text("I do not know."), Finish())
    reply = editor.said(conversation, "Weather?", **SEARCH)
    assert reply.first("web-search") == {}
    assert "source" not in reply.names
    assert (reply.text, reply.names[-1]) == ("I do not know.", "done")
    service.wait_for_log("Web search request failed")


def test_t_28_a_result_says_whether_it_succeeded_and_a_disabled_tool_is_not_offered(
    upstream: Upstream, service: Deployment, editor: EditorClient, conversation: str
) -> None:
    upstream.plays(
        CallsTool("desk-echo", '{"text":"Hi"}'), CallsTool("desk-failing", id="b", index=1), Finish("tool_calls")
    )
    upstream.plays(Text("Said and done."), Finish())
    reply = editor.said(conversation, "Say hi")
    results = [one.data for one in reply.events if one.name == "mcp-tool-result"]
    assert [(one["toolName"], one["success"]) for one in results] == [("desk-echo", True), ("desk-failing", False)]
    assert results[0]["result"] == "Hi"
    assert all(isinstance(one["result"], str) for one in results)
    assert reply.names[-1] == "done"
    offered = tool_names(upstream)
    assert "desk-echo" in offered
    assert "desk-grow" not in offered
    assert not any(one.startswith("crm-") for one in offered)


def test_t_28_a_tool_that_takes_too_long_is_told_to_the_model(
    upstream: Upstream, service: Deployment, editor: EditorClient, conversation: str
) -> None:
    service.tools.hangs.add("echo")
    try:
        upstream.plays(CallsTool("desk-echo"), Finish("tool_calls"))
        upstream.plays(Text("It did not answer."), Finish())
        reply = editor.said(conversation, "Say hi")
    finally:
        service.tools.hangs.clear()
    assert reply.first("mcp-tool-result")["success"] is False
    assert (reply.text, reply.names[-1]) == ("It did not answer.", "done")


def test_t_28_a_user_connects_a_server_and_its_tools_are_theirs_alone(
    upstream: Upstream, service: Deployment, editors: Editor, request: pytest.FixtureRequest
) -> None:
    ann, bob = (editors(f"{name} of {request.node.name}") for name in ("ann", "bob"))
    assert service.crm.authority is not None
    with httpx.Client(base_url=f"{service.url}/v1/mcp/oauth", headers=ann.headers, timeout=30) as ask:
        begun = ask.post("/crm/initialize").json()
        assert begun["connected"] is False
        code, state = service.crm.authority.authorize(begun["authorizationUrl"])
        wrong = ask.post("/crm/complete", json={"code": code, "state": state + "x"})
        assert (wrong.status_code, wrong.json()["code"]) == (400, "mcp-oauth-invalid-state")
        assert ask.post("/crm/complete", json={"code": code, "state": state}).json() == {"connected": True}
        assert ask.get("/status").json()["servers"]["crm"]["connected"] is True
        for editor, sees in ((ann, True), (bob, False)):
            editor.said(editor.create(title="t"), "Hi")
            assert ("crm-echo" in tool_names(upstream)) is sees
        assert ask.delete("/crm").status_code == 204
    ann.said(ann.create(title="t"), "Hi")
    assert "crm-echo" not in tool_names(upstream)
