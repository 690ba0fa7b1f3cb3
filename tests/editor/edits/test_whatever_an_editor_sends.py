"""Documents that no editor should send are edited without harm all the same, and what users have in them stays."""

from collections.abc import Callable

import pytest

from penstock.editor.edits.document import SentDocument
from penstock.editor.edits.stream import EditStream, Grammar
from tests.fakes.edit_grammar import ids_met_twice, rest_of
from tests.fakes.editor_merge import merge_chat, merge_chat_ckeditor, merge_continuation, merge_replacement
from tests.fakes.hostile_markup import active
from tests.fakes.markup import parse

ODD = {
    "nothing": "",
    "white space": " \n\t ",
    "text alone": "just words & more",
    "no ids": "<p>one</p><p>two</p>",
    "some ids": '<p>one</p><p data-id="bbbb">two</p>loose<p>three</p>',
    "ids in single quotes": "<p data-id='aaaa'>one</p><p data-id=bbbb>two</p>",
    "capitals": '<P DATA-ID="aaaa">one</P><UL DATA-ID="list"><LI DATA-ID="bbbb">two</LI></UL>',
    "end tags left out": '<ul data-id="list"><li data-id="aaaa">one<li data-id="bbbb">two</ul><p data-id="cccc">three',
    "an id twice": '<p data-id="aaaa">one</p><p data-id="bbbb">two</p><p data-id="bbbb">three</p>',
    "an empty id": '<p data-id="">one</p><p data-id="bbbb">two</p>',
    "the id of new elements": '<p data-id="new-element">one</p><p data-id="bbbb">two</p>',
    "an id with marks": '<p data-id="a&quot;b&lt;c">one</p><p data-id="bbbb">two</p>',
    "an id in a text": '<p data-id="aaaa">data-id="bbbb"</p><p data-id="bbbb">two</p>',
    "misnested": '<p data-id="aaaa"><b><i>one</b></i></p><p data-id="bbbb">two</p>',
    "fostered": '<table data-id="tabl"><p data-id="aaaa">one</p><tr><td data-id="bbbb">two</td></tr></table>',
    "an open comment": '<p data-id="aaaa">one</p><p data-id="bbbb">two</p><!-- never closed <p data-id="cccc">x</p>',
    "an open tag": '<p data-id="aaaa">one</p><p data-id="bbbb">two</p><p data-id="cc',
    "comments like ours": '<!-- existing document --><p data-id="bbbb">two</p><!-- removed data-id="bbbb" -->',
    "a page": '<!doctype html><html><head><title>t</title></head><body><p data-id="bbbb">two</p></body></html>',
    "nul": '<p data-id="aaaa">o\0ne</p><p data-id="bbbb">two</p>',
    "drawings": '<p data-id="aaaa"><svg viewBox="0 0 1 1"><path d="M0"/></svg></p><p data-id="bbbb">two</p>',
    "templates": '<template data-id="aaaa"><p data-id="xxxx">one</p></template><p data-id="bbbb">two</p>',
    "raw text": '<textarea data-id="aaaa"><p data-id="xxxx"></textarea><p data-id="bbbb">two</p>',
    "a form": '<form data-id="aaaa"><input value="1"><select><option>x</option></select></form><p data-id="bbbb">2</p>',
}

OWN = (
    '<p data-id="aaaa" onclick="mine()">one</p>',
    '<div data-id="aaaa"><script>mine()</script></div>',
    '<div data-id="aaaa"><style>p { color: red }</style></div>',
    '<p data-id="aaaa"><a href="javascript:mine()">one</a></p>',
    '<div data-id="aaaa"><iframe srcdoc="&lt;p&gt;mine&lt;/p&gt;"></iframe></div>',
    '<div data-id="aaaa"><object data="/x.swf"><param name="a" value="b"></object></div>',
    '<p data-id="aaaa"><svg onload="mine()"><script>1</script></svg></p>',
)
"""What runs in a document already is its owner's affair."""

TEXTS = (
    '<p data-id="bbbb">changed</p>',
    '<p data-id="bbbb">two</p>\n<p data-id="new-element">new</p>',
    '<!-- existing document -->\n<p data-id="new-element">new</p>',
    '<p data-id="new-element">new</p>\n<!-- existing document -->',
    '<!-- removed data-id="bbbb" -->',
    "no edit at all",
    "",
)


def edited(sent: str, text: str, grammar: Grammar = Grammar.CHAT) -> str:
    stream = EditStream(SentDocument(sent), grammar)
    return "".join([*(stream.feed(letter) for letter in text), stream.end()])


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("sent", ODD.values(), ids=ODD)
def test_nothing_but_what_is_named_changes_in_a_document_that_is_odd(sent: str, text: str) -> None:
    stream = edited(sent, text)
    for merge in (merge_chat, merge_chat_ckeditor):
        merged = merge(sent, stream)
        assert rest_of(merged, {"bbbb"}) == rest_of(sent, {"bbbb"}), stream
        assert ids_met_twice(merged) in ([], ids_met_twice(sent)), stream


@pytest.mark.parametrize("edit", [(Grammar.REPLACEMENT, merge_replacement), (Grammar.CONTINUATION, merge_continuation)])
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("sent", ODD.values(), ids=ODD)
def test_an_odd_document_never_makes_an_action_fail(
    sent: str, text: str, edit: tuple[Grammar, Callable[[str, str], str]]
) -> None:
    grammar, merge = edit
    merged = merge(sent, edited(sent, text, grammar))
    assert ids_met_twice(merged) in ([], ids_met_twice(sent))
    assert active(merged) - active(sent) == {}


@pytest.mark.parametrize("own", OWN)
def test_what_runs_in_a_document_stays_where_the_edit_is_elsewhere(own: str) -> None:
    sent = own + '<p data-id="bbbb">two</p>'
    assert merge_chat(sent, edited(sent, TEXTS[0])) == own + TEXTS[0]
    after = edited(sent, own + "\n" + '<p data-id="new-element">new</p>')
    assert merge_chat(sent, after).startswith(own)
    replaced = edited(sent, own + TEXTS[0], Grammar.REPLACEMENT)
    assert parse(merge_replacement(sent, replaced)).canonical() == parse(own + TEXTS[0]).canonical()


@pytest.mark.parametrize("own", OWN)
def test_nothing_runs_that_did_not_run_before_when_a_model_copies_it(own: str) -> None:
    sent = own + '<p data-id="bbbb">two</p>'
    for text in (own.replace("aaaa", "new-element"), own.replace("aaaa", "bbbb")):
        merged = merge_chat(sent, edited(sent, "<!-- existing document -->" + text))
        assert set(active(merged)) <= set(active(sent)), merged
