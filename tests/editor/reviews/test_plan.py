"""What of a document is reviewed, and in which pieces."""

from random import Random

import pytest

from penstock.editor.calls.stash import Restoring, Stash
from penstock.editor.edits.document import SentDocument
from penstock.editor.reviews.plan import FIRST_PIECE_CHARS, PIECE_CHARS, Plan, planned
from tests.fakes import documents


def plan(content: str) -> Plan:
    return planned(SentDocument(content), Stash(), reads_alt=True)


def ids_of(found: Plan) -> list[str]:
    asked = [one for piece in found.pieces for unit in piece.units for one in (unit.data_id, *unit.riders)]
    return [*found.settled, *asked]


@pytest.mark.parametrize("seed", range(40))
def test_every_id_of_a_document_is_asked_for_or_settled_once(seed: int) -> None:
    root = documents.review(seed)
    content = documents.written(root, seed)
    found = plan(content)
    assert sorted(ids_of(found)) == sorted(root.by_id())
    assert found.total == len(root.by_id())


def test_the_first_piece_is_small_and_the_others_are_bounded() -> None:
    found = plan("".join(f'<p data-id="p{number}">{"word " * 40}</p>' for number in range(200)))
    sizes = [sum(len(unit.html) for unit in piece.units) for piece in found.pieces]
    assert sizes[0] <= FIRST_PIECE_CHARS
    assert max(sizes) <= PIECE_CHARS
    assert min(sizes[1:-1]) > PIECE_CHARS / 2


def test_an_element_larger_than_a_piece_is_a_piece() -> None:
    found = plan(f'<p data-id="big">{"word " * 5000}</p><p data-id="small">word</p>')
    assert [[unit.data_id for unit in piece.units] for piece in found.pieces] == [["big"], ["small"]]


def test_a_large_container_with_loose_words_is_reviewed_by_its_parts() -> None:
    parts = "".join(f'<p data-id="p{number}">{"word " * 40}</p>' for number in range(100))
    found = plan(f'<div data-id="all">Loose words. {parts}</div>')
    assert found.settled == ["all"]
    assert len(ids_of(found)) == 101


@pytest.mark.parametrize(
    "content",
    [
        "",
        "text",
        "<",
        "<p data-id>",
        '<p data-id="">x',
        '<p data-id="a">x',
        '<td data-id="a">loose</td>',
        '<p data-id="a"><p data-id="b">x</p></p>',
        '<select data-id="a"><option data-id="b">x',
        '<svg data-id="a"><text data-id="b">x</text></svg>',
        '<p data-id="a&amp;b">x</p>',
        '<!-- <p data-id="a">x</p> -->',
        '<script data-id="a">"<p data-id=b>"</script>',
        "<div data-id='d'>" * 5000 + "x",
        '<p data-id="a">\ufffe\u0085</p>',
    ],
)
def test_whatever_is_sent_every_id_that_is_counted_is_answered_for(content: str) -> None:
    found = plan(content)
    assert sorted(ids_of(found)) == sorted(SentDocument(content).ids)


# --- files in the content --------------------------------------------------------------------------------------------


FILE = "data:image/png;base64," + "iVBORw0KGgo" * 100


def test_files_are_kept_back_and_put_in_again_however_the_answer_is_cut() -> None:
    stash = Stash()
    html = f'<img src="{FILE}"><img src="{FILE}x"><img src="data:image/gif;base64,R0lGOD"><img src="{FILE}">'
    shown = stash.hidden(html)
    assert len(shown) < 200
    assert stash.restored(shown) == html
    for seed in range(50):
        random, restoring, text, pieces = Random(seed), Restoring(stash), shown + "data:,file-99; d da data:,", []
        while text:
            size = random.randrange(1, 9)
            pieces.append(restoring.feed(text[:size]))
            text = text[size:]
        assert "".join([*pieces, restoring.end()]) == html + "data:,file-99; d da data:,"


def test_without_files_nothing_is_held_back() -> None:
    restoring = Restoring(Stash())
    assert restoring.feed("The end") == "The end"
    assert restoring.feed("data:,file-") == "data:,file-"
