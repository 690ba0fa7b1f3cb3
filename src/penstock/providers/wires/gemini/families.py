"""What each generation of Google's models accepts (`spec/providers.md` 7.2, 7.3), as data.

A model that no row knows counts as one of the newest: its refusals correct that (`amending.py`).
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, cast

import msgspec

from penstock.providers.base import Effort, Quirks

Style = Literal["level", "budget", "dynamic", "none"]
"""How thinking is switched. `dynamic` leaves the budget to the model."""

MAX_OUTPUT_TOKENS = 65_536
"""What one request yields at most; asking for more begins a decode in several hops (7.5)."""


class Family(msgspec.Struct, frozen=True, kw_only=True):
    thinking: Style = "none"
    levels: tuple[str, ...] = ("low", "medium", "high")
    """Of style `level`, the lowest first."""
    budgets: tuple[int, int] = (1, 24_576)
    """The least and the most of style `budget`, beside 0."""
    can_be_off: bool = False
    """Style `budget` accepts 0."""
    signed: bool = False
    """Third generation and later: calls carry signatures and ids, results carry media, tools go with a schema."""
    system: bool = True
    """A system instruction is accepted."""
    any_document: bool = False
    """Office documents are read, beside PDF and text."""
    recursive_schemas: bool = True


_WITHOUT_THINKING = Family(recursive_schemas=False)
_WITHOUT_SYSTEM = Family(recursive_schemas=False, system=False)
_ALL_LEVELS = ("minimal", "low", "medium", "high")
_NEWEST = Family(thinking="level", signed=True)

_FAMILIES: Sequence[tuple[str, Family]] = (
    ("gemma|medgemma", _WITHOUT_SYSTEM),
    (r"gemini-(?:[3-9]|\d\d).*-image", Family(system=False, signed=True)),
    (".*-image|imagen|.*-tts", _WITHOUT_SYSTEM),
    (r"gemini-[01]|gemini-2\.0|gemini-(?:pro|ultra)(?!-latest)|learnlm", _WITHOUT_THINKING),
    (
        r"gemini-2\.\d+-flash-lite",
        Family(thinking="budget", budgets=(512, 24_576), can_be_off=True, recursive_schemas=False),
    ),
    (r"gemini-2\.\d+-pro", Family(thinking="budget", budgets=(128, 32_768), recursive_schemas=False)),
    ("gemini-2", Family(thinking="budget", can_be_off=True, recursive_schemas=False)),
    (r"gemini-3\.[7-9]-flash", _NEWEST),
    (r"gemini-3(?:\.\d+)?-flash", Family(thinking="level", levels=_ALL_LEVELS, signed=True)),
    ("gemini-3-pro", Family(thinking="level", levels=("low", "high"), signed=True)),
    ("gemini-3", _NEWEST),
    (
        r"gemini-\d+(?:\.\d+)?-hydrogen",
        Family(thinking="level", levels=("low", "medium", "high", "xhigh"), signed=True, any_document=True),
    ),
    (r"gemini-(?:[4-9]|\d\d)", Family(thinking="level", signed=True, any_document=True)),
)


@lru_cache(maxsize=1024)
def family_of(model: str) -> Family:
    """The rules for a model, by its name without path."""
    return next((family for pattern, family in _FAMILIES if re.match(pattern, model)), _NEWEST)


class Thinking(msgspec.Struct, frozen=True):
    """`config` is the `thinkingConfig`, empty for none; `reserve` the tokens that it may take from the answer's."""

    config: Mapping[str, Any] = {}
    reserve: int = 0


# Numbers of 13.3; `xhigh` and `max` end at the most that a model takes.
_BUDGETS: Mapping[str, int] = {
    "minimal": 128,
    "low": 2048,
    "medium": 8192,
    "high": 24_576,
    "xhigh": 32_768,
    "max": 32_768,
}
_BUDGET_EFFORTS = ("off", "minimal", "low", "medium", "high")
# Which levels stand for a wish, the best first.
_LEVELS: Mapping[Effort, tuple[str, ...]] = {
    "off": (),
    "minimal": ("minimal", "low"),
    "low": ("low",),
    "medium": ("medium", "high"),
    "high": ("high",),
    "xhigh": ("xhigh", "high"),
    "max": ("xhigh", "high"),
}


def style_of(model: str, quirks: Quirks) -> Style:
    return cast(Style, quirks.thinking) if quirks.thinking is not None else family_of(model).thinking


def efforts_of(model: str, quirks: Quirks) -> tuple[str, ...]:
    """What may be asked of a model: levels, or the steps of its budget."""
    if quirks.efforts is not None:
        return quirks.efforts
    family = family_of(model)
    if style_of(model, quirks) == "level":
        return family.levels
    # A family of the other style knows nothing of budgets; one of its own says whether it stops thinking.
    return _BUDGET_EFFORTS if family.can_be_off or family.thinking != "budget" else _BUDGET_EFFORTS[1:]


def thinking(wanted: Effort, model: str, quirks: Quirks) -> Thinking:
    """How a wish is said to a model: a level or a budget, never both."""
    shown = {"includeThoughts": True} if wanted != "off" else {}
    match style_of(model, quirks):
        case "none":
            return Thinking()
        case "dynamic":
            return Thinking({"thinkingBudget": -1, **shown}, _BUDGETS["medium"])
        case "budget":
            budget = _budget(wanted, model, quirks)
            return Thinking({"thinkingBudget": budget, **shown}, budget)
        case "level":
            level = _level(wanted, efforts_of(model, quirks))
            return Thinking({"thinkingLevel": level.upper(), **shown}, _BUDGETS.get(level, 0))


def _budget(wanted: Effort, model: str, quirks: Quirks) -> int:
    if wanted == "off" and "off" in efforts_of(model, quirks):
        return 0
    least, most = family_of(model).budgets
    return min(max(_BUDGETS.get(wanted, 0), _BUDGETS["minimal"], least), most)


def _level(wanted: Effort, accepted: Sequence[str]) -> str:
    """The accepted level that comes nearest; `accepted` has the lowest first."""
    for level in _LEVELS[wanted]:
        if level in accepted:
            return level
    return accepted[0] if wanted in ("off", "minimal", "low") else accepted[-1]
