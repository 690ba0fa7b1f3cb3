"""The wire of `POST /responses`: OpenAI's surface for models that reason and use tools (`spec/providers.md` 4.6).

Nothing is left with the provider: every request says `store: false`, and reasoning comes back encrypted instead.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from penstock.errors import UpstreamError
from penstock.providers.base import Amendment, Call, Delta, Exchange, JsonSchema, Quirks, Reader, Tool
from penstock.providers.json_text import encode_json
from penstock.providers.transport.base import Header
from penstock.providers.wires.openai.amending import amended_responses, without_fields
from penstock.providers.wires.openai.families import effort_of, family_of, is_reasoning, nearest
from penstock.providers.wires.openai.history import needs_tools, speaks_of_json
from penstock.providers.wires.openai.refusals import failure_of
from penstock.providers.wires.openai.responses_items import (
    WIRE_NAME,
    Writing,
    instructions_of,
    items_of,
    said_by,
)
from penstock.providers.wires.openai.responses_reader import ResponsesReader
from penstock.providers.wires.openai.schema import schema_and_strict, schema_name, wish_of
from penstock.providers.wires.tool_names import names_of

PATH = "/responses"

_LEAST_OUTPUT_TOKENS = 16
_USUAL_LEVELS = ("low", "medium", "high")


class OpenAIResponses:
    name = WIRE_NAME
    lacks: frozenset[str] = frozenset({"seed", "presence_penalty", "frequency_penalty"})

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
        """`stop` are the call's stop sequences, which this surface does not know: the text is cut here."""
        return ResponsesReader(
            model=model, content_type=content_type, quirks=quirks, tools=tools, sent_bytes=sent_bytes, stop=stop
        )

    def failure(self, status: int, headers: Sequence[Header], body: bytes) -> UpstreamError:
        return failure_of(status, headers, body)

    def amended(self, error: UpstreamError, model: str, quirks: Quirks) -> Amendment | None:
        return amended_responses(error, model, quirks)


WIRE = OpenAIResponses()


def _body(call: Call, model: str, quirks: Quirks) -> dict[str, Any]:
    names = names_of(call)
    is_wish = call.answer_format is not None and "response_format" in quirks.dropped
    body: dict[str, Any] = {"model": model}
    if instructions := instructions_of(call.messages, wish_of(call.answer_format) if is_wish else "", quirks):
        body["instructions"] = instructions
    items = items_of(call.messages, Writing(names, model, quirks))
    if (
        call.answer_format == "json"
        and not is_wish
        and not speaks_of_json(m for m in call.messages if m.role == "user")
    ):
        # Refused unless the input speaks of JSON; the instructions do not count.
        items.insert(0, said_by("system", wish_of("json")))
    body["input"] = items
    if call.max_output_tokens is not None:
        body["max_output_tokens"] = max(call.max_output_tokens, _LEAST_OUTPUT_TOKENS)
    reasoning = _reasoning(call, model, quirks)
    if not (quirks.families and is_reasoning(model, reasoning.get("effort"))):
        sampling = {"temperature": call.temperature, "top_p": call.top_p}
        body |= {name: value for name, value in sampling.items() if value is not None}
    body |= _tools(call, names, quirks)
    if call.answer_format is not None and not is_wish:
        body["text"] = {"format": _text_format(call.answer_format, quirks)}
    if reasoning:
        body["reasoning"] = reasoning
    if call.user_ref is not None and quirks.user_field is not None:
        body[quirks.user_field] = call.user_ref
    body["include"] = ["reasoning.encrypted_content"]
    body["stream"] = True
    if quirks.obfuscation:
        body["stream_options"] = {"include_obfuscation": False}
    body = without_fields(body, quirks.dropped)
    # The default is to keep the conversation for weeks: this field is not dropped, whatever was learnt.
    body["store"] = False
    if call.extra:
        body |= call.extra
    return body


def _reasoning(call: Call, model: str, quirks: Quirks) -> dict[str, str]:
    """Effort, and the wish to read along while the model thinks."""
    wanted = call.reasoning
    if quirks.reasoning not in ("effort", "openrouter"):
        return {}
    effort = effort_of(wanted, model, quirks.efforts)
    is_guess = quirks.efforts is None and not family_of(model).is_known
    if is_guess and wanted not in (None, "off"):
        # The name says nothing; that a model is called on this surface says that it probably reasons.
        effort = nearest(wanted, _USUAL_LEVELS)
    thinks = is_reasoning(model, effort)
    found = {"effort": effort, "summary": "auto" if thinks else None}
    return {name: value for name, value in found.items() if value is not None}


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
        body["tool_choice"] = choice
    elif choice not in (None, "auto"):
        body["tool_choice"] = {"type": "function", "name": names.get(choice, choice)}
    if call.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = call.parallel_tool_calls
    return body


def _tool(tool: Tool, names: Mapping[str, str], quirks: Quirks) -> dict[str, Any]:
    schema, strict = schema_and_strict(tool.schema, tool.strict, quirks)
    # On this surface tools are strict unless it is said that they are not.
    return {
        "type": "function",
        "name": names[tool.name],
        "description": tool.description,
        "parameters": schema,
        "strict": bool(strict),
    }


def _text_format(wanted: JsonSchema | Literal["json"], quirks: Quirks) -> dict[str, Any]:
    if wanted == "json":
        return {"type": "json_object"}
    schema, strict = schema_and_strict(wanted.schema, wanted.strict, quirks)
    written: dict[str, Any] = {"type": "json_schema", "name": schema_name(wanted.name), "schema": schema}
    if wanted.description is not None:
        written["description"] = wanted.description
    return written | {"strict": bool(strict)}
