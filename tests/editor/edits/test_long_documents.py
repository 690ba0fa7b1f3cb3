"""A long text costs in proportion to its length: anything else would run into the time limit of the tests."""

import pytest

from penstock.editor.edits.answer import AnswerReader
from penstock.editor.edits.document import SentDocument
from penstock.editor.edits.instructions import shown_document

PARAGRAPH = '<p data-id="{}">Some words, and a <b>few</b> more.</p>'


@pytest.mark.parametrize(
    "junk",
    ["<" * 1_000_000, "<!" * 1_000_000, "<!--" + ">" * 2_000_000 + "-->", "a < b " * 300_000, "</>" * 300_000],
    ids=["brackets", "declarations", "comment", "signs", "empty ends"],
)
def test_what_is_no_markup_is_read_once(junk: str) -> None:
    document = SentDocument(f'<p data-id="aaaa">One</p>{junk}<p data-id="bbbb">Two</p>')
    assert document.ids[0] == "aaaa"


@pytest.mark.parametrize(
    "nested",
    ["<svg>" * 20_000, "<b>" * 60_000, "<table><tr><td>" * 20_000, "<div>w " * 20_000],
    ids=["drawings", "bold", "tables", "boxes"],
)
def test_what_nobody_closes_is_read_once(nested: str) -> None:
    reader = AnswerReader([SentDocument(f'<p data-id="aaaa">One</p>{nested}')])
    assert reader.feed("Nothing to change.")
    reader.end()


def test_a_text_full_of_ends_of_frames_is_shown_at_once() -> None:
    content = "<p>" + "pad" * 16_000 + "</document" + "-x" * 16_000
    assert len(shown_document(0, SentDocument(content))) < len(content) + 100


def test_a_document_of_many_elements_is_read_once() -> None:
    content = "".join(PARAGRAPH.format(f"id{number}") for number in range(40_000))
    document = SentDocument(content)
    assert len(document.ids) == 40_000
    assert document.outer("id39999") == PARAGRAPH.format("id39999")
