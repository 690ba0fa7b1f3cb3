"""Documents as editors send them (`spec/editor-api.md` 8.1): any number of them, the same ones for the same seed."""

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from random import Random
from string import ascii_lowercase

from tests.fakes.markup import Comment, Element, Writer

Piece = Element | Comment | str

_PROSE = "the river carries wood to mills below and nobody counts it & why they it's a—dash “quoted” non\xa0breaking"
_SCRIPTS = "Größe naïve façade 北京 東京タワー مرحبا بالعالم שלום 👩\u200d👩\u200d👧 🎉 zero\u200bwidth 5\xa0km"
_LOOKALIKES = (
    "<should> <p> </p> <script>alert(1)</script> data-id=abcd <!-- existing --> --> ]]> &nbsp; &amp;amp; "
    "\\n %3Cb%3E {{name}} ``` </edit> <edit>"
)
_WORDS = f"{_PROSE} {_PROSE} {_SCRIPTS} {_LOOKALIKES}".split(" ")
_CLASSES = ("lead", "note", "mce-toc", "table table-bordered", "ck-list-bogus-paragraph", 'odd"class', "ñ")
_STYLES = ("text-align: center;", "color: #b3261e; font-weight: 600", "margin-left:40px", "width:50%")
_INLINE = ("strong", "em", "u", "s", "code", "sub", "sup", "mark", "span", "a")
_TABLE_PARTS = frozenset(("table", "caption", "colgroup", "col", "thead", "tbody", "tfoot", "tr", "th", "td"))


def document(seed: int) -> Element:
    """Up to a dozen blocks. Every twentieth document is the empty one."""
    random = Random(seed)
    if seed % 20 == 7:
        return empty(random)
    return Author(random).document(random.choice((1, 2, 3, 4, 5, 6, 12)))


def empty(random: Random) -> Element:
    return Element("", None, Element("p", {"data-id": next(_ids(random))}, "\xa0"))


def large(seed: int, blocks: int) -> Element:
    """A document with about three times as many ids as blocks."""
    return Author(Random(seed)).document(blocks)


def deep(seed: int, levels: int) -> Element:
    """Quotes in quotes, every one with an id."""
    author = Author(Random(seed))
    inner = author.paragraph()
    for _ in range(levels):
        inner = author.block("blockquote", inner, author.paragraph())
    return Element("", None, author.paragraph(), inner, author.paragraph())


def review(seed: int) -> Element:
    """Review markup: ids on leaf blocks, on loose text, which is wrapped, and on images; on nothing else (8.1)."""
    root = document(seed)
    author = Author(Random(seed))
    for one in list(root.elements()):
        if not one.tag:
            continue
        one.attributes.pop("data-id", None)
        if one.tag == "img" or _is_leaf_block(one):
            one.attributes = {"data-id": author.next_id(), **one.attributes}
        elif one.tag in _LOOSE and one.children and isinstance(one.children[0], str) and one.children[0].strip():
            wrapper = {"data-text-wrapper": "true", "data-id": author.next_id()}
            one.children[0:1] = [Element("span", wrapper, one.children[0])]
            one.tops()[0].parent = one
    return root


_LOOSE = frozenset(("li", "td", "th", "div"))
_LEAVES = frozenset(("p", "h1", "h2", "h3", "h4", "pre", "figcaption", "summary", "dt", "dd", "li", "td", "th"))


def _is_leaf_block(one: Element) -> bool:
    blocks = _LEAVES | {"ul", "ol", "dl", "table", "blockquote", "figure", "div", "details"}
    return one.tag in _LEAVES and not any(part.tag in blocks for part in one.elements() if part is not one)


def written(root: Element, seed: int) -> str:
    """The HTML of an editor: non-breaking spaces as entities or as they are."""
    return root.inner(Writer(nbsp=Random(seed).choice(("&nbsp;", "\xa0"))))


def addressable(root: Element) -> list[Element]:
    """The elements that an edit may name at the top of a stream: parts of tables lose their tags there."""
    return [one for one in root.elements() if one.data_id and one.tag not in _TABLE_PARTS - {"table"}]


class Author:
    """Writes what people write. All ids of one author are different."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._new_ids = _ids(random)
        self._bare_rows = random.random() < 0.5

    def document(self, blocks: int) -> Element:
        root = Element("", None, *(self.any_block(2) for _ in range(blocks)))
        if self._random.random() < 0.15:
            root.insert(self._random.randrange(blocks + 1), Comment(" pagebreak "))
        if self._random.random() < 0.4:
            for at in range(len(root.children), 0, -1):
                root.insert(at, "\n")
        return root

    def next_id(self) -> str:
        return next(self._new_ids)

    def any_block(self, levels: int) -> Element:
        kinds: list[tuple[Callable[[], Element], int]] = [
            (self.paragraph, 10),
            (self.heading, 4),
            (self.image, 1),
            (self.code, 1),
            (self.rule, 1),
            (self.media, 1),
        ]
        if levels:
            kinds += [
                (lambda: self.items(levels - 1), 4),
                (lambda: self.table(levels - 1), 2),
                (lambda: self.figure(), 2),
                (lambda: self.container(levels - 1), 3),
                (lambda: self.terms(), 1),
            ]
        return self._random.choices([kind for kind, _ in kinds], [weight for _, weight in kinds])[0]()

    def block(self, tag: str, *children: Piece) -> Element:
        return Element(tag, self._attributes(), *children)

    def paragraph(self) -> Element:
        return self.block("p", *(self.inline(2) if self._random.random() < 0.95 else ["\xa0"]))

    def heading(self) -> Element:
        return self.block(self._random.choice(("h1", "h2", "h3", "h4")), *self.inline(1))

    def image(self) -> Element:
        return self.block("p", self.words(), self._img(), self.words())

    def code(self) -> Element:
        return self.block("pre", Element("code", {"class": "language-html"}, f"if a < b:\n    {self.words()}\n\n"))

    def rule(self) -> Element:
        return self.block("hr")

    def media(self) -> Element:
        frame = Element("iframe", {"src": "https://video.example/embed/1?a=1&b=2", "allowfullscreen": ""})
        return self.block("div", frame)

    def items(self, levels: int) -> Element:
        items = [self._item(levels) for _ in range(self._random.randint(1, 3))]
        return self.block(self._random.choice(("ul", "ol")), *items)

    def table(self, levels: int) -> Element:
        columns = self._random.randint(1, 3)
        rows = [self._row(columns, levels) for _ in range(self._random.randint(1, 2))]
        body = Element("tbody", {} if self._bare_rows else self._attributes(), *rows)
        caption = [self.block("caption", self.words())] if self._random.random() < 0.3 else []
        return self.block("table", *caption, body)

    def figure(self) -> Element:
        caption = [self.block("figcaption", *self.inline(1))] if self._random.random() < 0.7 else []
        return self.block("figure", self._img(), *caption)

    def container(self, levels: int) -> Element:
        tag = self._random.choice(("blockquote", "div", "section", "details"))
        inside = [self.any_block(levels) for _ in range(self._random.randint(1, 3))]
        return self.block(tag, *([self.block("summary", self.words())] if tag == "details" else []), *inside)

    def terms(self) -> Element:
        return self.block("dl", self.block("dt", self.words()), self.block("dd", *self.inline(1)))

    def words(self, most: int = 5) -> str:
        return " ".join(self._random.choices(_WORDS, k=self._random.randint(1, most)))

    def inline(self, levels: int) -> list[Piece]:
        pieces: list[Piece] = [self.words()]
        for _ in range(self._random.choice((0, 0, 1, 2)) if levels else 0):
            pieces += [" ", self._run(levels), " " + self.words(3)]
        return pieces

    def _run(self, levels: int) -> Piece:
        chance = self._random.random()
        if chance < 0.08:
            return Element("br")
        if chance < 0.16:
            return self._img()
        if chance < 0.2:
            return Comment(self._random.choice((" remark ", "[if gte mso 9]", " existing document ")))
        tag = self._random.choice(_INLINE)
        attributes = {"a": {"href": "https://example.org/?q=1&r=é", "target": "_blank"}, "span": {"style": _STYLES[1]}}
        # A link in a link would be split by every parser.
        inner: Sequence[Piece] = self.inline(levels - 1) if tag != "a" else [self.words(3)]
        return Element(tag, dict(attributes.get(tag, {})), *(inner if not _has_link(inner) else [self.words(3)]))

    def _item(self, levels: int) -> Element:
        nested = [self.items(levels - 1)] if levels and self._random.random() < 0.3 else []
        loose = self._random.random() < 0.6
        return self.block("li", *(self.inline(1) if loose else [self.paragraph()]), *nested)

    def _row(self, columns: int, levels: int) -> Element:
        return Element(
            "tr", {} if self._bare_rows else self._attributes(), *(self._cell(levels) for _ in range(columns))
        )

    def _cell(self, levels: int) -> Element:
        tag = "td" if self._random.random() < 0.8 else "th"
        return self.block(tag, *(self.inline(1) if self._random.random() < 0.7 else [self.any_block(min(levels, 1))]))

    def _img(self) -> Element:
        attributes = {"src": "data:image/png;base64,iVBORw0KGgo=", "alt": self.words(3)}
        if self._random.random() < 0.6:
            attributes["src"] = "/files/a%20b.png?w=1&h=2"
        return Element("img", {"data-id": self.next_id(), **attributes})

    def _attributes(self) -> dict[str, str]:
        attributes = {"data-id": self.next_id()}
        others = {
            "class": _CLASSES,
            "style": _STYLES,
            "dir": ("rtl", "ltr"),
            "lang": ("ar", "de"),
            "data-custom": ('{"a": "<b> & \'c\'"}', "", "</p>", "-->", "a=b"),
            "title": ("a \xa0 “title”", "it's"),
            "id": ("anchor",),
        }
        for name in self._random.sample(sorted(others), k=self._random.choice((0, 0, 0, 1, 2))):
            attributes[name] = self._random.choice(others[name])
        return attributes


def _has_link(pieces: Sequence[Piece]) -> bool:
    return any(part.tag == "a" for one in pieces if isinstance(one, Element) for part in one.elements())


def _ids(random: Random) -> Iterator[str]:
    """TinyMCE's four letters, or the longer ones of CKEditor."""
    if random.random() < 0.7:
        seen: set[str] = set()
        while True:
            letters = "".join(random.choices(ascii_lowercase, k=4))
            if letters not in seen:
                seen.add(letters)
                yield letters
    for number in count(random.randrange(1000)):
        yield f"e{random.getrandbits(96):024x}{number}"
