"""What the model families at OpenAI accept, as data, by their names (`spec/providers.md` 4.7).

A rule may be wrong for a model: what its refusals teach (`Quirks.efforts`, `Quirks.dropped`) comes first.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import Literal

import msgspec

from penstock.providers.base import Effort

# How much is thought, in order; a vendor's `default` is somewhere in the middle.
_RANKS = {"off": 0, "none": 0, "minimal": 1, "low": 2, "medium": 3, "default": 3, "high": 4, "xhigh": 5, "max": 6}

LEVELS = frozenset(_RANKS) - {"off"}
"""Every word that a vendor has for a level."""


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """One row. `levels` are the accepted efforts; empty: the field itself is refused.

    `default` is the effort that a model takes when none is sent; None for a model that does not reason.
    """

    pattern: str
    reasoning: Literal["always", "optional", "none"]
    levels: tuple[str, ...] = ()
    default: str | None = None
    stop: bool = True
    """Stop sequences are accepted on chat completions."""
    system: Literal["system", "developer", None] = "system"
    """The role of instructions; None: no role of that kind is accepted."""
    is_known: bool = True
    """The name says something about the model, which that of a deployment need not."""


_LOW_TO_HIGH = ("low", "medium", "high")
_NONE_TO_XHIGH = ("none", *_LOW_TO_HIGH, "xhigh")


def _always(pattern: str, *levels: str, stop: bool = False) -> Family:
    return Family(pattern=pattern, reasoning="always", levels=levels, default="medium", stop=stop, system="developer")


def _optional(pattern: str, *levels: str, default: str) -> Family:
    return Family(pattern=pattern, reasoning="optional", levels=levels, default=default, stop=False, system="developer")


_UNKNOWN = Family(pattern=".*", reasoning="none", is_known=False)

FAMILIES: Sequence[Family] = (
    Family(pattern=r"o1-(?:mini|preview)", reasoning="always", default="medium", system=None),
    _always(r"o1", *_LOW_TO_HIGH, stop=True),
    _always(r"o\d", *_LOW_TO_HIGH),
    _always(r"gpt-5\.\d+-chat", "medium"),
    Family(pattern=r"gpt-5-chat|.*-search-|.*-audio|gpt-4|gpt-3\.5|chatgpt-4o|gpt-oss", reasoning="none"),
    _always(r"gpt-5-pro", "high"),
    _always(r"gpt-5\.\d+-pro", "medium", "high", "xhigh"),
    _always(r"gpt-5\.1-codex-max|gpt-5\.(?:[2-9]|\d\d)-codex", *_LOW_TO_HIGH, "xhigh"),
    _always(r"codex|gpt-\d+(?:\.\d+)?-codex", *_LOW_TO_HIGH),
    _optional(r"gpt-5\.1(?!\d)", "none", *_LOW_TO_HIGH, default="none"),
    _optional(r"gpt-5\.[2-4](?!\d)", *_NONE_TO_XHIGH, default="none"),
    _optional(r"gpt-5\.\d", *_NONE_TO_XHIGH, default="medium"),
    _always(r"gpt-5(?![\d.])", "minimal", *_LOW_TO_HIGH),
    _always(r"gpt-(?:[6-9]|\d\d)(?!\d)", *_LOW_TO_HIGH, "xhigh", "max"),
    _UNKNOWN,
)


@cache
def family_of(model: str) -> Family:
    """The first row that the model's name matches; a fine-tuned model is of its base's family."""
    name = model.removeprefix("ft:")
    return next(family for family in FAMILIES if re.match(family.pattern, name))


def nearest(wanted: Effort, levels: Sequence[str]) -> str | None:
    """The level that is nearest to the wish, the higher of two; None when there is none at all."""
    if not levels:
        return None
    aim = _RANKS[wanted]
    return min(levels, key=lambda level: (abs(_RANKS.get(level, 3) - aim), -_RANKS.get(level, 3)))


def effort_of(wanted: Effort | None, model: str, learnt: Sequence[str] | None) -> str | None:
    """The effort to be sent; None: the field is left out. `learnt` are the levels that the model has listed."""
    levels = family_of(model).levels if learnt is None else learnt
    return None if wanted is None else nearest(wanted, levels)


def is_reasoning(model: str, effort: str | None) -> bool:
    """Whether the model thinks when it is sent `effort` (None: nothing)."""
    family = family_of(model)
    if effort is None:
        return family.default not in (None, "none")
    return effort != "none"
