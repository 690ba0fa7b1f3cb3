"""Titles of conversations: what a model is asked, and what is made of its answer (`spec/editor-api.md` 6.9)."""

import re
from contextlib import aclosing
from typing import Final

import msgspec

from penstock.editor.conversations.prompts import prompt
from penstock.gateway.catalog.snapshot import Snapshot
from penstock.gateway.identity.caller import Caller
from penstock.gateway.identity.permissions import Permissions
from penstock.gateway.inference.service import CallRecord, Inference
from penstock.gateway.routing.candidates import ANY_MODEL_PERMISSION
from penstock.providers.base import Call, Message, TextDelta

FEATURE: Final = "conversations.titleGeneration"
MAX_LENGTH: Final = 80
_READ_LENGTH = 4_000
_ANSWER_LENGTH = 1_000
_QUOTES = "\"'`´‘’‚“”„‟«»‹›「」『』*_#"
_THOUGHTS = re.compile(r"<think>.*?(</think>|$)", re.DOTALL)
_LABEL = re.compile(r"^title\s*:\s*", re.IGNORECASE)


class Titles:
    def __init__(self, inference: Inference) -> None:
        self._inference = inference

    async def make(self, caller: Caller, snapshot: Snapshot, model: str, message: str) -> str | None:
        """A title for a conversation that begins with `message`; None when the model gives nothing usable.

        `model` is asked unless one is set up for titles in particular. Raises what inference raises.
        """
        call = Call(
            messages=(
                Message(role="system", content=prompt("title")),
                Message(role="user", content=message[:_READ_LENGTH]),
            ),
            reasoning="off",
        )
        # A title is our wish, not the user's: nobody needs a permission for the model that is set up for it.
        ours = msgspec.structs.replace(caller, permissions=Permissions.of(ANY_MODEL_PERMISSION))
        text = ""
        async with aclosing(
            self._inference.stream(ours, _chosen(snapshot, model), call, feature=FEATURE, record=CallRecord())
        ) as deltas:
            async for delta in deltas:
                if isinstance(delta, TextDelta):
                    text += delta.text
                if len(text) > _ANSWER_LENGTH:
                    break
        return tidied(text)


def tidied(text: str) -> str | None:
    """One line of at most 80 characters without quotes around it, None when nothing is left."""
    text = _THOUGHTS.sub("", text)
    line = next((line for line in text.splitlines() if line.strip()), "")
    printable = "".join(character if character.isprintable() else " " for character in line)
    plain = " ".join(printable.split()).strip(_QUOTES + " ")
    plain = _LABEL.sub("", plain).strip(_QUOTES + " ").rstrip(".")
    if len(plain) > MAX_LENGTH:
        plain = plain[: MAX_LENGTH - 1].rpartition(" ")[0] or plain[: MAX_LENGTH - 1]
        plain = f"{plain.rstrip()}…"
    return plain or None


def _chosen(snapshot: Snapshot, model: str) -> str:
    """The first model that names the feature itself, else the one that answers the message."""
    own = [one.slug for one in snapshot.models if FEATURE in one.features and one.backends]
    return own[0] if own else model
