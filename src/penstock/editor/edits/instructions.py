"""What models are told about edits, and how they are shown documents."""

import re
from collections.abc import Sequence
from html import escape
from typing import Final

from penstock.editor.edits.document import SentDocument
from penstock.editor.edits.mending import OMITTED
from penstock.editor.edits.prompts import prompt

_FILE: Final = re.compile(r"data:[\w.+-]+/[\w.+-]+[\w;=.+-]*,[^\"'\s<>)]{200,}")


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

    Nothing in the texts can end the frames around them. Files that stand in the HTML itself are not shown.
    """
    texts = [_shortened(document.content), *map(_shortened, selected)]
    tag = _absent("document", texts)
    about = [f' number="{index + 1}"']
    about += [f' {label}="{_one_line(text)}"' for label, text in (("name", name), ("description", description)) if text]
    shown = [f"<{tag}{''.join(about)}>\n{texts[0]}\n</{tag}>"]
    label = _absent("selected-text", texts)
    shown += [f"<{label} in-document={index + 1}>\n{text}\n</{label}>" for text in texts[1:]]
    return "\n".join(shown)


def _shortened(html: str) -> str:
    return _FILE.sub(OMITTED, html)


def _absent(tag: str, texts: Sequence[str]) -> str:
    """A tag that does not stand in the texts."""
    while any(f"</{tag}" in text.lower() for text in texts):
        tag += "-x"
    return tag


def _one_line(text: str) -> str:
    return escape(" ".join(text.split()))
