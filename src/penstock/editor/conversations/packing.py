"""What a model is sent: instructions, as much of the history as fits, and the message itself. Pure.

Lengths are counted in characters (code points) of the texts that are sent (`spec/editor-api.md` O-36).
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from penstock.providers.base import Message

_LABELS = {"text": "context", "selection": "selected-text"}


class Said(msgspec.Struct, frozen=True):
    """One message of the history. `content` are the items as they are stored."""

    role: str
    prompt: str
    content: Sequence[dict[str, Any]]


def user_text(prompt: str, content: Iterable[dict[str, Any]]) -> str:
    """A user's message as the model reads it: what is attached, labelled, then the prompt."""
    attached = [f"<{label}>\n{item['content']}\n</{label}>" for item in content if (label := _LABELS.get(item["type"]))]
    return "\n\n".join((*attached, prompt))


def packed(instructions: str, history: Sequence[Said], text: str, limit: int) -> list[Message]:
    """The messages of a call. `history` is oldest first; its oldest turns are dropped until the rest fits `limit`.

    The message itself is never shortened: whether it fits is the caller's question.
    """
    room = limit - len(instructions) - len(text)
    turns: list[Message] = []
    for said in _newest_that_fit(history, room):
        _append(turns, "user" if said.role == "user" else "assistant", _read(said))
    _append(turns, "user", text)
    return [Message(role="system", content=instructions), *turns]


def _newest_that_fit(history: Sequence[Said], room: int) -> Sequence[Said]:
    """Whole turns only: it never begins with an answer whose question is gone."""
    first = len(history)
    for index in range(len(history) - 1, -1, -1):
        room -= len(_read(history[index]))
        if room < 0:
            break
        if history[index].role == "user":
            first = index
    return history[first:]


def _append(turns: list[Message], role: str, text: str) -> None:
    """Neighbours of one role become one message: chat templates of some models insist on taking turns."""
    if not text:
        return
    if turns and turns[-1].role == role:
        turns[-1] = msgspec.structs.replace(turns[-1], content=f"{turns[-1].content}\n\n{text}")
    else:
        turns.append(Message(role="user" if role == "user" else "assistant", content=text))


def _read(said: Said) -> str:
    if said.role == "user":
        return user_text(said.prompt, said.content)
    return "".join(item["content"] for item in said.content if item["type"] == "text")
