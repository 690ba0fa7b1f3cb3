"""The text of a file, and the reasons why there is none."""

from collections.abc import Mapping
from typing import Literal

import msgspec

Reason = Literal["encrypted", "no_text", "broken", "too_large", "too_slow", "old_office", "unknown"]

WHY: Mapping[str, tuple[str, str]] = {
    "encrypted": ("it is protected with a password", "Save it without a password."),
    "no_text": (
        "it holds no text, only pictures of it",
        "Use a model that reads documents as they are, or a file whose text can be selected.",
    ),
    "broken": ("it is damaged or cut off", "Check that the file opens, and save it again."),
    "too_large": ("it is too large once it is unpacked", "Split it, or send the part that matters."),
    "too_slow": ("reading it takes too long", "Split it, or send the part that matters."),
    "old_office": (
        "it is in an old format of Office, or protected with a password",
        "Save it as DOCX, XLSX, PPTX or PDF, without a password.",
    ),
    "unknown": ("files of this type cannot be read", "Use PDF, DOCX, PPTX, XLSX, HTML, CSV, Markdown or plain text."),
}
"""Of each reason: why, as the end of a sentence, and what to do."""


class Extracted(msgspec.Struct, frozen=True, kw_only=True):
    """`pages` counts pages, slides or sheets. `empty_pages` of them hold no text. `is_cut`: there was more text.

    `title` is that of a web page.
    """

    text: str
    kind: str
    title: str | None = None
    pages: int | None = None
    empty_pages: int = 0
    is_cut: bool = False


class Refused(msgspec.Struct, frozen=True):
    """`is_for_now`: another time it may be read, for the reading was ended from outside.

    `pages` is known of a PDF that holds no text.
    """

    reason: Reason
    is_for_now: bool = False
    pages: int | None = None


class Outcome(msgspec.Struct, frozen=True):
    """What the reading process writes: one of the two."""

    extracted: Extracted | None = None
    refused: Refused | None = None


class Unreadable(Exception):
    """No text can be had of a file. `pages` is known of a PDF that holds none."""

    def __init__(self, reason: Reason, pages: int | None = None) -> None:
        super().__init__(reason)
        self.reason: Reason = reason
        self.pages = pages


class Pieces:
    """Collects text up to a number of characters; `is_full` once there was more."""

    def __init__(self, most_chars: int) -> None:
        self._left = most_chars
        self._found: list[str] = []
        self.is_full = False

    def add(self, piece: str) -> None:
        if len(piece) > self._left:
            piece, self.is_full = piece[: self._left], True
        self._left -= len(piece)
        self._found.append(piece)

    def text(self) -> str:
        return "".join(self._found).strip()
