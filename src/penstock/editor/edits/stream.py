"""What a model writes as an edit, made into what the editor's client understands, while it is written."""

from collections.abc import Sequence
from enum import Enum

from penstock.editor.edits.document import SentDocument


class Grammar(Enum):
    CHAT = "chat"
    REPLACEMENT = "replacement"
    CONTINUATION = "continuation"


class EditStream:
    """Takes the model's text; gives what may be sent to the client."""

    has_output: bool = False

    def __init__(self, document: SentDocument, grammar: Grammar) -> None:
        self.repairs: Sequence[str] = []

    def feed(self, text: str) -> str:
        raise NotImplementedError

    def end(self, *, cut_off: bool = False) -> str:
        raise NotImplementedError

    def complaint(self) -> str | None:
        raise NotImplementedError

    def rejected_text(self) -> str:
        raise NotImplementedError
