"""What a reader of a web page wants of it, without menus and advertisements. Runs in the reading process only."""

from importlib import import_module
from typing import Any

from penstock.gateway.inference.attachments.charsets import decoded_as
from penstock.gateway.inference.attachments.extracted import Extracted, Unreadable
from penstock.gateway.inference.attachments.html_text import read_html_text, title_of

# Beyond that many, telling content from the rest takes time that grows with their square.
_MOST_ELEMENTS = 30_000


def read_page(data: bytes, charset: str, most_chars: int) -> Extracted:
    """The readable part; the whole page where none is found. Raises Unreadable, and whatever its parsers raise."""
    text = decoded_as(data, charset, is_html=True)
    return _readable_part(text, most_chars) or read_html_text(text, most_chars)


def read_whole_page(data: bytes, charset: str, most_chars: int) -> Extracted:
    """Raises Unreadable."""
    return read_html_text(decoded_as(data, charset, is_html=True), most_chars)


def _readable_part(text: str, most_chars: int) -> Extracted | None:
    from lxml import html

    trafilatura: Any = import_module("trafilatura")  # a third of a second, and only here
    parser = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True)
    try:
        tree = html.document_fromstring(text.encode("utf-8", "replace"), parser=parser)
    except ValueError as error:  # nothing to parse
        raise Unreadable("no_text") from error
    if sum(1 for _ in tree.iter()) > _MOST_ELEMENTS:
        return None
    found = trafilatura.extract(tree, output_format="markdown", include_comments=False, include_tables=True)
    if not found or not found.strip():
        return None
    title = title_of(tree.findtext(".//title") or "")
    return Extracted(text=found.strip()[:most_chars], kind="HTML", title=title, is_cut=len(found) > most_chars)
