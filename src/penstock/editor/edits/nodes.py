"""The nodes at the top of a model's edit, told apart while they arrive."""

from collections.abc import Iterator
from html import escape
from typing import Final

import msgspec

from penstock.editor.edits.document import SentDocument, data_id_of
from penstock.editor.edits.elements import BLOCKS, INLINE, KNOWN, LINE_HOLDERS, OPAQUE, VOID, OpenElements, names
from penstock.editor.edits.scanner import Kind, Scanner, Token
from penstock.editor.edits.tree import placeholder

_FRAMES: Final = names(
    "answer document documents edit edits existing-document head html body output replacement response result"
)
_DEEPEST: Final = 200
_THOUGHTS: Final = frozenset(("think", "thinking"))
_LINE: Final = LINE_HOLDERS | INLINE


class RawElement(msgspec.Struct):
    markup: str
    tag: str
    data_id: str | None
    kept: list[str] = []
    is_closed: bool = True
    is_too_deep: bool = False


class Comment(msgspec.Struct):
    text: str


class Loose(msgspec.Struct):
    """Text outside any element; it comes in pieces."""

    text: str


RawNode = RawElement | Comment | Loose


class NodeReader:
    """Feeds on a model's text. An element comes when it is complete, or when another one shows that it must be."""

    def __init__(self, document: SentDocument) -> None:
        self.dropped: list[str] = []
        """The names of elements that models may not write."""
        self._document = document
        self._scanner = Scanner()
        self._open = OpenElements()
        self._parts: list[str] = []
        self._element = RawElement("", "", None)
        self._opaque_from = -1
        self._opaque_depth = 0
        self._opaque_name = ""

    @property
    def is_between_nodes(self) -> bool:
        return not self._open.names and self._opaque_from < 0 and not self._scanner.is_within_token

    def feed(self, text: str) -> Iterator[RawNode]:
        for token in self._scanner.feed(text):
            yield from self._take(token)

    def end(self) -> Iterator[RawNode]:
        """The element that was left open, if any, marked as such; a tag that was begun is dropped."""
        self._scanner.end()
        if self._opaque_from >= 0:
            self._drop_opaque()
        if self._open.names:
            self._element.is_closed = False
            yield self._finish()

    def _take(self, token: Token) -> Iterator[RawNode]:
        if self._opaque_from >= 0:
            yield from self._take_opaque(token)
        elif token.kind in (Kind.TEXT, Kind.JUNK) or self._is_unknown(token):
            text = token.raw if token.kind is Kind.TEXT else escape(token.raw, quote=False)
            yield from self._text(text)
        elif token.kind is Kind.START:
            yield from self._start(token)
        elif token.kind is Kind.END:
            yield from self._end(token)
        elif not self._open.names and token.raw.startswith("<!--"):
            yield Comment(token.raw[4:].removesuffix("-->").removesuffix("--!>"))

    def _text(self, text: str) -> Iterator[RawNode]:
        if self._open.names:
            self._parts.append(text)
        else:
            yield Loose(text)

    def _is_unknown(self, token: Token) -> bool:
        """A placeholder such as <name> is text that the model forgot to escape."""
        if token.kind not in (Kind.START, Kind.END) or token.name in KNOWN | _FRAMES | _THOUGHTS:
            return False
        return not self._document.has_tag(token.name)

    def _start(self, token: Token) -> Iterator[RawNode]:
        if token.name in _FRAMES:
            return
        data_id = data_id_of(token.raw) if "data-" in token.raw.lower() else None
        if self._open.names:
            closed = len(self._open.names) if self._begins_another(token, data_id) else 0
            del self._open.names[len(self._open.names) - (closed or self._open.closed_by_start(token.name)) :]
            if not self._open.names:
                yield self._finish()
        if not self._open.names:
            self._element = RawElement("", token.name, data_id)
        if token.name in OPAQUE or token.name in _THOUGHTS:
            yield from self._start_opaque(token)
            return
        self._parts.append(token.raw)
        if token.name in VOID:
            if not self._open.names:
                yield self._finish()
            return
        self._open.names.append(token.name)
        self._element.is_too_deep |= len(self._open.names) > _DEEPEST

    def _begins_another(self, token: Token, data_id: str | None) -> bool:
        """Whether an end tag was forgotten: a block with an id of its own cannot be within a line of text."""
        if data_id is None or token.name not in BLOCKS or not all(name in _LINE for name in self._open.names):
            return False
        root = self._element.data_id
        return root is None or not self._document.is_inside(data_id, root)

    def _end(self, token: Token) -> Iterator[RawNode]:
        closed = self._open.closed_by_end(token.name)
        if closed:
            self._parts.append(token.raw)
            del self._open.names[len(self._open.names) - closed :]
            if not self._open.names:
                yield self._finish()

    def _finish(self) -> RawElement:
        element = self._element
        element.markup = "".join(self._parts)
        self._parts = []
        self._open.names.clear()
        return element

    def _start_opaque(self, token: Token) -> Iterator[RawNode]:
        self._opaque_from, self._opaque_depth, self._opaque_name = len(self._parts), 0, token.name
        yield from self._take_opaque(token)

    def _take_opaque(self, token: Token) -> Iterator[RawNode]:
        self._parts.append(token.raw)
        if token.name == self._opaque_name:
            stands_alone = token.name in VOID or (token.name in ("svg", "math") and token.raw.endswith("/>"))
            if token.kind is Kind.END:
                self._opaque_depth -= 1
            elif not stands_alone:
                self._opaque_depth += 1
        if self._opaque_depth <= 0:
            yield from self._finish_opaque()

    def _finish_opaque(self) -> Iterator[RawNode]:
        markup = "".join(self._parts[self._opaque_from :])
        original = self._document.original(markup)
        if original is None and self._opaque_name == "math":
            self._opaque_from = -1  # formulas are looked at when the element is read
            if not self._open.names:
                yield self._finish()
            return
        if original is None:
            self._drop_opaque()
            return
        del self._parts[self._opaque_from :]
        self._opaque_from = -1
        self._element.kept.append(original)
        number = len(self._element.kept) - 1
        if self._open.names:
            self._parts.append(placeholder(number))
        else:
            self._parts.append(original)
            yield self._finish()

    def _drop_opaque(self) -> None:
        del self._parts[self._opaque_from :]
        self._opaque_from = -1
        self.dropped.append(self._opaque_name)
