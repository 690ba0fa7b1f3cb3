"""A long text costs in proportion to its length: anything else would run into the time limit of the tests."""

import pytest

from penstock.editor.edits.document import SentDocument

PARAGRAPH = '<p data-id="{}">Some words, and a <b>few</b> more.</p>'


@pytest.mark.parametrize(
    "junk",
    ["<" * 1_000_000, "<!" * 1_000_000, "<!--" + ">" * 2_000_000 + "-->", "a < b " * 300_000, "</>" * 300_000],
    ids=["brackets", "declarations", "comment", "signs", "empty ends"],
)
def test_what_is_no_markup_is_read_once(junk: str) -> None:
    document = SentDocument(f'<p data-id="aaaa">One</p>{junk}<p data-id="bbbb">Two</p>')
    assert document.ids[0] == "aaaa"


def test_a_document_of_many_elements_is_read_once() -> None:
    content = "".join(PARAGRAPH.format(f"id{number}") for number in range(40_000))
    document = SentDocument(content)
    assert len(document.ids) == 40_000
    assert document.outer("id39999") == PARAGRAPH.format("id39999")
