"""A tree of HTML as browsers build it, for tests: parsed by html5lib, written in one canonical way."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, TypeAlias
from xml.etree.ElementTree import Element as Parsed

from html5lib import HTMLParser

NEW = "new-element"
VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr")
)
RAW = frozenset(("script", "style", "xmp", "iframe", "noembed", "noframes", "plaintext"))


Child: TypeAlias = "Element | Comment | str"


class Comment:
    """A comment; its text is without the marks around it."""

    def __init__(self, text: str) -> None:
        self.text = text


class Element:
    """A node with tag, attributes and children. The root of a fragment has the tag ""."""

    def __init__(self, tag: str, attributes: dict[str, str] | None = None, *children: Child) -> None:
        self.tag = tag
        self.attributes = attributes or {}
        self.children: list[Child] = []
        self.parent: Element | None = None
        self.append(*children)

    @property
    def data_id(self) -> str | None:
        return self.attributes.get("data-id")

    def append(self, *children: Child) -> None:
        self.insert(len(self.children), *children)

    def insert(self, index: int, *children: Child) -> None:
        self.children[index:index] = children
        for child in children:
            if isinstance(child, Element):
                child.parent = self

    def index(self) -> int:
        """The place among the children of the parent."""
        assert self.parent is not None
        return next(at for at, child in enumerate(self.parent.children) if child is self)

    def replace(self, *others: Child) -> None:
        """Puts the others where this element was; with none of them it is removed."""
        assert self.parent is not None
        at = self.index()
        del self.parent.children[at]
        self.parent.insert(at, *others)
        self.parent = None

    def before(self, other: "Element") -> None:
        assert self.parent is not None
        self.parent.insert(self.index(), other)

    def after(self, other: "Element") -> None:
        assert self.parent is not None
        self.parent.insert(self.index() + 1, other)

    def elements(self) -> Iterator["Element"]:
        """This element and all elements in it, in document order."""
        waiting: list[Element] = [self]
        while waiting:
            one = waiting.pop()
            yield one
            waiting.extend(child for child in reversed(one.children) if isinstance(child, Element))

    def tops(self) -> list["Element"]:
        return [child for child in self.children if isinstance(child, Element)]

    def ancestors(self) -> Iterator["Element"]:
        one = self.parent
        while one is not None:
            yield one
            one = one.parent

    def by_id(self) -> dict[str, "Element"]:
        """The first element of every data-id; new elements have none yet."""
        found: dict[str, Element] = {}
        for one in self.elements():
            if one.data_id not in (None, NEW):
                found.setdefault(str(one.data_id), one)
        return found

    def text(self) -> str:
        return "".join(piece for piece in _walk(self) if isinstance(piece, _Text))

    def copy(self) -> "Element":
        root = twin = Element(self.tag, dict(self.attributes))
        for piece in _walk(self, inner=True):
            if isinstance(piece, Element):
                child = Element(piece.tag, dict(piece.attributes))
                twin.append(child)
                twin = child
            elif piece is None:
                assert twin.parent is not None
                twin = twin.parent
            else:
                twin.append(Comment(piece.text) if isinstance(piece, Comment) else str(piece))
        return root

    def without_comments(self) -> "Element":
        twin = self.copy()
        for one in twin.elements():
            one.children = [child for child in one.children if not isinstance(child, Comment)]
        return twin

    def outer(self, write: "Writer | None" = None) -> str:
        return (write or WRITER).outer(self)

    def inner(self, write: "Writer | None" = None) -> str:
        return (write or WRITER).inner(self)

    def canonical(self) -> str:
        """Equal for two trees exactly when they are equal; of fragments, without the white space between blocks.

        What is new has no id yet, whatever the stream called it.
        """
        if self.tag:
            return _CANONICAL.outer(self)
        twin = self.copy()
        twin.children = [child for child in twin.children if not isinstance(child, str) or child.strip()]
        return _CANONICAL.inner(twin)


class _Text(str):
    __slots__ = ()


Piece = Element | Comment | _Text | None


def _walk(root: Element, inner: bool = False) -> Iterator[Piece]:
    """Start and contents of every element in order; None is an end. Without recursion: models nest without limit."""
    waiting: list[Any] = [None, *reversed(root.children)] if not inner else list(reversed(root.children))
    if not inner:
        yield root
    while waiting:
        one = waiting.pop()
        if isinstance(one, Element):
            waiting.append(None)
            waiting.extend(reversed(one.children))
        yield _Text(one) if isinstance(one, str) else one


class Writer:
    """Writes trees. The options are what models vary without changing what they mean."""

    def __init__(
        self, tag: Callable[[str], str] = str, quote: str = '"', nbsp: str = "&nbsp;", in_order: bool = False
    ) -> None:
        self._tag, self._quote, self._nbsp, self._in_order = tag, quote, nbsp, in_order

    def outer(self, root: Element) -> str:
        return "".join(self._written(root, inner=False))

    def inner(self, root: Element) -> str:
        return "".join(self._written(root, inner=True))

    def _written(self, root: Element, inner: bool) -> Iterator[str]:
        opened = [root] if inner else []
        for piece in _walk(root, inner):
            if isinstance(piece, Element):
                opened.append(piece)
                yield self._start(piece)
            elif isinstance(piece, Comment):
                yield f"<!--{piece.text}-->"
            elif piece is None:
                closed = opened.pop()
                yield "" if closed.tag in VOID else f"</{self._name(closed)}>"
            else:
                yield str(piece) if opened and opened[-1].tag in RAW else self._escaped(piece)

    def _start(self, one: Element) -> str:
        items = sorted(one.attributes.items()) if self._in_order else one.attributes.items()
        attributes = "".join(
            f" {self._attribute(name, value)}" for name, value in items if self._is_written(name, value)
        )
        first = one.children[0] if one.children else ""
        eaten = one.tag in ("pre", "textarea") and isinstance(first, str) and first.startswith("\n")
        return f"<{self._name(one)}{attributes}>" + ("\n" if eaten else "")

    def _is_written(self, name: str, value: str) -> bool:
        return not (self._in_order and name == "data-id" and value == NEW)

    def _name(self, one: Element) -> str:
        return self._tag(one.tag.rpartition("}")[2])

    def _attribute(self, name: str, value: str) -> str:
        mark = self._quote
        inside = self._escaped(value).replace(mark, "&quot;" if mark == '"' else "&#39;")
        return f"{self._tag(_local(name))}={mark}{inside}{mark}"

    def _escaped(self, text: str) -> str:
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\xa0", self._nbsp)


def _local(name: str) -> str:
    """xlink:href comes from the parser as {namespace}href."""
    space, brace, local = name.rpartition("}")
    return f"xlink:{local}" if brace and "xlink" in space else local


WRITER = Writer()
_CANONICAL = Writer(in_order=True)


def parse(html: str, scripting: bool = False, within: str = "body") -> Element:
    """Read a fragment of a body, or of another element. A fresh tree each time, so it may be changed."""
    return _parsed(html, scripting, within).copy()


@lru_cache(maxsize=64)
def _parsed(html: str, scripting: bool, within: str) -> Element:
    parser = HTMLParser(namespaceHTMLElements=False)
    return _converted(parser.parseFragment(html, container=within, scripting=scripting))


def _converted(parsed: Parsed) -> Element:
    root = Element("")
    waiting: list[tuple[Parsed, Element]] = [(parsed, root)]
    while waiting:
        source, target = waiting.pop()
        _text(target, source.text)
        for child in source:
            tag: Any = child.tag  # a function where the child is a comment
            if isinstance(tag, str):
                twin = Element(tag, dict(child.attrib))
                target.append(twin)
                waiting.append((child, twin))
            else:
                target.append(Comment(child.text or ""))
            _text(target, child.tail)
    return root


def _text(target: Element, text: str | None) -> None:
    if text:
        target.append(text)
