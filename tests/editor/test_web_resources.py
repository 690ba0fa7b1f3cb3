"""Web pages: read when they are added, kept as their text, removed while nothing refers to them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from penstock.editor.conversations.attachment_errors import (
    AttachmentInUse,
    AttachmentNotFound,
    OverLimit,
    WebResourcesDisabled,
)
from penstock.editor.conversations.attachment_schemas import NewWebResource
from penstock.editor.conversations.errors import ConversationNotFound
from penstock.editor.conversations.tables import WebResourceRow
from penstock.editor.conversations.web_resources import WebResources
from tests.editor.attaching import ANN, SMALL, Attaching, Page
from tests.editor.attaching import attaching as attaching
from tests.editor.conftest import Editor, caller
from tests.fakes.editor_client import EditorClient, Refused
from tests.fakes.openai_upstream import running_upstream
from tests.fakes.web_server import answering, as_json, serving, silent
from tests.fakes.wire_server import Script, WireServer
from tests.service import service_env, start_service, with_tenant

URL = "https://example.com/page"


def page(url: str = URL) -> NewWebResource:
    return NewWebResource(url=url, attributes={"label": "A page"})


# --- through the front door -------------------------------------------------------------------------------------------


def test_a_feature_that_is_off_says_which_variable_turns_it_on(editor: EditorClient) -> None:
    conversation = editor.create()
    with pytest.raises(Refused, match="404") as refused:
        editor.add_web_resource(conversation, URL)
    assert "WEBRESOURCES_ENABLED=true" in refused.value.body["action"]
    with pytest.raises(Refused, match="404: conversation does not exist"):
        editor.add_web_resource("none", URL)
    with pytest.raises(Refused, match="404: There is no web resource"):
        editor.remove_web_resource(conversation, "none")


def test_web_resources_need_their_permission(editors: Editor) -> None:
    chats = ["ai:conversations:read", "ai:conversations:write"]
    editor = editors("urls", permissions=chats)
    conversation = editor.create()
    with pytest.raises(Refused, match="403") as refused:
        editor.add_web_resource(conversation, URL)
    assert "ai:conversations:context:urls" in refused.value.body["explanation"]
    with pytest.raises(Refused, match="403"):
        editor.remove_web_resource(conversation, "x")
    allowed = editors("urls", permissions=[*chats, "ai:conversations:context:urls"])
    with pytest.raises(Refused, match="404"):
        allowed.add_web_resource(conversation, URL)


@asynccontextmanager
async def scraping(script: Script, folder: Path) -> AsyncIterator[tuple[WireServer, EditorClient, str]]:
    """A service that reads pages through a scraper of this `script`, and a conversation in it."""
    async with serving(script) as scraper, AsyncExitStack() as stack:
        more = {
            "WEBRESOURCES_ENABLED": "true",
            "WEBRESOURCES_ENDPOINT": f"http://127.0.0.1:{scraper.port}/scrape",
            "WEBRESOURCES_REQUEST_TIMEOUT": "500",
            "WEBRESOURCES_ALLOW_PRIVATE": "true",
        }
        upstream = stack.enter_context(running_upstream())
        env = service_env(upstream, folder, **more)
        service = stack.enter_context(start_service(env, upstream))
        headers = with_tenant(service).token_headers(permissions=["ai:conversations:*", "ai:models:*"])
        editor = stack.enter_context(EditorClient(service.url, headers))
        yield scraper, editor, editor.create()


async def test_t_25_every_answer_of_a_scraper(tmp_path: Path) -> None:
    answers = [
        as_json({"type": "text/html", "data": "<html><title>Title</title><p>Grüße</p></html>"}),
        as_json({"type": "text/markdown", "data": "# Title"}),
        as_json({"type": "application/pdf", "data": "%PDF-1.4"}),
        as_json({"type": "text/html", "data": ""}),
        as_json({"error": "x"}, status=b"500 Internal Server Error"),
    ]
    async with scraping(answering(*answers), tmp_path) as (_, editor, conversation):
        made = [await asyncio.to_thread(editor.add_web_resource, conversation, URL, label="A page") for _ in range(2)]
        for _ in range(3):
            with pytest.raises(Refused) as refused:
                await asyncio.to_thread(editor.add_web_resource, conversation, URL)
            assert (refused.value.status, refused.value.body["code"]) == (422, "web-resource-download-error")
        with pytest.raises(Refused, match="400"):
            editor.add_web_resource(conversation, "file:///etc/passwd")
        editor.remove_web_resource(conversation, made[0])
        with pytest.raises(Refused, match="404"):
            editor.remove_web_resource(conversation, made[0])
        reply = editor.said(conversation, "Read it", content=[{"type": "web-resource", "id": made[1]}])
        assert reply.names[-1] == "done"
        (item,) = editor.messages(conversation)[0]["content"]
        assert (item["type"], item["id"], item["url"]) == ("web-resource", made[1], URL)
        with pytest.raises(Refused, match="409: The web resource cannot be removed"):
            editor.remove_web_resource(conversation, made[1])


async def test_t_25_a_scraper_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    async with scraping(silent, tmp_path) as (_, editor, conversation):
        with pytest.raises(Refused) as refused:
            await asyncio.to_thread(editor.add_web_resource, conversation, URL)
        assert (refused.value.status, refused.value.body["code"]) == (504, "provider-timeout")


@pytest.mark.parametrize("body", [{}, {"url": 1}, {"url": ""}, {"url": "x" * 5000}, {"url": URL, "attributes": []}, []])
def test_wrong_fields_of_a_web_resource_are_refused(editor: EditorClient, body: Any) -> None:
    conversation = editor.create()
    with pytest.raises(Refused, match="400"):
        editor.ask("POST", "web-resources", f"/v1/conversations/{conversation}/web-resources", body)


# --- on every database ------------------------------------------------------------------------------------------------


async def test_a_page_is_kept_as_its_text_was(attaching: Attaching) -> None:
    row_id = await attaching.conversation()
    attaching.shelf.pages[URL] = Page("Grüße\0 😀", "Title")
    made = await attaching.web.add(ANN, "c", page())
    attaching.shelf.pages[URL] = Page("other")
    async with attaching.attached(row_id) as attached:
        row = (await attached.web_resources([made, "none"]))[made]
        assert list((await attached.used_web_resources(1_000)).rows) == []
    assert (row.url, row.title, row.text, row.attributes) == (URL, "Title", "Grüße 😀", {"label": "A page"})
    await attaching.use(row_id, web_resources=[made])
    async with attaching.attached(row_id) as attached:
        assert [row.id for row in (await attached.used_web_resources(1_000)).rows] == [made]
    with pytest.raises(AttachmentInUse):
        await attaching.web.delete(ANN, "c", made)


async def test_a_page_that_nothing_refers_to_can_be_removed_once(attaching: Attaching) -> None:
    await attaching.conversation()
    attaching.shelf.pages[URL] = Page("text")
    made = await attaching.web.add(ANN, "c", page())
    for stranger in (caller("bob"), caller("ann", "other")):
        with pytest.raises(ConversationNotFound):
            await attaching.web.delete(stranger, "c", made)
        with pytest.raises(ConversationNotFound):
            await attaching.web.add(stranger, "c", page())
    await attaching.web.delete(ANN, "c", made)
    with pytest.raises(AttachmentNotFound):
        await attaching.web.delete(ANN, "c", made)
    assert await attaching.count(WebResourceRow) == 0


async def test_a_page_that_fits_no_model_is_refused(attaching: Attaching) -> None:
    await attaching.conversation()
    limit = SMALL["maxContextLength"]
    attaching.shelf.pages[URL] = Page("😀" * limit)
    await attaching.web.add(ANN, "c", page())
    attaching.shelf.pages[URL] = Page("😀" * (limit + 1))
    with pytest.raises(OverLimit) as refused:
        await attaching.web.add(ANN, "c", page())
    assert refused.value.data is not None
    (issue,) = refused.value.data["issues"]
    assert (issue["type"], issue["length"], issue["maxLength"]) == ("too-long", limit + 1, limit)
    assert await attaching.count(WebResourceRow) == 1


async def test_pages_added_at_the_same_time_stay_within_their_number(attaching: Attaching) -> None:
    await attaching.conversation()
    attaching.shelf.pages[URL] = Page("text")
    outcomes = await asyncio.gather(*(attaching.web.add(ANN, "c", page()) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(one, str) for one in outcomes) == SMALL["maxFiles"]
    assert all(isinstance(one, str | OverLimit) for one in outcomes)


async def test_a_disabled_feature_lets_pages_be_removed(attaching: Attaching) -> None:
    await attaching.conversation()
    attaching.shelf.pages[URL] = Page("text")
    made = await attaching.web.add(ANN, "c", page())
    off = WebResources(database=attaching.database, catalog=attaching.catalog, pages=None)
    with pytest.raises(WebResourcesDisabled):
        await off.add(ANN, "c", page())
    await off.delete(ANN, "c", made)
