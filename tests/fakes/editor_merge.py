"""What an editor makes of the edits it is sent: the reference merge of `spec/editor-api.md` 8.2-8.5 and 7.4.

It is as literal as the clients are and repairs nothing. Where the specification leaves something open there is a rule
for either reading, so that tests can ask whether the outcome depends on it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, NamedTuple

from tests.fakes.markup import NEW, Comment, Element, parse

GAP: Final = "existing document"
_REMOVED: Final = 'removed data-id="'


class Rules(NamedTuple):
    """How one client reads what 8.2 and 8.3 say."""

    unknown_is_new: bool
    """An element with an unknown id, or without one: inserted, or ignored."""
    removal_is_behind: bool
    """A removal comment anchors the new elements that follow it."""
    changed_is_ahead: bool = True
    """An element that was changed, not only kept, anchors the new ones before it. 8.3 only names kept ones."""
    first_text_wins: bool = False
    """An element within one that was replaced is looked for in the document as sent, not as it is by then."""


TINYMCE: Final = Rules(unknown_is_new=True, removal_is_behind=False)
CKEDITOR: Final = Rules(unknown_is_new=False, removal_is_behind=True)
READINGS: Final = (
    TINYMCE,
    CKEDITOR,
    TINYMCE._replace(changed_is_ahead=False),
    CKEDITOR._replace(changed_is_ahead=False),
    TINYMCE._replace(first_text_wins=True),
)
"""Every reading that a stream has to survive."""


def merge_chat(document: str, stream: str, rules: Rules = TINYMCE) -> str:
    """The document after a whole `modification-delta` stream, as TinyMCE merges it."""
    merge = _Chat(document, rules)
    merge.read(stream)
    merge.end()
    return merge.html()


def merge_chat_ckeditor(document: str, stream: str) -> str:
    return merge_chat(document, stream, CKEDITOR)


def preview_chat(document: str, so_far: str, rules: Rules = TINYMCE) -> str:
    """What is shown while the stream goes on: a new element waits until its place is known (8.3, rule 4)."""
    merge = _Chat(document, rules)
    merge.read(so_far)
    return merge.html()


def merge_replacement(content: str, stream: str) -> str:
    """Actions other than `continue`: what is not echoed, in order, is removed; no element, no operation (8.4)."""
    root = parse(content)
    if not parse(stream).tops():
        return root.inner()
    left = [one for one in root.tops() if one.data_id not in (None, NEW)]
    places = {one.data_id: one for one in left}
    last: Element | None = None
    for node in parse(stream).tops():
        one = node.without_comments()
        old = places.get(one.data_id)
        if old is not None and any(old is waiting for waiting in left):
            while left[0] is not old:
                left.pop(0).replace()
            left.pop(0)
            last = _swapped(old, one)
        elif last is not None:
            last.after(one)
            last = one
        else:
            root.insert(0, one)
            last = one
    for skipped in left:
        skipped.replace()
    return root.inner()


def merge_continuation(content: str, stream: str) -> str:
    """The action `continue`: nothing is removed, new elements are appended (8.4)."""
    root = parse(content)
    places = root.by_id()
    for node in parse(stream).tops():
        one = node.without_comments()
        old = places.get(one.data_id or "")
        if old is None:
            root.append(one)
        else:
            _swapped(old, one)
    return root.inner()


def merge_review(content: str, deltas: Iterable[tuple[str, str | None]]) -> str:
    """Deltas are data-id and new outer HTML, None for `unmodified`; all of them are accepted as they came (7.4)."""
    root = parse(content)
    for data_id, html in deltas:
        old = root.by_id().get(data_id)
        if html is None or old is None:
            continue
        found = parse(html).by_id().get(data_id)
        within = old.parent.tag if old.parent is not None and old.parent.tag else "body"
        old.replace(*([found] if found is not None else parse(html, within=within).children))
    return root.inner()


class _Kind(Enum):
    ELEMENT = auto()
    NEW = auto()
    GAP = auto()
    REMOVAL = auto()


@dataclass
class _Entry:
    """One node of the stream, and where it stands in the document once that is known."""

    kind: _Kind
    node: Element | None = None
    place: Element | None = None
    changed: bool = field(default=False)


class _Chat:
    def __init__(self, document: str, rules: Rules) -> None:
        self._root, self._rules = parse(document), rules
        self._known = self._root.by_id()
        self._entries: list[_Entry] = []
        self._waiting: list[_Entry] = []
        self._for_the_end: list[_Entry] = []
        self._removed: list[Element] = []

    def read(self, stream: str) -> None:
        for node in parse(stream).children:
            entry = self._entry(node)
            if entry is None:
                continue
            if entry.kind is _Kind.NEW:
                self._place(entry)
            else:
                self._resolve(entry)
            self._entries.append(entry)

    def end(self) -> None:
        for entry in [*self._for_the_end, *self._waiting]:
            assert entry.node is not None
            self._insert(entry, self._root.append)

    def html(self) -> str:
        """Removed elements keep their place until here: they anchor new ones."""
        for one in self._removed:
            if one.parent is not None:
                one.replace()
        return self._root.inner()

    def _entry(self, node: Element | Comment | str) -> _Entry | None:
        if isinstance(node, str):
            return None
        if isinstance(node, Comment):
            return self._remark(node.text.strip())
        one = node.without_comments()
        if one.data_id in self._known:
            return self._swap(one)
        return _Entry(_Kind.NEW, one) if one.data_id == NEW or self._rules.unknown_is_new else None

    def _remark(self, text: str) -> _Entry | None:
        if text == GAP:
            return _Entry(_Kind.GAP)
        _, mark, rest = text.partition(_REMOVED)
        data_id, closed, _ = rest.partition('"')
        target = self._known.get(data_id) if mark and closed else None
        if target is None or self._is_gone(target):
            return None
        self._removed.append(target)
        return _Entry(_Kind.REMOVAL, place=target)

    def _swap(self, one: Element) -> _Entry | None:
        old = self._known[str(one.data_id)]
        if self._is_gone(old):
            return None
        if old.without_comments().canonical() == one.canonical():
            return _Entry(_Kind.ELEMENT, place=old)
        old.replace(one)
        if not self._rules.first_text_wins:
            self._known.update(one.by_id())
        self._known[str(one.data_id)] = one
        return _Entry(_Kind.ELEMENT, place=one, changed=True)

    def _is_gone(self, one: Element) -> bool:
        path = [one, *one.ancestors()]
        return path[-1] is not self._root or any(step is removed for step in path for removed in self._removed)

    def _place(self, entry: _Entry) -> None:
        """Rules 1 and 2. What finds no place behind it waits for one ahead."""
        if not self._entries:
            self._insert(entry, lambda node: self._root.insert(0, node))
            return
        behind = next((one for one in reversed(self._entries) if one.kind is not _Kind.NEW or one.place), None)
        anchors = behind is not None and (behind.kind is not _Kind.REMOVAL or self._rules.removal_is_behind)
        if behind is not None and behind.place is not None and behind.place.parent is not None and anchors:
            self._insert(entry, behind.place.after)
        else:
            self._waiting.append(entry)

    def _resolve(self, entry: _Entry) -> None:
        """Rule 3: what waits is placed before an element or a removed one; a gap sends it to the end."""
        if entry.kind is _Kind.GAP:
            self._for_the_end += self._waiting
        elif entry.place is not None and (not entry.changed or self._rules.changed_is_ahead):
            for waiting in self._waiting:
                self._insert(waiting, entry.place.before)
        else:
            return
        self._waiting = []

    def _insert(self, entry: _Entry, put: Callable[[Element], None]) -> None:
        """Elements that a new one wraps move into it (8.2)."""
        assert entry.node is not None
        put(entry.node)
        entry.place = entry.node
        for data_id, wrapped in entry.node.by_id().items():
            old = self._known.get(data_id)
            if old is not None and old is not wrapped and old.parent is not None:
                old.replace()
            self._known[data_id] = wrapped


def _swapped(old: Element, new: Element) -> Element:
    """The element that now stands there: the old one, with its comments, if nothing has changed."""
    if old.without_comments().canonical() == new.canonical():
        return old
    old.replace(new)
    return new
