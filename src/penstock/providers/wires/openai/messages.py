"""The messages of a chat completion, as every relative of OpenAI takes them (`spec/providers.md` 4.4, 10.3, 11)."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from penstock.kit.ids import base62
from penstock.providers.base import Audio, Document, Image, Message, Part, Quirks, Text, ToolCall
from penstock.providers.wires.openai.families import family_of
from penstock.providers.wires.openai.history import (
    NO_RESULT,
    document_of,
    image_url,
    no_audio,
    own_blocks,
    plain,
    results_of,
)

WIRE_NAME = "openai_chat"

_ON_WITH_IT = "I have the results."


class Writing(msgspec.Struct):
    """What the messages of one call have in common."""

    names: Mapping[str, str]
    model: str
    quirks: Quirks

    @property
    def call_id(self) -> Callable[[str], str]:
        return _short_id if self.quirks.short_call_ids else str


def messages_of(messages: Sequence[Message], wish: str, writing: Writing) -> list[dict[str, Any]]:
    """`wish` is added to the instructions, empty for none."""
    written: list[dict[str, Any]] = []
    instructions: list[str] = []
    role = _system_role(writing)
    is_first = writing.quirks.merge_system or role is None
    loop_begins = _last_of_user(messages)
    for at, message in enumerate(messages):
        match message.role:
            case "system" if is_first:
                instructions.append(plain(message.content))
            case "system":
                written.append({"role": role, "content": _content(message.content, writing)})
            case "tool":
                pass  # written after the call that it answers
            case "assistant":
                written.append(_assistant(message, writing, in_loop=at > loop_begins))
                written.extend(_results(message.tool_calls, results_of(messages, at), writing))
            case _:
                if writing.quirks.results_named and written and written[-1]["role"] == "tool":
                    written.append({"role": "assistant", "content": _ON_WITH_IT})
                written.append({"role": "user", "content": _content(message.content, writing)})
    if wish:
        instructions.append(wish)
    if any(instructions):
        _instruct(written, "\n\n".join(filter(None, instructions)), role)
    return written


def _system_role(writing: Writing) -> str | None:
    """None: there is no role for instructions."""
    quirks = writing.quirks
    if not quirks.system:
        return None
    if not quirks.families:
        return "system"
    role = family_of(writing.model).system
    return "system" if role == "developer" and not quirks.developer else role


def _instruct(written: list[dict[str, Any]], text: str, role: str | None) -> None:
    if role is not None:
        written.insert(0, {"role": role, "content": text})
        return
    first = next((one for one in written if one["role"] == "user"), None)
    if first is None:
        written.insert(0, {"role": "user", "content": text})
    elif isinstance(first["content"], str):
        first["content"] = f"{text}\n\n{first['content']}"
    else:
        first["content"] = [{"type": "text", "text": text}, *first["content"]]


def _last_of_user(messages: Sequence[Message]) -> int:
    return max((at for at, message in enumerate(messages) if message.role == "user"), default=-1)


def _assistant(message: Message, writing: Writing, *, in_loop: bool) -> dict[str, Any]:
    written: dict[str, Any] = {"role": "assistant", "content": _content(message.content, writing)}
    if message.tool_calls:
        written["tool_calls"] = [
            {
                "id": writing.call_id(call.id),
                "type": "function",
                "function": {"name": writing.names[call.name], "arguments": call.arguments or "{}"},
            }
            for call in message.tool_calls
        ]
    _add_thoughts(written, message, writing, in_loop=in_loop)
    return written


def _add_thoughts(written: dict[str, Any], message: Message, writing: Writing, *, in_loop: bool) -> None:
    """The reasoning of an earlier turn goes back where and how the vendor wants it (`spec/providers.md` 2.5)."""
    field = writing.quirks.thoughts
    kept = [
        thoughts
        for block in own_blocks(message, WIRE_NAME, writing.model, writing.quirks)
        if field is not None and (thoughts := block.get(field))
    ]
    match field:
        case "reasoning_details" if kept:
            written[field] = [detail for details in kept for detail in details]
        case "reasoning_content" if in_loop and message.tool_calls and writing.quirks.opaque:
            # DeepSeek wants the field inside a running tool loop, empty when it is lost; R1 refuses it.
            if "r1" not in writing.model.lower():
                written[field] = "".join(kept)
        case "thinking" if kept:
            content = written["content"]
            parts = content if isinstance(content, list) else [{"type": "text", "text": content}] if content else []
            written["content"] = [*(part for parts in kept for part in parts), *parts]


def _results(calls: Iterable[ToolCall], results: Mapping[str, Message], writing: Writing) -> Iterable[dict[str, Any]]:
    """One message for each call, in their order. A call whose result is missing would be refused: it gets one.

    Results without a call are left out, for the same reason. Images and files cannot stand here: they follow as a
    user's message.
    """
    files: list[dict[str, Any]] = []
    for call in calls:
        result = results.get(call.id)
        written: dict[str, Any] = {"role": "tool", "tool_call_id": writing.call_id(call.id)}
        if writing.quirks.results_named:
            written["name"] = writing.names[call.name]
        written["content"] = NO_RESULT if result is None else plain(result.content)
        yield written
        if result is not None and not isinstance(result.content, str):
            files.extend(_part(part, writing.quirks) for part in result.content if not isinstance(part, Text))
    if files:
        if writing.quirks.results_named:
            yield {"role": "assistant", "content": _ON_WITH_IT}
        kind = "Images" if all(one["type"] == "image_url" for one in files) else "Files"
        yield {"role": "user", "content": [{"type": "text", "text": f"{kind} from the tool results:"}, *files]}


def _short_id(call_id: str) -> str:
    """Nine letters and digits, the same for the same id."""
    if len(call_id) == 9 and call_id.isascii() and call_id.isalnum():
        return call_id
    digest = hashlib.sha256(call_id.encode("utf-8", "replace")).digest()
    return base62(int.from_bytes(digest[:8]), 9)


def _content(content: str | Sequence[Part], writing: Writing) -> str | list[dict[str, Any]]:
    """A plain string when everything is text: many servers know nothing else."""
    if isinstance(content, str) or all(isinstance(part, Text) for part in content):
        return plain(content)
    return [_part(part, writing.quirks) for part in content]


def _part(part: Part, quirks: Quirks) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Image():
            image = {"url": image_url(part, quirks)} | ({} if part.detail is None else {"detail": part.detail})
            return {"type": "image_url", "image_url": image}
        case Document():
            return _document(document_of(part, quirks), quirks)
        case Audio():
            if quirks.audio is None:
                raise no_audio()
            data = part.data if quirks.audio == "plain" else f"data:audio/{part.format};base64,{part.data}"
            return {"type": "input_audio", "input_audio": {"data": data, "format": part.format}}


def _document(document: Document, quirks: Quirks) -> dict[str, Any]:
    if quirks.documents == "document_url":
        return {"type": "document_url", "document_url": document.url}
    return {"type": "file", "file": {"filename": document.name, "file_data": document.url}}
