"""What a chat model writes, told apart: what it says, and what it edits. However it is cut, the outcome is one."""

from collections.abc import Iterator, Sequence
from random import Random

import pytest

from penstock.editor.edits.answer import AnswerReader, Edited, Said
from penstock.editor.edits.document import SentDocument

P = '<p data-id="bbbb" class="x">Hello you.</p>'
DOCUMENT = f'<h1 data-id="aaaa">Title</h1>{P}<p data-id="cccc">End.</p>'
NEW = '<p data-id="bbbb" class="x">Hello me.</p>'
WRITTEN = '<p data-id="bbbb">Hello me.</p>'
OTHER = '<p data-id="zzzz">Other</p>'
ESCAPED = WRITTEN.replace("<", "&lt;").replace(">", "&gt;")


def ways_of_cutting(text: str) -> Iterator[list[str]]:
    yield [text]
    yield list(text)
    for seed in range(4):
        random, pieces, at = Random(seed), [], 0
        while at < len(text):
            length = random.randint(1, 12)
            pieces.append(text[at : at + length])
            at += length
        yield pieces


def joined(found: Sequence[Said | Edited]) -> list[Said | Edited]:
    out: list[Said | Edited] = []
    for one in found:
        last = out[-1] if out else None
        if isinstance(one, Said) and isinstance(last, Said):
            out[-1] = Said(last.text + one.text)
        elif isinstance(one, Edited) and isinstance(last, Edited) and one.document == last.document:
            out[-1] = Edited(one.document, last.html + one.html)
        else:
            out.append(one)
    return out


def read(text: str, *contents: str, cut_off: bool = False) -> tuple[list[Said | Edited], AnswerReader]:
    """What is read, which must be the same for every way of cutting the text."""
    outcomes = []
    for pieces in ways_of_cutting(text):
        reader = AnswerReader([SentDocument(content) for content in contents])
        found = [one for piece in pieces for one in reader.feed(piece)]
        outcomes.append((joined([*found, *reader.end(cut_off=cut_off)]), reader))
    assert all(outcome[0] == outcomes[0][0] for outcome in outcomes), [outcome[0] for outcome in outcomes]
    assert len({outcome[1].complaint() for outcome in outcomes}) == 1
    return outcomes[0]


EDITS = {
    "a block": (f"Sure.\n\n<edit>\n{WRITTEN}\n</edit>\nDone.", ["Sure.\n\n", NEW, "\nDone."]),
    "a block with a number": (f'<edit document="1">\n{WRITTEN}\n</edit>', [NEW]),
    "a block after prose on its line": (f"Sure: <edit>{WRITTEN}</edit> Done.", ["Sure: ", NEW, " Done."]),
    "a block in capitals": (f"<EDIT>\n{WRITTEN}\n</EDIT>", [NEW]),
    "a block in a fence": (f"Sure.\n```html\n<edit>\n{WRITTEN}\n</edit>\n```\nDone.", ["Sure.\n", NEW, "\nDone."]),
    "a fence in a block": (f"<edit>\n```html\n{WRITTEN}\n```\n</edit>", [NEW]),
    "only a fence": (f"Here:\n\n```html\n{WRITTEN}\n```\n\nDone.", ["Here:\n\n", NEW, "\nDone."]),
    "a fence without a language": (f"```\n{WRITTEN}\n```\n", [NEW]),
    "bare HTML": (f"Here:\n\n{WRITTEN}\n\nDone.", ["Here:\n\n", NEW, "Done."]),
    "a bare removal": ("<!-- removed: cccc -->\n\nGone.", ['<!-- removed data-id="cccc" -->', "Gone."]),
    "an escaped block": (f"&lt;edit&gt;\n{ESCAPED}\n&lt;/edit&gt;\nDone.", [NEW, "\nDone."]),
    "escaped HTML in a block": (f"<edit>\n{ESCAPED}\n</edit>", [NEW]),
    "a block in a block": (f"<edit>\n<edit>\n{WRITTEN}\n</edit>\n</edit>\nDone.", [NEW, "\n", "\nDone."]),
    "an element left open": (f"<edit>{WRITTEN.removesuffix('</p>')}</edit> Done.", [NEW, " Done."]),
    "a block left open": (f"<edit>{WRITTEN}", [NEW]),
    "prose in a block": (f"<edit>\nHere is the new text:\n{WRITTEN}\nI hope you like it.\n</edit>", [NEW]),
    "thoughts in a block": (f"<edit><think>Which <p>?</think>{WRITTEN}</edit>", [NEW]),
}


@pytest.mark.parametrize("name", EDITS)
def test_edits_are_found_wherever_they_are_put(name: str) -> None:
    text, expected = EDITS[name]
    found, reader = read(text, DOCUMENT)
    shown = [one.text if isinstance(one, Said) else one.html for one in found]
    assert "".join(shown) == "".join(expected)
    assert reader.has_edits
    assert reader.complaint() is None


PROSE = [
    'Use `<p data-id="bbbb">` for it.',
    "Two ticks: `` <edit>`</edit> `` are code.",
    "```\n<p>code</p>\n```\nand so on",
    "```html\n<p>no ids here</p>\n```\n",
    "```python\nx = '<p data-id=\"bbbb\">'\n<edit>\n```\n",
    "~~~text\n<edit>\n~~~\n",
    "<b>bold</b> is fine\n<p>so is this</p>\n",
    "5 < 6 & 7 > 3, <3, <https://example.org>, <name@example.org>\n",
    "<3 at the start\n<- and arrows\n  <name>,\n",
    "Dear <name>,\n\n1. one\n2. two\n\n---\n",
    "<!-- a remark of its own -->\n",
    "<edits> and <editor> are other words",
    "ends with <edi",
    "ends with `",
    "ends with ```",
    "   ",
    "&lt;p&gt; and &lt;edit&gt; within a line",
]


@pytest.mark.parametrize("text", PROSE)
def test_prose_that_talks_about_html_stays_as_it_is(text: str) -> None:
    found, reader = read(text, DOCUMENT)
    assert found == [Said(text)]
    assert not reader.has_edits


def test_prose_is_not_held_back() -> None:
    reader = AnswerReader([SentDocument(DOCUMENT)])
    assert reader.feed("Plain wo") == [Said("Plain wo")]
    assert reader.feed("rds\n") == [Said("rds\n")]
    assert reader.feed("and more") == [Said("and more")]


def test_elements_are_given_one_by_one() -> None:
    reader = AnswerReader([SentDocument(DOCUMENT)])
    assert reader.feed(f"<edit>\n{WRITTEN[:-1]}") == []
    assert reader.feed(">") == [Edited(0, NEW)]


@pytest.mark.parametrize("text", [text for text, _ in EDITS.values()])
def test_without_a_document_everything_is_prose(text: str) -> None:
    found, reader = read(text)
    assert all(isinstance(one, Said) for one in found)
    said = "".join(one.text for one in found if isinstance(one, Said))
    assert "data-id" not in said
    assert "<edit" not in said
    assert "cccc" in text or "Hello me." in said
    assert not reader.has_edits
    assert reader.complaint() is None


@pytest.mark.parametrize(
    ("text", "documents"),
    [
        (f'<edit document="2">{OTHER.replace("Other", "New")}</edit>', [1]),
        (f"<edit>{OTHER.replace('Other', 'New')}</edit>", [1]),
        (f'<edit document="7">{WRITTEN}</edit>', [0]),
        (f'<edit document="2">{OTHER.replace("Other", "New")}</edit>\n<edit document="1">{WRITTEN}</edit>', [1, 0]),
        (f"{OTHER.replace('Other', 'New')}\n{WRITTEN}\n", [1, 0]),
    ],
)
def test_each_of_several_documents_gets_its_edits(text: str, documents: list[int]) -> None:
    found, reader = read(text, DOCUMENT, OTHER)
    assert [one.document for one in found if isinstance(one, Edited)] == documents
    assert reader.complaint() is None


@pytest.mark.parametrize("end", ['<p data-id="cccc">Half a sen', '<p data-id="cc', "<", '<!-- removed data-id="cc'])
def test_an_edit_that_is_cut_off_is_dropped_and_what_was_whole_stays(end: str) -> None:
    found, _ = read(f"<edit>\n{WRITTEN}\n{end}", DOCUMENT, cut_off=True)
    assert found == [Edited(0, NEW)]


def test_what_is_lost_is_complained_of_and_can_be_read() -> None:
    found, reader = read("Sure.\n<edit>\nJust a new sentence.\n</edit>", DOCUMENT)
    assert found == [Said("Sure.\n")]
    assert reader.rejected_text() == "Just a new sentence."
    complaint = reader.complaint() or ""
    assert "aaaa, bbbb, cccc" in complaint
    assert "new-element" in complaint


def test_a_second_block_does_not_move_what_is_in_it() -> None:
    text = f'<edit>{WRITTEN}</edit>\nand\n<edit><p data-id="new-element">First</p><!-- existing document --></edit>'
    found, _ = read(text, DOCUMENT)
    assert found[-1] == Edited(
        0, '<!-- existing document --><p data-id="new-element">First</p><h1 data-id="aaaa">Title</h1>'
    )
