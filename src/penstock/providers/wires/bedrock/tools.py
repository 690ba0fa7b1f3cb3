"""What a request says of tools: which there are, which must be called, and the tool that carries an answer in JSON.

Converse has no `none`, and few models can be told which tool to call: what cannot be said is asked for in words.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from penstock.providers.base import Call, JsonSchema, Tool
from penstock.providers.json_text import encode_json
from penstock.providers.wires.anthropic.schemas import strict_schema
from penstock.providers.wires.bedrock.messages import Model
from penstock.providers.wires.tool_names import wire_names

_EMPTY_OBJECT: Mapping[str, Any] = {"type": "object", "properties": {}}
_JSON_TOOL = "json_response"


class ToolPlan(msgspec.Struct, frozen=True, kw_only=True):
    tools: Sequence[Mapping[str, Any]] = ()
    choice: str | None = None
    """`required`, or the tool that must be called, by its name on the wire; None: the model decides."""
    instructions: tuple[str, ...] = ()
    """What is added to the system prompt."""

    def config(self) -> dict[str, Any] | None:
        """The `toolConfig`."""
        if not self.tools:
            return None
        config: dict[str, Any] = {"tools": list(self.tools)}
        if self.choice is not None:
            config["toolChoice"] = {"any": {}} if self.choice == "required" else {"tool": {"name": self.choice}}
        return config

    def unforced(self) -> "ToolPlan":
        """The same for a model that cannot be forced: it is asked to."""
        if self.choice is None:
            return self
        which = "one of the tools" if self.choice == "required" else f"the tool `{self.choice}`"
        asked = f"Answer only by calling {which}."
        return ToolPlan(tools=self.tools, instructions=(*self.instructions, asked))


def json_tool_name(tools: Iterable[Tool]) -> str:
    """The name of the tool whose input is the answer, unlike that of every other tool."""
    taken = set(wire_names(tool.name for tool in tools).values())
    name = _JSON_TOOL
    while name in taken:
        name += "_"
    return name


def native_schema(call: Call, model: Model) -> dict[str, Any] | None:
    """The schema of the answer when the model can be held to it without a tool, in the subset that is enforced."""
    wanted = call.answer_format
    if isinstance(wanted, JsonSchema) and model.family.structured and "outputConfig" not in model.quirks.dropped:
        return strict_schema(wanted.schema)
    return None


def plan_tools(call: Call, model: Model) -> ToolPlan:
    wanted = call.answer_format
    if wanted == "json":
        return _with_instruction(_plan(call, model, None), "Answer with one JSON object and nothing else.")
    if not isinstance(wanted, JsonSchema) or native_schema(call, model) is not None:
        return _plan(call, model, None)
    if not model.quirks.tools:
        schema = encode_json(wanted.schema).decode()
        return ToolPlan(instructions=(f"Answer with JSON of this schema and nothing else: {schema}",))
    return _plan(call, model, wanted)


def _plan(call: Call, model: Model, wanted: JsonSchema | None) -> ToolPlan:
    if not model.quirks.tools:
        return ToolPlan()
    used = {one.name: None for message in call.messages for one in message.tool_calls}
    if call.tool_choice == "none" and not used and wanted is None:
        return ToolPlan()
    is_forbidden = call.tool_choice == "none"
    offered = [_declared(tool, model) for tool in call.tools if not is_forbidden or used]
    taken = {one["toolSpec"]["name"] for one in offered}
    gone = [model.names[name] for name in used if model.names[name] not in taken]
    if wanted is not None:
        offered.append(_json_tool(json_tool_name(call.tools), wanted))
        gone = [name for name in gone if name != json_tool_name(call.tools)]
    # Calls in the history are refused when their tool is not declared.
    offered += [_spec(name, "No longer available.", _EMPTY_OBJECT) for name in dict.fromkeys(gone)]
    told: list[str] = []
    if is_forbidden and used:
        told.append("Do not call any of your own tools now." if wanted else "Do not call any tool: answer in words.")
    elif gone:
        told.append(f"These tools cannot be called any more: {', '.join(dict.fromkeys(gone))}.")
    return ToolPlan(tools=offered, choice=_choice(call, model, wanted), instructions=tuple(told))


def _choice(call: Call, model: Model, wanted: JsonSchema | None) -> str | None:
    choice = call.tool_choice
    if wanted is not None and choice in (None, "auto", "none", "required"):
        # With tools of the caller's the model may still choose one of them first.
        return json_tool_name(call.tools) if choice == "none" or not call.tools else "required"
    if choice in (None, "auto", "none") or not call.tools:
        return None
    return choice if choice == "required" else model.names.get(choice)


def _with_instruction(plan: ToolPlan, instruction: str) -> ToolPlan:
    return msgspec.structs.replace(plan, instructions=(*plan.instructions, instruction))


def _declared(tool: Tool, model: Model) -> dict[str, Any]:
    is_strict = bool(tool.strict) and model.family.structured and "strict" not in model.quirks.dropped
    enforced = strict_schema(_of_object(tool.schema)) if is_strict else None
    written = _spec(model.names[tool.name], tool.description, enforced or _of_object(tool.schema))
    if enforced is not None:
        written["toolSpec"]["strict"] = True
    return written


def _json_tool(name: str, wanted: JsonSchema) -> dict[str, Any]:
    purpose = "Gives the answer to the user. Call it once, when the answer is complete."
    description = f"{purpose} {wanted.description}" if wanted.description else purpose
    return _spec(name, description, _of_object(wanted.schema))


def _spec(name: str, description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    # An empty description is refused.
    return {"toolSpec": {"name": name, "description": description.strip() or name, "inputSchema": {"json": schema}}}


def _of_object(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """`schema` with an object at its root, which Converse insists on."""
    return schema if schema.get("type") == "object" else {**schema, "type": "object"}
