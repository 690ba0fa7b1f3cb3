"""Parts of one element of the document, edited one by one, put together into that element."""

from penstock.editor.edits.document import NEW, SentDocument
from penstock.editor.edits.elements import HOLDS_ITEMS, TABLE_PARTS, TRANSPARENT, is_allowed
from penstock.editor.edits.nesting import fitted
from penstock.editor.edits.tree import Element, without_ids


class Graft:
    """The rules are those of the editors for whole documents (8.3), within one container."""

    def __init__(self, document: SentDocument, container_id: str) -> None:
        self.container_id = container_id
        self.is_changed = False
        self.tree = document.tree(container_id).copy()
        self._document = document
        self._parents = {id(child): one for one in self.tree.walk() for child in one.elements()}
        self._by_id = {one.data_id: one for one in self.tree.walk() if one.data_id}
        self._last: Element | None = None
        self._waiting: list[Element] = []
        self._done: set[str] = set()

    def can_take(self, data_id: str) -> bool:
        return data_id in self._by_id and data_id not in self._done and data_id != self.container_id

    def replace(self, data_id: str, element: Element, *, is_changed: bool) -> bool:
        """Put the element in the place of the one with that id; False: it may not stand there. `can_take` must hold."""
        old = self._by_id[data_id]
        around = self._parents[id(old)]
        new = fitted(element, self._parent_tag(around)) if is_changed and element.tag != old.tag else element
        if new is None:
            return False
        self._done |= {one.data_id for one in old.walk() if one.data_id}
        self._place_waiting(old)
        self._last = old
        if is_changed:
            around.children[_index(around, old)] = new
            self._adopt(new, around)
            self._last = new
            self.is_changed = True
        return True

    def add(self, element: Element) -> None:
        without_ids(element)
        if self._last is None:
            self._waiting.append(element)
        else:
            self._insert_after(self._last, element)

    def gap(self) -> None:
        self._last = None

    def remove(self, data_id: str) -> None:
        old = self._by_id[data_id]
        self._done |= {one.data_id for one in old.walk() if one.data_id}
        self._place_waiting(old)
        parent = self._parents[id(old)]
        place = _index(parent, old)
        del parent.children[place]
        self.is_changed = True
        before = [child for child in parent.children[:place] if isinstance(child, Element)]
        self._last = before[-1] if before else None

    def finish(self) -> Element:
        """The container, with what still waits for a place at its end."""
        for element in self._waiting:
            self._append(element)
        self._waiting = []
        return self.tree

    def _parent_tag(self, element: Element) -> str:
        while element.tag in TRANSPARENT and element is not self.tree:
            element = self._parents[id(element)]
        return element.tag

    def _place_waiting(self, before: Element) -> None:
        for element in self._waiting:
            parent = self._parents[id(before)]
            while parent is not self.tree and not is_allowed(parent.tag, element.tag):
                before, parent = parent, self._parents[id(parent)]
            self._insert(parent, _index(parent, before), element)
        self._waiting = []

    def _insert_after(self, place: Element, element: Element) -> None:
        parent = self._parents[id(place)]
        climbed, around = place, parent
        while not is_allowed(around.tag, element.tag) and around is not self.tree:
            climbed, around = around, self._parents[id(around)]
        if is_allowed(around.tag, element.tag) and element.tag in ("li", *TABLE_PARTS):
            place, parent = climbed, around
        self._insert(parent, _index(parent, place) + 1, element)

    def _append(self, element: Element) -> None:
        holders = [one for one in self.tree.walk() if one.tag in HOLDS_ITEMS and is_allowed(one.tag, element.tag)]
        parent = holders[-1] if holders and element.tag in TABLE_PARTS else holders[0] if holders else self.tree
        self._insert(parent, len(parent.children), element)

    def _insert(self, parent: Element, place: int, element: Element) -> None:
        new = fitted(element, parent.tag) or element
        new.attributes = {"data-id": NEW, **new.attributes}
        parent.children.insert(place, new)
        self._adopt(new, parent)
        self._last = new
        self.is_changed = True

    def _adopt(self, element: Element, parent: Element) -> None:
        self._parents[id(element)] = parent
        for one in element.walk():
            for child in one.elements():
                self._parents[id(child)] = one


def _index(parent: Element, child: Element) -> int:
    return next(place for place, one in enumerate(parent.children) if one is child)
