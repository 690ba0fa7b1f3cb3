"""What is made of edits that break the rules, one habit of models at a time (`spec/editor-api.md` 8, W-38)."""

import pytest

from penstock.editor.edits.document import SentDocument
from penstock.editor.edits.stream import EditStream, Grammar
from tests.editor.edits.test_answers import ways_of_cutting
from tests.fakes.editor_merge import READINGS, merge_chat, merge_continuation, merge_replacement

A = '<h1 data-id="aaaa">Title</h1>'
B = '<p data-id="bbbb" class="x">One <a href="/b">two</a> three.</p>'
LIST = '<ul data-id="list"><li data-id="ione">First</li><li data-id="itwo">Second</li></ul>'
TABLE = (
    '<table data-id="tabl"><tbody data-id="body"><tr data-id="rowa"><td data-id="cell">1</td>'
    '<td data-id="ceil">2</td></tr></tbody></table>'
)
Z = '<p data-id="zzzz">Last.</p>'
DOCUMENT = A + B + LIST + TABLE + Z
N = '<p data-id="new-element">New</p>'
GAP = "<!-- existing document -->"


def written(sent: str, text: str, grammar: Grammar, *, cut_off: bool = False) -> tuple[str, EditStream]:
    outcomes = []
    for pieces in ways_of_cutting(text):
        stream = EditStream(SentDocument(sent), grammar)
        outcomes.append(("".join([*map(stream.feed, pieces), stream.end(cut_off=cut_off)]), stream))
    assert len({out for out, _ in outcomes}) == 1, [out for out, _ in outcomes]
    return outcomes[0]


CHAT = {
    "an anchor that lost its attributes": (
        f'<p data-id="bbbb">One <a>two</a> three.</p>{N}',
        A + B + N + LIST + TABLE + Z,
    ),
    "an anchor with other white space": (
        f'<ul data-id="list">\n  <li data-id="ione">First</li>\n <li>Second</li></ul>{N}',
        A + B + LIST + N + TABLE + Z,
    ),
    "a changed element that lost its attributes": (
        '<p data-id="bbbb">Other</p>',
        A + '<p data-id="bbbb" class="x">Other</p>' + LIST + TABLE + Z,
    ),
    "an attribute taken away": (
        '<p data-id="bbbb" class="">Other</p>',
        A + '<p data-id="bbbb">Other</p>' + LIST + TABLE + Z,
    ),
    "an echo without an id": (f"<h1>Title</h1>{N}", A + N + B + LIST + TABLE + Z),
    "an unknown id after an anchor": (f'{A}<p data-id="nope">New</p>', A + N + B + LIST + TABLE + Z),
    "the removal first": (f'<!-- removed data-id="bbbb" -->{N}', A + '<p data-id="bbbb">New</p>' + LIST + TABLE + Z),
    "a removal between anchor and new": (
        f'{A}<!-- removed data-id="bbbb" -->{N}',
        A + '<p data-id="bbbb">New</p>' + LIST + TABLE + Z,
    ),
    "new in front of an anchor, without a gap": (N + Z, A + B + LIST + TABLE + N + Z),
    "new in front of a changed element": (
        f'{N}<p data-id="zzzz">Changed.</p>',
        A + B + LIST + TABLE + N + '<p data-id="zzzz">Changed.</p>',
    ),
    "new at the end": (GAP + N, DOCUMENT + N),
    "new between gaps": (GAP + N + GAP + A, DOCUMENT + N),
    "a paragraph after the last item": (f'<li data-id="itwo">Second</li>{N}', A + B + LIST + N + TABLE + Z),
    "a paragraph after another item": (
        f'<li data-id="ione">First</li>{N}',
        DOCUMENT.replace("First</li>", 'First</li><li data-id="new-element">New</li>'),
    ),
    "an item as a paragraph": ('<p data-id="ione">Changed</p>', DOCUMENT.replace("First", "Changed")),
    "a paragraph as an item": (
        '<li data-id="zzzz">Last!</li>',
        A + B + LIST + TABLE + '<ul data-id="zzzz"><li>Last!</li></ul>',
    ),
    "a cell": ('<td data-id="cell">9</td>', DOCUMENT.replace(">1<", ">9<")),
    "a row after a row": (
        '<tr data-id="rowa"><td data-id="cell">1</td><td data-id="ceil">2</td></tr>'
        '<tr data-id="new-element"><td>3</td><td>4</td></tr>',
        DOCUMENT.replace("</tr>", '</tr><tr data-id="new-element"><td>3</td><td>4</td></tr>'),
    ),
    "a removed row": (
        '<!-- removed data-id="rowa" -->',
        DOCUMENT.replace(TABLE, '<table data-id="tabl"><tbody data-id="body"></tbody></table>'),
    ),
    "a wrapper without a place": (
        f'<blockquote data-id="new-element">{Z}</blockquote>',
        A + B + LIST + TABLE + '<blockquote data-id="zzzz"><p>Last.</p></blockquote>',
    ),
    "one element in two": (
        '<p data-id="zzzz">Half of it.</p><p data-id="zzzz">Something else.</p>',
        A + B + LIST + TABLE + '<p data-id="zzzz">Half of it.</p><p data-id="new-element">Something else.</p>',
    ),
    "an item pulled out of its list": (
        '<ul data-id="list"><li data-id="ione">First</li></ul><p data-id="itwo">Second</p>',
        A + B + '<ul data-id="list"><li data-id="ione">First</li></ul><p data-id="new-element">Second</p>' + TABLE + Z,
    ),
    "an echo twice": (A + A + N, A + N + B + LIST + TABLE + Z),
    "a list in a paragraph": (
        '<p data-id="zzzz">Look:<ul><li>x</li></ul></p>',
        A + B + LIST + TABLE + '<p data-id="zzzz">Look:</p><ul data-id="new-element"><li>x</li></ul>',
    ),
    "a section in a paragraph": (
        '<p data-id="zzzz">Look:<section>x</section></p>',
        A + B + LIST + TABLE + '<p data-id="zzzz">Look:</p><section data-id="new-element">x</section>',
    ),
    "a forgotten end tag": (
        '<h1 data-id="aaaa">Changed\n<p data-id="zzzz">Last!</p>',
        DOCUMENT.replace("Title", "Changed\n").replace("Last.", "Last!"),
    ),
    "a placeholder that is no tag": (
        '<p data-id="zzzz">Dear <name>,</p>',
        DOCUMENT.replace("Last.", "Dear &lt;name&gt;,"),
    ),
    "an item in the wrong list": (
        '<p data-id="zzzz">x <img data-id="ione" src="/a.png"></p>',
        DOCUMENT.replace("Last.", 'x <img src="/a.png">'),
    ),
    "Markdown with a place": (
        f"{GAP}\n## Head\n\n- a\n- **b**\n",
        DOCUMENT + '<h2 data-id="new-element">Head</h2>'
        '<ul data-id="new-element"><li>a</li><li><strong>b</strong></li></ul>',
    ),
    "a page around": (f"<html><body><div>{A}{N}</div></body></html>", A + N + B + LIST + TABLE + Z),
}


@pytest.mark.parametrize("name", CHAT)
def test_a_broken_edit_of_a_chat_lands_where_it_was_meant(name: str) -> None:
    text, expected = CHAT[name]
    stream, edits = written(DOCUMENT, text, Grammar.CHAT)
    for rules in READINGS:
        assert merge_chat(DOCUMENT, stream, rules) == expected, (rules, stream)
    assert edits.complaint() is None
    assert edits.has_output


LOST = {
    "only an unknown id": ('<p data-id="nope">New</p>', "New"),
    "text without a place": ("A new sentence.", "A new sentence."),
    "an unknown removal": ('<!-- removed data-id="nope" -->', ""),
    "a changed element without its id": ("<p>One two three four.</p>", "One two three four."),
    "a revision of what was given": ('<p data-id="zzzz">Last, one.</p><p data-id="zzzz">Last, two.</p>', "Last, two."),
    "an ancestor after its part": (
        '<li data-id="ione">1st</li><ul data-id="list"><li data-id="ione">Other</li></ul>',
        "- Other",
    ),
    "changed and removed": ('<p data-id="zzzz">x</p><!-- removed data-id="zzzz" -->', ""),
}


@pytest.mark.parametrize("name", LOST)
def test_what_cannot_be_placed_is_not_sent_but_told(name: str) -> None:
    text, rejected = LOST[name]
    _, edits = written(
        f"{A}{B.replace('<a', '<i').replace('</a', '</i')}{LIST}{Z}",
        f"{A}{text}" if "<p>" in text else text,
        Grammar.CHAT,
    )
    assert edits.complaint() is not None
    assert edits.rejected_text() == rejected


REPLACEMENT = {
    "as told": (DOCUMENT, DOCUMENT),
    "ids left out": ("<h1>Titel</h1><p>Eins</p>", '<h1 data-id="aaaa">Titel</h1><p data-id="bbbb" class="x">Eins</p>'),
    "a gap": (f'<h1 data-id="aaaa">T</h1>{GAP}', DOCUMENT.replace("Title", "T")),
    "a gap in words": (f'<h1 data-id="aaaa">T</h1>\n[... rest unchanged ...]\n{Z}', DOCUMENT.replace("Title", "T")),
    "new after a gap": (f"{A}{GAP}{N}{Z}", A + B + LIST + TABLE + N + Z),
    "items without their list": (
        '<h1 data-id="aaaa">T</h1><li data-id="ione">1st</li><li data-id="itwo">2nd</li>',
        '<h1 data-id="aaaa">T</h1>' + LIST.replace("First", "1st").replace("Second", "2nd"),
    ),
    "cells without their table": (
        '<td data-id="cell">9</td><td data-id="ceil">8</td>',
        TABLE.replace("1", "9").replace("2", "8"),
    ),
    "out of order": (Z + A, Z + '<h1 data-id="new-element">Title</h1>'),
    "removed on purpose": (f'{A}<!-- removed data-id="bbbb" -->{Z}', A + Z),
    "a wrapper": (f"<div>{A}{Z}</div>", A + Z),
    "everything twice": (DOCUMENT + DOCUMENT, DOCUMENT),
}


@pytest.mark.parametrize("name", REPLACEMENT)
def test_a_broken_replacement_is_mended(name: str) -> None:
    text, expected = REPLACEMENT[name]
    stream, edits = written(DOCUMENT, f"Here you are:\n```html\n{text}\n```\nDone.", Grammar.REPLACEMENT)
    assert merge_replacement(DOCUMENT, stream) == expected, stream
    assert edits.complaint() is None


@pytest.mark.parametrize(
    ("sent", "text", "expected"),
    [
        (B, "Other words.", '<p data-id="bbbb" class="x">Other words.</p>'),
        (
            B,
            "One.\n\nTwo **bold**.",
            '<p data-id="bbbb" class="x">One.</p><p data-id="new-element">Two <strong>bold</strong>.</p>',
        ),
        (LIST, "- 1st\n- 2nd", LIST.replace("First", "1st").replace("Second", "2nd")),
        (A + Z, "Here is the text:\n\nTitel\n\nEnde.", A.replace("Title", "Titel") + Z.replace("Last", "Ende")),
        ("just text", "other text", '<p data-id="new-element">other text</p>just text'),
    ],
)
def test_plain_text_goes_into_the_elements_of_the_content(sent: str, text: str, expected: str) -> None:
    stream, _ = written(sent, text, Grammar.REPLACEMENT)
    assert merge_replacement(sent, stream) == expected


def test_plain_text_that_fits_nowhere_is_asked_for_again() -> None:
    stream, edits = written(DOCUMENT, "Something else altogether.", Grammar.REPLACEMENT)
    assert stream == ""
    assert edits.complaint() is not None
    assert edits.rejected_text() == "Something else altogether."


def test_a_replacement_that_breaks_off_loses_nothing() -> None:
    stream, edits = written(DOCUMENT, f'<h1 data-id="aaaa">T</h1>{B[:20]}', Grammar.REPLACEMENT, cut_off=True)
    assert merge_replacement(DOCUMENT, stream) == DOCUMENT.replace("Title", "T")
    assert edits.has_output
    stream, edits = written(DOCUMENT, "<h1 data-id=", Grammar.REPLACEMENT, cut_off=True)
    assert merge_replacement(DOCUMENT, stream) == DOCUMENT
    assert not edits.has_output


CONTINUATION = {
    "new": (N, DOCUMENT + N),
    "the whole content again": (DOCUMENT + N, DOCUMENT + N),
    "without ids": ("<h1>Title</h1><p>New</p>", DOCUMENT + N),
    "plain text": ("New\n\nMore", DOCUMENT + N + '<p data-id="new-element">More</p>'),
    "the last element, longer": ('<p data-id="zzzz">Last. And more.</p>', DOCUMENT.replace("Last.", "Last. And more.")),
    "the id of the last element for what follows": (
        '<p data-id="zzzz">And then it went on.</p>',
        DOCUMENT + '<p data-id="new-element">And then it went on.</p>',
    ),
    "markers": (f'{Z}{GAP}{N}<!-- removed data-id="aaaa" -->', DOCUMENT + N),
}


@pytest.mark.parametrize("name", CONTINUATION)
def test_a_continuation_only_adds(name: str) -> None:
    text, expected = CONTINUATION[name]
    stream, edits = written(DOCUMENT, text, Grammar.CONTINUATION)
    assert merge_continuation(DOCUMENT, stream) == expected, stream
    assert edits.complaint() is None


def test_a_continuation_that_changes_what_is_there_is_refused() -> None:
    stream, edits = written(DOCUMENT, '<p data-id="bbbb">One two three, four.</p>', Grammar.CONTINUATION)
    assert stream == ""
    assert "bbbb" in (edits.complaint() or "")


def test_items_go_on_the_list_that_the_content_ends_with() -> None:
    stream, _ = written(A + LIST, '<li data-id="new-element">Third</li><li>Fourth</li>', Grammar.CONTINUATION)
    more = '<li data-id="new-element">Third</li><li data-id="new-element">Fourth</li></ul>'
    assert merge_continuation(A + LIST, stream) == A + LIST.replace("</ul>", more)


def test_an_anchor_is_sent_to_the_letter() -> None:
    sent = "<p data-id='aaaa'  class=x>A&nbsp;b &amp; c<!-- mine --><br/></p><p data-id='bbbb'>x</p>"
    stream, _ = written(sent, '<p data-id="aaaa" class="x">A&#160;b &amp; c<br></p>' + N, Grammar.CHAT)
    assert stream == "<p data-id='aaaa'  class=x>A&nbsp;b &amp; c<!-- mine --><br/></p>" + N


def test_a_picture_that_was_not_shown_stays() -> None:
    sent = f'<p data-id="aaaa">See <img data-id="bbbb" src="data:image/png;base64,{"A" * 300}" alt="x"></p>'
    text = '<p data-id="aaaa">Look: <img data-id="bbbb" src="data:omitted;" alt="x"></p>'
    assert written(sent, text, Grammar.CHAT)[0] == sent.replace("See", "Look:")


def test_a_complaint_is_bounded() -> None:
    sent = "".join(f'<p data-id="p{number}">{number}</p>' for number in range(5000))
    text = "".join(f'<!-- removed data-id="n{number}" -->' for number in range(5000))
    stream = EditStream(SentDocument(sent), Grammar.CHAT)
    stream.feed(text)
    stream.end()
    assert len(stream.complaint() or "") < 2500
