"""The grammar of edits in chats (`spec/editor-api.md` 8.2), and where new elements land (8.3).

What is sent means the same to both editors: nothing relies on a removal as an anchor for what follows it, nor on a
changed element as an anchor for what precedes it.
"""

from enum import Enum, auto

from penstock.editor.edits import plain
from penstock.editor.edits.document import NEW, Entry, SentDocument
from penstock.editor.edits.elements import HOLDS_ITEMS, TABLE_PARTS, is_allowed
from penstock.editor.edits.findings import Findings
from penstock.editor.edits.graft import Graft
from penstock.editor.edits.mending import drop_foreign_ids, is_similar
from penstock.editor.edits.nesting import fitted
from penstock.editor.edits.tree import Element, without_ids, written
from penstock.editor.edits.writer import GAP, Writer, read_comment


class Mark(Enum):
    """What has been written of an element."""

    KEPT = auto()
    CHANGED = auto()
    REMOVED = auto()


class Behind(Enum):
    """What a new element finds when it looks back."""

    NOTHING = auto()
    ELEMENT = auto()
    GAP = auto()
    LOST = auto()
    """The place was given by something that could not be written."""


class ChatWriter(Writer):
    def __init__(self, document: SentDocument, findings: Findings) -> None:
        super().__init__(document, findings)
        self._behind = Behind.NOTHING
        self._anchor: Entry | None = None
        self._waiting: list[Element] = []
        self._is_unsure = False
        """Whether what waits first may have been meant as an element of the document."""
        self._removal: Entry | None = None
        """Held until it is known whether a new element stands in its place."""
        self._removal_follows_new = False
        self._due: list[str] = []
        """What was moved elsewhere, and is to be removed where it stood."""
        self._held_ids: dict[str, set[str]] = {}
        """The ids in what elements were changed to."""
        self._last_is_new = False
        self._marks: dict[str, Mark] = {}
        self._touched: set[str] = set()
        """Ids of elements in which something was named."""
        self._altered: set[str] = set()
        """Ids of elements in which something was changed."""
        self._graft: Graft | None = None
        self._graft_gap = False
        self._has_begun = False
        self._has_changed = False
        self._trailing: list[str] = []

    # --- what comes --------------------------------------------------------------------------------------------------

    def comment(self, text: str) -> None:
        remark = read_comment(text)
        if remark is not None:
            self._trailing.clear()
            if remark:
                self._take_removal(remark)
            else:
                self._take_gap()

    def loose(self, text: str) -> None:
        if text.strip():
            self._trailing.append(text)

    def pause(self) -> None:
        """The model has left the edit, and may come back to it."""
        self._end_graft()
        self._end_trailing()
        self._end_waiting(is_lost=self._is_unsure)
        self._write_removal()
        self._behind, self._anchor = Behind.NOTHING, None

    def end(self, *, cut_off: bool) -> None:
        self._end_graft()
        if cut_off:
            self._removal = None  # what was to stand in its place has not come
        else:
            self._end_trailing()
        self._end_waiting(is_lost=cut_off or self._is_unsure)
        self._write_removal()

    def _end_trailing(self) -> None:
        if self._trailing and not self._has_changed and not self._waiting:
            self._end_text()
        elif self._trailing:
            self._findings.mended("text around the edit was left out")
        self._trailing.clear()

    def _end_text(self) -> None:
        """An edit that is nothing but text says where it belongs by what stands before it, if at all."""
        text = plain.without_fences("".join(self._trailing))
        blocks = plain.elements(text)
        if self._behind is Behind.NOTHING and self._removal is None and not self._document.is_blank:
            self._findings.lost("Text stood in the edit without any element. Write HTML elements with a data-id.", text)
            return
        self._findings.mended("plain text was put into elements")
        for block in blocks:
            self._node(block)

    # --- elements of the document ------------------------------------------------------------------------------------

    def _existing(self, entry: Entry, node: Element, *, is_echo: bool) -> None:
        self._trailing.clear()
        container = self._container(entry)
        if container is not None:
            self._graft_existing(container, entry, node, is_echo=is_echo)
            return
        self._end_graft()
        data_id = entry.data_id or ""
        is_same = is_echo or self._mender.restored(node)
        if not self._may_write(entry, node, is_same=is_same):
            return
        if is_same:
            self._write_existing(entry, self._document.outer(data_id) or "", Mark.KEPT)
        elif (markup := self._as_changed(entry, node)) is not None:
            self._held_ids[data_id] = {one.data_id for one in node.walk() if one.data_id}
            self._write_existing(entry, markup, Mark.CHANGED)
        else:
            self._behind = Behind.LOST

    def _may_write(self, entry: Entry, node: Element, *, is_same: bool) -> bool:
        data_id = entry.data_id or ""
        if self._removal is entry and not is_same:
            self._removal = None
            del self._marks[data_id]
        elif data_id in self._marks:
            self._again(entry, node, is_same=is_same)
            return False
        changed = next((one for one in self._document.ancestors(data_id) if self._is_replaced(one)), None)
        if changed is not None:
            self._inside_replaced(changed, node, is_same=is_same)
            return False
        if data_id in self._altered:
            if not is_same:
                self._reject(f"{data_id} was given again after parts of it: give the whole or the parts.", [node])
            self._behind = Behind.LOST
            return False
        return True

    def _is_replaced(self, entry: Entry) -> bool:
        return self._marks.get(entry.data_id or "") in (Mark.CHANGED, Mark.REMOVED)

    def _again(self, entry: Entry, node: Element, *, is_same: bool) -> None:
        """The second time that an id is given."""
        data_id = entry.data_id or ""
        is_next = self._behind is Behind.ELEMENT and self._anchor is entry
        if is_same or self._marks[data_id] is Mark.REMOVED:
            self._findings.mended(f"{data_id} was given twice")
        elif is_next and not is_similar(node.text(), self._document.tree(data_id).text()):
            self._findings.mended(f"{data_id} was given twice, the second one is new")
            self._new(node)
            return
        else:
            self._reject(f"{data_id} was given twice, and only the first one was used.", [node])
        if not is_next:
            self._behind = Behind.LOST

    def _inside_replaced(self, around: Entry, node: Element, *, is_same: bool) -> None:
        is_next = self._removal is around or (self._behind is Behind.ELEMENT and self._anchor is around)
        if is_next and node.data_id not in self._held_ids.get(around.data_id or "", ()):
            self._findings.mended(f"{node.data_id} was taken out of an element that was replaced, it is new now")
            self._new(node)
            return
        if not is_same:
            self._reject(f"{node.data_id} is inside {around.data_id}, which was replaced: give one of them.", [node])
        self._behind = self._behind if is_next else Behind.LOST

    def _write_existing(self, entry: Entry, markup: str, mark: Mark) -> None:
        self._write_removal()
        self._place_waiting(entry, is_kept=mark is Mark.KEPT)
        self._write(markup)
        self._mark(entry, mark)
        self._behind, self._anchor, self._last_is_new = Behind.ELEMENT, entry, False

    def _mark(self, entry: Entry, mark: Mark) -> None:
        self._marks[entry.data_id or ""] = mark
        around = [one.data_id or "" for one in self._document.ancestors(entry.data_id or "")]
        self._touched.update(around)
        if mark is not Mark.KEPT:
            self._altered.update(around)
            self._has_changed = True

    # --- new elements ------------------------------------------------------------------------------------------------

    def _new(self, node: Element) -> None:
        self._trailing.clear()
        if node.data_id != NEW and self._is_forgetful(node):
            return
        if self._graft_new(node):
            return
        self._end_graft()
        if self._removal is not None and not self._removal_follows_new:
            self._in_place_of_removal(self._removal, node)
            return
        if self._behind is Behind.ELEMENT and self._anchor is not None:
            self._place_after(self._anchor, node)
            return
        wrapped = self._wrapped(node)
        if wrapped is not None:
            self._in_place(wrapped, node)
        elif self._document.is_blank and not self._document.ids:
            self._write_new(node, None)
        else:
            self._is_unsure |= node.data_id != NEW and self._behind is Behind.NOTHING and not self._document.is_blank
            self._waiting.append(node)

    def _write_new(self, node: Element, parent: str | None, around: Entry | None = None) -> bool:
        home = fitted(node, parent)
        if home is None or home.source is not None:
            self._reject(f"A <{node.tag}> cannot stand in a <{parent}>.", [node])
            return False
        self._settle_ids(home, around)
        home.attributes["data-id"] = NEW
        self._write(written(home))
        self._has_changed = self._last_is_new = True
        return True

    def _settle_ids(self, node: Element, around: Entry | None) -> None:
        """A new element may wrap elements of the document; they move into it."""
        within = (
            {around.data_id, *(one.data_id for one in self._document.ancestors(around.data_id or ""))}
            if around
            else set()
        )
        for child in node.elements():
            data_id = child.data_id
            entry = self._document.entry(data_id)
            if entry is None or data_id in within or not self._may_move(entry):
                child.attributes.pop("data-id", None)
                child.source = None if child.children else child.source
                self._settle_ids(child, around)
                continue
            if self._mender.restored(child):
                child.source = self._document.outer(data_id or "")
            self._mark_moved(entry, child)

    def _may_move(self, entry: Entry) -> bool:
        data_id = entry.data_id or ""
        if data_id in self._marks or data_id in self._touched or entry.tag in TABLE_PARTS:
            return False
        return not any(self._is_replaced(one) for one in self._document.ancestors(data_id))

    def _mark_moved(self, entry: Entry, child: Element) -> None:
        self._mark(entry, Mark.CHANGED)
        for data_id in self._document.ids_inside(entry):
            self._marks[data_id] = Mark.CHANGED

    def _wrapped(self, node: Element) -> Entry | None:
        """The first element of the document that a new one wraps."""
        entries = (self._document.entry(one.data_id) for one in node.walk() if one is not node)
        return next((one for one in entries if one is not None and self._may_move(one)), None)

    def _in_place(self, entry: Entry, node: Element) -> None:
        """A wrapper without a place of its own stands where the element stood that it wraps."""
        self._findings.mended(f"{entry.data_id} was wrapped where it stands")
        others = self._document.outermost(one.data_id for one in node.walk() if one is not node)
        moved = [one for one in others if one is not entry and self._may_move(one)]
        without_ids(node)
        node.attributes["data-id"] = entry.data_id or ""
        if (markup := self._as_changed(entry, node)) is None:
            return
        self._write_existing(entry, markup, Mark.CHANGED)
        for one in moved:
            if self._may_move(one):
                self._mark(one, Mark.REMOVED)
                self._due.append(one.data_id or "")

    def _place_after(self, anchor: Entry, node: Element) -> None:
        if not is_allowed(anchor.parent_tag, node.tag) and (outer := self._outer_anchor(anchor, node.tag)) is not None:
            self._write_existing(outer, self._document.outer(outer.data_id or "") or "", Mark.KEPT)
            anchor = outer
        if self._write_new(node, anchor.parent_tag, anchor):
            self._altered.update(one.data_id or "" for one in self._document.ancestors(anchor.data_id or ""))

    def _outer_anchor(self, anchor: Entry, tag: str) -> Entry | None:
        """The element around the anchor that the new one can follow, if that is next to the same place."""
        for around in self._document.ancestors(anchor.data_id or ""):
            if around.data_id in self._altered or around.data_id in self._marks:
                return None
            follows = self._document.is_last_in(anchor, around) or anchor.parent_tag not in HOLDS_ITEMS
            if is_allowed(around.parent_tag, tag):
                return around if follows else None
        return None

    def _is_forgetful(self, node: Element) -> bool:
        """Whether an element without a known id is a changed one of the document: to add it would be to double it."""
        expected = self._next_expected(node)
        if expected is None or expected.data_id is None or expected.tag != node.tag or expected.data_id in self._marks:
            return False
        if not is_similar(node.text(), self._document.tree(expected.data_id).text()):
            return False
        self._reject(
            f'An element without a known data-id is like {expected.data_id}: give it data-id="{expected.data_id}".',
            [node],
        )
        self._behind = Behind.LOST
        return True

    # --- new elements that look ahead --------------------------------------------------------------------------------

    def _place_waiting(self, before: Entry, *, is_kept: bool) -> None:
        waiting, self._waiting, self._is_unsure = self._waiting, [], False
        if not waiting:
            return
        is_start = self._behind is Behind.NOTHING and not self._has_begun and self._document.is_first(before)
        outer = self._outer_before(before, waiting[0].tag)
        previous = None if is_kept or is_start or outer else self._previous(before)
        if previous is not None:
            self._write_anchor(previous)
        elif not is_start:
            self._write(GAP)
        place = outer or before
        for node in waiting:
            self._write_new(node, place.parent_tag, place)
        self._altered.update(one.data_id or "" for one in self._document.ancestors(place.data_id or ""))
        if outer is not None:
            self._write_anchor(outer)
        elif not (is_kept or is_start or previous):
            self._write(self._document.outer(before.data_id or "") or "")
        self._behind, self._anchor, self._last_is_new = Behind.ELEMENT, before, outer is None

    def _write_anchor(self, entry: Entry) -> None:
        self._write(self._document.outer(entry.data_id or "") or "")
        self._mark(entry, Mark.KEPT)
        self._last_is_new = False

    def _outer_before(self, before: Entry, tag: str) -> Entry | None:
        """The element around a piece of a line: a block cannot stand within the line."""
        if is_allowed(before.parent_tag, tag) or before.parent_tag in HOLDS_ITEMS:
            return None
        for around in self._document.ancestors(before.data_id or ""):
            if around.data_id in self._altered or around.data_id in self._marks:
                return None
            if is_allowed(around.parent_tag, tag):
                return around
        return None

    def _previous(self, entry: Entry) -> Entry | None:
        """The element in front of it, as long as it can be named without harm."""
        previous = entry.previous
        if previous is None or previous.data_id in self._marks or previous.data_id in self._altered:
            return None
        return previous

    def _end_waiting(self, *, is_lost: bool) -> None:
        waiting, self._waiting, self._is_unsure = self._waiting, [], False
        if not waiting:
            return
        is_start = self._behind is Behind.NOTHING
        first = self._document.top[0] if is_start and self._has_begun and self._document.top else None
        if is_lost or self._behind is Behind.LOST or (first is not None and not self._may_write_first(first)):
            why = "It was not clear where new elements belong. Put an unchanged element of the document before them."
            self._reject(why, waiting)
            return
        if not is_start or first is not None:
            self._write(GAP)
        for node in waiting:
            self._write_new(node, None)
        if first is not None:
            self._write_anchor(first)

    def _may_write_first(self, first: Entry) -> bool:
        return first.data_id is not None and first.data_id not in self._marks and first.data_id not in self._altered

    # --- gaps and removals -------------------------------------------------------------------------------------------

    def _take_gap(self) -> None:
        if self._graft is not None:
            self._graft_gap = True
            return
        if self._waiting:
            self._end_waiting(is_lost=False)
            if self._last_is_new and self._behind is not Behind.NOTHING:
                self._write(GAP)
        self._write_removal()
        self._behind, self._anchor = Behind.GAP, None

    def _take_removal(self, data_id: str) -> None:
        entry = self._document.entry(data_id)
        if entry is None:
            self._findings.lost(f"There is no element {data_id} that could be removed.", "")
            self._behind = Behind.LOST if self._behind is Behind.NOTHING and not self._waiting else self._behind
            return
        container = self._container(entry)
        if container is not None and self._begin_graft(container):
            assert self._graft is not None
            if self._graft.can_take(data_id):
                self._graft.remove(data_id)
            return
        self._end_graft()
        if not self._may_remove(entry):
            return
        self._write_removal()
        self._place_waiting(entry, is_kept=True)
        self._removal, self._removal_follows_new = entry, self._last_is_new
        self._mark(entry, Mark.REMOVED)

    def _may_remove(self, entry: Entry) -> bool:
        data_id = entry.data_id or ""
        if (
            '"' in data_id
            or "--" in data_id
            or self._marks.get(data_id) is Mark.REMOVED
            or any(self._is_replaced(one) for one in self._document.ancestors(data_id))
        ):
            return False
        if self._marks.get(data_id) is Mark.CHANGED or data_id in self._altered:
            self._findings.lost(f"{data_id} was changed and also removed: do one of them.", "")
            return False
        return True

    def _write_removal(self) -> None:
        removed = [*self._due, *([self._removal.data_id] if self._removal is not None else [])]
        self._due, self._removal = [], None
        for data_id in removed:
            self._write(f'<!-- removed data-id="{data_id}" -->')
            self._last_is_new = False

    def _in_place_of_removal(self, entry: Entry, node: Element) -> None:
        self._removal = None
        drop_foreign_ids(node, set(self._document.ids_inside(entry)), set())
        node.attributes["data-id"] = entry.data_id or ""
        markup = self._as_changed(entry, node)
        if markup is None:
            self._removal, self._removal_follows_new = entry, True
            return
        self._findings.mended(f"a new element took the place of {entry.data_id}")
        self._write_existing(entry, markup, Mark.CHANGED)

    # --- parts of tables ---------------------------------------------------------------------------------------------

    def _container(self, entry: Entry) -> Entry | None:
        """The table that a part of a table is written with: parsers drop its tags elsewhere."""
        if entry.tag not in TABLE_PARTS:
            return None
        return next((one for one in self._document.ancestors(entry.data_id or "") if one.tag == "table"), None)

    def _begin_graft(self, container: Entry) -> bool:
        data_id = container.data_id or ""
        if self._graft is not None and self._graft.container_id == data_id:
            if self._graft_gap:
                self._graft.gap()
                self._graft_gap = False
            return True
        self._end_graft()
        if (
            data_id in self._marks
            or data_id in self._altered
            or any(self._is_replaced(one) for one in self._document.ancestors(data_id))
        ):
            return False
        self._graft = Graft(self._document, data_id)
        if self._waiting and all(node.tag in TABLE_PARTS for node in self._waiting):
            for node in self._waiting:
                self._graft.add(node)
            self._waiting = []
        return True

    def _graft_existing(self, container: Entry, entry: Entry, node: Element, *, is_echo: bool) -> None:
        data_id = entry.data_id or ""
        if not self._begin_graft(container):
            self._reject(f"{container.data_id} was given already: give a table once, whole.", [node])
            self._behind = Behind.LOST
            return
        assert self._graft is not None
        is_same = is_echo or self._mender.restored(node)
        if not self._graft.can_take(data_id):
            if not is_same:
                self._reject(f"{data_id} was given twice, and only the first one was used.", [node])
            return
        if not self._graft.replace(data_id, node, is_changed=not is_same):
            self._reject(f"{entry.data_id} must stay a <{entry.tag}>.", [node])

    def _graft_new(self, node: Element) -> bool:
        if self._graft is None or node.tag not in TABLE_PARTS:
            return False
        if self._graft_gap:
            self._graft.gap()
            self._graft_gap = False
        self._graft.add(node)
        return True

    def _end_graft(self) -> None:
        graft, self._graft = self._graft, None
        has_gap, self._graft_gap = self._graft_gap, False
        if graft is None:
            return
        tree = graft.finish()
        entry = self._document.entry(graft.container_id)
        assert entry is not None
        if graft.is_changed:
            self._write_existing(entry, written(tree), Mark.CHANGED)
        else:
            self._write_existing(entry, self._document.outer(graft.container_id) or "", Mark.KEPT)
        if has_gap:
            self._take_gap()

    # --- -------------------------------------------------------------------------------------------------------------

    def _write(self, markup: str) -> None:
        self._has_begun = self.has_written = True
        self._out.append(markup)

    def _is_mentioned(self, data_id: str) -> bool:
        return data_id in self._marks

    def _next_expected(self, node: Element) -> Entry | None:
        if self._document.is_blank or self._anchor is None:
            return self._document.top[0] if self._document.top and self._behind is Behind.NOTHING else None
        return self._document.after(self._anchor) if self._behind is Behind.ELEMENT else None
