"""The wire of `POST /chat/completions`: OpenAI's, and in its conservative form everybody else's.

Requests follow `spec/providers.md` 4.4 and 10.3: the smallest body that works nearly everywhere, plus what a vendor's
quirks add. Answers are read by `openai_reader.py`.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from penstock.errors import UpstreamError
from penstock.kit.ids import base62
from penstock.providers.base import (
    Amendment,
    Call,
    Delta,
    Effort,
    Exchange,
    Image,
    JsonSchema,
    Message,
    Part,
    Quirks,
    Reader,
    Text,
    Tool,
    ToolCall,
)
from penstock.providers.failures import Unsupported, classify
from penstock.providers.json_text import encode_json
from penstock.providers.transport.base import Header
from penstock.providers.wires.openai_reader import ChatReader
from penstock.providers.wires.openai_request import PATH
from penstock.providers.wires.tool_names import wire_names

# Families at OpenAI that reason: they refuse sampling parameters and stop sequences.
_REASONING_MODEL = re.compile(r"(?:o\d|codex|gpt-(?:[5-9]|\d\d)(?!\d)(?!.*-chat))")
_MAX_STOPS = 4
_NO_RESULT = "No result: the call was cancelled."


class OpenAIChat:
    name = "openai_chat"

    def request(self, call: Call, model: str, quirks: Quirks) -> Exchange:
        return Exchange(PATH, encode_json(_body(call, model, quirks)))

    def reader(
        self,
        *,
        model: str = "",
        content_type: str = "",
        quirks: Quirks | None = None,
        tools: Sequence[Tool] = (),
        sent_bytes: int = 0,
    ) -> Reader[Sequence[Delta]]:
        return ChatReader(content_type=content_type, quirks=quirks, tools=tools, sent_bytes=sent_bytes)

    def failure(self, status: int, headers: Sequence[Header], body: bytes) -> UpstreamError:
        return classify(status, headers, body)

    def amended(self, error: UpstreamError, model: str, quirks: Quirks) -> Amendment | None:
        if error.upstream_status in (400, 422) and quirks.stream_options and "stream_options" in error.message:
            return Amendment(quirks=msgspec.structs.replace(quirks, stream_options=False))
        return None


WIRE = OpenAIChat()


def _body(call: Call, model: str, quirks: Quirks) -> dict[str, Any]:
    names = wire_names([tool.name for tool in call.tools] + [one.name for m in call.messages for one in m.tool_calls])
    body: dict[str, Any] = {"model": model, "messages": _messages(call.messages, names, quirks)}
    if call.max_output_tokens is not None:
        body[quirks.max_tokens_field] = call.max_output_tokens
    body |= _sampling(call, model, quirks)
    if call.answer_format is not None:
        body["response_format"] = _response_format(call.answer_format)
    if call.tools and quirks.tools:
        body |= _tools(call, names, quirks)
    if call.reasoning is not None:
        body |= _reasoning(call.reasoning, model, quirks)
    if call.user_ref is not None and quirks.user_field is not None:
        body[quirks.user_field] = call.user_ref
    if quirks.store_field:
        body["store"] = False
    body["stream"] = True
    if quirks.stream_options:
        # Without it the stream carries no token counts.
        body["stream_options"] = {"include_usage": True} | (
            {"include_obfuscation": False} if quirks.obfuscation else {}
        )
    if call.extra:
        body |= call.extra
    return body


def _sampling(call: Call, model: str, quirks: Quirks) -> dict[str, Any]:
    if quirks.reasoning == "effort" and _REASONING_MODEL.match(model):
        return {}
    sampling: dict[str, Any] = {}
    if call.temperature is not None:
        sampling["temperature"] = call.temperature
    if call.stop:
        sampling["stop"] = list(call.stop[:_MAX_STOPS])
    return sampling


def _response_format(wanted: JsonSchema | Literal["json"]) -> dict[str, Any]:
    if wanted == "json":
        return {"type": "json_object"}
    name = re.sub(r"[^A-Za-z0-9_-]", "_", wanted.name)[:64] or "answer"
    return {"type": "json_schema", "json_schema": {"name": name, "schema": wanted.schema}}


def _reasoning(wanted: Effort, model: str, quirks: Quirks) -> dict[str, Any]:
    is_on = wanted != "off"
    match quirks.reasoning:
        case "effort":
            return _effort(wanted, model)
        case "enable_thinking":
            return {"enable_thinking": is_on}
        case "openrouter":
            return {"reasoning": {"effort": wanted} if is_on else {"enabled": False}}
        case "thinking":
            return {"thinking": {"type": "enabled" if is_on else "disabled"}}
        case None:
            return {}


def _effort(wanted: Effort, model: str) -> dict[str, Any]:
    """`none` is known from gpt-5.1 to 5.6 only; elsewhere the lowest level that all accept (4.7)."""
    if not _REASONING_MODEL.match(model):
        return {}
    if wanted != "off":
        return {"reasoning_effort": wanted}
    return {"reasoning_effort": "none" if re.match(r"gpt-5\.[1-6](?!.*(?:codex|-pro))", model) else "low"}


# --- tools ----------------------------------------------------------------------------------------------------------


def _tools(call: Call, names: Mapping[str, str], quirks: Quirks) -> dict[str, Any]:
    body: dict[str, Any] = {"tools": [_tool(tool, names) for tool in call.tools]}
    choice = call.tool_choice
    if choice is None or choice == "auto":
        return body
    if choice in ("none", "required"):
        if choice in quirks.tool_choices:
            body["tool_choice"] = choice
        elif choice == "none":
            # A vendor without `none` would call the tools: they are not offered.
            return {}
    elif "named" in quirks.tool_choices:
        body["tool_choice"] = {"type": "function", "function": {"name": names.get(choice, choice)}}
    return body


def _tool(tool: Tool, names: Mapping[str, str]) -> dict[str, Any]:
    function = {"name": names[tool.name], "description": tool.description, "parameters": tool.schema}
    return {"type": "function", "function": function}


# --- messages -------------------------------------------------------------------------------------------------------


def _messages(messages: Iterable[Message], names: Mapping[str, str], quirks: Quirks) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = []
    system: list[str] = []
    rest = list(messages)
    call_id = _short_id if quirks.short_call_ids else str
    results = {one.tool_call_id: one for one in rest if one.role == "tool"}
    for message in rest:
        match message.role:
            case "system" if quirks.merge_system:
                system.append(_plain(message.content))
            case "tool":
                pass  # written after the call that it answers
            case "assistant":
                written.append(_assistant(message, names, call_id))
                written.extend(_results(message.tool_calls, results, call_id))
            case _:
                written.append({"role": message.role, "content": _content(message.content)})
    if any(system):
        written.insert(0, {"role": "system", "content": "\n\n".join(filter(None, system))})
    return written


def _assistant(message: Message, names: Mapping[str, str], call_id: Callable[[str], str]) -> dict[str, Any]:
    written: dict[str, Any] = {"role": "assistant", "content": _content(message.content)}
    if message.tool_calls:
        written["tool_calls"] = [
            {
                "id": call_id(call.id),
                "type": "function",
                "function": {"name": names[call.name], "arguments": call.arguments or "{}"},
            }
            for call in message.tool_calls
        ]
    return written


def _results(
    calls: Iterable[ToolCall], results: Mapping[str | None, Message], call_id: Callable[[str], str]
) -> Iterable[dict[str, Any]]:
    """One message for each call, in their order. A call whose result is missing would be refused: it gets one.

    Results without a call are left out, for the same reason. Images cannot stand here: they follow as a user's message.
    """
    images: list[dict[str, Any]] = []
    for call in calls:
        result = results.get(call.id)
        content = _NO_RESULT if result is None else _plain(result.content)
        yield {"role": "tool", "tool_call_id": call_id(call.id), "content": content}
        if result is not None and not isinstance(result.content, str):
            images.extend(_part(part) for part in result.content if isinstance(part, Image))
    if images:
        yield {"role": "user", "content": [{"type": "text", "text": "Images from the tool results:"}, *images]}


def _short_id(call_id: str) -> str:
    """Nine letters and digits, the same for the same id."""
    if len(call_id) == 9 and call_id.isascii() and call_id.isalnum():
        return call_id
    digest = hashlib.sha256(call_id.encode("utf-8", "replace")).digest()
    return base62(int.from_bytes(digest[:8]), 9)


def _content(content: str | Sequence[Part]) -> str | list[dict[str, Any]]:
    """A plain string when everything is text: many servers know nothing else."""
    if isinstance(content, str) or all(isinstance(part, Text) for part in content):
        return _plain(content)
    return [_part(part) for part in content]


def _plain(content: str | Sequence[Part]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.text for part in content if isinstance(part, Text))


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if not isinstance(part, Image) or (part.url[:5].lower() == "data:" and part.url[:11].lower() != "data:image/"):
        raise Unsupported(
            "This provider reads images only; other files are not forwarded.",
            explanation="Documents are turned into text before they are sent. This one was not.",
            action="Send the text of the document, or use a provider that reads documents.",
        )
    image = {"url": part.url} if part.detail is None else {"url": part.url, "detail": part.detail}
    return {"type": "image_url", "image_url": image}
