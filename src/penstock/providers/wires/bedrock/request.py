"""The body of Converse and ConverseStream (`spec/providers.md` 9.4)."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.providers.base import Call, JsonSchema, Quirks
from penstock.providers.json_text import encode_json
from penstock.providers.wires.anthropic import families as anthropic_families
from penstock.providers.wires.bedrock.caching import CACHE_FIELD, mark_prefixes
from penstock.providers.wires.bedrock.families import Family, family_of
from penstock.providers.wires.bedrock.messages import Model, system_texts, thinks_in_tool_loop, turns
from penstock.providers.wires.bedrock.tools import ToolPlan, native_schema, plan_tools
from penstock.providers.wires.tool_names import names_of

# How levels of reasoning are called where there are three.
_THREE_LEVELS: Mapping[str, str] = {
    "off": "low",
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}
_NOT_IN_METADATA = re.compile(r"[^A-Za-z0-9\s:_@$#=/+,.-]")
_MAX_METADATA = 256


class _Reasoning(msgspec.Struct, frozen=True, kw_only=True):
    fields: Mapping[str, Any]
    """Of `additionalModelRequestFields`."""
    max_tokens: int | None
    is_on: bool = False
    """No tool can be forced, and sampling is restricted."""


def body_of(call: Call, name: str, quirks: Quirks) -> dict[str, Any]:
    """Raises Unsupported for parts that Converse cannot carry."""
    family = family_of(name)
    model = Model(name=name, family=family, quirks=quirks, names=names_of(call))
    plan = plan_tools(call, model)
    can_be_forced = _can_be_forced(plan, model)
    reasoning = _reasoning(call, model, forces_tool=plan.choice is not None and can_be_forced)
    if reasoning.is_on or not can_be_forced:
        plan = plan.unforced()
    system = [*system_texts(call), *plan.instructions]
    takes_system = family.system and quirks.system
    body: dict[str, Any] = {"messages": turns(call, model, () if takes_system else system)}
    if system and takes_system:
        body["system"] = [{"text": text} for text in system]
    if family.caches and CACHE_FIELD not in quirks.dropped:
        mark_prefixes(body)
    if inference := _inference(call, model, reasoning):
        body["inferenceConfig"] = inference
    if (config := plan.config()) is not None:
        body["toolConfig"] = config
    schema = native_schema(call, model)
    if schema is not None and isinstance(call.answer_format, JsonSchema):
        body["outputConfig"] = {"textFormat": _text_format(call.answer_format, schema)}
    if fields := _model_fields(call, family, quirks, reasoning):
        body["additionalModelRequestFields"] = fields
    if call.user_ref is not None and quirks.user_field is not None:
        body[quirks.user_field] = {"user": _NOT_IN_METADATA.sub("_", call.user_ref)[:_MAX_METADATA]}
    return body


def _can_be_forced(plan: ToolPlan, model: Model) -> bool:
    form = "required" if plan.choice == "required" else "named"
    return form in model.family.tool_choices and form in model.quirks.tool_choices


def _inference(call: Call, model: Model, reasoning: _Reasoning) -> dict[str, Any]:
    inference: dict[str, Any] = {}
    if reasoning.max_tokens is not None:
        most = model.quirks.max_output
        inference["maxTokens"] = reasoning.max_tokens if most is None else min(reasoning.max_tokens, most)
    inference |= _sampling(call, model.family, model.quirks, reasoning)
    # A stop sequence of blanks alone is refused.
    if stops := [stop for stop in call.stop if stop.strip()]:
        inference["stopSequences"] = stops
    return {name: value for name, value in inference.items() if name not in model.quirks.dropped}


def _sampling(call: Call, family: Family, quirks: Quirks, reasoning: _Reasoning) -> dict[str, float]:
    if family.sampling == "none" or (reasoning.is_on and family.reasoning == "anthropic"):
        return {}
    wished = {"temperature": call.temperature, "topP": call.top_p}
    sampling = {
        name: min(max(value, 0.0), 1.0)
        for name, value in wished.items()
        if value is not None and name not in quirks.dropped
    }
    if family.sampling == "one" and "temperature" in sampling:
        sampling.pop("topP", None)
    return sampling


def _text_format(wanted: JsonSchema, schema: Mapping[str, Any]) -> dict[str, Any]:
    named: dict[str, Any] = {"name": re.sub(r"[^A-Za-z0-9_-]", "_", wanted.name)[:64] or "answer"}
    if wanted.description:
        named["description"] = wanted.description
    # A text, unlike every other schema of Converse.
    named["schema"] = encode_json(schema).decode()
    return {"type": "json_schema", "structure": {"jsonSchema": named}}


# --- reasoning ------------------------------------------------------------------------------------------------------


def _reasoning(call: Call, model: Model, *, forces_tool: bool) -> _Reasoning:
    fields: dict[str, Any] = {}
    match model.family.reasoning:
        case "anthropic":
            return _claude(call, model, forces_tool=forces_tool)
        case "effort" if call.reasoning is not None:
            fields = {"reasoning_effort": _THREE_LEVELS[call.reasoning]}
        case "nova" if call.reasoning is not None:
            # As with Claude, a tool that must be called goes before thinking.
            fields = {"reasoningConfig": _nova("off" if forces_tool else call.reasoning)}
        case _:
            pass
    kept = {name: value for name, value in fields.items() if name not in model.quirks.dropped}
    return _Reasoning(fields=kept, max_tokens=call.max_output_tokens)


def _nova(effort: str) -> dict[str, str]:
    return (
        {"type": "disabled"}
        if effort == "off"
        else {
            "type": "enabled",
            "maxReasoningEffort": _THREE_LEVELS[effort],
        }
    )


def _claude(call: Call, model: Model, *, forces_tool: bool) -> _Reasoning:
    """Without a limit of the caller's the model's own counts, and Bedrock knows it: it is not sent."""
    own_limit = model.quirks.max_output or anthropic_families.family_of(model.name).max_output
    asked = own_limit if call.max_output_tokens is None else call.max_output_tokens
    if model.quirks.max_output is not None:
        asked = min(asked, model.quirks.max_output)  # the budget for thinking is a part of it
    wanted = anthropic_families.thinking_fields(
        model.name, call.reasoning, asked, model.quirks, forces_tool=forces_tool
    )
    if wanted.thinking and "budget_tokens" in wanted.thinking and not thinks_in_tool_loop(call.messages, model):
        wanted = anthropic_families.thinking_fields(model.name, "off", wanted.max_tokens, model.quirks)
    fields: dict[str, Any] = {}
    if wanted.thinking is not None:
        fields["thinking"] = wanted.thinking
    if wanted.effort is not None:
        fields["output_config"] = {"effort": wanted.effort}
    is_limited = call.max_output_tokens is not None or wanted.max_tokens != own_limit
    return _Reasoning(fields=fields, max_tokens=wanted.max_tokens if is_limited else None, is_on=wanted.is_on)


def _model_fields(call: Call, family: Family, quirks: Quirks, reasoning: _Reasoning) -> dict[str, Any]:
    fields = dict(reasoning.fields)
    if quirks.betas and family.reasoning == "anthropic":
        fields["anthropic_beta"] = list(quirks.betas)
    return fields | dict(call.extra or {})
