"""What a model is sent for an action. What users wrote stands in frames of its own (`editor/framing.py`)."""

from collections.abc import Sequence

from penstock.editor.actions.catalog import Action
from penstock.editor.actions.prompts import prompt
from penstock.editor.actions.schemas import CustomAction
from penstock.editor.edits.stream import Grammar
from penstock.editor.framing import framed
from penstock.providers.base import Message

_RULES = {Grammar.REPLACEMENT: "rules-replacement", Grammar.CONTINUATION: "rules-continuation"}
_REMINDER = "Carry out your task on the content above, and answer in the form that the rules ask for."


def system_messages(action: Action, html: str, language: str | None) -> Sequence[Message]:
    named = [framed("language", language)] if action.needs_language and language else []
    return _messages([action.name, _RULES[action.grammar]], [*named, framed("content", html)])


def custom_messages(call: CustomAction, html: str) -> Sequence[Message]:
    rules = "rules-text" if call.output_format == "plainText" else _RULES[Grammar.REPLACEMENT]
    return _messages(["custom", rules], [framed("task", call.prompt), framed("content", html)])


def asked_again(messages: Sequence[Message], answer: str, complaint: str) -> Sequence[Message]:
    """The same, with the model's own answer and what is wrong with it."""
    remark = f"The editor cannot use this answer: {complaint}\n\n{_REMINDER}"
    return [*messages, Message(role="assistant", content=answer), Message(role="user", content=remark)]


def _messages(prompts: Sequence[str], given: Sequence[str]) -> Sequence[Message]:
    return [
        Message(role="system", content="\n\n".join(map(prompt, prompts))),
        Message(role="user", content="\n\n".join([*given, _REMINDER])),
    ]
