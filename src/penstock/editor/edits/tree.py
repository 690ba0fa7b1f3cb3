"""Small trees of HTML: read with lxml, compared, and written so that an HTML5 parser reads the same tree again."""

import re
from collections.abc import Iterator, Sequence
from html import escape, unescape
from typing import TYPE_CHECKING, Final

from penstock.editor.edits.elements import BLOCKS, RAW_TEXT, VOID

if TYPE_CHECKING:
    from lxml.etree import _Element

_ID: Final = re.compile(r"""\sdata-id\s*=\s*("[^"]*"|'[^']*'|[^\s"'>]+)""", re.IGNORECASE)
_SPACE: Final = re.compile(r"[ \t\n\r\f]+")
_BLANK: Final = " \t\n\r\f\u00a0\u200b\ufeff"
_KEEPS_SPACE: Final = frozenset(("pre", "textarea"))
_SHOWS_NOTHING: Final = frozenset(("b", "br", "em", "i", "span", "strong", "u"))
_BREAKS: Final = BLOCKS | {"br"}
_NAME: Final = re.compile(r"[a-zA-Z_:][\w:.-]*\Z")

_DEEPEST: Final = 250
"""What is nested deeper is left out of a tree; such elements are not edited."""
_TAG: Final = re.compile(r"<(/?[a-zA-Z][^\s/>]*)([^>]*)>")
_ATTRIBUTE: Final = re.compile(r"""([^\s=/"']+)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s"'>]+))?""")
_KEPT_TAG: Final = "penstock-kept"

Canonical = tuple[object, ...]


class Element:
    """`source` is set where the element is written as the document has it."""

    __slots__ = ("attributes", "children", "source", "tag")

    def __init__(self, tag: str, attributes: dict[str, str], children: "list[Element | str]") -> None:
        self.tag = tag
        self.attributes = attributes
        self.children = children
        self.source: str | None = None

    @property
    def data_id(self) -> str | None:
        return self.attributes.get("data-id")

    @property
    def is_blank(self) -> bool:
        """Without text and without anything that shows."""
        if any(one is not self and one.tag not in _SHOWS_NOTHING for one in self.walk()):
            return False
        return not self.text().strip(_BLANK)

    def elements(self) -> "Iterator[Element]":
        return (child for child in self.children if isinstance(child, Element))

    def walk(self) -> "Iterator[Element]":
        """The element and all inside it, in document order."""
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text() for child in self.children)

    def copy(self) -> "Element":
        twin = Element(self.tag, dict(self.attributes), [c if isinstance(c, str) else c.copy() for c in self.children])
        twin.source = self.source
        return twin


def parsed(markup: str) -> "list[Element | str]":
    """The nodes of a fragment; comments are left out."""
    from lxml import etree

    parser = etree.HTMLParser(remove_comments=True, remove_pis=True, no_network=True, encoding="utf-8", huge_tree=True)
    root = etree.fromstring(f"<html><body>{markup}</body></html>".encode("utf-8", "replace"), parser)
    nodes: list[Element | str] = []
    for part in root:
        nodes += _read(part).children if part.tag in ("body", "head") else [_read(part)]
    return nodes


def _read(node: "_Element", depth: int = 0) -> Element:
    element = Element(str(node.tag), dict(node.attrib.items()), [])
    text = (node.text or "").removeprefix("\n") if element.tag in _KEEPS_SPACE else node.text
    if text:
        element.children.append(text)
    for child in node:
        if isinstance(child.tag, str) and depth < _DEEPEST:
            element.children.append(_read(child, depth + 1))
        if child.tail:
            element.children.append(child.tail)
    return element


def placeholder(number: int) -> str:
    """Stands in markup for an element that is written as the document has it."""
    return f'<{_KEPT_TAG} n="{number}"></{_KEPT_TAG}>'


def put_back(element: Element, kept: Sequence[str]) -> None:
    """Let the placeholders below be written as what they stand for."""
    for one in element.walk():
        number = one.attributes.get("n", "")
        if one.tag == _KEPT_TAG and number.isdigit() and int(number) < len(kept):
            one.source, one.attributes, one.children = kept[int(number)], {}, []


def alike(markup: str) -> str:
    """Markup of an element that models never write, so that a copy of it is recognised."""
    return _SPACE.sub(" ", _TAG.sub(_tag_alike, markup)).strip()


def _tag_alike(tag: "re.Match[str]") -> str:
    pairs = {name.lower(): unescape(value.strip("\"'")) for name, value in _ATTRIBUTE.findall(tag[2])}
    return f"<{tag[1].lower()} {sorted(pairs.items())}>"


def without_ids(element: Element) -> Element:
    """The same element as one that the document does not have."""
    for one in element.walk():
        one.attributes.pop("data-id", None)
        if one.source is not None:
            one.source = None if one.tag != _KEPT_TAG and one.children else _ID.sub("", one.source)
    return element


def written(node: "Element | str") -> str:
    out: list[str] = []
    _write(node, out)
    return "".join(out)


def _write(node: "Element | str", out: list[str]) -> None:
    if isinstance(node, str):
        out.append(escape(node, quote=False).replace("\u00a0", "&nbsp;"))
        return
    if node.source is not None:
        out.append(node.source)
        return
    out.append(f"<{node.tag}{''.join(_attribute(name, value) for name, value in node.attributes.items())}>")
    if node.tag in VOID:
        return
    if node.tag in _KEEPS_SPACE and node.children and str(node.children[0]).startswith("\n"):
        out.append("\n")  # a parser drops the first line break of these
    for child in node.children:
        if node.tag in RAW_TEXT and isinstance(child, str):
            out.append(child)
        else:
            _write(child, out)
    out.append(f"</{node.tag}>")


def _attribute(name: str, value: str) -> str:
    if not _NAME.match(name):
        return ""
    return f' {name}="{escape(value, quote=False).replace(chr(34), "&quot;")}"'


def canonical(element: Element, keeps_space: bool = False) -> Canonical:
    """Equal for two elements that a reader cannot tell apart: white space between blocks does not count."""
    if element.source is not None:
        return (alike(element.source),)
    keeps_space = keeps_space or element.tag in _KEEPS_SPACE
    if not keeps_space and len(element.children) < 3 and element.is_blank and not _holds_ids(element):
        return (element.tag, tuple(sorted(element.attributes.items())), ())
    return (element.tag, tuple(sorted(element.attributes.items())), tuple(_canonical_children(element, keeps_space)))


def _canonical_children(element: Element, keeps_space: bool) -> Iterator[object]:
    last = len(element.children) - 1
    is_block = element.tag in BLOCKS
    for index, child in enumerate(element.children):
        if isinstance(child, Element):
            yield canonical(child, keeps_space)
            continue
        text = child
        if not keeps_space:
            text = _SPACE.sub(" ", text)
            if (index == 0 and is_block) or (index > 0 and _breaks(element.children[index - 1])):
                text = text.lstrip(" ")
            if (index == last and is_block) or (index < last and _breaks(element.children[index + 1])):
                text = text.rstrip(" ")
        if text:
            yield text


def _holds_ids(element: Element) -> bool:
    return any(one.data_id for one in element.walk() if one is not element)


def _breaks(node: "Element | str") -> bool:
    return isinstance(node, Element) and node.tag in _BREAKS
