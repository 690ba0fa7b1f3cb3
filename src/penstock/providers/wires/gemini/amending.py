"""What a refusal teaches about one model, and how the call is said again (7.3, 8.2, 13.4)."""

import re
from typing import Any

import msgspec

from penstock.errors import UpstreamError
from penstock.providers.base import Amendment, Quirks
from penstock.providers.failures import Failure
from penstock.providers.wires.gemini.failures import NO_TOOLS, wants_token
from penstock.providers.wires.gemini.families import efforts_of, style_of

_SIGNATURE = re.compile(r"thought[ _]?signature", re.IGNORECASE)
_TOOLS_AND_FORM = re.compile(
    r"(?:function calling|tool use|tools?)\b.{0,80}\bresponse[ _]?(?:mime|schema|json)|JSON mode is not enabled"
    r"|response[ _]?(?:mime|schema|json).{0,80}\b(?:function calling|tools?)\b",
    re.IGNORECASE,
)
_SCHEMA_TOO_MUCH = re.compile(r"schema\b.*(?:too many states|nesting depth|too complex|too deep)", re.IGNORECASE)
_NO_SYSTEM = re.compile(r"(?:developer|system)[ _]?instructions?\b", re.IGNORECASE)
_THINKING = re.compile(r"\bthinking|\bthoughts\b", re.IGNORECASE)
_LEVEL_REFUSED = re.compile(r"thinking[ _]?level:?[ '\"`]*([a-z]+)[ '\"`]*is not (?:supported|valid)", re.IGNORECASE)
_NEVER_OFF = re.compile(r"budget:?[ '\"`]*0\b|only works in thinking mode", re.IGNORECASE)
_UNKNOWN_FIELD = re.compile(r"unknown name \"(\w+)\"", re.IGNORECASE)
_PENALTY = re.compile(r"\bpenalty is not (?:enabled|supported)", re.IGNORECASE)
_PENALTIES = frozenset({"presencePenalty", "frequencyPenalty"})
_DROPPABLE = _PENALTIES | {"seed", "topP", "labels", "parametersJsonSchema", "responseJsonSchema"}


def amendment_for(error: UpstreamError, model: str, quirks: Quirks) -> Amendment | None:
    if _is_about_signatures(error):
        # Of this history, not of the model: the next one may be in order.
        return _with(quirks, lasts_s=0.0, opaque=False) if quirks.opaque else None
    if _is_wrong_path(error):
        return _with(quirks, short_path=True) if not quirks.short_path else None
    if error.upstream_status != 400:
        return None
    return _of_a_refusal(error.message, model, quirks)


def _with(quirks: Quirks, *, lasts_s: float = 86_400.0, drops_tools: bool = False, **learnt: Any) -> Amendment:
    return Amendment(quirks=msgspec.structs.replace(quirks, **learnt), lasts_s=lasts_s, drops_tools=drops_tools)


def _is_about_signatures(error: UpstreamError) -> bool:
    if error.upstream_code == "MISSING_THOUGHT_SIGNATURE":
        return True
    return error.upstream_status == 400 and _SIGNATURE.search(error.message) is not None


def _is_wrong_path(error: UpstreamError) -> bool:
    """A key that only works without project and location, on Vertex; the Gemini API has one path."""
    if not isinstance(error, Failure) or "generativelanguage" in error.raw:
        return False
    if wants_token(error.upstream_status, error.message, error.reason):
        return True
    return error.upstream_status == 403 and error.reason == "API_KEY_SERVICE_BLOCKED"


def _of_a_refusal(message: str, model: str, quirks: Quirks) -> Amendment | None:
    if _TOOLS_AND_FORM.search(message):
        return _without(quirks, {"responseMimeType"})
    if _SCHEMA_TOO_MUCH.search(message):
        return _without(quirks, {"responseMimeType"}, lasts_s=0.0)  # of this schema, not of the model
    if NO_TOOLS.search(message):
        return _with(quirks, tools=False, drops_tools=True) if quirks.tools else None
    if _NO_SYSTEM.search(message):
        return _with(quirks, system=False) if quirks.system else None
    if _PENALTY.search(message):
        return _without(quirks, _PENALTIES)
    if (unknown := _UNKNOWN_FIELD.search(message)) and (name := _camel(unknown[1])) in _DROPPABLE:
        return _without(quirks, {name})
    return _thinking_otherwise(message, model, quirks) if _THINKING.search(message) else None


def _without(quirks: Quirks, fields: frozenset[str] | set[str], *, lasts_s: float = 86_400.0) -> Amendment | None:
    if fields <= quirks.dropped:
        return None
    return _with(quirks, lasts_s=lasts_s, dropped=quirks.dropped | fields)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _thinking_otherwise(message: str, model: str, quirks: Quirks) -> Amendment | None:
    """First another level or budget, then the other style, in the end none: each is tried once."""
    style = style_of(model, quirks)
    efforts = efforts_of(model, quirks)
    if style == "none":
        return None
    if style == "level" and (refused := _LEVEL_REFUSED.search(message)):
        left = tuple(level for level in efforts if level != refused[1].lower())
        if left and left != efforts:
            return _with(quirks, efforts=left)
    if style == "budget" and _NEVER_OFF.search(message) and "off" in efforts:
        return _with(quirks, efforts=efforts[1:])
    if quirks.thinking is not None:
        return _with(quirks, thinking="none", efforts=None)
    if style == "budget":
        is_unknown = re.search(r"not (?:supported|enabled)|unknown name|level", message, re.IGNORECASE)
        return _with(quirks, thinking="level" if is_unknown else "dynamic", efforts=None)
    return _with(quirks, thinking="budget", efforts=None)
