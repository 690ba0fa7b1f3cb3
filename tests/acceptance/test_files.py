"""Files in every store, and web pages through the scraper (`spec/editor-api.md` 6.6, 6.7 and 10.2)."""

import pytest

from tests.acceptance.checks import checks
from tests.acceptance.deployments import Deployment
from tests.acceptance.outside import SITE
from tests.editor import test_files
from tests.fakes.editor_client import EditorClient, Refused

globals().update(checks(test_files, "t_24"))


def refused(editor: EditorClient, conversation: str, url: str) -> tuple[int, str]:
    with pytest.raises(Refused) as found:
        editor.add_web_resource(conversation, url)
    assert found.value.body["message"].endswith(".")
    return found.value.status, found.value.body["code"]


def test_t_25_pages_are_read_through_the_scraper(service: Deployment, editor: EditorClient, conversation: str) -> None:
    html = service.outside.page("/html", "text/html", "<title>Rivers</title><p>All rivers run into the sea.</p>")
    markdown = service.outside.page("/markdown", "text/markdown", "# Mills\n\nThey turn.")
    ids = [editor.add_web_resource(conversation, url, label="Page") for url in (html, markdown)]
    items = [{"type": "web-resource", "id": one} for one in ids]
    assert editor.said(conversation, "What do they say?", content=items).names[-1] == "done"
    shown = service.upstream.chats[-1].body
    assert b"All rivers run into the sea." in shown
    assert b"They turn." in shown
    kept = editor.messages(conversation)[0]["content"]
    assert [(one["type"], one["id"], one["url"]) for one in kept] == [
        ("web-resource", ids[0], html),
        ("web-resource", ids[1], markdown),
    ]
    assert kept[0]["attributes"] == {"label": "Page"}


def test_t_25_what_cannot_be_read_says_so(service: Deployment, editor: EditorClient, conversation: str) -> None:
    outside, unreadable = service.outside, (422, "web-resource-download-error")
    assert refused(editor, conversation, outside.page("/pdf", "application/pdf", "JVBERi0=")) == unreadable
    assert refused(editor, conversation, outside.page("/empty", "text/html", "")) == unreadable
    assert refused(editor, conversation, outside.answer("/broken", 500, b"{}")) == unreadable
    assert refused(editor, conversation, outside.answer("/page", 200, b"<p>No JSON</p>")) == unreadable
    assert refused(editor, conversation, SITE + "/silent") == (504, "provider-timeout")
    assert refused(editor, conversation, "ftp://93.184.216.34/") == (400, "invalid-request-data")
    assert refused(editor, conversation, "http://127.0.0.1/") == unreadable
    too_large = outside.page("/large", "text/markdown", "word " * 60_000)
    assert refused(editor, conversation, too_large) == (413, "content-too-large")


def test_t_25_a_page_can_be_removed_until_it_is_used(
    service: Deployment, editor: EditorClient, conversation: str
) -> None:
    url = service.outside.page("/page", "text/markdown", "# Mills\n\nThey turn.")
    unused, used = (editor.add_web_resource(conversation, url) for _ in range(2))
    editor.remove_web_resource(conversation, unused)
    with pytest.raises(Refused, match="404"):
        editor.remove_web_resource(conversation, unused)
    editor.said(conversation, "What turns?", content=[{"type": "web-resource", "id": used}])
    with pytest.raises(Refused, match="409"):
        editor.remove_web_resource(conversation, used)
