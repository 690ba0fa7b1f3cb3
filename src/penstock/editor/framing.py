"""How a model is given what users wrote: apart from what it is told to do with it."""

import hashlib
from typing import Final

from penstock.kit.ids import base62

_MARK_LENGTH: Final = 12
_LONGEST_NOTE: Final = 300
_PLAINER: Final = str.maketrans({'"': "'", "“": "'", "”": "'", "<": "(", ">": ")", "[": "(", "]": ")"})
"""What our sentences and tags stand between."""


def framed(name: str, text: str, /, **notes: str | None) -> str:
    """`text` between two tags that cannot stand in it, so that it cannot end them and go on as an instruction.

    `<content-k3J9xQ2a7Bpq>` and `</content-k3J9xQ2a7Bpq>`, each on a line of its own; instructions say `<content-…>`.
    The mark is the text's own digest: to write it down changes it. The same text always gives the same frame, so that
    providers know the beginning of a prompt again. `notes` become attributes of the first tag; None leaves one out.
    """
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    tag = f"{name}-{base62(int.from_bytes(digest), _MARK_LENGTH)}"
    about = "".join(f' {key}="{noted(value)}"' for key, value in notes.items() if value)
    return f"<{tag}{about}>\n{text}\n</{tag}>"


def noted(text: str) -> str:
    """A name, a title or an address, which others chose, for a place within a sentence of ours or a tag."""
    printable = "".join(one if one.isprintable() else " " for one in text[:_LONGEST_NOTE])
    return " ".join(printable.split()).translate(_PLAINER)
