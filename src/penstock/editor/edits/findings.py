"""What was found wrong with a model's edit: what was mended, what was lost, and what the model is told of it."""

from typing import Final

from penstock.editor.edits.document import SentDocument

_MOST_COMPLAINTS: Final = 8
_MOST_IDS: Final = 60
_LONGEST_REJECTED: Final = 100_000


class Findings:
    def __init__(self, document: SentDocument) -> None:
        self.repairs: list[str] = []
        self._document = document
        self._losses: list[str] = []
        self._rejected: list[str] = []
        self._size = 0

    def mended(self, what: str) -> None:
        if what not in self.repairs:
            self.repairs.append(what)

    def lost(self, why: str, text: str) -> None:
        """Something was thrown away. `why` is a sentence for the model; `text` is what a person could read of it."""
        if why not in self._losses:
            self._losses.append(why)
        text = text.strip()
        if text and self._size < _LONGEST_REJECTED:
            self._rejected.append(text)
            self._size += len(text)

    def complaint(self) -> str | None:
        if not self._losses:
            return None
        told = self._losses[:_MOST_COMPLAINTS]
        if len(self._losses) > len(told):
            told.append(f"There were {len(self._losses) - len(told)} more problems of these kinds.")
        problems = "\n".join(f"- {one}" for one in told)
        return f"Parts of your edit could not be applied:\n{problems}\n{self._ids()}"

    def rejected_text(self) -> str:
        return "\n\n".join(self._rejected)

    def _ids(self) -> str:
        ids = self._document.ids
        if not ids:
            return 'No element of the document has a data-id. Give every element you write data-id="new-element".'
        shown = ", ".join(ids[:_MOST_IDS]) + (f", and {len(ids) - _MOST_IDS} more" if len(ids) > _MOST_IDS else "")
        return (
            f"The data-ids of the document, in order, are: {shown}. Write only elements with one of these, once each "
            'and complete, or with data-id="new-element".'
        )
