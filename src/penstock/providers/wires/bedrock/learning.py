"""What Bedrock's refusals teach: another way to send the same call (`spec/providers.md` 4.7, 6.4, 9.4)."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from penstock.errors import UpstreamError
from penstock.providers.base import Amendment, Quirks
from penstock.providers.failures import PermissionRefused, RequestRefused, Unsupported
from penstock.providers.wires.bedrock.caching import CACHE_FIELD

WHOLE = "stream"
"""Dropped for a model that cannot stream what is asked: its whole answer is read instead."""

_Found = re.Match[str]
_CHOICES = {"any": frozenset({"required"}), "tool": frozenset({"named"})}
# What follows says what is accepted instead: `… is not supported. Use "thinking.type.adaptive" and …`.
_INSTEAD = re.compile(r"\buse [\"'`]?(?:thinking|output_config)", re.IGNORECASE)
_WITHOUT_TOOLS_S = 600.0
_DAY_S = 86_400.0


class _Rule(msgspec.Struct, frozen=True):
    pattern: re.Pattern[str]
    learn: Callable[[Quirks, _Found], Quirks]
    lasts_s: float = _DAY_S
    drops_tools: bool = False


def amended(error: UpstreamError, quirks: Quirks) -> Amendment | None:
    """The first rule that fits the refusal and has not been followed yet."""
    if not _is_about_the_request(error):
        return None
    complaint = _INSTEAD.split(error.message)[0]
    for rule in _RULES:
        found = rule.pattern.search(complaint)
        learnt = quirks if found is None else rule.learn(quirks, found)
        if learnt != quirks:
            return Amendment(quirks=learnt, lasts_s=rule.lasts_s, drops_tools=rule.drops_tools)
    return None


def _is_about_the_request(error: UpstreamError) -> bool:
    # A mark for a cache that a model has not is answered as if access were denied.
    return isinstance(error, RequestRefused | Unsupported) or (
        isinstance(error, PermissionRefused) and "prompt caching" in error.message
    )


def _without(*fields: str) -> Callable[[Quirks, _Found], Quirks]:
    return lambda quirks, _: msgspec.structs.replace(quirks, dropped=quirks.dropped | set(fields))


def _with(**learnt: Any) -> Callable[[Quirks, _Found], Quirks]:
    return lambda quirks, _: msgspec.structs.replace(quirks, **learnt)


def _no_thinking(quirks: Quirks, _: _Found) -> Quirks:
    return msgspec.structs.replace(quirks, thinking="off", dropped=quirks.dropped | {"thinking"}, efforts=())


def _no_choice(quirks: Quirks, found: _Found) -> Quirks:
    refused = _CHOICES.get(found[1] or "", quirks.tool_choices)
    return msgspec.structs.replace(quirks, tool_choices=quirks.tool_choices - refused)


def _efforts(quirks: Quirks, found: _Found) -> Quirks:
    return msgspec.structs.replace(quirks, efforts=tuple(re.findall(r"[a-z]+", found[1])))


def _most_output(quirks: Quirks, found: _Found) -> Quirks:
    return msgspec.structs.replace(quirks, max_output=max(int(found[1] or found[2]), 1))


def _rule(pattern: str, learn: Callable[[Quirks, _Found], Quirks], lasts_s: float = _DAY_S) -> _Rule:
    return _Rule(re.compile(pattern, re.IGNORECASE), learn, lasts_s)


_REFUSED = (
    r"(?:not support|n't support|unsupported|not permitted|not allowed|deprecated|can ?not|must not|unset|remove)"
)


def _refused(field: str) -> str:
    """A complaint about a field, on either side of its name."""
    return rf"\b(?:{field})\b.*{_REFUSED}|{_REFUSED}.*\b(?:{field})\b"


_RULES: Sequence[_Rule] = (
    _rule(
        r"tool use in streaming mode|(?:doesn't|not) support(?:ed)? (?:for )?(?:response )?streaming", _without(WHOLE)
    ),
    _Rule(
        re.compile(r"(?:doesn't|does not) support tool use(?! in streaming)"),
        _with(tools=False),
        _WITHOUT_TOOLS_S,
        drops_tools=True,
    ),
    _rule(r"prompt caching|cachePoint", _without(CACHE_FIELD)),
    _rule(r"(?:doesn't|does not|n't) support system (?:prompts|messages)", _with(system=False)),
    _rule(r"toolChoice(?:\.(any|tool|auto))?\b", _no_choice),
    _rule(r"thinking may not be enabled when tool_choice", _with(tool_choices=frozenset()), 0),
    _rule(r"expected `?thinking`?.*but found", _with(thinking="off"), 0),
    _rule(
        r"signature|(?:thinking|redacted_thinking)`? (?:or .{1,30} )?blocks?|reasoningContent", _with(opaque=False), 0
    ),
    _rule(r"effort level.*supported levels:([a-z, ]+)", _efforts),
    _rule(_refused(r"output_config\.effort|effort"), _with(efforts=())),
    _rule(_refused(r"thinking\.display"), _without("display")),
    _rule(_refused(r"thinking\.type\.enabled"), _with(thinking="adaptive")),
    _rule(_refused(r"thinking\.type\.adaptive|adaptive thinking"), _with(thinking="budget")),
    _rule(_refused(r"thinking\.type\.disabled"), _without("thinking")),
    _rule(_refused(r"thinking"), _no_thinking),
    _rule(_refused(r"reasoning_effort"), _without("reasoning_effort")),
    _rule(_refused(r"reasoningConfig"), _without("reasoningConfig")),
    _rule(_refused(r"outputConfig|output_config\.format|structured outputs?"), _without("outputConfig")),
    _rule(_refused(r"strict"), _without("strict")),
    _rule(_refused(r"toolResult\.status|status field"), _without("status")),
    # Both together are one complaint, and temperature is the one that people set.
    _rule(r"temperature.*both.*top_?p|temperature.*top_?p.*both", _without("topP")),
    _rule(_refused(r"temperature"), _without("temperature")),
    _rule(_refused(r"top_?p"), _without("topP")),
    _rule(_refused(r"stop_?sequences"), _without("stopSequences")),
    _rule(r"prefill|must end with a user message", _without("prefill")),
    _rule(r"maximum tokens you requested exceeds the model limit of (\d+)|max_tokens: \d+ > (\d+)", _most_output),
    _rule(_refused(r"max_?tokens"), _without("maxTokens"), 0),
)
