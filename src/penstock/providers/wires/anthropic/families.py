"""What the families of Claude models accept, as data, and the thinking fields that follow from it.

Facts are those of `spec/providers.md` 6.3 and 6.4. A model's name is recognised in every spelling: Anthropic's own, the
profiles of Bedrock (`us.anthropic.claude-…-v1:0`), the versions of Vertex (`claude-…@20250929`).
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import msgspec

from penstock.providers.base import Effort, Quirks

LEVELS = ("low", "medium", "high", "xhigh", "max")
"""Of `output_config.effort`, from the least."""

_TO_HIGH = LEVELS[:3]
_WITHOUT_XHIGH = ("low", "medium", "high", "max")

_BUDGETS: Mapping[str, int] = {
    "minimal": 1024,
    "low": 2048,
    "medium": 10_000,
    "high": 16_384,
    "xhigh": 32_768,
    "max": 32_768,
}
_LEAST_BUDGET = 1024
_LEAST_ANSWER = 1024


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """What one generation of models accepts. The defaults are the newest generation's."""

    thinking: Literal["adaptive", "budget"] | None = "adaptive"
    off: Literal["disabled", "between_tools"] | None = None
    """The `thinking.type` that switches it off; None: it is off, or on, when nothing is said."""
    always_thinks: bool = False
    efforts: Sequence[str] = LEVELS
    hides_thinking: bool = True
    """The text of thinking comes only when it is asked for."""
    sampling: Literal["both", "one", "none"] = "none"
    """Whether `temperature` and `top_p` are accepted, and together."""
    structured: bool = True
    """`output_config.format` is known."""
    prefill: bool = False
    """The conversation may end with words of the assistant."""
    max_output: int = 128_000


_NEWEST = Family(always_thinks=True)
_BEFORE_THINKING = Family(
    thinking=None,
    efforts=(),
    hides_thinking=False,
    sampling="both",
    structured=False,
    prefill=True,
    max_output=4096,
)
_WITH_BUDGET = msgspec.structs.replace(_BEFORE_THINKING, thinking="budget", max_output=64_000)
_4_5 = msgspec.structs.replace(_WITH_BUDGET, sampling="one", structured=True)
_4_6 = Family(efforts=_WITHOUT_XHIGH, hides_thinking=False, sampling="one", prefill=True)
_4_7 = Family(off="disabled", efforts=_WITHOUT_XHIGH, prefill=True)
_5 = msgspec.structs.replace(_4_7, prefill=False)

# Searched in what follows `claude-`, dots written as dashes; the first that matches counts.
_FAMILIES: Sequence[tuple[str, Family]] = (
    (r"(?:opus-5-5|fable-|mythos-)(?!\d\d)", _NEWEST),
    (r"sonnet-5-5(?!\d)", Family(off="between_tools")),
    (r"haiku-5-5(?!\d)", Family(off="disabled")),
    (r"opus-5(?!\d)", msgspec.structs.replace(_5, efforts=LEVELS)),
    (r"[a-z]+-5(?!\d)(?!-\d(?!\d))", _5),
    (r"opus-4-[789](?!\d)", msgspec.structs.replace(_4_7, efforts=LEVELS)),
    (r"[a-z]+-4-[789](?!\d)", _4_7),
    (r"[a-z]+-4-6(?!\d)", _4_6),
    (r"opus-4-5(?!\d)", msgspec.structs.replace(_4_5, efforts=_TO_HIGH)),
    (r"[a-z]+-4-5(?!\d)", _4_5),
    (r"opus-4-1(?!\d)", msgspec.structs.replace(_WITH_BUDGET, sampling="one", max_output=32_000)),
    (r"opus-4(?!\d)|4-opus", msgspec.structs.replace(_WITH_BUDGET, max_output=32_000)),
    (r"sonnet-4(?!\d)|4-sonnet", _WITH_BUDGET),
    (r"3-7-", _WITH_BUDGET),
    (r"3-5-", msgspec.structs.replace(_BEFORE_THINKING, max_output=8192)),
    (r"3-|v?[12](?!\d)|instant", _BEFORE_THINKING),
    (r"", _NEWEST),
)

_CLAUDE = re.compile(r"claude-(.*)", re.IGNORECASE | re.DOTALL)


@lru_cache(maxsize=256)
def family_of(model: str) -> Family:
    """The family by the model's name. One that is not called Claude gets the plainest body there is."""
    found = _CLAUDE.search(model)
    if found is None:
        return _BEFORE_THINKING
    rest = found[1].lower().replace(".", "-")
    return next(family for pattern, family in _FAMILIES if re.match(pattern, rest))


class ThinkingFields(msgspec.Struct, frozen=True, kw_only=True):
    """What a request says of thinking. None: the field is left out."""

    thinking: Mapping[str, Any] | None = None
    """The field `thinking`."""
    effort: str | None = None
    """The field `output_config.effort`."""
    max_tokens: int
    """As asked, or raised to leave room for thinking."""
    is_on: bool = False
    """The model may think: sampling is restricted, and no tool can be forced."""


def thinking_fields(
    model: str, effort: Effort | None, max_tokens: int, quirks: Quirks, *, forces_tool: bool = False
) -> ThinkingFields:
    """The fields for a wish. A tool that must be called goes before thinking, where the model can be kept from it."""
    family = family_of(model)
    style = quirks.thinking or family.thinking
    if style is None:
        return ThinkingFields(max_tokens=max_tokens)
    always = quirks.thinking is None and (family.always_thinks or "thinking" in quirks.dropped)
    if effort == "off" or style == "off" or (forces_tool and not always):
        off = family.off if "thinking" not in quirks.dropped and style != "budget" else None
        return ThinkingFields(thinking={"type": off} if off else None, max_tokens=max_tokens, is_on=always)
    if effort is None:
        return ThinkingFields(max_tokens=max_tokens, is_on=always)
    if style == "budget":
        return _with_budget(effort, max_tokens)
    thinking = {"type": "adaptive"}
    if family.hides_thinking and "display" not in quirks.dropped:
        thinking["display"] = "summarized"
    efforts = quirks.efforts if quirks.efforts is not None else family.efforts or LEVELS
    return ThinkingFields(thinking=thinking, effort=_nearest(effort, efforts), max_tokens=max_tokens, is_on=True)


def _with_budget(effort: str, max_tokens: int) -> ThinkingFields:
    max_tokens = max(max_tokens, _LEAST_BUDGET + _LEAST_ANSWER)
    budget = min(_BUDGETS[effort], max_tokens - _LEAST_ANSWER)
    return ThinkingFields(thinking={"type": "enabled", "budget_tokens": budget}, max_tokens=max_tokens, is_on=True)


def _nearest(effort: str, accepted: Sequence[str]) -> str | None:
    """The level itself, else the next lower one that is accepted, else the lowest; None when there is none at all."""
    known = [level for level in LEVELS if level in accepted]
    wanted = LEVELS.index("low" if effort == "minimal" else effort)
    lower = [level for level in known if LEVELS.index(level) <= wanted]
    return lower[-1] if lower else known[0] if known else None
