"""Whatever a model writes as an edit, editors end with a valid document in which only what was edited has changed.

Documents, edits and errors are generated, the same ones every time; the seed in the name of a test finds them again.
"""

from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

import pytest

from penstock.editor.edits.document import SentDocument
from penstock.editor.edits.stream import EditStream, Grammar
from tests.fakes import documents, edit_scripts
from tests.fakes.edit_grammar import (
    ids_met_twice,
    named_by,
    named_in,
    offences_in_chat,
    offences_in_continuation,
    offences_in_replacement,
    rest_of,
)
from tests.fakes.edit_scripts import Script
from tests.fakes.editor_merge import (
    CKEDITOR,
    READINGS,
    TINYMCE,
    Rules,
    merge_chat,
    merge_chat_ckeditor,
    merge_continuation,
    merge_replacement,
)
from tests.fakes.hostile_markup import active
from tests.fakes.markup import parse
from tests.fakes.models_that_err import HARMLESS, garbled, pieces_of


class Edit(NamedTuple):
    """One grammar, with what asks for it and what is made of it."""

    grammar: Grammar
    script: Callable[[int], Script]
    merge: Callable[[str, str], str]
    offences: Callable[[str, str], list[str]]


CHAT = Edit(Grammar.CHAT, edit_scripts.chat, merge_chat, offences_in_chat)
REPLACEMENT = Edit(Grammar.REPLACEMENT, edit_scripts.replacement, merge_replacement, offences_in_replacement)
CONTINUATION = Edit(Grammar.CONTINUATION, edit_scripts.continuation, merge_continuation, offences_in_continuation)
ACTIONS = [pytest.param(REPLACEMENT, id="replacement"), pytest.param(CONTINUATION, id="continuation")]
EDITS = [pytest.param(CHAT, id="chat"), *ACTIONS]


def edited(sent: str, edit: Edit, text: str, seed: int = 0, cut_off: bool = False) -> str:
    """What is sent to the editor when the text comes in pieces of any size."""
    stream = EditStream(SentDocument(sent), edit.grammar)
    return "".join([*(stream.feed(piece) for piece in pieces_of(text, seed)), stream.end(cut_off=cut_off)])


def canonical(html: str) -> str:
    return parse(html).canonical()


@pytest.mark.parametrize("seed", range(120))
@pytest.mark.parametrize("edit", EDITS)
def test_a_correct_edit_leads_to_the_document_that_was_meant(edit: Edit, seed: int) -> None:
    script = edit.script(seed)
    sent, text = documents.written(script.document, seed), script.written()
    stream = edited(sent, edit, text, seed)
    assert edit.offences(sent, stream) == []
    merges = [edit.merge] if edit is not CHAT else [_reading(rules) for rules in READINGS]
    for merge in merges:
        assert canonical(merge(sent, stream)) == script.expected.canonical(), (script.goals, text, stream)


def _reading(rules: Rules) -> Callable[[str, str], str]:
    return lambda sent, stream: merge_chat(sent, stream, rules)


@pytest.mark.parametrize("name", HARMLESS)
@pytest.mark.parametrize("edit", EDITS)
def test_habits_of_models_that_leave_the_meaning_clear_change_nothing(edit: Edit, name: str) -> None:
    for seed in range(1000, 1016):
        script = edit.script(seed)
        sent, text = documents.written(script.document, seed), HARMLESS[name](script, Random(seed))
        stream = edited(sent, edit, text, seed)
        assert edit.offences(sent, stream) == [], (seed, text, stream)
        for merge in (edit.merge, merge_chat_ckeditor) if edit is CHAT else (edit.merge,):
            assert canonical(merge(sent, stream)) == script.expected.canonical(), (seed, script.goals, text, stream)


@pytest.mark.parametrize("seed", range(2000, 2240))
def test_whatever_is_written_in_a_chat_changes_nothing_but_what_it_names(seed: int) -> None:
    script = edit_scripts.chat(seed)
    sent = documents.written(script.document, seed)
    names, text = garbled(script, seed)
    stream = edited(sent, CHAT, text, seed, cut_off=seed % 2 == 0)
    assert offences_in_chat(sent, stream) == [], (names, text, stream)
    for merge in (merge_chat, merge_chat_ckeditor):
        merged = merge(sent, stream)
        named, meant = named_by(stream), named_in(text + script.written(), sent)
        assert rest_of(merged, named) == rest_of(sent, named), (names, text, stream)
        assert rest_of(merged, meant, comments=False) == rest_of(sent, meant, comments=False), (names, text, stream)
        assert_valid(sent, merged, stream)


@pytest.mark.parametrize("seed", range(3000, 3100))
@pytest.mark.parametrize("edit", ACTIONS)
def test_whatever_is_written_in_an_action_is_valid(edit: Edit, seed: int) -> None:
    script = edit.script(seed)
    sent = documents.written(script.document, seed)
    names, text = garbled(script, seed)
    stream = edited(sent, edit, text, seed, cut_off=seed % 2 == 0)
    assert edit.offences(sent, stream) == [], (names, text, stream)
    assert_valid(sent, edit.merge(sent, stream), stream)


def assert_valid(sent: str, merged: str, stream: str) -> None:
    assert canonical(parse(merged).inner()) == canonical(merged), stream
    assert ids_met_twice(merged) == [], stream
    for html in (merged, stream):
        assert active(html) - active(sent) == {}, stream


@pytest.mark.parametrize("seed", range(4000, 4040))
def test_an_answer_that_is_cut_off_applies_whole_elements_or_nothing(seed: int) -> None:
    script = edit_scripts.chat(seed)
    sent, pieces = documents.written(script.document, seed), script.pieces()
    whole = {canonical(merge_chat(sent, "\n".join(pieces[:count]))) for count in range(len(pieces) + 1)}
    for text in _cuts(script.written(), seed):
        stream = edited(sent, CHAT, text, seed, cut_off=True)
        assert canonical(merge_chat(sent, stream)) in whole, (text, stream)


@pytest.mark.parametrize("seed", range(4100, 4130))
def test_a_replacement_that_is_cut_off_loses_nothing_of_what_was_not_reached(seed: int) -> None:
    script = edit_scripts.replacement(seed)
    sent = documents.written(script.document, seed)
    whole = {canonical(merge_replacement(sent, stream)) for stream in _continued_by_the_rest(script)}
    for text in _cuts(script.written(), seed):
        stream = edited(sent, REPLACEMENT, text, seed, cut_off=True)
        assert canonical(merge_replacement(sent, stream)) in whole, (text, stream)


def _continued_by_the_rest(script: Script) -> Iterator[str]:
    """What may come of a replacement that ends after any of its elements: what follows in the content is kept."""
    tops = script.document.tops()
    order = [one.data_id for one in tops]
    pieces = script.pieces()
    for count in range(len(pieces) + 1):
        reached = [order.index(one.data_id) for one in parse("".join(pieces[:count])).tops() if one.data_id in order]
        rest = tops[max(reached, default=-1) + 1 :]
        yield "".join([*pieces[:count], *(one.outer() for one in rest)])


@pytest.mark.parametrize("seed", range(4200, 4230))
def test_a_continuation_that_is_cut_off_keeps_everything_and_adds_whole_elements(seed: int) -> None:
    script = edit_scripts.continuation(seed)
    sent, pieces = documents.written(script.document, seed), script.pieces()
    whole = {canonical(merge_continuation(sent, "\n".join(pieces[:count]))) for count in range(len(pieces) + 1)}
    for text in _cuts(script.written(), seed):
        stream = edited(sent, CONTINUATION, text, seed, cut_off=True)
        assert canonical(merge_continuation(sent, stream)) in whole, (text, stream)


def _cuts(text: str, seed: int) -> list[str]:
    return [text[: Random(seed + one).randrange(len(text) + 1)] for one in range(8)]


@pytest.mark.parametrize("seed", range(5000, 5030))
@pytest.mark.parametrize("edit", EDITS)
def test_where_a_text_is_cut_into_pieces_makes_no_difference(edit: Edit, seed: int) -> None:
    script = edit.script(seed)
    sent = documents.written(script.document, seed)
    _, text = garbled(script, seed)
    assert len({edited(sent, edit, text, other) for other in range(seed, seed + 4)}) == 1


@pytest.mark.parametrize("edit", EDITS)
def test_repeating_the_document_changes_nothing(edit: Edit) -> None:
    for seed in range(6000, 6020):
        sent = documents.written(documents.document(seed), seed)
        stream = edited(sent, edit, sent, seed)
        assert canonical(edit.merge(sent, stream)) == canonical(sent), stream


LONG = {
    "one line of a megabyte": '<p data-id="new-element">' + "x" * 1_000_000 + "</p>",
    "a megabyte of prose": "word " * 200_000,
    "tags that never end": "<b><i>" * 5_000,
    "blocks that never end": '<div data-id="new-element">' * 5_000,
    "tags that never began": "</div>" * 20_000,
    "angles": "<" * 50_000,
    "a tag that never closes": "<p " + "a=1 " * 100_000,
    "a value that never closes": '<p title="' + "a" * 1_000_000,
    "a comment that never closes": "<!-- " + "-" * 500_000,
    "comments": "<!-- existing document -->" * 20_000,
    "many elements": '<p data-id="new-element">x</p>' * 4_000,
    "fences": "```html\n" * 10_000,
    "references": "&amp" * 200_000,
    "links in links": "<a href=x>" * 5_000,
    "tables in tables": "<table><tr><td>" * 2_000,
}


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("edit", EDITS)
def test_text_without_measure_is_read_in_the_size_of_the_text(edit: Edit, name: str) -> None:
    sent = documents.large(1, 3).inner()
    stream = EditStream(SentDocument(sent), edit.grammar)
    text = LONG[name]
    pieces = [stream.feed(text[at : at + 1000]) for at in range(0, len(text), 1000)]
    found = "".join([*pieces, stream.end(cut_off=True)])
    assert len(found) <= 3 * len(text) + 2 * len(sent)


@pytest.mark.parametrize("edit", EDITS)
def test_documents_with_thousands_of_ids_and_deep_ones_are_edited_like_others(edit: Edit) -> None:
    for root in (documents.large(3, 700), documents.deep(3, 100)):
        make = {CHAT: edit_scripts.chat, REPLACEMENT: edit_scripts.replacement, CONTINUATION: edit_scripts.continuation}
        script = make[edit](3, root)
        sent = documents.written(root, 3)
        stream = edited(sent, edit, script.written(), 0)
        assert edit.offences(sent, stream) == []
        assert canonical(edit.merge(sent, stream)) == script.expected.canonical()


def test_both_editors_are_asked() -> None:
    assert READINGS[0] is TINYMCE
    assert CKEDITOR in READINGS
