"""The grammar of actions that write content anew (`spec/editor-api.md` 8.4)."""

from penstock.editor.edits import plain
from penstock.editor.edits.document import Entry, SentDocument
from penstock.editor.edits.elements import BLOCKS, TABLE_PARTS, WRAPPERS
from penstock.editor.edits.findings import Findings
from penstock.editor.edits.graft import Graft
from penstock.editor.edits.mending import is_similar
from penstock.editor.edits.tree import Element, written
from penstock.editor.edits.writer import Writer, read_comment


class ReplacementWriter(Writer):
    """What the model does not write is removed by the editor, as soon as something after it appears."""

    _trusts_order = True

    def __init__(self, document: SentDocument, findings: Findings) -> None:
        super().__init__(document, findings)
        self._next = 0
        """The place of the first element at the top that is neither written nor passed over."""
        self._has_gap = False
        self._removed: set[str] = set()
        self._waiting: list[Element] = []
        self._graft: Graft | None = None
        self._texts: list[str] = []
        self._written: dict[str, str] = {}
        """The texts of the elements that were written, by id."""
        self._has_elements = False

    def comment(self, text: str) -> None:
        remark = read_comment(text)
        if remark is None:
            return
        self._end_graft()
        if remark:
            self._removed.add(remark)
        else:
            self._has_gap = True

    def loose(self, text: str) -> None:
        if plain.means_the_rest(text):
            self.comment("existing document")
        elif text.strip():
            self._texts.append(text)

    def end(self, *, cut_off: bool) -> None:
        self._end_graft()
        if self._texts and not self._has_elements and not self._waiting:
            self._end_text("".join(self._texts), cut_off=cut_off)
        elif self._texts:
            self._findings.mended("text around the elements was left out")
        if cut_off or (self._has_gap and (self._has_elements or self._waiting)):
            self._fill(len(self._document.top))
        self._write_waiting()

    # --- elements of the content -------------------------------------------------------------------------------------

    def _existing(self, entry: Entry, node: Element, *, is_echo: bool) -> None:
        top = self._document.top[entry.top]
        if top is not entry and top.data_id is not None:
            self._part(top, entry, node, is_echo=is_echo)
            return
        self._end_graft()
        if entry.top < self._next and (top is entry or entry.data_id in self._written):
            self._passed(entry, node, is_echo=is_echo)
            return
        text = node.text()
        is_same = is_echo or self._mender.restored(node)
        markup = self._document.outer(entry.data_id or "") if is_same else self._as_changed(entry, node)
        if markup is not None:
            self._write_top(entry, markup, text)

    def _passed(self, entry: Entry, node: Element, *, is_echo: bool) -> None:
        """The editor has replaced the element already, or removed it when a later one came."""
        before = self._written.get(entry.data_id or "")
        if before is not None and (before == node.text() or is_echo or self._mender.restored(node)):
            self._findings.mended(f"{entry.data_id} was given twice")
        elif before is not None and is_similar(node.text(), before):
            self._reject(f"{entry.data_id} was given twice, and only the first one was used.", [node])
        else:
            self._findings.mended(f"{entry.data_id} came out of its order, it is new now")
            self._new(node)

    def _write_top(self, entry: Entry, markup: str, text: str) -> None:
        if self._has_gap:
            self._fill(entry.top)
        self._write_waiting()
        self._has_gap = False
        self._written[entry.data_id or ""] = text
        self._out.append(markup)
        self._has_elements = self.has_written = True
        self._next = entry.top + 1

    def _fill(self, until: int) -> None:
        """What the model did not repeat, as it was."""
        for entry in self._document.top[self._next : until]:
            if entry.data_id is not None and entry.data_id not in self._removed:
                self._out.append(self._document.outer(entry.data_id) or "")
                self._written[entry.data_id] = self._document.tree(entry.data_id).text()
                self._findings.mended("elements that were not repeated were filled in")
        self._next = max(self._next, until)

    # --- parts of elements at the top --------------------------------------------------------------------------------

    def _part(self, top: Entry, entry: Entry, node: Element, *, is_echo: bool) -> None:
        """Models drop what is around: the list of the items, the table of the cells."""
        if self._graft is None or self._graft.container_id != top.data_id:
            self._end_graft()
            if top.top < self._next:
                self._passed(top, node, is_echo=is_echo)
                return
            self._graft = Graft(self._document, top.data_id or "")
            self._findings.mended(f"parts of {top.data_id} were given without it")
        is_same = is_echo or self._mender.restored(node)
        if self._graft.can_take(entry.data_id or ""):
            if not self._graft.replace(entry.data_id or "", node, is_changed=not is_same):
                self._reject(f"{entry.data_id} must stay a <{entry.tag}>.", [node])
        elif not is_same:
            self._reject(f"{entry.data_id} was given twice, and only the first one was used.", [node])

    def _end_graft(self) -> None:
        graft, self._graft = self._graft, None
        if graft is None:
            return
        entry = self._document.entry(graft.container_id)
        assert entry is not None
        tree = graft.finish()
        markup = written(tree) if graft.is_changed else self._document.outer(graft.container_id) or ""
        self._write_top(entry, markup, tree.text())

    # --- new elements ------------------------------------------------------------------------------------------------

    def _new(self, node: Element) -> None:
        if self._graft is not None and (node.tag == "li" or node.tag in TABLE_PARTS):
            self._graft.add(node)
            return
        self._end_graft()
        self._waiting.append(node)
        if not self._has_gap:
            self._write_waiting()

    def _write_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for node in waiting:
            if (markup := self._as_new(node)) is not None:
                self._out.append(markup)
                self._has_elements = self.has_written = True

    def _is_wrapper(self, node: Element) -> bool:
        if super()._is_wrapper(node):
            return True
        expected = self._next_expected(node)
        is_expected = expected is not None and expected.tag == node.tag
        return node.tag in WRAPPERS and not is_expected and any(child.tag in BLOCKS for child in node.elements())

    def _next_expected(self, node: Element) -> Entry | None:
        top = self._document.top[self._next] if self._next < len(self._document.top) else None
        if node.tag != "li" and node.tag not in TABLE_PARTS:
            return top
        container = self._document.entry(self._graft.container_id) if self._graft is not None else top
        inside = self._document.ids_inside(container) if container is not None and container.data_id else []
        entries = [self._document.entry(data_id) for data_id in inside]
        free = (one for one in entries if one is not None and one.tag == node.tag and self._is_free(one))
        return next(free, None)

    def _is_free(self, entry: Entry) -> bool:
        return self._graft is None or self._graft.can_take(entry.data_id or "")

    def _is_mentioned(self, data_id: str) -> bool:
        entry = self._document.entry(data_id)
        return data_id in self._written or entry is None or entry.top < self._next

    # --- plain text --------------------------------------------------------------------------------------------------

    def _end_text(self, text: str, *, cut_off: bool) -> None:
        text = plain.without_fences(text).strip()
        leaves = self._document.leaves()
        units = plain.units(text)
        if len(units) == len(leaves) + 1 and units[0].text().rstrip().endswith(":"):
            units = units[1:]
        if cut_off or not units or (len(leaves) > 1 and len(leaves) != len(units)):
            self._findings.lost("The answer was plain text. Write every element of the content, as HTML.", text)
            return
        self._findings.mended("plain text was put into the elements of the content")
        replaced = dict(zip((one.data_id for one in leaves), units, strict=False))
        for entry in self._document.top:
            self._write_with_text(entry, replaced)
        for unit in units[len(leaves) :]:
            self._new(unit)

    def _write_with_text(self, entry: Entry, replaced: dict[str | None, Element]) -> None:
        if entry.data_id is None:
            return
        tree = self._document.tree(entry.data_id).copy()
        for one in tree.walk():
            unit = replaced.get(one.data_id)
            if unit is not None and " ".join(unit.text().split()) != " ".join(one.text().split()):
                one.children = unit.children
        self._write_top(entry, written(tree), tree.text())
