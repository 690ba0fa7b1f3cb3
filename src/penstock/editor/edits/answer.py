"""A chat model's answer: what it says, and what it edits."""

from collections.abc import Sequence

import msgspec

from penstock.editor.edits.document import SentDocument


class Said(msgspec.Struct, frozen=True):
    text: str


class Edited(msgspec.Struct, frozen=True):
    """A piece of an edit. `document` is the index into the documents."""

    document: int
    html: str


class AnswerReader:
    has_edits: bool = False

    def __init__(self, documents: Sequence[SentDocument]) -> None:
        self.repairs: Sequence[str] = []

    def feed(self, text: str) -> Sequence[Said | Edited]:
        return [Said(text)]

    def end(self, *, cut_off: bool = False) -> Sequence[Said | Edited]:
        return []

    def complaint(self) -> str | None:
        return None

    def rejected_text(self) -> str:
        return ""
