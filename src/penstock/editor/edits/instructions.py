"""What models are told about edits, and how they are shown documents."""

from collections.abc import Sequence

from penstock.editor.edits.document import SentDocument


def edit_instructions(documents: int = 1) -> str:
    """For the system message of a chat whose last message carries so many documents."""
    raise NotImplementedError


def shown_document(
    index: int,
    document: SentDocument,
    *,
    name: str | None = None,
    description: str | None = None,
    selected: Sequence[str] = (),
) -> str:
    """A document as the model reads it. `index` counts from 0; `selected` are the selected passages."""
    raise NotImplementedError
