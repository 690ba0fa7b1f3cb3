"""A document as the editor sent it: which elements it has, where they are, and what they hold."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from html import unescape
from typing import Final

from penstock.editor.edits.elements import BLOCKS, OPAQUE, VOID, OpenElements
from penstock.editor.edits.scanner import Kind, Scanner, Token
from penstock.editor.edits.tree import Element, alike, parsed, placeholder, put_back

NEW: Final = "new-element"
"""The id of all elements that the document does not have."""
_STARTS: Final = re.compile(r"<[a-zA-Z]")
_DATA_ID: Final = re.compile(r"""[\s/"']data-id\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)


def data_id_of(tag: str) -> str | None:
    """The id in a start tag, as it is written."""
    match = _DATA_ID.search(tag)
    return (unescape(match[match.lastindex]).strip() or None) if match and match.lastindex else None


class Entry:
    """An element of the document that has an id, or that is kept as it is."""

    __slots__ = ("data_id", "end", "following", "parent", "parent_tag", "previous", "start", "tag", "top")

    def __init__(
        self, tag: str, data_id: str | None, parent: "Entry | None", parent_tag: str | None, start: int
    ) -> None:
        self.tag = tag
        self.data_id = data_id
        self.parent = parent
        """The nearest element around it that has an id."""
        self.parent_tag = parent_tag
        """The tag of the element around it whose rules it has to keep."""
        self.previous: Entry | None = None
        self.following: Entry | None = None
        """The elements directly beside it, if they have ids."""
        self.start = start
        self.end = start
        self.top = 0
        """The position, among the elements at the top, of the one that it is in."""


class SentDocument:
    """One document as the editor sent it, parsed once, when it is first asked."""

    def __init__(self, content: str) -> None:
        self.content = content
        self._trees: dict[str, Element] = {}

    @property
    def ids(self) -> Sequence[str]:
        """The ids of all elements that have one, in document order."""
        return tuple(self._entries)

    @property
    def top_level_ids(self) -> Sequence[str | None]:
        return tuple(entry.data_id for entry in self.top)

    @property
    def top(self) -> Sequence[Entry]:
        return self._outline.top

    @cached_property
    def order(self) -> dict[str, int]:
        """The places of the ids in document order."""
        return {data_id: place for place, data_id in enumerate(self._entries)}

    @cached_property
    def is_blank(self) -> bool:
        """Whether it is what an empty editor sends: one block without content."""
        if len(self.top) != 1 or self.top[0].data_id is None:
            return not self.content.strip()
        return not self.content[: self.top[0].start].strip() and self.tree(self.top[0].data_id).is_blank

    def entry(self, data_id: str | None) -> Entry | None:
        return self._entries.get(data_id) if data_id else None

    def outer(self, data_id: str) -> str | None:
        """The outer HTML of an element: the verbatim slice of `content`."""
        entry = self._entries.get(data_id)
        return None if entry is None else self.content[entry.start : entry.end]

    def tree(self, data_id: str) -> Element:
        """Raises KeyError for an unknown id."""
        if data_id not in self._trees:
            self._trees[data_id] = self._read(self._entries[data_id])
        return self._trees[data_id]

    def _read(self, entry: Entry) -> Element:
        markup = self.content[entry.start : entry.end]
        if entry.tag in OPAQUE:
            element = Element(entry.tag, {"data-id": entry.data_id or ""}, [])
            element.source = markup
            return element
        kept = [one for one in self._outline.opaque_entries if entry.start < one.start and one.end <= entry.end]
        pieces, position = [], entry.start
        for number, one in enumerate(kept):
            pieces += [self.content[position : one.start], placeholder(number)]
            position = one.end
        roots = [
            one for one in parsed("".join((*pieces, self.content[position : entry.end]))) if isinstance(one, Element)
        ]
        put_back(roots[0], [self.content[one.start : one.end] for one in kept])
        return roots[0]

    def ancestors(self, data_id: str) -> Iterator[Entry]:
        """The elements with ids around it, from the inside."""
        entry = self._entries[data_id].parent
        while entry is not None:
            yield entry
            entry = entry.parent

    def is_inside(self, data_id: str, container_id: str) -> bool:
        inner, outer = self._entries.get(data_id), self._entries.get(container_id)
        return inner is not None and outer is not None and outer.start < inner.start and inner.end <= outer.end

    def is_first(self, entry: Entry) -> bool:
        return entry.data_id is not None and self.order.get(entry.data_id) == 0 and not entry.previous

    def is_last_in(self, entry: Entry, around: Entry) -> bool:
        return _STARTS.search(self.content, entry.end, around.end) is None

    def ids_inside(self, around: Entry) -> Sequence[str]:
        """Of the elements below it, in document order."""
        ids = list(self._entries)
        inside = []
        for place in range(self.order[around.data_id or ""] + 1, len(ids)):
            if self._entries[ids[place]].start >= around.end:
                break
            inside.append(ids[place])
        return inside

    def leaves(self) -> Sequence[Entry]:
        """The elements with ids that hold text, and no other such elements."""
        return [entry for entry in self._entries.values() if self._is_leaf(entry)]

    def _is_leaf(self, entry: Entry) -> bool:
        if entry.tag not in BLOCKS or any(self._entries[one].tag in BLOCKS for one in self.ids_inside(entry)):
            return False
        return self.is_blank or bool(self.tree(entry.data_id or "").text().strip())

    def outermost(self, data_ids: Iterable[str | None]) -> list[Entry]:
        """The elements with these ids that are in none of the others."""
        entries = [entry for data_id in data_ids if (entry := self.entry(data_id)) is not None]
        return [one for one in entries if not any(other.start < one.start < other.end for other in entries)]

    def after(self, entry: Entry) -> Entry | None:
        """The next element with an id that is not inside this one."""
        around: Entry | None = entry
        while around is not None:
            if around.following is not None:
                return around.following
            around = around.parent
        return None

    def original(self, markup: str) -> str | None:
        """An element that models never write, if the document has the very same."""
        return self._outline.opaque.get(alike(markup))

    def originals_in(self, data_id: str) -> "Counter[str]":
        """The elements that models never write, in an element and as that element."""
        around = self._entries[data_id]
        inside = (one for one in self._outline.opaque_entries if around.start <= one.start and one.end <= around.end)
        return Counter(self.content[one.start : one.end] for one in inside)

    def has_tag(self, name: str) -> bool:
        return name in self._outline.names

    @property
    def _entries(self) -> dict[str, Entry]:
        return self._outline.entries

    @cached_property
    def _outline(self) -> "_Outline":
        return _Outline(self.content)


class _Outline:
    """One pass over the document."""

    def __init__(self, content: str) -> None:
        self.entries: dict[str, Entry] = {}
        self.top: list[Entry] = []
        self.opaque: dict[str, str] = {}
        self.opaque_entries: list[Entry] = []
        self.names: set[str] = set()
        self._content = content
        self._names = OpenElements()
        self._open: list[Entry | None] = []
        self._named: list[Entry | None] = [None]
        """For each open element, and for none: the nearest one that has an id."""
        self._opaque = 0
        """How many of the open ones are opaque."""
        self._beside: list[Entry | None] = [None]
        self._offset = 0
        for token in Scanner().feed(content):
            self._read(token)
            self._offset += len(token.raw)
        self._close(len(self._open), len(content))

    def _read(self, token: Token) -> None:
        if token.kind is Kind.START:
            self._close(self._names.closed_by_start(token.name), self._offset)
            self._start(token)
        elif token.kind is Kind.END:
            self._close(self._names.closed_by_end(token.name), self._offset + len(token.raw), by_tag=True)

    def _start(self, token: Token) -> None:
        data_id = data_id_of(token.raw)
        data_id = None if data_id == NEW else data_id
        parent = self._named[-1]
        self.names.add(token.name)
        entry: Entry | None = None
        if not self._open or data_id or token.name in OPAQUE:
            entry = Entry(token.name, data_id, parent, self._names.parent, self._offset)
            if not self._open:
                self.top.append(entry)
            entry.top = len(self.top) - 1
            if data_id:
                self.entries.setdefault(data_id, entry)
        self._stand_beside(entry)
        if token.name in VOID:
            self._finish(entry, self._offset + len(token.raw))
        else:
            self._names.names.append(token.name)
            self._open.append(entry)
            self._named.append(entry if data_id else parent)
            self._opaque += token.name in OPAQUE
            self._beside.append(None)

    def _stand_beside(self, entry: Entry | None) -> None:
        named = entry if entry is not None and entry.data_id else None
        previous, self._beside[-1] = self._beside[-1], named
        if named is not None and previous is not None:
            named.previous, previous.following = previous, named

    def _close(self, count: int, end: int, *, by_tag: bool = False) -> None:
        """Elements without an end tag of their own end where the tag begins that closes them."""
        for left in range(count, 0, -1):
            self._names.names.pop()
            self._beside.pop()
            tag_begins = self._offset if by_tag and left > 1 else end
            self._named.pop()
            closed = self._open.pop()
            self._opaque -= closed is not None and closed.tag in OPAQUE
            self._finish(closed, tag_begins)

    def _finish(self, entry: Entry | None, end: int) -> None:
        if entry is None:
            return
        entry.end = end
        if entry.tag in OPAQUE and not self._opaque:
            markup = self._content[entry.start : end]
            self.opaque[alike(markup)] = markup
            self.opaque_entries.append(entry)
