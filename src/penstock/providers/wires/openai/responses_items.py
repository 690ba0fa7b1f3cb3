"""A conversation as the input items of `POST /responses` (`spec/providers.md` 4.6).

Reasoning goes back as it came, each item right before the one that it belongs to; without that it would be refused.
The reader marks the order: a block for each reasoning item, then one for the item that follows it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from penstock.providers.base import Audio, Document, Image, Message, Part, Quirks, Text, ToolCall
from penstock.providers.wires.openai.history import (
    NO_RESULT,
    document_of,
    image_url,
    no_audio,
    own_blocks,
    plain,
    results_of,
)

WIRE_NAME = "openai_responses"

Item = dict[str, Any]


class Writing(msgspec.Struct):
    """What the items of one call have in common."""

    names: Mapping[str, str]
    model: str
    quirks: Quirks


def instructions_of(messages: Sequence[Message], wish: str, quirks: Quirks) -> str:
    """The system messages that stand first; all of them where they are merged. `wish` is added to them."""
    texts: list[str] = []
    has_begun = False
    for message in messages:
        if message.role != "system":
            has_begun = True
        elif not has_begun or quirks.merge_system:
            texts.append(plain(message.content))
    return "\n\n".join(filter(None, (*texts, wish)))


def items_of(messages: Sequence[Message], writing: Writing) -> list[Item]:
    items: list[Item] = []
    for at, message in enumerate(messages):
        match message.role:
            case "system":
                if items and not writing.quirks.merge_system:
                    items.append(_message("system", message.content, writing.quirks))
            case "tool":
                pass  # written after the call that it answers
            case "assistant":
                items.extend(_assistant(message, writing))
                items.extend(_results(message.tool_calls, results_of(messages, at), writing.quirks))
            case _:
                items.append(_message("user", message.content, writing.quirks))
    return items


def said_by(role: str, content: str | list[Item]) -> Item:
    return {"type": "message", "role": role, "content": content}


def _message(role: str, content: str | Sequence[Part], quirks: Quirks) -> Item:
    if isinstance(content, str) or all(isinstance(part, Text) for part in content):
        return said_by(role, plain(content))
    return said_by(role, [_part(part, quirks) for part in content])


def _part(part: Part, quirks: Quirks) -> Item:
    match part:
        case Text():
            return {"type": "input_text", "text": part.text}
        case Image():
            detail = {} if part.detail is None else {"detail": part.detail}
            return {"type": "input_image", "image_url": image_url(part, quirks)} | detail
        case Document():
            found = document_of(part, quirks)
            return {"type": "input_file", "filename": found.name, "file_data": found.url}
        case Audio():
            raise no_audio()


def _assistant(message: Message, writing: Writing) -> Iterable[Item]:
    """The turn's own items in their order: thoughts, texts and calls."""
    blocks = own_blocks(message, WIRE_NAME, writing.model, writing.quirks)
    texts = _Texts(plain(message.content), sum(block.get("type") == "message" for block in blocks))
    calls = {call.id: call for call in message.tool_calls}
    pending: list[Item] = []
    for block in blocks:
        if block.get("type") == "reasoning":
            pending.append(dict(block))
            continue
        item: Item | None = None
        if block.get("type") == "message":
            text = texts.take(block.get("chars"))
            item = _said(text, block.get("phase")) if text else None
        elif (call := calls.pop(str(block.get("call_id")), None)) is not None:
            item = _call(call, writing)
        # What a reasoning item belonged to may have been taken out of the history: then it goes, too.
        yield from [*pending, item] if item is not None else ()
        pending = []
    rest = [_said(text)] if (text := texts.take(None)) else []
    rest += [_call(call, writing) for call in calls.values()]
    yield from [*pending, *rest] if rest else ()


class _Texts:
    """The turn's text, cut into the messages that it came in. What was added later belongs to the last one."""

    def __init__(self, text: str, messages: int) -> None:
        self._text = text
        self._left = messages

    def take(self, chars: Any) -> str:
        self._left -= 1
        end = chars if isinstance(chars, int) and self._left > 0 else len(self._text)
        text, self._text = self._text[:end], self._text[end:]
        return text


def _said(text: str, phase: Any = None) -> Item:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    item: Item = {"type": "message", "role": "assistant", "content": content}
    return item | {"phase": phase} if isinstance(phase, str) else item


def _call(call: ToolCall, writing: Writing) -> Item:
    name = writing.names[call.name]
    return {"type": "function_call", "call_id": call.id, "name": name, "arguments": call.arguments or "{}"}


def _results(calls: Iterable[ToolCall], results: Mapping[str, Message], quirks: Quirks) -> Iterable[Item]:
    """One for each call, in their order; results without a call are left out."""
    for call in calls:
        result = results.get(call.id)
        output: str | list[Item] = NO_RESULT
        if result is not None:
            output = _message("user", result.content, quirks)["content"]
        yield {"type": "function_call_output", "call_id": call.id, "output": output}
