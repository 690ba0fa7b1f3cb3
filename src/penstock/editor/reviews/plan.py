"""What of a document is given to the model, and in which pieces. Pure.

An element that has text of its own is a unit: the model reviews it as a whole. Elements inside it ride along: an edit
of the unit holds them, so that two edits never fight over the same text, and they are answered `unmodified`. An element
all of whose text stands in elements with ids of their own is settled without asking. Units are put into pieces that are
reviewed side by side; the first one is small, so that the first answer comes soon.
"""

import html
from collections.abc import Iterator, Sequence

import msgspec

from penstock.editor.calls.stash import Stash
from penstock.editor.edits.document import SentDocument
from penstock.editor.reviews.outline import Element, outline

FIRST_PIECE_CHARS = 1_200
PIECE_CHARS = 5_000
_NEIGHBOUR_CHARS = 400


class Unit(msgspec.Struct, frozen=True):
    """`html` is what the model sees, `riders` are the ids inside the element. `is_image`: only its `alt` counts."""

    data_id: str
    html: str
    text: str
    riders: Sequence[str] = ()
    is_image: bool = False


class Piece(msgspec.Struct, frozen=True):
    """`before` and `after` are the texts of its neighbours, to be read and not to be reviewed."""

    units: Sequence[Unit]
    before: str
    after: str


class Plan(msgspec.Struct, frozen=True):
    """Every id of the document is in `settled`, or is a unit or a rider of exactly one piece."""

    total: int
    settled: Sequence[str]
    pieces: Sequence[Piece]


def planned(document: SentDocument, stash: Stash, *, reads_alt: bool) -> Plan:
    ids = dict.fromkeys(document.ids)
    units: list[Unit] = []
    waiting = list(outline(document.content))[::-1]
    while waiting:
        element = waiting.pop()
        unit = _unit(element, document, stash, reads_alt)
        if unit is None:
            waiting += element.children[::-1]
        else:
            units.append(unit)
    asked = {one for unit in units for one in (unit.data_id, *unit.riders)}
    return Plan(len(ids), [one for one in ids if one not in asked], list(_pieces(units)))


def _unit(element: Element, document: SentDocument, stash: Stash, reads_alt: bool) -> Unit | None:
    """None: there is nothing to review in it beyond what its children hold."""
    outer = document.outer(element.data_id) if element.tag == "img" or element.has_own_text else None
    if outer is None:
        return None
    if element.tag == "img":
        return _image(element) if reads_alt and element.alt.strip() else None
    shown = stash.hidden(outer)
    if element.children and len(shown) > PIECE_CHARS:
        return None  # a container with a few loose words: what stands in it is worth more
    return Unit(element.data_id, shown, element.text(), [one.data_id for one in element.inside()])


def _image(element: Element) -> Unit:
    """Without its address, which may be a whole file."""
    shown = f'<img data-id="{html.escape(element.data_id)}" alt="{html.escape(element.alt)}">'
    return Unit(element.data_id, shown, element.alt, is_image=True)


def _pieces(units: Sequence[Unit]) -> Iterator[Piece]:
    start, limit = 0, FIRST_PIECE_CHARS
    while start < len(units):
        end = _end(units, start, limit)
        before = units[start - 1].text[-_NEIGHBOUR_CHARS:] if start else ""
        after = units[end].text[:_NEIGHBOUR_CHARS] if end < len(units) else ""
        yield Piece(units[start:end], before, after)
        start, limit = end, PIECE_CHARS


def _end(units: Sequence[Unit], start: int, limit: int) -> int:
    """As many as fit, and at least one."""
    size = 0
    for place in range(start, len(units)):
        size += len(units[place].html)
        if size > limit and place > start:
            return place
    return len(units)
