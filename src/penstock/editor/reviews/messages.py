"""What a model is sent for a piece of a review. What users wrote stands in frames of its own (`editor/framing.py`)."""

from collections.abc import Sequence

import msgspec

from penstock.editor.framing import framed
from penstock.editor.reviews.plan import Piece
from penstock.editor.reviews.prompts import prompt
from penstock.providers.base import Message

_REMINDER = "Carry out your task on the content above, and answer in the form that the rules ask for."


class Instructions(msgspec.Struct, frozen=True):
    """`given` stands in front of the content: the language, or the task, each in its frame."""

    prompt: str
    given: Sequence[str] = ()

    def messages(self, piece: Piece) -> Sequence[Message]:
        content = framed("content", "\n".join(unit.html for unit in piece.units))
        before = [framed("before", piece.before)] if piece.before else []
        after = [framed("after", piece.after)] if piece.after else []
        return [
            Message(role="system", content=f"{prompt(self.prompt)}\n\n{prompt('rules')}"),
            Message(role="user", content="\n\n".join([*self.given, *before, content, *after, _REMINDER])),
        ]
