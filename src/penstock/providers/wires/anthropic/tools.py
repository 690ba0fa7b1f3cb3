"""Tools, the choice among them, and answers of a given form (`spec/providers.md` 6.3 and 13.2)."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from penstock.providers.base import Call, JsonSchema, Quirks, Tool
from penstock.providers.json_text import encode_json
from penstock.providers.wires.anthropic.families import Family
from penstock.providers.wires.anthropic.schemas import is_object, strict_schema
from penstock.providers.wires.tool_names import wire_names

ANSWER_TOOL = "json_response"
"""The name of the tool whose arguments are the answer. The reader knows such a call by its name."""

FORMAT_FIELD = "output_config.format"
"""In `Quirks.dropped`: the model has no structured outputs."""

_MAX_STRICT_TOOLS = 20
_OPEN = (None, "auto", "none", "required")
"""The choices that name no tool."""

_JSON_ONLY = "Answer with JSON and nothing else: no words around it, no code fence."


class Form(msgspec.Struct, kw_only=True):
    """How the form of an answer is asked for: one of the three, or none."""

    schema: Mapping[str, Any] | None = None
    """For `output_config.format`."""
    tool: dict[str, Any] | None = None
    """The tool to be called with the answer."""
    instruction: str | None = None


def form_of(call: Call, family: Family, quirks: Quirks) -> Form:
    wanted = call.answer_format
    if wanted is None:
        return Form()
    if wanted == "json":
        return Form(instruction=_JSON_ONLY)
    if family.structured and FORMAT_FIELD not in quirks.dropped:
        schema = strict_schema(wanted.schema)
        if schema is not None:
            return Form(schema=schema)
    if is_object(wanted.schema) and not is_answer_tool_taken(call.tools):
        return Form(tool=_answer_tool(wanted))
    return Form(instruction=f"{_JSON_ONLY} It is valid for this schema: {encode_json(wanted.schema).decode()}")


def is_answer_tool_taken(tools: Iterable[Tool]) -> bool:
    """The caller has a tool of that name: calls of it are no answers."""
    return ANSWER_TOOL in wire_names(tool.name for tool in tools).values()


def _answer_tool(wanted: JsonSchema) -> dict[str, Any]:
    description = wanted.description or "Gives the answer. Call it once, with the whole answer."
    return {"name": ANSWER_TOOL, "description": description, "input_schema": _rooted(wanted.schema)}


def tools_of(call: Call, names: Mapping[str, str], family: Family, form: Form, quirks: Quirks) -> list[dict[str, Any]]:
    """The tools to declare, those included that only the history has: its calls would be refused without."""
    tools = [_tool(tool, names, family.structured and "strict" not in quirks.dropped) for tool in call.tools]
    strict = [tool for tool in tools if "strict" in tool]
    for tool in strict[_MAX_STRICT_TOOLS:]:
        del tool["strict"]
    if form.tool is not None:
        tools.append(form.tool)
    if not tools:
        used = dict.fromkeys(names[one.name] for message in call.messages for one in message.tool_calls)
        tools = [{"name": name, "input_schema": {"type": "object"}} for name in used]
    return tools


def _tool(tool: Tool, names: Mapping[str, str], may_be_strict: bool) -> dict[str, Any]:
    written: dict[str, Any] = {"name": names[tool.name]}
    if tool.description.strip():
        written["description"] = tool.description
    schema = strict_schema(tool.schema) if tool.strict and may_be_strict else None
    written["input_schema"] = _rooted(tool.schema if schema is None else schema)
    if schema is not None:
        written["strict"] = True
    return written


def _rooted(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The root must say that it is an object."""
    return schema if schema.get("type") == "object" else {**schema, "type": "object"}


def choice_of(call: Call, names: Mapping[str, str], form: Form) -> dict[str, Any] | None:
    """What `tool_choice` says; None when it goes without saying. For a call that declares tools."""
    choice = call.tool_choice
    if form.tool is not None and (not call.tools or choice in _OPEN):
        # With tools of the caller's the model may still choose one of them first.
        must_call = not call.tools or choice == "none"
        written = {"type": "tool", "name": ANSWER_TOOL} if must_call else {"type": "any"}
    elif not call.tools or choice == "none":
        return {"type": "none"}
    elif choice in (None, "auto"):
        written = {"type": "auto"}
    elif choice == "required":
        written = {"type": "any"}
    else:
        written = {"type": "tool", "name": names.get(str(choice), str(choice))}
    if call.parallel_tool_calls is False:
        return written | {"disable_parallel_tool_use": True}
    return None if written == {"type": "auto"} else written


def is_forced(choice: Mapping[str, Any] | None) -> bool:
    return choice is not None and choice["type"] in ("any", "tool")


def asked_kindly(choice: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """For models that cannot be forced: the choice left open, and a sentence instead."""
    name = choice.get("name")
    sentence = f"Call the tool `{name}`." if name else "Call one of the tools; do not answer with words alone."
    return {**{key: value for key, value in choice.items() if key != "name"}, "type": "auto"}, sentence
