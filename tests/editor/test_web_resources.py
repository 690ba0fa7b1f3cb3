"""Web pages: read when they are added, kept as their text, removed while nothing refers to them."""

import asyncio

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


# --- on every database ------------------------------------------------------------------------------------------------


async def test_a_page_is_kept_as_its_text_was(attaching: Attaching) -> None:
    row_id = await attaching.conversation()
    attaching.shelf.pages[URL] = Page("Grüße\0 😀", "Title")
    made = await attaching.web.add(ANN, "c", page())
    attaching.shelf.pages[URL] = Page("other")
    async with attaching.attached(row_id) as attached:
        row = (await attached.web_resources([made, "none"]))[made]
        assert list(await attached.used_web_resources()) == []
    assert (row.url, row.title, row.text, row.attributes) == (URL, "Title", "Grüße 😀", {"label": "A page"})
    await attaching.use(row_id, web_resources=[made])
    async with attaching.attached(row_id) as attached:
        assert [row.id for row in await attached.used_web_resources()] == [made]
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
