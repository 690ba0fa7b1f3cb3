"""What a model proposes in a review, element by element."""

from collections.abc import Sequence

import msgspec

from penstock.editor.edits.document import SentDocument


class Reviewed(msgspec.Struct, frozen=True):
    """`html` is the whole new outer HTML of the element; None: it needs no change."""

    data_id: str
    html: str | None


class ReviewReader:
    def __init__(self, document: SentDocument, data_ids: Sequence[str]) -> None:
        self.repairs: Sequence[str] = []

    def feed(self, text: str) -> Sequence[Reviewed]:
        raise NotImplementedError

    def end(self) -> Sequence[Reviewed]:
        raise NotImplementedError
