"""The actions there are. A new one is a row here, a file in `prompts/` and a feature in the gateway's catalog."""

from collections.abc import Mapping
from typing import Final

import msgspec

from penstock.editor.calls.errors import UnknownName
from penstock.editor.edits.stream import Grammar

FAMILY: Final = "actions"


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is also the name of its prompt's file."""

    name: str
    grammar: Grammar = Grammar.REPLACEMENT
    needs_language: bool = False

    @property
    def feature(self) -> str:
        return f"{FAMILY}.{self.name}"


ACTIONS: Final[Mapping[str, Action]] = {
    row.name: row
    for row in (
        Action(name="improve-writing"),
        Action(name="continue", grammar=Grammar.CONTINUATION),
        Action(name="fix-grammar"),
        Action(name="make-shorter"),
        Action(name="make-longer"),
        Action(name="make-tone-casual"),
        Action(name="make-tone-direct"),
        Action(name="make-tone-friendly"),
        Action(name="make-tone-confident"),
        Action(name="make-tone-professional"),
        Action(name="translate", needs_language=True),
    )
}

ALIASES: Final[Mapping[str, str]] = {"make-tone-formal": "make-tone-professional"}
"""What CKEditor calls them (`spec/editor-api.md` C-19)."""


def action_named(name: str) -> Action:
    """Raises UnknownName."""
    action = ACTIONS.get(ALIASES.get(name, name))
    if action is None:
        raise UnknownName("action", name, (*ACTIONS, *ALIASES))
    return action
