"""What a model proposes in a review, element by element (`spec/editor-api.md` 7.4, 8.5)."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from penstock.editor.edits.document import Entry, SentDocument
from penstock.editor.edits.elements import BLOCKS, INLINE, LINE_HOLDERS
from penstock.editor.edits.mending import Mender
from penstock.editor.edits.nodes import NodeReader, RawElement, RawNode
from penstock.editor.edits.tree import Element, written

_ENDS: Final = ".!?…)]”»。！？"


class Reviewed(msgspec.Struct, frozen=True):
    """`html` is the whole new outer HTML of the element; None: it needs no change."""

    data_id: str
    html: str | None


class ReviewReader:
    """Reads one review call over some elements. Every one of them is given exactly once.

    Elements are never added, removed or moved, and keep their tags: a proposal that would do so counts as none.
    """

    def __init__(self, document: SentDocument, data_ids: Sequence[str]) -> None:
        self.repairs: list[str] = []
        self._document = document
        self._left = dict.fromkeys(data_ids)
        self._reader = NodeReader(document)
        self._mender = Mender(document, self.repairs)

    def feed(self, text: str) -> Sequence[Reviewed]:
        return [found for node in self._reader.feed(text) for found in self._take(node)]

    def end(self) -> Sequence[Reviewed]:
        """An element that the model left open is taken if it lacks nothing but its end; the missing need no change."""
        last = [found for node in self._reader.end() for found in self._take(node)]
        missing = [Reviewed(data_id, None) for data_id in self._left]
        self._left.clear()
        return [*last, *missing]

    def _take(self, node: RawNode) -> Iterator[Reviewed]:
        if isinstance(node, RawElement) and not node.is_too_deep:
            for element in self._mender.elements(node):
                if isinstance(element, Element):
                    yield from self._read(element, is_whole=node.is_closed)

    def _read(self, element: Element, *, is_whole: bool) -> Iterator[Reviewed]:
        entry = self._document.entry(element.data_id)
        if entry is None:
            for child in element.elements():
                yield from self._read(child, is_whole=is_whole)
        elif entry.data_id in self._left and (is_whole or self._is_complete(entry, element)):
            del self._left[entry.data_id]
            self._mender.check_kept(element)
            yield Reviewed(entry.data_id, self._proposal(entry, element))

    def _is_complete(self, entry: Entry, element: Element) -> bool:
        """Whether the text of an element without an end tag ends as texts do, or as the document's did."""
        original = self._document.tree(entry.data_id or "")
        before, after = original.text().split(), element.text().split()
        if not after or _outline(original) != _outline(element):
            return False
        return after[-1:] == before[-1:] or after[-1][-1] in _ENDS

    def _proposal(self, entry: Entry, element: Element) -> str | None:
        data_id = entry.data_id or ""
        original = self._document.tree(data_id)
        element.tag = entry.tag
        if self._mender.restored(element):
            return None
        if entry.tag == "img":
            element.attributes = original.attributes | {"alt": element.attributes.get("alt", "")}
        if not self._is_in_place(original, element):
            self.repairs.append(f"the proposal for {data_id} would add, drop or move elements")
            return None
        return written(element)

    def _is_in_place(self, original: Element, element: Element) -> bool:
        if element.tag in LINE_HOLDERS | INLINE and any(
            one.tag in BLOCKS for one in element.walk() if one is not element
        ):
            return False
        return _places(original) == _places(element) and not (element.is_blank and not original.is_blank)


def _outline(element: Element) -> list[tuple[str, bool]]:
    return [(one.tag, bool(one.text().strip())) for one in element.walk()]


def _places(element: Element) -> list[tuple[str, str]]:
    return [(one.tag, one.data_id) for one in element.walk() if one.data_id]
