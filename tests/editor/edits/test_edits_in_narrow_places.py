"""Edits whose element is right and whose place is not: the document around them stays whole."""

import pytest

from penstock.editor.edits.document import SentDocument
from penstock.editor.edits.stream import EditStream, Grammar
from tests.fakes.edit_grammar import ids_met_twice, offences_in_chat, offences_in_replacement
from tests.fakes.editor_merge import merge_chat, merge_chat_ckeditor, merge_replacement
from tests.fakes.markup import parse

A, Z = '<p data-id="aaaa">A</p>', '<p data-id="zzzz">Z</p>'
FIGURE = '<figure data-id="figu"><img data-id="imag" src="/x"><figcaption data-id="capt">C</figcaption></figure>'
PICTURE = '<img data-id="imag" src="/x">'
IN_LINES = {
    "a paragraph": f'<p data-id="aaaa">x {PICTURE} y</p>',
    "a link": f'<p data-id="aaaa">x <a href="/y">{PICTURE}</a> y</p>',
    "bold words": f'<h2 data-id="aaaa">x <strong>{PICTURE}</strong> y</h2>',
    "a link in a list": f'<ul data-id="list"><li data-id="item"><p><a href="/y">{PICTURE}</a></p></li></ul>',
    "a caption": f'<figure data-id="figu"><figcaption data-id="aaaa">{PICTURE}</figcaption></figure>',
    "a cell": f'<table data-id="tabl"><tbody><tr><td data-id="cell"><p>{PICTURE}</p></td></tr></tbody></table>',
}
BLOCKS = ('<h1 data-id="imag">new</h1>', '<p data-id="imag">new</p>', '<ul data-id="imag"><li>new</li></ul>')


def edited(sent: str, text: str, grammar: Grammar = Grammar.CHAT) -> str:
    stream = EditStream(SentDocument(sent), grammar)
    return stream.feed(text) + stream.end()


def is_as_written(html: str) -> bool:
    """Whether the tree survives being written out and read again."""
    return parse(parse(html).inner()).canonical() == parse(html).canonical()


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("sent", IN_LINES.values(), ids=IN_LINES)
def test_a_picture_that_becomes_a_block_does_not_split_the_line_it_stands_in(sent: str, block: str) -> None:
    sent += Z
    stream = edited(sent, block)
    assert offences_in_chat(sent, stream) == [], stream
    for merge in (merge_chat, merge_chat_ckeditor):
        merged = merge(sent, stream)
        assert parse(merged).by_id().keys() <= parse(sent).by_id().keys(), merged
        assert len(parse(merged).tops()) == 2, merged


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("sent", IN_LINES.values(), ids=IN_LINES)
def test_nor_does_it_in_an_action(sent: str, block: str) -> None:
    sent += Z
    stream = edited(sent, block + Z, Grammar.REPLACEMENT)
    assert offences_in_replacement(sent, stream) == [], stream
    assert len(parse(merge_replacement(sent, stream)).tops()) == 2, stream


@pytest.mark.parametrize("tag", ["figure", "div", "section"])
def test_what_takes_the_place_of_a_removed_element_does_not_double_what_it_takes_along(tag: str) -> None:
    sent = A + f'<div data-id="bbbb">{FIGURE}</div>' + Z
    new = f'<{tag} data-id="new-element"><img src="/y"><figcaption data-id="capt">C</figcaption></{tag}>'
    for rest in ("", Z, f'<div data-id="bbbb">{FIGURE}</div>'):
        stream = edited(sent, '<!-- removed data-id="aaaa" -->\n' + new + rest)
        for merge in (merge_chat, merge_chat_ckeditor):
            merged = merge(sent, stream)
            assert ids_met_twice(merged) == [], (rest, stream)
            assert is_as_written(merged)


@pytest.mark.parametrize("start", ["<div>", '<div data-id="unkn">'])
def test_what_is_embedded_survives_a_forgotten_id(start: str) -> None:
    embedded = '<iframe src="https://video.example/1" allowfullscreen=""></iframe></div>'
    sent = A + '<div data-id="bbbb">' + embedded
    merged = merge_replacement(sent, edited(sent, A.replace(">A<", ">B<") + start + embedded, Grammar.REPLACEMENT))
    assert "iframe" in merged
