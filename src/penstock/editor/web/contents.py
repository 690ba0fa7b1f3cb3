"""What was fetched: by its bytes where they tell, else by what its server says of it."""

import re
from email.message import Message
from typing import Final, Literal

import msgspec

from penstock.gateway.inference.attachments.kinds import image_type, kind_of
from penstock.http.outbound import Fetched

ACCEPT: Final = (
    "text/html,application/xhtml+xml,text/markdown;q=0.9,text/plain;q=0.9,application/pdf;q=0.9,"
    "application/json;q=0.8,*/*;q=0.1"
)

_HTML: Final = frozenset({"text/html", "application/xhtml+xml"})
_MARKDOWN: Final = frozenset({"text/markdown", "text/x-markdown"})
_TEXT: Final = frozenset({"text/plain", "application/json", "text/json"})
_SAYS_NOTHING: Final = frozenset({"", "application/octet-stream", "binary/octet-stream", "application/unknown"})
_NAMES: Final = {"zip": "application/zip", "ole": "application/msword", "rtf": "application/rtf"}
_BEGINS_AS_HTML: Final = re.compile(rb"\s*(<!--.{0,2000}?-->\s*)?<(!doctype\s+html|html|head|body)\b", re.I | re.S)
_TITLE: Final = re.compile(r"^#[ \t]+(.{1,1000}?)[ \t#]*$", re.MULTILINE)
_BEGINNING: Final = 4096


class Content(msgspec.Struct, frozen=True):
    """`name` is its MIME type, for sentences."""

    kind: Literal["page", "markdown", "text", "pdf", "other"]
    name: str


def content_of(fetched: Fetched) -> Content:
    body, mime = fetched.body, _mime(fetched.content_type)
    found = kind_of(body[:_BEGINNING], mime if mime not in _HTML else "text/html", "")
    match found:
        case "pdf" if mime not in _HTML | _TEXT | _MARKDOWN or body.startswith(b"%PDF-"):
            return Content("pdf", "application/pdf")
        case "image":
            return Content("other", image_type(body) or mime)
        case "zip" | "ole" | "rtf":
            is_vague = mime in _SAYS_NOTHING or mime in _HTML or mime in _TEXT
            return Content("other", _NAMES[found] if is_vague else mime)
    if mime in _HTML or (mime in _SAYS_NOTHING and _BEGINS_AS_HTML.match(body[:_BEGINNING])):
        return Content("page", mime or "text/html")
    if mime in _MARKDOWN and found == "text":
        return Content("markdown", mime)
    is_text = mime in _TEXT or mime in _SAYS_NOTHING or mime.endswith("+json")
    if is_text and found == "text":
        return Content("text", mime or "text/plain")
    return Content("other", mime or "binary data")


def charset_of(content_type: str) -> str:
    """Empty when none is stated."""
    head = Message()
    head["content-type"] = "".join(sign for sign in content_type if sign.isprintable())[:500]
    return str(head.get_param("charset") or "").strip("\"' ")


def title_of_markdown(text: str) -> str | None:
    """Its first heading of the first level, if that stands near its beginning."""
    found = _TITLE.search(text[:_BEGINNING])
    return found[1].strip()[:300] or None if found else None


def _mime(content_type: str) -> str:
    mime = content_type.partition(";")[0].strip().lower()[:100]
    return "".join(sign for sign in mime if sign.isprintable())
