"""Offsets into documents, counted as editors count them."""

import pytest

from penstock.editor.conversations.schemas import Range
from penstock.editor.conversations.selections import SelectionOutside
from penstock.editor.conversations.selections import selected as selected_at

DOCUMENT = '<p data-id="aaaa">Grüße 👋🏽 an alle</p>'


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def selected(content: str, ranges: list[Range], place: str) -> list[str]:
    return selected_at(content, ranges, [f"{place}.selection.{number}" for number in range(len(ranges))])


def around(passage: str) -> Range:
    start = units(DOCUMENT[: DOCUMENT.index(passage)])
    return Range(start=start, end=start + units(passage))


def test_t_14_a_selection_behind_an_emoji_is_exactly_what_was_selected() -> None:
    assert selected(DOCUMENT, [around("an alle")], "content.0") == ["an alle"]
    assert selected(DOCUMENT, [around("👋🏽"), around("Grüße")], "content.0") == ["👋🏽", "Grüße"]


def test_a_caret_selects_nothing_and_everything_may_be_selected() -> None:
    assert selected(DOCUMENT, [], "content.0") == selected(DOCUMENT, [Range(start=5, end=5)], "content.0") == []
    assert selected(DOCUMENT, [Range(start=0, end=units(DOCUMENT))], "content.0") == [DOCUMENT]


def test_half_a_character_is_taken_whole() -> None:
    wave = around("👋")
    inside = Range(start=wave.start + 1, end=wave.start + 1 + units("🏽"))
    assert selected(DOCUMENT, [inside], "content.0") == ["👋🏽"]


@pytest.mark.parametrize(("start", "end"), [(0, units(DOCUMENT) + 1), (10**9, 10**9), (9, 3)])
def test_a_selection_beyond_the_document_is_refused_by_its_place(start: int, end: int) -> None:
    with pytest.raises(SelectionOutside) as caught:
        selected(DOCUMENT, [Range(start=0, end=1), Range(start=start, end=end)], "content.2")
    assert caught.value.message.startswith("content.2.selection.1: the selection")
    assert str(units(DOCUMENT)) in (caught.value.explanation or "")


def test_passages_that_overlap_are_one_so_that_they_are_never_longer_than_the_document() -> None:
    ranges = [Range(start=20, end=25), Range(start=2, end=6), Range(start=4, end=8), Range(start=20, end=25)]
    ranges += [Range(start=8, end=9), Range(start=5, end=6)]
    assert selected(DOCUMENT, ranges, "content.0") == [DOCUMENT[20:25], DOCUMENT[2:8], DOCUMENT[8:9]]
    assert selected(DOCUMENT, [Range(start=0, end=units(DOCUMENT))] * 1000, "content.0") == [DOCUMENT]
