"""One piece of a review: the model is asked, and its answer is read element by element."""

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing

import msgspec

from penstock.editor.calls.asking import Asking
from penstock.editor.calls.errors import NothingUsable
from penstock.editor.edits.document import SentDocument
from penstock.editor.edits.reviewed import Reviewed, ReviewReader
from penstock.editor.edits.tree import Element, parsed, written
from penstock.editor.reviews.plan import Piece, Unit
from penstock.telemetry.logs import log

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
    def __init__(self, document: SentDocument, units: Sequence[Unit]) -> None:
        self._document = document
        self._units = {unit.data_id: unit for unit in units}
        self._reader = ReviewReader(document, list(self._units))
        self.has_text = False

    @property
    def left(self) -> list[Unit]:
        return list(self._units.values())

    def feed(self, text: str) -> Sequence[Reviewed]:
        self.has_text = self.has_text or bool(text.strip())
        return list(self._checked(self._reader.feed(text)))

    def end(self) -> Sequence[Reviewed]:
        """What the model passed over needs no change."""
        last = list(self._checked(self._reader.end()))
        return [*last, *self._checked(Reviewed(unit.data_id, None) for unit in self.left)]

    def _checked(self, found: Iterable[Reviewed]) -> Iterator[Reviewed]:
        for one in found:
            unit = self._units.pop(one.data_id, None)
            if unit is not None:
                yield Reviewed(unit.data_id, self._edit(unit, one.html) if one.html is not None else None)
                yield from (Reviewed(rider, None) for rider in unit.riders)

    def _edit(self, unit: Unit, html: str) -> str | None:
        if unit.is_image:
            return self._with_alt(unit, html)
        if unit.riders and list(SentDocument(html).ids) != [unit.data_id, *unit.riders]:
            log.info("an edit that would add, drop or move elements is left out", dataId=unit.data_id)
            return None
        return html

    def _with_alt(self, unit: Unit, html: str) -> str | None:
        """The user's image with the alternative text of the edit, None if that is the same."""
        alt = next((one.attributes.get("alt") for one in parsed(html) if isinstance(one, Element)), None)
        if alt is None or alt == unit.text:
            return None
        image = self._document.tree(unit.data_id).copy()
        image.attributes["alt"] = alt
        return written(image)
