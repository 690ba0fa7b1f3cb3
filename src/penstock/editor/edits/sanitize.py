"""What a model may not bring into a document (`spec/editor-api.md` 8.6). What the document has itself stays."""

import re
from collections.abc import Iterator
from typing import Final

from penstock.editor.edits.elements import OPAQUE, names
from penstock.editor.edits.tree import Element

_MATH: Final = names(
    "math annotation maction menclose merror mfenced mfrac mi mmultiscripts mn mo mover mpadded "
    "mphantom mprescripts mroot mrow ms mspace msqrt mstyle msub msubsup msup mtable mtd mtext mtr "
    "munder munderover none semantics"
)
_ADDRESSES: Final = names(
    "action archive background cite classid codebase data dynsrc formaction href icon longdesc lowsrc "
    "manifest ping poster profile src srcset usemap xlink:href"
)
_MEDIA: Final = frozenset(("background", "poster", "src", "srcset"))
_UNSEEN: Final = re.compile(r"[\x00-\x20\x7f-\xa0\u00ad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff]+")
_SCRIPT_ADDRESS: Final = re.compile(r"(?:javascript|vbscript|livescript|mocha|view-source|file|data):")
_PICTURE_DATA: Final = re.compile(r"data:(?:image|audio|video|font)/")
_STYLE_TRICKS: Final = re.compile(r"expression\(|javascript:|vbscript:|-moz-binding|behaviou?r:|@import|data:text")
_CSS_NOISE: Final = re.compile(r"/\*.*?\*/|\\|[\x00-\x20]", re.DOTALL)
_ATTRIBUTE_NAME: Final = re.compile(r"[a-z_][\w:.-]*\Z")
_NEVER: Final = frozenset(("srcdoc", "is", "slot", "xmlns", "http-equiv"))


def sanitized(element: Element, original: Element | None = None, removed: list[str] | None = None) -> Element | None:
    """Take away, in place, what runs code or loads what it should not; None when the element itself is of that kind.

    `original` is the element of the document that this one replaces: its own attributes are the user's, and stay.
    `removed` is told the names of what was taken away.
    """
    return _Sanitizer(original, [] if removed is None else removed).clean(element)


class _Sanitizer:
    def __init__(self, original: Element | None, removed: list[str]) -> None:
        self._original = original
        self._removed = removed
        self._own: set[tuple[str, str, str]] | None = None

    def clean(self, element: Element) -> Element | None:
        if element.source is not None:
            return element
        if element.tag == "image":
            element.tag = "img"
        if element.tag in OPAQUE and not _is_plain_math(element):
            self._removed.append(f"<{element.tag}>")
            return None
        self._clean_attributes(element)
        element.children = list(self._children(element))
        return element

    def _children(self, element: Element) -> Iterator[Element | str]:
        for child in element.children:
            if isinstance(child, str):
                yield child
            elif (cleaned := self.clean(child)) is not None:
                yield cleaned

    def _clean_attributes(self, element: Element) -> None:
        for name, value in list(element.attributes.items()):
            if not is_harmless(name, value) and not self._is_own(element.tag, name, value):
                del element.attributes[name]
                self._removed.append(name)

    def _is_own(self, tag: str, name: str, value: str) -> bool:
        if self._own is None:
            walked = self._original.walk() if self._original is not None else ()
            self._own = {(one.tag, *pair) for one in walked for pair in one.attributes.items()}
        return (tag, name, value) in self._own


def is_harmless(name: str, value: str) -> bool:
    if not _ATTRIBUTE_NAME.match(name) or name.startswith("on") or name in _NEVER:
        return False
    if name in _ADDRESSES:
        address = _UNSEEN.sub("", value).lower()
        if name in _MEDIA and _PICTURE_DATA.match(address):
            return True
        return _SCRIPT_ADDRESS.search(address) is None if name == "srcset" else not _SCRIPT_ADDRESS.match(address)
    if name == "style":
        return _STYLE_TRICKS.search(_CSS_NOISE.sub("", value).lower()) is None
    return True


def _is_plain_math(element: Element) -> bool:
    """Formulas hold formulas only: HTML inside them, and links, are ways around a sanitiser."""
    if element.tag != "math":
        return False
    return all(one.tag in _MATH and not any("href" in name for name in one.attributes) for one in element.walk())
