"""The messages of a chat completion request, neutral (`spec/providers.md` 4.4, 15.2)."""

import mimetypes
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

from penstock.errors import InvalidRequest
from penstock.gateway.inference.openai_thoughts import Thoughts
from penstock.providers.base import Audio, Document, Image, Message, Part, Text, ToolCall
from penstock.providers.json_text import encode_json


class TextPart(msgspec.Struct, frozen=True, tag="text"):
    text: str


class RefusalPart(msgspec.Struct, frozen=True, tag="refusal"):
    refusal: str


class ImageUrl(msgspec.Struct, frozen=True):
    url: str
    detail: Literal["auto", "low", "high", "original"] | None = None


class ImagePart(msgspec.Struct, frozen=True, tag="image_url"):
    image_url: ImageUrl | str


class File(msgspec.Struct, frozen=True):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class FilePart(msgspec.Struct, frozen=True, tag="file"):
    file: File


class InputAudio(msgspec.Struct, frozen=True):
    data: str
    format: str


class AudioPart(msgspec.Struct, frozen=True, tag="input_audio"):
    input_audio: InputAudio


ContentPart = TextPart | RefusalPart | ImagePart | FilePart | AudioPart


class CalledFunction(msgspec.Struct, frozen=True):
    name: str
    arguments: str | dict[str, Any] | None = None


class SentToolCall(msgspec.Struct, frozen=True):
    id: str
    function: CalledFunction
    type: Literal["function"] = "function"


class SentMessage(msgspec.Struct, frozen=True):
    """A message as clients send it; what it does not name is ignored."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[ContentPart] | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[SentToolCall] | None = None
    function_call: CalledFunction | None = None
    tool_call_id: str | None = None
    audio: dict[str, Any] | None = None
    reasoning_details: Any = None


def neutral_messages(messages: Iterable[SentMessage], thoughts: Thoughts) -> tuple[Message, ...]:
    """Raises InvalidRequest, naming the message."""
    history = _History(thoughts)
    return tuple(history.neutral(message, f"messages.{at}") for at, message in enumerate(messages))


class _History:
    """Knows the calls so far: their results need the tool's name, and legacy calls an id."""

    def __init__(self, thoughts: Thoughts) -> None:
        self._thoughts = thoughts
        self._names: dict[str, str] = {}
        self._legacy: dict[str, str] = {}

    def neutral(self, message: SentMessage, place: str) -> Message:
        match message.role:
            case "system" | "developer":
                return Message(role="system", content=_text_only(message, place))
            case "user":
                return Message(role="user", content=_content(_required(message, place), place))
            case "assistant":
                return self._assistant(message, place)
            case "tool":
                return self._result(message, message.tool_call_id, place)
            case "function":
                call_id = self._legacy.get(message.name or "", f"call_{message.name}")
                return self._result(message, call_id if message.name else None, place)

    def _assistant(self, message: SentMessage, place: str) -> Message:
        if message.audio is not None and not message.content:
            raise InvalidRequest(
                f"`{place}.audio` points to an answer that is not kept here.",
                action="Send the words of that answer as `content`.",
                param=f"{place}.audio",
            )
        calls = [self._call(call.id, call.function) for call in message.tool_calls or ()]
        if message.function_call is not None:
            call_id = f"call_legacy_{len(self._names)}"
            self._legacy[message.function_call.name] = call_id
            calls.append(self._call(call_id, message.function_call))
        content: str | Sequence[Part] = _text_only(message, place)
        if not content and message.refusal:
            content = message.refusal
        opaque = self._thoughts.unpacked(message.reasoning_details)
        return Message(role="assistant", content=content, tool_calls=tuple(calls), opaque=opaque)

    def _call(self, call_id: str, function: CalledFunction) -> ToolCall:
        self._names[call_id] = function.name
        arguments = function.arguments
        if not isinstance(arguments, str):
            arguments = encode_json(arguments or {}).decode()
        return ToolCall(call_id, function.name, arguments)

    def _result(self, message: SentMessage, call_id: str | None, place: str) -> Message:
        if not call_id:
            field = "tool_call_id" if message.role == "tool" else "name"
            raise InvalidRequest(
                f"`{place}.{field}` is missing.",
                explanation="Without it nobody knows which call this is the result of.",
                param=f"{place}.{field}",
            )
        content = _content(_required(message, place), place)
        name = self._names.get(call_id, message.name)
        return Message(role="tool", content=content, tool_call_id=call_id, name=name)


def _required(message: SentMessage, place: str) -> str | list[ContentPart]:
    if message.content is None:
        raise InvalidRequest(f"`{place}.content` is missing.", param=f"{place}.content")
    return message.content


def _text_only(message: SentMessage, place: str) -> str | tuple[Text, ...]:
    parts = _content(message.content or "", place)
    if isinstance(parts, str):
        return parts
    texts = tuple(part for part in parts if isinstance(part, Text))
    if len(texts) < len(parts):
        raise InvalidRequest(
            f"`{place}.content` may have text only: the role is `{message.role}`.",
            action="Send images and files in a message of the user.",
            param=f"{place}.content",
        )
    return texts


def _content(content: str | list[ContentPart], place: str) -> str | tuple[Part, ...]:
    if isinstance(content, str):
        return content
    return tuple(_part(part, f"{place}.content.{at}") for at, part in enumerate(content))


def _part(part: ContentPart, place: str) -> Part:
    match part:
        case TextPart():
            return Text(part.text)
        case RefusalPart():
            return Text(part.refusal)
        case ImagePart():
            image = part.image_url
            return _image(ImageUrl(image) if isinstance(image, str) else image, place)
        case FilePart():
            return _document(part.file, place)
        case AudioPart():
            return Audio(part.input_audio.data, part.input_audio.format)


def _image(image: ImageUrl, place: str) -> Image:
    if not image.url.lower().startswith(("https://", "data:image/")):
        raise InvalidRequest(
            f"`{place}.image_url.url` is neither an https address nor a data URI of an image.",
            action="Send `data:image/png;base64,…`, or an address that begins with https://.",
            param=f"{place}.image_url.url",
        )
    return Image(image.url, image.detail)


def _document(file: File, place: str) -> Document:
    if not file.file_data:
        raise InvalidRequest(
            f"`{place}.file` brings no data.",
            explanation="Files are not kept here: `file_id` says nothing to the provider of this model.",
            action="Send the file itself as `file_data`, a data URI.",
            param=f"{place}.file.file_data",
        )
    url = file.file_data
    if not url.lower().startswith(("data:", "https://")):
        kind = mimetypes.guess_type(file.filename or "")[0] or "application/pdf"
        url = f"data:{kind};base64,{url}"
    return Document(url, file.filename or "document")
