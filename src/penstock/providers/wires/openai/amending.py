"""What a refusal of OpenAI or a relative teaches about a model, and how the call is said otherwise.

A refusal may repeat what the caller wrote. So the provider's own `param` and `code` come first, and words count only
where the provider begins its sentence with them. What is learnt is proved by the answer that follows. It holds for all
callers of the model, so a value that one of them has chosen badly must teach nothing.
"""

import re
from typing import Any

from msgspec.structs import replace

from penstock.errors import UpstreamError
from penstock.providers.base import Amendment, Quirks
from penstock.providers.failures import UpstreamNotFound
from penstock.providers.wires.openai.families import LEVELS

_FIELD_LASTS_S = 86_400.0
_SURFACE_LASTS_S = 600.0
_TOOLS_LAST_S = 600.0

_TOOLS_WITH_REASONING = re.compile(
    r"Function tools with reasoning_effort are not supported for \S{1,200} in /v1/chat/completions\."
)
_NO_TOOLS = re.compile(
    r"\S{1,300} does not support tools\b|\"auto\" tool choice requires "
    r"|(?:Not Found: )?No endpoints found that support tool use"
)

# A field that a refusal begins by naming: OpenAI, older Azure, Mistral and other Pydantic servers, Groq, Qwen.
_NAMED_FIELD = re.compile(
    r"(?:<\d{3}> [\w.]{1,80}: )?(?:"
    r"(?:Unsupported (?:parameter|value)|Unknown parameter): ['`\"]?(?P<a>[\w.\[\]]{1,80})"
    r"|Unrecognized request arguments? supplied: (?P<b>[\w.]{1,80})"
    r"|(?:body\.)?(?P<c>\w{1,80}): Extra inputs are not permitted"
    r"|property '(?P<d>\w{1,80})' is unsupported"
    r"|`?(?P<e>\w{1,80})`? is not (?:enabled|supported) (?:for|with|by) this model"
    r"|The (?P<f>tool_choice) parameter does not support "
    r"|This (?P<g>response_format) type is unavailable"
    r"|Invalid parameter: '(?P<h>response_format)' of type '\w{1,40}' is not supported"
    r"|`?(?P<i>reasoning_effort)`? must be one of "
    r")"
)
_NO_JSON_WHILE_THINKING = re.compile(r"(?:<\d{3}> [\w.]{1,80}: )?Json mode response is not supported when")
_UNSUPPORTED_CODES = frozenset({"unsupported_parameter", "unsupported_value", "unknown_parameter"})
# What stands in quotes may be the caller's.
_REFUSING = re.compile(r"Unsupported |Unknown parameter|Unrecognized |[^'`\"]{0,120}\b(?:is|are) not supported\b")
_ABOUT_VALUE = re.compile(r"(?:Unsupported|Invalid) value|`?reasoning_effort`? must be one of ")

_DROPPABLE = frozenset(
    {
        "temperature",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "seed",
        "random_seed",
        "stop",
        "parallel_tool_calls",
        "tool_choice",
        "response_format",
        "reasoning_effort",
        "reasoning_format",
        "reasoning",
        "prompt_mode",
        "thinking_budget",
        "include",
        "store",
        "user",
        "safety_identifier",
    }
)
_LIMITS = ("max_tokens", "max_completion_tokens")
_EFFORT_FIELDS = ("reasoning_effort", "reasoning.effort")
_LISTED = re.compile(r"(?:[Ss]upported values are|must be one of)\b:?(.{1,300})")
_QUOTED = re.compile(r"['`\"]([a-z]+)['`\"]")
_SYSTEM_ROLE = re.compile(r"(?:messages|input)\[\d+\](?:\.role)?$")
_SCHEMA_REFUSED = re.compile(r"Invalid schema for (?P<what>response_format|function) ")
_SCHEMA_CODES = frozenset({"invalid_json_schema", "invalid_function_parameters"})
_LOST_ITEM = re.compile(r"(?:Not Found: )?Item with id '\w{1,200}' not found")
_BLOCKS = re.compile(
    r"\bencrypted content\b|Item '(?:rs|msg|fc)_|Item with id|signature|thinking|reasoning_content|reasoning_details",
    re.IGNORECASE,
)


def amended_chat(error: UpstreamError, model: str, quirks: Quirks) -> Amendment | None:
    if (without_tools := _without_tools(error, quirks)) is not None:
        return without_tools
    if error.upstream_status not in (400, 422):
        return None
    if _TOOLS_WITH_REASONING.match(error.message):
        return Amendment(quirks=quirks, wire="openai_responses")
    return _amended(error, quirks) or _without_stream_options(error, quirks)


def amended_responses(error: UpstreamError, model: str, quirks: Quirks) -> Amendment | None:
    if error.upstream_status == 404 and _LOST_ITEM.match(error.message):
        return Amendment(quirks=replace(quirks, opaque=False), lasts_s=0) if quirks.opaque else None
    is_lost = isinstance(error, UpstreamNotFound) and error.upstream_status == 404 and error.wrong_path
    if is_lost or error.upstream_status == 405:
        # A relative that has chat completions only. OpenAI itself knows the path.
        return Amendment(quirks=quirks, wire="openai_chat", lasts_s=_SURFACE_LASTS_S)
    if (without_tools := _without_tools(error, quirks)) is not None:
        return without_tools
    return _amended(error, quirks) if error.upstream_status in (400, 422) else None


def _without_tools(error: UpstreamError, quirks: Quirks) -> Amendment | None:
    if not quirks.tools or error.upstream_status not in (400, 404, 422) or not _NO_TOOLS.match(error.message):
        return None
    return Amendment(quirks=replace(quirks, tools=False), lasts_s=_TOOLS_LAST_S, drops_tools=True)


def _amended(error: UpstreamError, quirks: Quirks) -> Amendment | None:
    if (weaker := _weaker_schema(error, quirks)) is not None:
        return weaker
    if _NO_JSON_WHILE_THINKING.match(error.message):
        return Amendment(quirks=replace(quirks, dropped=quirks.dropped | {"response_format"}), lasts_s=0)
    field = _refused_field(error)
    if field is not None and (found := _without(field, error, quirks)) is not None:
        is_of_this_call = _depends_on_call(field, error, is_left_out=found.efforts == quirks.efforts)
        return Amendment(quirks=found, lasts_s=0 if is_of_this_call else _FIELD_LASTS_S)
    if quirks.opaque and _BLOCKS.search(error.message):
        # Harmless where the words were the caller's: a call without such blocks is not sent again.
        return Amendment(quirks=replace(quirks, opaque=False), lasts_s=0)
    return None


def _depends_on_call(field: str, error: UpstreamError, *, is_left_out: bool) -> bool:
    """Whether a tool may be prescribed hangs on the rest of the call; a wrong level without a list of good ones on the
    caller who asked for it."""
    if field == "tool_choice":
        return True
    is_about_value = error.upstream_code == "unsupported_value" or _ABOUT_VALUE.match(error.message) is not None
    return field in _EFFORT_FIELDS and is_left_out and is_about_value


def _refused_field(error: UpstreamError) -> str | None:
    """The field that the model does not take, or not with this value; None when the refusal is of another kind."""
    named = _NAMED_FIELD.match(error.message)
    if error.param is None:
        return next(filter(None, named.groups()), None) if named else None
    if error.upstream_code in _UNSUPPORTED_CODES or named or _REFUSING.match(error.message):
        return error.param
    if error.param == "reasoning.summary" or (error.param in _EFFORT_FIELDS and _LISTED.search(error.message)):
        return error.param
    return None


def _without(field: str, error: UpstreamError, quirks: Quirks) -> Quirks | None:
    if field in _LIMITS:
        other = _LIMITS[1 - _LIMITS.index(field)]
        is_ours = quirks.max_tokens_field == field
        return replace(quirks, max_tokens_field=other) if is_ours else None
    if field in _EFFORT_FIELDS and (levels := _levels_in(error.message)):
        return replace(quirks, efforts=levels)
    if field == "reasoning.effort":
        return replace(quirks, dropped=quirks.dropped | {"reasoning"})
    if field == "reasoning.summary":
        return replace(quirks, dropped=quirks.dropped | {field})
    if field.startswith("text.format"):
        return replace(quirks, dropped=quirks.dropped | {"response_format"})
    if field in ("include", "include[0]"):
        return replace(quirks, dropped=quirks.dropped | {"include"})
    if field == "include_obfuscation" or "include_obfuscation" in error.message:
        return replace(quirks, obfuscation=False) if quirks.obfuscation else None
    if _SYSTEM_ROLE.match(field):
        return _other_role(error.message, quirks)
    return replace(quirks, dropped=quirks.dropped | {field}) if field in _DROPPABLE else None


def _levels_in(message: str) -> tuple[str, ...]:
    """The levels of reasoning that a refusal lists, as it lists them."""
    listed = _LISTED.search(message)
    return tuple(dict.fromkeys(one for one in _QUOTED.findall(listed[1]) if one in LEVELS)) if listed else ()


def _other_role(message: str, quirks: Quirks) -> Quirks | None:
    if "'developer'" in message and quirks.developer:
        return replace(quirks, developer=False)
    if ("'system'" in message or "'developer'" in message) and quirks.system:
        return replace(quirks, system=False)
    return None


def _weaker_schema(error: UpstreamError, quirks: Quirks) -> Amendment | None:
    """A schema that was refused is sent as no strict one, then as an instruction. Only this schema is to blame."""
    found = _SCHEMA_REFUSED.match(error.message)
    if not found and error.upstream_code not in _SCHEMA_CODES:
        return None
    if quirks.strict is not None:
        return Amendment(quirks=replace(quirks, strict=None), lasts_s=0)
    if found and found["what"] == "response_format":
        return Amendment(quirks=replace(quirks, dropped=quirks.dropped | {"response_format"}), lasts_s=0)
    return None


def _without_stream_options(error: UpstreamError, quirks: Quirks) -> Amendment | None:
    if not quirks.stream_options or "stream_options" not in error.message:
        return None
    if quirks.obfuscation and "include_obfuscation" in error.message:
        return Amendment(quirks=replace(quirks, obfuscation=False))
    return Amendment(quirks=replace(quirks, stream_options=False))


def without_fields(body: dict[str, Any], dropped: frozenset[str]) -> dict[str, Any]:
    """`body` without the fields that are not sent; `a.b` is a field of a field."""
    kept = {name: value for name, value in body.items() if name not in dropped}
    for name in dropped:
        outer, _, inner = name.partition(".")
        within = kept.get(outer)
        if inner and isinstance(within, dict):
            kept[outer] = {key: value for key, value in within.items() if key != inner}
    return kept
