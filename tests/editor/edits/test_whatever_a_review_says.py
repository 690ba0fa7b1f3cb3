"""Whatever a model writes in a review, every element is answered once, and none is added, removed or moved."""

from random import Random

import pytest

from penstock.editor.edits.document import SentDocument
from penstock.editor.edits.reviewed import Reviewed, ReviewReader
from tests.fakes import edit_scripts
from tests.fakes.edit_grammar import ids_met_twice
from tests.fakes.editor_merge import merge_review
from tests.fakes.hostile_markup import active
from tests.fakes.markup import Element, parse
from tests.fakes.models_that_err import HARMLESS, garbled, pieces_of

_MEANT = sorted(set(HARMLESS) - {"spelt"})


def reviewed(sent: str, data_ids: list[str], text: str, seed: int = 0) -> list[Reviewed]:
    reader = ReviewReader(SentDocument(sent), data_ids)
    found = [one for piece in pieces_of(text, seed) for one in reader.feed(piece)]
    return [*found, *reader.end()]


def merged(sent: str, found: list[Reviewed]) -> str:
    return merge_review(sent, [(one.data_id, one.html) for one in found])


def _plain(html: str) -> str:
    """Whether comments within an element that has changed survive is the client's affair."""
    return parse(html).without_comments().canonical()


@pytest.mark.parametrize("seed", range(80))
def test_a_correct_review_leads_to_the_document_that_was_meant(seed: int) -> None:
    script = edit_scripts.review(seed)
    sent = script.document.inner()
    found = reviewed(sent, list(script.document.by_id()), script.written(), seed)
    assert _plain(merged(sent, found)) == _plain(script.expected.inner()), (script.written(), found)


@pytest.mark.parametrize("name", _MEANT)
def test_habits_of_models_that_leave_the_meaning_clear_change_nothing(name: str) -> None:
    for seed in range(1000, 1012):
        script = edit_scripts.review(seed)
        if not script.items:
            continue
        sent, text = script.document.inner(), HARMLESS[name](script, Random(seed))
        found = reviewed(sent, list(script.document.by_id()), text, seed)
        assert _plain(merged(sent, found)) == _plain(script.expected.inner()), (seed, text, found)


@pytest.mark.parametrize("seed", range(2000, 2120))
def test_whatever_is_written_every_element_is_answered_once_and_stays_where_it_is(seed: int) -> None:
    script = edit_scripts.review(seed)
    sent, every = script.document.inner(), list(script.document.by_id())
    names, text = garbled(script, seed)
    asked = every if seed % 3 else every[: len(every) // 2]
    found = reviewed(sent, asked, text, seed)
    assert sorted(one.data_id for one in found) == sorted(asked), (names, text)
    for one in found:
        assert one.html is None or _is_the_element(sent, one), (names, one)
        assert one.html is None or not active(one.html) - active(sent), (names, one)
    after = merged(sent, found)
    assert _places(after) == _places(sent), (names, text, found)
    assert ids_met_twice(after) == []


def _is_the_element(sent: str, one: Reviewed) -> bool:
    before = parse(sent).by_id()[one.data_id]
    (after,) = _answer(sent, one).children
    return isinstance(after, Element) and (after.tag, after.data_id) == (before.tag, before.data_id)


def _answer(sent: str, one: Reviewed) -> Element:
    """Read as the client does: where the element stands, so that a cell of a table is one."""
    parent = parse(sent).by_id()[one.data_id].parent
    return parse(one.html or "", within=parent.tag if parent is not None and parent.tag else "body")


def _places(html: str) -> list[tuple[str, str | None]]:
    """Of all elements that have an id, in their order."""
    return [(one.tag, one.data_id) for one in parse(html).elements() if one.data_id]


@pytest.mark.parametrize("seed", range(3000, 3020))
def test_a_review_that_is_cut_off_proposes_no_half_elements(seed: int) -> None:
    script = edit_scripts.review(seed)
    sent, text = script.document.inner(), script.written()
    meant = {_answer(sent, one).canonical() for one in reviewed(sent, list(script.document.by_id()), text)}
    for cut in range(0, len(text), max(1, len(text) // 12)):
        for one in reviewed(sent, list(script.document.by_id()), text[:cut], seed):
            assert one.html is None or _answer(sent, one).canonical() in meant, (text[:cut], one)


def test_nothing_written_is_an_answer_for_every_element() -> None:
    script = edit_scripts.review(1)
    every = list(script.document.by_id())
    assert reviewed(script.document.inner(), every, "") == [Reviewed(data_id, None) for data_id in every]
