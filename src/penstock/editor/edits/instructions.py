"""What models are told about edits, and how they are shown documents."""

import re
from collections.abc import Sequence
from typing import Final

from penstock.editor.edits.document import SentDocument
from penstock.editor.edits.mending import OMITTED
from penstock.editor.edits.prompts import prompt
from penstock.editor.framing import framed

_FILE: Final = re.compile(r"data:[\w.+-]++/[\w.+-][\w;=.+-]*+,[^\"'\s<>)]{200,}+")


def edit_instructions(documents: int = 1) -> str:
    """For the system message of a chat whose last message carries so many documents."""
    if documents <= 1:
        return prompt("edits")
    return f"{prompt('edits')}\n\n{prompt('documents').format(count=documents)}"


def shown_document(
    index: int,
    document: SentDocument,
    *,
    name: str | None = None,
    description: str | None = None,
    selected: Sequence[str] = (),
) -> str:
    """A document as the model reads it. `index` counts from 0; `selected` are the selected passages, as HTML.

    Files that stand in the HTML itself are not shown.
    """
    about = {"number": str(index + 1), "name": name, "description": description}
    shown = [framed("document", _shortened(document.content), **about)]
    shown += [framed("selected-text", _shortened(text), document=str(index + 1)) for text in selected]
    return "\n".join(shown)


def _shortened(html: str) -> str:
    return _FILE.sub(OMITTED, html)
