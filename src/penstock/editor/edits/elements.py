"""What HTML elements are to each other: which stand alone, which may hold which, which are closed by which.

The parser of the editors is the one of HTML5 (WHATWG, 13.2.6): what is written here follows its rules, so that what we
send is read as the tree that we meant.
"""

from typing import Final


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


VOID: Final = names("area base br col embed frame hr img input keygen link meta param source track wbr")

RAW_TEXT: Final = names("iframe noembed noframes plaintext script style textarea title xmp")
"""No tags are read inside these."""

OPAQUE: Final = RAW_TEXT | names(
    "applet base embed fencedframe frame frameset link math meta noscript object portal svg template"
)
"""Never written by a model: they stay where the user's document has them, as they are, or are dropped (8.6)."""

HEADINGS: Final = frozenset(["h1", "h2", "h3", "h4", "h5", "h6"])
LISTS: Final = frozenset(("ul", "ol", "menu"))
SECTIONS: Final = frozenset(("thead", "tbody", "tfoot"))
CELLS: Final = frozenset(("td", "th"))
TABLE_PARTS: Final = SECTIONS | CELLS | {"tr", "caption", "colgroup", "col"}
"""A parser drops these where no table is open, so they cannot stand at the top of an edit."""

BLOCKS: Final = (
    HEADINGS
    | LISTS
    | TABLE_PARTS
    | names(
        "address article aside blockquote center dd details dialog dir div dl dt fieldset figcaption "
        "figure footer form header hgroup hr li main nav p pre search section summary table"
    )
)
CLOSES_PARAGRAPH: Final = BLOCKS - TABLE_PARTS
HOLDS_ITEMS: Final = LISTS | SECTIONS | {"table", "tr", "colgroup", "dl"}
"""Hold elements of their own kinds only."""
LINE_HOLDERS: Final = HEADINGS | {"p", "pre"}
"""Blocks that hold no blocks."""

WRAPPERS: Final = names("article body center content div document html main output section span")
"""What models put around an answer."""

NOT_IN_THEMSELVES: Final = frozenset(("a", "button", "form", "nobr"))

INLINE: Final = names(
    "a abbr acronym area audio b bdi bdo big br button canvas cite code data datalist del dfn em font "
    "i img input ins kbd label legend map mark meter nobr optgroup option output picture progress q "
    "rp rt ruby s samp select slot small source span strike strong sub sup time track tt u var video "
    "wbr image keygen param marquee blink"
)
KNOWN: Final = BLOCKS | INLINE | OPAQUE | VOID | {"html", "head", "body"}

_PARENTS: Final = {
    "td": frozenset(("tr",)),
    "th": frozenset(("tr",)),
    "tr": SECTIONS | {"table"},
    "thead": frozenset(("table",)),
    "tbody": frozenset(("table",)),
    "tfoot": frozenset(("table",)),
    "caption": frozenset(("table",)),
    "colgroup": frozenset(("table",)),
    "col": frozenset(("colgroup", "table")),
    "li": LISTS,
    "dt": frozenset(("dl", "div")),
    "dd": frozenset(("dl", "div")),
}
_CHILDREN: Final = {
    "dl": frozenset(("dt", "dd", "div")),
    "tr": CELLS,
    "colgroup": frozenset(("col",)),
    "table": SECTIONS | {"tr", "caption", "colgroup", "col"},
    **dict.fromkeys(LISTS, frozenset(("li",))),
    **dict.fromkeys(SECTIONS, frozenset(("tr",))),
}
_CLOSED_BY: Final = {
    "li": frozenset(("li",)),
    "dt": frozenset(("dt", "dd")),
    "dd": frozenset(("dt", "dd")),
    "option": frozenset(("option", "optgroup")),
    "td": CELLS | SECTIONS | {"tr"},
    "th": CELLS | SECTIONS | {"tr"},
    "tr": SECTIONS | {"tr"},
    "thead": SECTIONS,
    "tbody": SECTIONS,
    "tfoot": SECTIONS,
    "caption": SECTIONS | {"tr"},
    "colgroup": SECTIONS | {"tr"},
}
TRANSPARENT: Final = frozenset(("a", "del", "ins"))
"""They may hold whatever the element around them may hold."""
_CLOSING: Final = frozenset().union(*_CLOSED_BY.values())
_BARRIERS: Final = CELLS | {"table", "caption", "template", "object", "svg", "math"}
_LIST_BARRIERS: Final = _BARRIERS | LISTS | {"dl"}
_FARTHEST: Final = 512
"""How far outwards a tag reaches. Browsers build no deeper trees, and the cost of a tag has to have an end."""


def is_allowed(parent: str | None, child: str) -> bool:
    """Whether the element may be a child of the other. `None` is the document itself."""
    if child in _PARENTS:
        return parent in _PARENTS[child]
    if parent in _CHILDREN:
        return child in _CHILDREN[parent]
    holds_lines = parent in LINE_HOLDERS or parent in INLINE - TRANSPARENT
    return not (holds_lines and child in BLOCKS)


class OpenElements:
    """The elements that are open at a point of the text, outermost first."""

    def __init__(self) -> None:
        self.names: list[str] = []

    @property
    def parent(self) -> str | None:
        """The innermost one that decides what may be in it."""
        return next((name for name in self.names[: -_FARTHEST - 1 : -1] if name not in TRANSPARENT), None)

    def closed_by_start(self, name: str) -> int:
        """How many of the innermost ones a start tag of this name closes without an end tag."""
        if name in CLOSES_PARAGRAPH and (depth := self._find("p", _BARRIERS)) is not None:
            return len(self.names) - depth
        if name in HEADINGS and self.names and self.names[-1] in HEADINGS:
            return 1
        return self._closed_by_sibling(name)

    def closed_by_end(self, name: str) -> int:
        """How many an end tag of this name closes; 0: it belongs to none of them."""
        barriers = frozenset(("table",)) if name in TABLE_PARTS else _BARRIERS
        depth = self._find(name, barriers)
        return 0 if depth is None else len(self.names) - depth

    def _closed_by_sibling(self, name: str) -> int:
        if name not in _CLOSING:
            return 0
        barriers = frozenset(("table",)) if name in TABLE_PARTS else _LIST_BARRIERS
        closed = 0
        for count, opened in enumerate(self.names[: -_FARTHEST - 1 : -1], 1):
            if name in _CLOSED_BY.get(opened, ()):
                closed = count
            if opened in barriers:
                break
        return closed

    def _find(self, name: str, barriers: frozenset[str]) -> int | None:
        for depth in range(len(self.names) - 1, max(-1, len(self.names) - 1 - _FARTHEST), -1):
            if self.names[depth] == name:
                return depth
            if self.names[depth] in barriers:
                return None
        return None
