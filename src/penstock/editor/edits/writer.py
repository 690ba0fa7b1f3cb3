"""What the grammars of edits have in common."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from penstock.editor.edits.document import NEW, Entry, SentDocument
from penstock.editor.edits.elements import WRAPPERS
from penstock.editor.edits.findings import Findings
from penstock.editor.edits.mending import Mender, words
from penstock.editor.edits.nesting import fitted
from penstock.editor.edits.nodes import RawElement
from penstock.editor.edits.plain import readable_nodes
from penstock.editor.edits.tree import Element, without_ids, written

GAP: Final = "<!-- existing document -->"
_GAP: Final = re.compile(r"\W*(?:the\s+)?existing[\s-]+(?:document|content)\b.{0,40}", re.IGNORECASE | re.DOTALL)
_REMOVED: Final = re.compile(
    r"""\W*removed\b\s*:?\s*(?:(?:data-)?id\s*[=:]?\s*)?["']?([^\s"'<>!]+?)["']?\s*[!>]*\s*""", re.IGNORECASE
)


def read_comment(text: str) -> str | None:
    """The id that a comment removes, an empty text for a gap, None for any other comment; in whatever spelling."""
    if _GAP.fullmatch(text):
        return ""
    removed = _REMOVED.fullmatch(text)
    return removed[1] if removed else None


class Writer(ABC):
    """Takes the nodes of a model's edit one by one; `take` gives what may be sent of them by now."""

    _trusts_order = False
    """Whether an element without an id is the next one of the document if it is of its kind."""

    def __init__(self, document: SentDocument, findings: Findings) -> None:
        self._document = document
        self._findings = findings
        self._mender = Mender(document, findings.repairs)
        self._out: list[str] = []
        self.has_written = False
        self._by_words: dict[tuple[str, ...], list[str]] | None = None

    def take(self) -> str:
        out = "".join(self._out)
        self._out.clear()
        return out

    def element(self, raw: RawElement) -> None:
        if raw.is_too_deep:
            self._reject("An element was nested too deep; write it flat.", [])
            return
        if raw.data_id and raw.markup == self._document.outer(raw.data_id):
            self._node(self._document.tree(raw.data_id).copy(), is_echo=True)
            return
        for node in self._mender.elements(raw):
            if isinstance(node, str):
                self.loose(node)
            else:
                self._node(node)

    @abstractmethod
    def comment(self, text: str) -> None:
        """Take the text of a comment."""

    @abstractmethod
    def loose(self, text: str) -> None:
        """Take text that is outside of every element."""

    @abstractmethod
    def end(self, *, cut_off: bool) -> None: ...

    def pause(self) -> None:  # noqa: B027 (most have nothing to do then)
        """The model has left the edit, and may come back to it."""

    def _node(self, node: Element, *, is_echo: bool = False) -> None:
        if not is_echo and self._document.entry(node.data_id) is None and node.data_id != NEW:
            if self._is_wrapper(node):
                self._findings.mended(f"a <{node.tag}> around the edit was taken away")
                for child in node.children:
                    if isinstance(child, Element):
                        self._node(child)
                return
            known = self._recognised(node)
            if known is not None:
                self._findings.mended(f"an element without a known data-id was recognised as {known}")
                node.attributes = {"data-id": known} | {k: v for k, v in node.attributes.items() if k != "data-id"}
        if not is_echo:
            self._mender.check_kept(node)
        entry = self._document.entry(node.data_id)
        if entry is not None:
            self._existing(entry, node, is_echo=is_echo)
            return
        if node.data_id != NEW:
            self._findings.mended("an element with a missing or unknown data-id was taken for a new one")
        self._new(node)

    @abstractmethod
    def _existing(self, entry: Entry, node: Element, *, is_echo: bool) -> None: ...

    @abstractmethod
    def _new(self, node: Element) -> None: ...

    @abstractmethod
    def _next_expected(self, node: Element) -> Entry | None:
        """The element that a model that leaves out ids has probably arrived at."""

    def _is_wrapper(self, node: Element) -> bool:
        """Whether a model has put an element of its own around elements of the document."""
        return node.tag in WRAPPERS and any(self._document.entry(child.data_id) for child in node.elements())

    def _recognised(self, node: Element) -> str | None:
        """The id that the model has left out or misspelt."""
        key = (node.tag, *words(node.text()))
        twins = self._words().get(key, []) if len(key) > 1 else []
        expected = self._next_expected(node)
        if expected is not None and expected.data_id in twins:
            return expected.data_id
        free = [one for one in twins if not self._is_mentioned(one)]
        if free:
            return free[0]
        if (
            expected is None
            or expected.data_id is None
            or expected.tag != node.tag
            or self._is_mentioned(expected.data_id)
        ):
            return None
        return expected.data_id if self._trusts_order else None

    @abstractmethod
    def _is_mentioned(self, data_id: str) -> bool: ...

    def _words(self) -> dict[tuple[str, ...], list[str]]:
        if self._by_words is None:
            self._by_words = {}
            for entry in self._document.top:
                for one in self._document.tree(entry.data_id).walk() if entry.data_id else ():
                    if one.data_id:
                        self._by_words.setdefault((one.tag, *words(one.text())), []).append(one.data_id)
        return self._by_words

    def _as_new(self, node: Element, parent: str | None = None) -> str | None:
        """The markup of a new element; None if it cannot stand in that parent."""
        without_ids(node)
        home = fitted(node, parent)
        if home is None:
            self._reject(f"A <{node.tag}> cannot stand in a <{parent}>.", [node])
            return None
        home.attributes = {"data-id": NEW, **home.attributes}
        return written(home)

    def _as_changed(self, entry: Entry, node: Element) -> str | None:
        """The markup of an element in its place; another tag must be one that may stand there."""
        if node.tag != entry.tag:
            home = fitted(node, entry.parent_tag)
            if home is None:
                self._reject(f"{entry.data_id} must stay a <{entry.tag}>.", [node])
                return None
            node = home
        return written(node)

    def _reject(self, why: str, nodes: Sequence[Element | str]) -> None:
        self._findings.lost(why, readable_nodes(nodes))
