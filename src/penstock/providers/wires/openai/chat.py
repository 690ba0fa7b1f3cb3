"""The wire of `POST /chat/completions`: OpenAI's, and in its conservative form everybody else's.

Requests follow `spec/providers.md` 4.4 and 10.3: the smallest body that works nearly everywhere, plus what a vendor's
quirks add. Answers are read by `reader.py`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from penstock.errors import UpstreamError
from penstock.providers.base import Amendment, Call, Delta, Effort, Exchange, JsonSchema, Quirks, Reader, Tool
from penstock.providers.json_text import encode_json
from penstock.providers.transport.base import Header
from penstock.providers.wires.openai.amending import amended_chat, without_fields
from penstock.providers.wires.openai.families import effort_of, family_of, is_reasoning, nearest
from penstock.providers.wires.openai.history import needs_tools, speaks_of_json
from penstock.providers.wires.openai.messages import WIRE_NAME, Writing, messages_of
from penstock.providers.wires.openai.reader import ChatReader
from penstock.providers.wires.openai.refusals import failure_of
from penstock.providers.wires.openai.request import PATH
from penstock.providers.wires.openai.schema import schema_and_strict, schema_name, wish_of
from penstock.providers.wires.tool_names import names_of

_MAX_STOPS = 4

# Tokens for thinking, where a number is wanted (`spec/providers.md` 13.3).
_BUDGETS: Mapping[Effort, int] = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16384,
    "xhigh": 32768,
    "max": 32768,
}
# By name: the levels of `reasoning_effort` at Mistral and Groq. A model that matches nothing has no such field.
_MISTRAL_LEVELS = (
    (r"mistral-large", ("none", "low", "medium", "high")),
    (r"mistral-(?:small|medium)", ("none", "high")),
)
_GROQ_LEVELS = (
    (r"(?:openai/)?gpt-oss", ("low", "medium", "high")),
    (r"(?:qwen/)?qwen", ("none", "default")),
)
# Models at Groq that mix their thoughts into the text unless told otherwise, which is refused beside tools and JSON.
_GROQ_RAW = re.compile(r"(?:qwen/)?qw(?:en|q)|deepseek-r1")


class OpenAIChat:
    name = WIRE_NAME
    lacks: frozenset[str] = frozenset()

    def request(self, call: Call, model: str, quirks: Quirks) -> Exchange:
        """Raises Unsupported."""
        return Exchange(PATH, encode_json(_body(call, model, quirks)))

    def reader(
        self,
        *,
        model: str = "",
        content_type: str = "",
        quirks: Quirks | None = None,
        tools: Sequence[Tool] = (),
        sent_bytes: int = 0,
        stop: Sequence[str] = (),
        one_call: bool = False,
    ) -> Reader[Sequence[Delta]]:
        """`stop` are the call's stop sequences: the text is cut here at those that the model is not sent."""
        quirks = quirks or Quirks()
        return ChatReader(
            model=model,
            content_type=content_type,
            quirks=quirks,
            tools=tools,
            sent_bytes=sent_bytes,
            stop=stop[_MAX_STOPS:] if _stops(model, quirks) else stop,
        )

    def failure(self, status: int, headers: Sequence[Header], body: bytes) -> UpstreamError:
        return failure_of(status, headers, body)

    def amended(self, error: UpstreamError, model: str, quirks: Quirks) -> Amendment | None:
        return amended_chat(error, model, quirks)


WIRE = OpenAIChat()


def _body(call: Call, model: str, quirks: Quirks) -> dict[str, Any]:
    names = names_of(call)
    tools = _tools(call, names, quirks)
    answer_format = _response_format(call.answer_format, quirks) if call.answer_format is not None else None
    as_wish = answer_format is not None and (
        "response_format" in quirks.dropped or (bool(tools) and not quirks.format_with_tools)
    )
    # JSON without a schema is refused unless the messages speak of it.
    is_unsaid = call.answer_format == "json" and not speaks_of_json(call.messages)
    wish = wish_of(call.answer_format) if as_wish or is_unsaid else ""
    body: dict[str, Any] = {"model": model, "messages": messages_of(call.messages, wish, Writing(names, model, quirks))}
    if call.max_output_tokens is not None:
        body[quirks.max_tokens_field] = call.max_output_tokens
    reasoning = _reasoning(call, model, quirks)
    body |= _sampling(call, model, quirks, effort=reasoning.get("reasoning_effort"))
    if answer_format is not None and not as_wish:
        body["response_format"] = answer_format
    body |= tools | reasoning
    if call.user_ref is not None and quirks.user_field is not None:
        body[quirks.user_field] = call.user_ref
    if quirks.store_field:
        body["store"] = False
    if quirks.asks_for_text is not None and re.match(quirks.asks_for_text, model):
        body["modalities"] = ["text"]
    body["stream"] = True
    if quirks.stream_options:
        # Without it the stream carries no token counts.
        body["stream_options"] = {"include_usage": True} | (
            {"include_obfuscation": False} if quirks.obfuscation else {}
        )
    body = without_fields(body, quirks.dropped)
    if call.extra:
        body |= call.extra
    return body


# --- sampling and reasoning -----------------------------------------------------------------------------------------


def _stops(model: str, quirks: Quirks) -> bool:
    """Whether the model is sent stop sequences."""
    return "stop" not in quirks.dropped and (not quirks.families or family_of(model).stop)


def _sampling(call: Call, model: str, quirks: Quirks, *, effort: str | None) -> dict[str, Any]:
    wanted: dict[str, Any] = {}
    if not (quirks.families and is_reasoning(model, effort)):
        wanted = {
            "temperature": _temperature(call.temperature, quirks),
            "top_p": call.top_p,
            "presence_penalty": call.presence_penalty,
            "frequency_penalty": call.frequency_penalty,
            "seed": call.seed,
        }
    if call.stop and _stops(model, quirks):
        wanted["stop"] = list(call.stop[:_MAX_STOPS])
    renamed = dict(quirks.renamed)
    return {renamed.get(name, name): value for name, value in wanted.items() if value is not None}


def _temperature(wanted: float | None, quirks: Quirks) -> float | None:
    return wanted if wanted is None or quirks.max_temperature is None else min(wanted, quirks.max_temperature)


def _reasoning(call: Call, model: str, quirks: Quirks) -> dict[str, Any]:
    wanted = call.reasoning
    if quirks.reasoning == "groq":
        return _groq(call, model, quirks)
    if wanted is None:
        return {}
    is_on = wanted != "off"
    match quirks.reasoning:
        case "effort":
            return _effort(effort_of(wanted, model, quirks.efforts))
        case "enable_thinking":
            return (
                {"enable_thinking": True, "thinking_budget": _BUDGETS[wanted]} if is_on else {"enable_thinking": False}
            )
        case "openrouter":
            return {"reasoning": {"effort": wanted} if is_on else {"enabled": False}}
        case "thinking":
            return {"thinking": {"type": "enabled" if is_on else "disabled"}}
        case "mistral":
            if model.startswith("magistral"):
                return {"prompt_mode": "reasoning"} if is_on else {}
            return _effort(nearest(wanted, quirks.efforts or _levels(_MISTRAL_LEVELS, model)))
        case _:
            return {}


def _groq(call: Call, model: str, quirks: Quirks) -> dict[str, Any]:
    levels = quirks.efforts or _levels(_GROQ_LEVELS, model)
    body = _effort(nearest(call.reasoning, levels)) if call.reasoning is not None else {}
    if _GROQ_RAW.match(model) and (call.tools or call.answer_format is not None):
        body["reasoning_format"] = "parsed"
    return body


def _levels(rows: Sequence[tuple[str, tuple[str, ...]]], model: str) -> tuple[str, ...]:
    return next((levels for pattern, levels in rows if re.match(pattern, model)), ())


def _effort(level: str | None) -> dict[str, Any]:
    return {} if level is None else {"reasoning_effort": level}


# --- tools and answer formats ---------------------------------------------------------------------------------------


def _tools(call: Call, names: Mapping[str, str], quirks: Quirks) -> dict[str, Any]:
    if not call.tools:
        return {}
    if not quirks.tools:
        if call.tools_optional:
            return {}
        raise needs_tools()
    body: dict[str, Any] = {"tools": [_tool(tool, names, quirks) for tool in call.tools]}
    choice = call.tool_choice
    if choice in ("none", "required"):
        if choice in quirks.tool_choices:
            body["tool_choice"] = choice
        elif choice == "none":
            # A vendor without `none` would call the tools: they are not offered.
            return {}
    elif choice not in (None, "auto") and "named" in quirks.tool_choices:
        body["tool_choice"] = {"type": "function", "function": {"name": names.get(choice, choice)}}
    if call.parallel_tool_calls is not None and quirks.parallel_tool_calls:
        body["parallel_tool_calls"] = call.parallel_tool_calls
    return body


def _tool(tool: Tool, names: Mapping[str, str], quirks: Quirks) -> dict[str, Any]:
    schema, strict = schema_and_strict(tool.schema, tool.strict, quirks)
    function = {"name": names[tool.name], "description": tool.description, "parameters": schema}
    return {"type": "function", "function": function | ({} if strict is None else {"strict": strict})}


def _response_format(wanted: JsonSchema | Literal["json"], quirks: Quirks) -> dict[str, Any]:
    if wanted == "json":
        return {"type": "json_object"}
    schema, strict = schema_and_strict(wanted.schema, wanted.strict, quirks)
    named: dict[str, Any] = {"name": schema_name(wanted.name), "schema": schema}
    if wanted.description is not None:
        named["description"] = wanted.description
    if strict is not None:
        named["strict"] = strict
    return {"type": "json_schema", "json_schema": named}
