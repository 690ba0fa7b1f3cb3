"""The example's merge does in a real editor what `spec/editor-api.md` 8.3 and 8.4 say, also while a stream arrives."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browsers import browser
from tests.editor.edits.test_merge_rules import DOCUMENT, NORMATIVE, A, B, C, N
from tests.examples.conftest import EditorPage, Example
from tests.fakes import edit_scripts
from tests.fakes.editor_merge import merge_continuation, merge_replacement

__all__ = ["browser"]

MERGE = """async ([kind, documentHtml, stream, step]) => {
  const [{ Snapshot }, { Preview }, rules] =
    await Promise.all(["snapshot", "preview", "merge"].map((name) => import(`/${name}.js`)));
  const editor = tinymce.activeEditor;
  editor.setContent(documentHtml);
  const before = editor.getContent({ indent: false });
  const snapshot = Snapshot.document(editor);
  const ids = new Map([...snapshot.live].map(([id, element]) => [element.getAttribute("data-id"), id]));
  const sent = stream.replace(/data-id="([^"]+)"/g, (whole, id) => (ids.has(id) ? `data-id="${ids.get(id)}"` : whole));
  const preview = new Preview(editor, snapshot);
  const show = (html, ended) => preview.show((stage) => rules[kind](html, ended, stage, snapshot.top));
  for (let end = 0; end < sent.length; end += step) {
    show(sent.slice(0, end), false);
    if (editor.getContent({ indent: false }) !== before) return `a preview is in the document at ${end}`;
  }
  show(sent, true);
  preview.accept();
  return editor.getContent({ indent: false });
}"""

SHOWN = """(html) => {
  tinymce.activeEditor.setContent(html);
  return tinymce.activeEditor.getContent({ indent: false });
}"""


@pytest.fixture(scope="module")
def page(browser: Browser, running_example: Example) -> Iterator[EditorPage]:
    """Not watched: the documents here have pictures and films of sites that are not there."""
    context = browser.new_context()
    opened = context.new_page()
    opened.route("https://**", lambda route: route.fulfill(status=204))
    yield EditorPage(opened).open(running_example.url)
    context.close()


def merged(page: EditorPage, kind: str, document: str, stream: str, step: int = 1) -> Any:
    return page.page.evaluate(MERGE, [kind, document, stream, step])


def as_shown(page: EditorPage, html: str) -> Any:
    """The same document as this editor writes it."""
    return page.page.evaluate(SHOWN, re.sub(r' data-id="new-element"', "", html))


@pytest.mark.parametrize(("stream", "expected"), [row[1:] for row in NORMATIVE], ids=[row[0] for row in NORMATIVE])
def test_a_chats_edit_lands_where_the_table_says(page: EditorPage, stream: str, expected: str) -> None:
    assert merged(page, "mergeChat", DOCUMENT, stream) == as_shown(page, expected)


@pytest.mark.parametrize("stream", [DOCUMENT, A + C, A + N + B + C, N + A + B + C, A + B + C + N, A, ""])
def test_an_actions_answer_replaces_what_was_sent(page: EditorPage, stream: str) -> None:
    assert merged(page, "mergeReplacement", DOCUMENT, stream) == as_shown(page, merge_replacement(DOCUMENT, stream))


@pytest.mark.parametrize("stream", [N, N + N, '<p data-id="cccc">C and more</p>' + N, ""])
def test_a_continuation_removes_nothing(page: EditorPage, stream: str) -> None:
    assert merged(page, "mergeContinuation", DOCUMENT, stream) == as_shown(page, merge_continuation(DOCUMENT, stream))


KINDS = {
    "mergeChat": edit_scripts.chat,
    "mergeReplacement": edit_scripts.replacement,
    "mergeContinuation": edit_scripts.continuation,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(20))
def test_whatever_a_careful_model_writes_lands_where_it_should(page: EditorPage, kind: str, seed: int) -> None:
    script = KINDS[kind](seed)
    found = merged(page, kind, without_comments(script.document.inner()), script.written(), step=41)
    assert found == as_shown(page, without_comments(script.expected.inner()))


def without_comments(html: str) -> str:
    """The editor takes what looks like an attack out of a document, and some comments do."""
    return re.sub(r"<!--.*?-->\s*", "", html, flags=re.DOTALL)


@pytest.mark.parametrize(
    "hostile",
    [
        '<p data-id="aaaa">A<img src=x onerror="top.hit = true"></p>',
        '<p data-id="aaaa">A<script>top.hit = true</script></p>',
        '<p data-id="aaaa"><a href="javascript:top.hit = true">A</a></p>',
    ],
)
def test_nothing_that_a_stream_brings_is_run(page: EditorPage, hostile: str) -> None:
    found = merged(page, "mergeChat", DOCUMENT, hostile)
    assert not re.search(r"onerror|<script|javascript:", found)
    assert page.page.evaluate("window.hit === undefined")
