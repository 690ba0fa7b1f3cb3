"""The wire of `generateContent`: Gemini at Google, and the same on Vertex (`spec/providers.md` 7, 8).

Always streamed. Answers are read by `reader.py`; what the generations differ in is `families.py`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from penstock.errors import UpstreamError
from penstock.providers.base import Amendment, Call, Delta, Exchange, JsonSchema, Quirks, Reader, Tool
from penstock.providers.json_text import encode_json
from penstock.providers.transport.base import Header
from penstock.providers.wires.gemini.amending import amendment_for
from penstock.providers.wires.gemini.contents import contents_of, system_text
from penstock.providers.wires.gemini.failures import failure_of
from penstock.providers.wires.gemini.families import MAX_OUTPUT_TOKENS, family_of, thinking
from penstock.providers.wires.gemini.reader import GeminiReader
from penstock.providers.wires.gemini.schema import json_schema, openapi_schema
from penstock.providers.wires.gemini.signatures import WIRE_NAME
from penstock.providers.wires.tool_names import names_of

# Without `alt=sse` the answer is one JSON array.
PATH = "/models/{model}:streamGenerateContent?alt=sse"

_MAX_STOPS = 5
_NOT_IN_LABELS = re.compile(r"[^a-z0-9_-]")
_MAX_LABEL = 63
_CHOICES = {"auto": None, "none": "NONE", "required": "ANY"}


class Gemini:
    name = WIRE_NAME
    lacks: frozenset[str] = frozenset()

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
        stop: Sequence[str] = (),
        one_call: bool = False,
    ) -> Reader[Sequence[Delta]]:
        """`one_call`: further function calls are left out, because the format cannot ask for a single one. Of `stop`,
        those that it has no room for are kept to here."""
        return GeminiReader(
            model=model,
            content_type=content_type,
            tools=tools,
            sent_bytes=sent_bytes,
            one_call=one_call,
            stop=stop[_MAX_STOPS:],
        )

    def failure(self, status: int, headers: Sequence[Header], body: bytes) -> UpstreamError:
        return failure_of(status, headers, body)

    def amended(self, error: UpstreamError, model: str, quirks: Quirks) -> Amendment | None:
        return amendment_for(error, model, quirks)


WIRE = Gemini()


def _body(call: Call, model: str, quirks: Quirks) -> dict[str, Any]:
    names = names_of(call)
    has_tools = bool(call.tools) and quirks.tools
    is_told = call.answer_format is not None and _must_be_told(model, quirks, has_tools=has_tools)
    system = system_text(call.messages)
    if is_told:
        system = "\n\n".join(filter(None, (system, _instruction(call.answer_format))))
    accepts_system = quirks.system and family_of(model).system
    preamble = "" if accepts_system else system
    body: dict[str, Any] = {"contents": contents_of(call.messages, names, model, quirks, preamble=preamble)}
    if system and accepts_system:
        body["systemInstruction"] = {"parts": [{"text": system}]}
    if has_tools:
        body["tools"] = [{"functionDeclarations": [_declaration(tool, names, model, quirks) for tool in call.tools]}]
        if choice := _choice(call.tool_choice, names):
            body["toolConfig"] = {"functionCallingConfig": choice}
    if call.user_ref is not None and quirks.user_field is not None and quirks.user_field not in quirks.dropped:
        body[quirks.user_field] = {"user": _NOT_IN_LABELS.sub("_", call.user_ref.lower())[:_MAX_LABEL]}
    config = _sampling(call, model, quirks)
    if call.answer_format is not None and not is_told:
        config |= _answer_format(call.answer_format, model, quirks)
    config = {name: value for name, value in config.items() if name not in quirks.dropped}
    if config:
        body["generationConfig"] = config
    return _merged(body, call.extra) if call.extra else body


def _sampling(call: Call, model: str, quirks: Quirks) -> dict[str, Any]:
    # Google takes thoughts out of the answer's tokens: without a reserve a small limit gives an empty answer.
    planned = thinking(call.reasoning, model, quirks) if call.reasoning is not None else None
    limit = call.max_output_tokens
    if limit is not None and planned is not None:
        limit = max(limit, min(limit + planned.reserve, MAX_OUTPUT_TOKENS))
    fields = {
        "maxOutputTokens": limit,
        "temperature": call.temperature,
        "topP": call.top_p,
        "seed": call.seed,
        "presencePenalty": call.presence_penalty,
        "frequencyPenalty": call.frequency_penalty,
        "stopSequences": list(call.stop[:_MAX_STOPS]) or None,
        "thinkingConfig": dict(planned.config) or None if planned is not None else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


# --- answers of a given form -----------------------------------------------------------------------------------------


def _must_be_told(model: str, quirks: Quirks, *, has_tools: bool) -> bool:
    """The form can only be asked for in words: models before the third generation refuse it beside tools."""
    return "responseMimeType" in quirks.dropped or (has_tools and not family_of(model).signed)


def _instruction(wanted: JsonSchema | Literal["json"] | None) -> str:
    if not isinstance(wanted, JsonSchema):
        return "Answer with JSON only."
    return f"Answer with JSON only, of this JSON Schema: {encode_json(wanted.schema).decode()}"


def _answer_format(wanted: JsonSchema | Literal["json"], model: str, quirks: Quirks) -> dict[str, Any]:
    format_: dict[str, Any] = {"responseMimeType": "application/json"}
    if not isinstance(wanted, JsonSchema):
        return format_
    if "responseJsonSchema" in quirks.dropped:
        return format_ | {"responseSchema": openapi_schema(wanted.schema)}
    recursive = family_of(model).recursive_schemas
    return format_ | {"responseJsonSchema": json_schema(wanted.schema, recursive=recursive)}


# --- tools -----------------------------------------------------------------------------------------------------------


def _declaration(tool: Tool, names: Mapping[str, str], model: str, quirks: Quirks) -> dict[str, Any]:
    written: dict[str, Any] = {"name": names[tool.name], "description": tool.description or tool.name}
    if not tool.schema.keys() - {"type", "properties", "required", "additionalProperties", "$schema", "title"} and not (
        tool.schema.get("properties")
    ):
        return written  # a function without parameters has no schema: an object without properties is refused
    if "parametersJsonSchema" in quirks.dropped:
        return written | {"parameters": openapi_schema(tool.schema)}
    recursive = family_of(model).recursive_schemas
    return written | {"parametersJsonSchema": json_schema(tool.schema, recursive=recursive)}


def _choice(choice: str | None, names: Mapping[str, str]) -> dict[str, Any] | None:
    if choice is None:
        return None
    if choice in _CHOICES:
        mode = _CHOICES[choice]
        return None if mode is None else {"mode": mode}
    return {"mode": "ANY", "allowedFunctionNames": [names.get(choice, choice)]}


def _merged(body: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """`extra` over `body`; objects that both have are merged, so that one field of `generationConfig` can be set."""
    merged = dict(body)
    for name, value in extra.items():
        ours = merged.get(name)
        # A level and a budget of thinking exclude each other, so that object is replaced.
        if isinstance(ours, dict) and isinstance(value, Mapping) and name != "thinkingConfig":
            value = _merged(ours, value)
        merged[name] = value
    return merged
