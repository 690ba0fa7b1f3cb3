"""The grammar of the action that writes on (`spec/editor-api.md` 8.4): nothing is removed, nothing else is changed."""

from typing import Final

from penstock.editor.edits import plain
from penstock.editor.edits.document import NEW, Entry, SentDocument
from penstock.editor.edits.elements import LISTS, TABLE_PARTS, is_allowed
from penstock.editor.edits.findings import Findings
from penstock.editor.edits.graft import Graft
from penstock.editor.edits.mending import is_similar
from penstock.editor.edits.tree import Element, written
from penstock.editor.edits.writer import Writer, read_comment

_KEPT_SHARE: Final = 0.9
"""How much of the beginning of an element must be as it was for it to be the same one, made longer."""


class ContinuationWriter(Writer):
    def __init__(self, document: SentDocument, findings: Findings) -> None:
        super().__init__(document, findings)
        self._last = document.top[-1] if document.top and document.top[-1].data_id else None
        self._is_last_written = False
        self._graft: Graft | None = None
        self._texts: list[str] = []
        self._has_elements = False

    def comment(self, text: str) -> None:
        if read_comment(text) is not None:
            self._findings.mended("markers have no place in a continuation")

    def loose(self, text: str) -> None:
        if text.strip():
            self._texts.append(text)

    def end(self, *, cut_off: bool) -> None:
        self._end_graft()
        if not self._texts:
            return
        text = plain.without_fences("".join(self._texts)).strip()
        if self._has_elements:
            self._findings.mended("text around the elements was left out")
        elif cut_off:
            self._findings.lost("The answer was plain text, and cut off. Write HTML elements.", text)
        else:
            self._findings.mended("plain text was put into elements")
            for block in plain.elements(text):
                self._new(block)

    def _existing(self, entry: Entry, node: Element, *, is_echo: bool) -> None:
        self._has_elements = True
        text = node.text()
        if is_echo or self._mender.restored(node):
            return
        top = self._document.top[entry.top]
        if top is self._last and not self._is_last_written and self._is_longer(entry, text):
            self._extend(top, entry, node)
        elif is_similar(text, self._document.tree(entry.data_id or "").text()):
            self._reject(f"{entry.data_id} is not to be changed: write only what follows the content.", [node])
        else:
            self._findings.mended(f"{entry.data_id} was something else, it is new now")
            self._new(node)

    def _is_longer(self, entry: Entry, text: str) -> bool:
        """Whether it is the last thing of the content, begins as it did, and goes on."""
        assert self._last is not None
        if entry is not self._last and not self._document.is_last_in(entry, self._last):
            return False
        before = "".join(self._document.tree(entry.data_id or "").text().split())
        after = "".join(text.split())
        same = next((at for at, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), len(before))
        return len(after) >= same >= _KEPT_SHARE * len(before)

    def _extend(self, top: Entry, entry: Entry, node: Element) -> None:
        if top is entry:
            self._end_graft()
            if (markup := self._as_changed(entry, node)) is not None:
                self._out.append(markup)
                self._is_last_written = self.has_written = True
            return
        graft = self._begin_graft(top)
        is_free = graft.can_take(entry.data_id or "")
        if is_free and not graft.replace(entry.data_id or "", node, is_changed=True):
            self._reject(f"{entry.data_id} must stay a <{entry.tag}>.", [node])

    def _new(self, node: Element) -> None:
        self._has_elements = True
        if self._last is not None and not self._is_last_written and self._continues(self._last, node):
            self._begin_graft(self._last).add(node)
            return
        self._end_graft()
        blank = self._document.top[0] if self._document.is_blank and self._document.top else None
        if blank is not None and not self._is_last_written and node.data_id != NEW and is_allowed(None, node.tag):
            node.attributes["data-id"] = blank.data_id or ""
            self._extend(blank, blank, node)
        elif (markup := self._as_new(node)) is not None:
            self._out.append(markup)
            self._is_last_written = self.has_written = True

    def _continues(self, last: Entry, node: Element) -> bool:
        """Items go on the list, rows go on the table, that the content ends with."""
        return (node.tag == "li" and last.tag in LISTS) or (node.tag in TABLE_PARTS and last.tag == "table")

    def _begin_graft(self, top: Entry) -> Graft:
        if self._graft is None:
            self._graft = Graft(self._document, top.data_id or "")
        return self._graft

    def _end_graft(self) -> None:
        graft, self._graft = self._graft, None
        if graft is None:
            return
        tree = graft.finish()
        if graft.is_changed:
            self._out.append(written(tree))
            self._is_last_written = self.has_written = True

    def _is_mentioned(self, data_id: str) -> bool:
        return False

    def _next_expected(self, node: Element) -> Entry | None:
        return None
