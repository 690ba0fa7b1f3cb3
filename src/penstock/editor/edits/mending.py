"""One element of a model's edit, made fit: what the model forgot is restored, what it may not write is taken away."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from penstock.editor.edits.document import NEW, SentDocument
from penstock.editor.edits.elements import OPAQUE
from penstock.editor.edits.nesting import well_nested
from penstock.editor.edits.nodes import RawElement
from penstock.editor.edits.sanitize import sanitized
from penstock.editor.edits.tree import Element, canonical, parsed, put_back

OMITTED: Final = "data:omitted;"
"""Begins the address of a picture whose data the model was not shown."""
_MAY_BE_EMPTY: Final = frozenset(("alt", "href", "src", "title", "value"))
_SIMILAR: Final = 0.5
_WORD: Final = re.compile(r"\w+")
_LONGEST_WORDS: Final = 14


class Mender:
    def __init__(self, document: SentDocument, repairs: list[str]) -> None:
        self._document = document
        self._repairs = repairs

    def elements(self, raw: RawElement) -> Sequence[Element | str]:
        """What the markup holds at its top, in order; usually one element."""
        if raw.tag in OPAQUE and raw.kept:
            entry = self._document.entry(raw.data_id)
            if entry is None or raw.kept[0] != self._document.outer(raw.data_id or ""):
                return []
            kept = Element(raw.tag, {"data-id": raw.data_id} if raw.data_id else {}, [])
            kept.source = raw.kept[0]
            return [kept]
        nodes = parsed(raw.markup)
        return [cleaned for node in nodes if (cleaned := self._cleaned(node, raw)) is not None]

    def _cleaned(self, node: Element | str, raw: RawElement) -> Element | str | None:
        if isinstance(node, str):
            return node
        original = self._document.tree(node.data_id) if self._document.entry(node.data_id) and node.data_id else None
        put_back(node, raw.kept)
        removed: list[str] = []
        cleaned = sanitized(node, original, removed)
        if removed:
            self._repairs.append(f"taken out of the edit: {', '.join(sorted(set(removed)))}")
        return None if cleaned is None else well_nested(cleaned)

    def check_kept(self, element: Element, own: "Counter[str] | None" = None) -> None:
        """Scripts, frames and drawings stay only within the element of the document that has them.

        To be called when it is known whose element it is.
        """
        if own is None and element.data_id and self._document.entry(element.data_id) is not None:
            own = self._document.originals_in(element.data_id)
        children: list[Element | str] = []
        for child in element.children:
            if isinstance(child, Element) and child.source is not None:
                if own is None or not own[child.source]:
                    self._repairs.append("an element of another place of the document was left out")
                    continue
                own[child.source] -= 1
            elif isinstance(child, Element):
                self.check_kept(child, own)
            children.append(child)
        element.children = children

    def restored(self, element: Element) -> bool:
        """Give an element of the document back what the model forgot. Whether it is then as it was.

        Parts that are as they were are written as the document has them, to the letter.
        """
        data_id = element.data_id
        assert data_id is not None
        original = self._document.tree(data_id)
        if element.source is not None:
            return True
        own: dict[str | None, Element] = {one.data_id: one for one in original.walk() if one.data_id}
        known = {one.data_id for one in element.walk()}
        _restore(element, original, own, known)
        drop_foreign_ids(element, set(own), {data_id})
        return self._mark_unchanged(element, original, own)

    def _mark_unchanged(self, element: Element, original: Element, own: dict[str | None, Element]) -> bool:
        if canonical(element) == canonical(original):
            return True
        for child in element.elements():
            counterpart = own.get(child.data_id) if child.data_id else None
            if counterpart is None:
                self._mark_unchanged_below(child, own)
            elif self._mark_unchanged(child, counterpart, own):
                child.source = self._document.outer(child.data_id or "")
        return False

    def _mark_unchanged_below(self, element: Element, own: dict[str | None, Element]) -> None:
        for child in element.elements():
            counterpart = own.get(child.data_id) if child.data_id else None
            if counterpart is not None and self._mark_unchanged(child, counterpart, own):
                child.source = self._document.outer(child.data_id or "")
            elif counterpart is None:
                self._mark_unchanged_below(child, own)


def _restore(element: Element, original: Element, own: dict[str | None, Element], known: set[str | None]) -> None:
    if element.tag == original.tag:
        _restore_attributes(element, original)
    _restore_ids(element, original, known)
    _restore_space(element, original)
    counterparts = _counterparts(element, original)
    for index, child in enumerate(element.elements()):
        counterpart = own.get(child.data_id) if child.data_id else counterparts[index] if counterparts else None
        if counterpart is not None:
            _restore(child, counterpart, own, known)
        else:
            _restore_below(child, own, known)


def _restore_below(element: Element, own: dict[str | None, Element], known: set[str | None]) -> None:
    for child in element.elements():
        counterpart = own.get(child.data_id) if child.data_id else None
        if counterpart is not None:
            _restore(child, counterpart, own, known)
        else:
            _restore_below(child, own, known)


def _counterparts(element: Element, original: Element) -> list[Element] | None:
    """The children of the original, if the element's are of the same kinds in the same order."""
    mine, theirs = list(element.elements()), list(original.elements())
    return theirs if [one.tag for one in mine] == [one.tag for one in theirs] else None


def _restore_ids(element: Element, original: Element, known: set[str | None]) -> None:
    for child, theirs in zip(element.elements(), _counterparts(element, original) or (), strict=False):
        if child.data_id in (None, NEW) and theirs.data_id and theirs.data_id not in known:
            child.attributes["data-id"] = theirs.data_id
            known.add(theirs.data_id)


def _restore_space(element: Element, original: Element) -> None:
    """The line breaks at the end of preformatted text."""
    if len(element.children) == len(original.children):
        for place, (mine, theirs) in enumerate(zip(element.children, original.children, strict=True)):
            if isinstance(mine, str) and isinstance(theirs, str) and mine.rstrip() == theirs.rstrip():
                element.children[place] = theirs


def _restore_attributes(element: Element, original: Element) -> None:
    """Models drop attributes by forgetting them. To take one away they write it empty."""
    written = element.attributes
    kept = {}
    for name, value in original.attributes.items():
        mine = written.pop(name, value)
        if mine.startswith(OMITTED) or _is_same_value(mine, value):
            kept[name] = value
        elif mine or name in _MAY_BE_EMPTY:
            kept[name] = mine
    element.attributes = kept | written


def _is_same_value(one: str, other: str) -> bool:
    return one == other or " ".join(one.split()).rstrip("; ") == " ".join(other.split()).rstrip("; ")


def drop_foreign_ids(element: Element, own: set[str | None], seen: set[str | None]) -> None:
    """Inside an element only its own descendants keep their ids, and each is there once."""
    for child in element.elements():
        data_id = child.data_id
        if data_id is not None and (data_id in seen or data_id not in own):
            del child.attributes["data-id"]
            child.source = None if child.children else child.source
        elif data_id is not None:
            seen.add(data_id)
        drop_foreign_ids(child, own, seen)


def words(text: str) -> list[str]:
    return text.lower().split()


def likeness(one: str, other: str) -> float:
    """How much two texts have in common, from 0 to 1."""
    mine, theirs = _features(one), _features(other)
    if not mine or not theirs:
        return 1.0 if mine == theirs else 0.0
    return 2 * len(mine & theirs) / (len(mine) + len(theirs))


def _features(text: str) -> set[str]:
    """Its words; pairs of letters where a script does not part words."""
    found = _WORD.findall(text.lower())
    if sum(map(len, found)) <= _LONGEST_WORDS * len(found):
        return set(found)
    return {word[place : place + 2] for word in found for place in range(max(1, len(word) - 1))}


def is_similar(one: str, other: str) -> bool:
    return likeness(one, other) >= _SIMILAR
