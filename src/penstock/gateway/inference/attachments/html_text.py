"""A page of HTML as simple Markdown, without what a reader does not see. Runs in the reading process only."""

import contextlib
import re
from html.parser import HTMLParser

from penstock.gateway.inference.attachments.extracted import Extracted, Pieces, Unreadable
from penstock.gateway.inference.attachments.plain_text import decoded

_HIDDEN = frozenset({"script", "style", "noscript", "template", "svg", "iframe", "object"})
_BLOCKS = frozenset(
    """
    address article aside blockquote body dd details div dl dt fieldset figcaption figure footer form header hr main nav
    ol p pre section summary table tbody thead tr ul
    """.split()  # noqa: SIM905
)
_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}


_MOST_TITLE_CHARS = 300


def read_html(data: bytes, most_chars: int) -> Extracted:
    """Raises Unreadable."""
    return read_html_text(decoded(data), most_chars)


def read_html_text(page: str, most_chars: int) -> Extracted:
    """Raises Unreadable."""
    reader = _Reader(most_chars)
    with contextlib.suppress(_Full):
        reader.feed(page)
        reader.close()
    text = re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]*\n[ \t]*", "\n", reader.pieces.text()))
    if not text:
        raise Unreadable("no_text")
    return Extracted(text=text, kind="HTML", title=reader.title, is_cut=reader.pieces.is_full)


def title_of(text: str) -> str | None:
    """On one line; None when it is empty."""
    return " ".join(text.split())[:_MOST_TITLE_CHARS] or None


class _Full(Exception):
    """There is more, and no room for it."""


class _Reader(HTMLParser):
    def __init__(self, most_chars: int) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces = Pieces(most_chars)
        self.title: str | None = None
        self._hidden: str | None = None
        self._deep = 0
        self._is_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self.pieces.is_full:
            raise _Full
        self._is_title = tag == "title"
        if self._hidden is not None:
            self._deep += tag == self._hidden
        elif tag in _HIDDEN:
            self._hidden, self._deep = tag, 1
        elif tag in _HEADINGS:
            self.pieces.add("\n\n" + _HEADINGS[tag])
        elif tag == "li":
            self.pieces.add("\n- ")
        elif tag in ("td", "th"):
            self.pieces.add(" | ")
        elif tag == "br":
            self.pieces.add("\n")
        elif tag in _BLOCKS:
            self.pieces.add("\n\n" if tag != "tr" else "\n")
        elif tag == "img" and (alternative := dict(attrs).get("alt")):
            self.pieces.add(f"[Image: {alternative}]")

    def handle_endtag(self, tag: str) -> None:
        self._is_title = False
        if self._hidden is not None:
            if tag == self._hidden:
                self._deep -= 1
                self._hidden = self._hidden if self._deep else None
        elif tag in _HEADINGS or (tag in _BLOCKS and tag != "tr"):
            self.pieces.add("\n\n")

    def handle_data(self, data: str) -> None:
        if self._is_title and data.strip():
            self.title = self.title or title_of(data)
            self.pieces.add(f"# {' '.join(data.split())}\n\n")
        elif self._hidden is None and not self.pieces.is_full:
            self.pieces.add(re.sub(r"\s+", " ", data))
