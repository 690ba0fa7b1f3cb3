"""One piece of a review: the model is asked, and its answer is read element by element."""

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing

import msgspec

from penstock.editor.calls.asking import Asking
from penstock.editor.calls.errors import NothingUsable
from penstock.editor.edits.document import SentDocument
from penstock.editor.edits.reviewed import Reviewed, ReviewReader
from penstock.editor.reviews.plan import Piece, Unit
from penstock.telemetry.logs import log
from penstock.telemetry.meters import EDIT_REPAIRS

_MOST_REPAIRS = 20

Ask = Callable[[Piece], Asking]


class Answers(msgspec.Struct, frozen=True):
    """What became known at once; nothing yet when the model has only begun to speak."""

    elements: Sequence[Reviewed] = ()


async def answers_of(piece: Piece, document: SentDocument, ask: Ask) -> AsyncGenerator[Answers, None]:
    """Every id of the piece exactly once. Raises what inference raises, and NothingUsable.

    When the model comes to the limit of its length, it is asked again for the elements that are left.
    """
    left = list(piece.units)
    while left:
        asking = ask(msgspec.structs.replace(piece, units=left))
        reader = _PieceReader(document, left)
        async with aclosing(asking.texts()) as texts:
            async for text in texts:
                yield Answers(reader.feed(text))
        if asking.finish == "content_filter" or not reader.has_text:
            raise NothingUsable(asking.finish)
        if asking.finish != "length":
            yield Answers(reader.end())
            return
        if len(reader.left) == len(left):
            raise NothingUsable("length")
        left = reader.left


class _PieceReader:
    """Gives answers in the order of the document: what the model has passed over needs no change."""

    def __init__(self, document: SentDocument, units: Sequence[Unit]) -> None:
        self._units = {unit.data_id: unit for unit in units}
        self._reader = ReviewReader(document, list(self._units))
        self.has_text = False

    @property
    def left(self) -> list[Unit]:
        return list(self._units.values())

    def feed(self, text: str) -> Sequence[Reviewed]:
        self.has_text = self.has_text or bool(text.strip())
        return list(self._in_order(self._reader.feed(text)))

    def end(self) -> Sequence[Reviewed]:
        last = list(self._in_order(self._reader.end()))
        if self._reader.repairs:
            EDIT_REPAIRS.add("review")
            log.info("the model's answer to a review was repaired", repairs=list(self._reader.repairs[:_MOST_REPAIRS]))
        return last

    def _in_order(self, found: Iterable[Reviewed]) -> Iterator[Reviewed]:
        for one in found:
            if one.data_id not in self._units:
                continue
            for unit in self.left:
                del self._units[unit.data_id]
                is_meant = unit.data_id == one.data_id
                yield Reviewed(unit.data_id, one.html if is_meant and not _loses_alt(unit, one.html) else None)
                yield from (Reviewed(rider, None) for rider in unit.riders)
                if is_meant:
                    break


def _loses_alt(unit: Unit, html: str | None) -> bool:
    return unit.is_image and html is not None and 'alt=""' in html
