"""What a model is sent: instructions, what is attached, as much of the history as fits, and the message itself. Pure.

Lengths are counted in characters (code points) of the texts that are sent (`spec/editor-api.md` O-36).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from penstock.editor.conversations.context import Material, labelled
from penstock.editor.framing import noted
from penstock.providers.base import Message, Part, Text

_EDIT_LENGTH: Final = 600
"""Characters of a former edit that a model is reminded of: the document itself is sent as it is now."""

_ATTACHED_NOTES: Final = {
    "document": "[The document was attached to this message. Its present state stands with the last message.]",
    "file": "[The file “{name}” was attached to this message.]",
    "web-resource": "[The web page {url} was attached to this message.]",
}


class Said(msgspec.Struct, frozen=True):
    """One message of the history. `content` are the items as they are stored."""

    role: str
    prompt: str
    content: Sequence[dict[str, Any]]


def packed(
    instructions: str,
    attached: Sequence[Material],
    history: Sequence[Said],
    now: Sequence[Part],
    limit: int,
) -> list[Message]:
    """The messages of a call.

    `attached` is what earlier messages brought, oldest first; `history` is oldest first; `now` is this message with
    what came with it, which is never shortened: whether it fits is the caller's question. Of the rest the oldest goes
    first; the history is sure of a quarter of the room.
    """
    room = limit - len(instructions) - _characters(now)
    reserved = min(sum(len(_read(said)) for said in history), room // 4)
    kept = _newest_attached(attached, room - reserved)
    turns: list[Message] = []
    _append(turns, "user", _attached_parts(attached, kept))
    room -= sum(attached[index].characters for index in kept)
    for said in _newest_that_fit(history, room):
        _append(turns, "user" if said.role == "user" else "assistant", _text_part(_read(said)))
    _append(turns, "user", now)
    return [Message(role="system", content=instructions), *turns]


def user_text(prompt: str, content: Iterable[Mapping[str, Any]]) -> str:
    """An earlier message as the model reads it: what was attached, in a word or as text, then the prompt."""
    pieces = []
    for item in content:
        kind = item["type"]
        if kind in ("text", "selection"):
            pieces.append(labelled(kind, item["content"]))
        elif kind in _ATTACHED_NOTES:
            pieces.append(_attached_note(kind, item))
    return "\n\n".join((*dict.fromkeys(pieces), prompt))


def _attached_note(kind: str, item: Mapping[str, Any]) -> str:
    return _ATTACHED_NOTES[kind].format(name=noted(item.get("name", "")), url=noted(item.get("url", "")))


def _newest_attached(attached: Sequence[Material], room: int) -> frozenset[int]:
    kept = set()
    for index in range(len(attached) - 1, -1, -1):
        if attached[index].characters <= room:
            kept.add(index)
            room -= attached[index].characters
    return frozenset(kept)


def _attached_parts(attached: Sequence[Material], kept: frozenset[int]) -> Sequence[Part]:
    parts: list[Part] = []
    for index, material in enumerate(attached):
        if index in kept:
            parts += material.parts
        else:
            parts.append(
                Text(f"[“{noted(material.name)}” was attached earlier and is left out here: there is no room for it.]")
            )
    return parts


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


def _append(turns: list[Message], role: str, parts: Sequence[Part]) -> None:
    """Neighbours of one role become one message: chat templates of some models insist on taking turns."""
    if not parts:
        return
    if turns and turns[-1].role == role:
        parts = (*_parts_of(turns.pop()), *parts)
    turns.append(Message(role="user" if role == "user" else "assistant", content=_simplest(parts)))


def _parts_of(message: Message) -> Sequence[Part]:
    return _text_part(message.content) if isinstance(message.content, str) else message.content


def _text_part(text: str) -> Sequence[Part]:
    return (Text(text),) if text else ()


def _simplest(parts: Sequence[Part]) -> str | Sequence[Part]:
    """One text where there is nothing but text, which every model takes."""
    merged: list[Part] = []
    for part in parts:
        if isinstance(part, Text) and merged and isinstance(merged[-1], Text):
            merged[-1] = Text(f"{merged[-1].text}\n\n{part.text}")
        else:
            merged.append(part)
    return merged[0].text if len(merged) == 1 and isinstance(merged[0], Text) else tuple(merged)


def _characters(parts: Sequence[Part]) -> int:
    return sum(len(part.text) for part in parts if isinstance(part, Text))


def _read(said: Said) -> str:
    if said.role == "user":
        return user_text(said.prompt, said.content)
    return "\n\n".join(filter(None, map(_answered, said.content)))


def _answered(item: Mapping[str, Any]) -> str:
    if item["type"] == "text":
        return str(item["content"])
    if item["type"] == "modification":
        edit = str(item["content"])
        cut = edit if len(edit) <= _EDIT_LENGTH else f"{edit[:_EDIT_LENGTH]} […]"
        return f"[You proposed an edit of the document, whose ids were others then: {cut}]"
    return ""
