"""What the wires of Claude know about its families, in every spelling of a model's name."""

from typing import Any

import pytest

from penstock.providers.base import Effort, Quirks
from penstock.providers.wires.anthropic.families import family_of, thinking_fields

PLAIN = Quirks()
SHOWN = {"type": "adaptive", "display": "summarized"}


def fields(model: str, effort: Effort | None, max_tokens: int = 64_000, **more: Any) -> tuple[Any, ...]:
    quirks = more.pop("quirks", PLAIN)
    made = thinking_fields(model, effort, max_tokens, quirks, **more)
    return made.thinking, made.effort, made.is_on


@pytest.mark.parametrize(
    "model, thinking, sampling, structured, most",
    [
        ("claude-3-haiku-20240307", None, "both", False, 4096),
        ("claude-3-5-sonnet-20241022", None, "both", False, 8192),
        ("us.anthropic.claude-3-5-haiku-20241022-v1:0", None, "both", False, 8192),
        ("anthropic/claude-3.5-sonnet", None, "both", False, 8192),
        ("claude-3-7-sonnet-20250219", "budget", "both", False, 64_000),
        ("claude-sonnet-4-20250514", "budget", "both", False, 64_000),
        ("claude-sonnet-4@20250514", "budget", "both", False, 64_000),
        ("anthropic.claude-opus-4-20250514-v1:0", "budget", "both", False, 32_000),
        ("claude-opus-4-1-20250805", "budget", "one", False, 32_000),
        ("claude-sonnet-4-5@20250929", "budget", "one", True, 64_000),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "budget", "one", True, 64_000),
        ("global.anthropic.claude-opus-4-6-v1", "adaptive", "one", True, 128_000),
        ("claude-opus-4.7", "adaptive", "none", True, 128_000),
        ("claude-sonnet-5-20260901", "adaptive", "none", True, 128_000),
        ("claude-opus-5-5", "adaptive", "none", True, 128_000),
        ("claude-of-tomorrow-9", "adaptive", "none", True, 128_000),
        ("my-own-deployment", None, "both", False, 4096),
    ],
)
def test_a_family_is_recognised_in_every_spelling(
    model: str, thinking: str | None, sampling: str, structured: bool, most: int
) -> None:
    family = family_of(model)
    assert (family.thinking, family.sampling, family.structured, family.max_output) == (
        thinking,
        sampling,
        structured,
        most,
    )


@pytest.mark.parametrize(
    "model, wanted, thinking, effort",
    [
        ("claude-opus-4-6", "medium", {"type": "adaptive"}, "medium"),
        ("claude-opus-4-6", "xhigh", {"type": "adaptive"}, "high"),
        ("claude-opus-4-6", "max", {"type": "adaptive"}, "max"),
        ("claude-opus-4-7", "minimal", SHOWN, "low"),
        ("claude-opus-4-7", "xhigh", SHOWN, "xhigh"),
        ("claude-sonnet-5", "xhigh", SHOWN, "high"),
        ("claude-opus-5-5", "max", SHOWN, "max"),
        ("claude-3-5-haiku-latest", "high", None, None),
        ("my-own-deployment", "high", None, None),
    ],
)
def test_adaptive_models_are_told_an_effort_that_they_know(
    model: str, wanted: Effort, thinking: Any, effort: str | None
) -> None:
    assert fields(model, wanted)[:2] == (thinking, effort)


@pytest.mark.parametrize(
    "wanted, max_tokens, budget, raised",
    [
        ("minimal", 64_000, 1024, 64_000),
        ("low", 64_000, 2048, 64_000),
        ("medium", 64_000, 10_000, 64_000),
        ("high", 64_000, 16_384, 64_000),
        ("max", 64_000, 32_768, 64_000),
        ("high", 8000, 6976, 8000),
        ("high", 500, 1024, 2048),
    ],
)
def test_older_models_are_given_a_budget_that_leaves_room_for_the_answer(
    wanted: Effort, max_tokens: int, budget: int, raised: int
) -> None:
    made = thinking_fields("claude-sonnet-4-5", wanted, max_tokens, PLAIN)
    assert (made.thinking, made.effort, made.max_tokens) == (
        {"type": "enabled", "budget_tokens": budget},
        None,
        raised,
    )


@pytest.mark.parametrize(
    "model, thinking, is_on",
    [
        ("claude-sonnet-4-5", None, False),
        ("claude-opus-4-6", None, False),
        ("claude-opus-4-7", {"type": "disabled"}, False),
        ("claude-opus-5", {"type": "disabled"}, False),
        ("claude-haiku-5-5", {"type": "disabled"}, False),
        ("claude-sonnet-5-5", {"type": "between_tools"}, False),
        ("claude-opus-5-5", None, True),
        ("claude-fable-5-1", None, True),
    ],
)
def test_switching_off_is_said_only_to_models_that_understand_it(model: str, thinking: Any, is_on: bool) -> None:
    assert fields(model, "off") == (thinking, None, is_on)


def test_a_forced_tool_goes_before_thinking_where_the_model_can_be_kept_from_it() -> None:
    assert fields("claude-sonnet-4-5", "high", forces_tool=True) == (None, None, False)
    assert fields("claude-opus-5", "high", forces_tool=True) == ({"type": "disabled"}, None, False)
    assert fields("claude-opus-5-5", "high", forces_tool=True) == (SHOWN, "high", True)


def test_what_a_model_refused_is_not_said_again() -> None:
    assert fields("claude-opus-4-6", "xhigh", quirks=Quirks(efforts=("low", "medium")))[1] == "medium"
    assert fields("claude-opus-4-6", "low", quirks=Quirks(efforts=("high",)))[1] == "high"
    assert fields("claude-opus-4-6", "low", quirks=Quirks(efforts=()))[1] is None
    assert fields("claude-sonnet-4-5", "high", quirks=Quirks(thinking="adaptive"))[:2] == ({"type": "adaptive"}, "high")
    assert fields("claude-opus-4-6", "high", quirks=Quirks(thinking="budget"))[0]["budget_tokens"] == 16_384
    assert fields("claude-opus-4-6", "high", quirks=Quirks(thinking="off")) == (None, None, False)


def test_a_model_that_cannot_be_switched_off_is_taken_to_think() -> None:
    learnt = Quirks(dropped=frozenset({"thinking"}))
    assert fields("claude-opus-4-7", "off", quirks=learnt) == (None, None, True)
    assert fields("claude-opus-4-7", "low", quirks=learnt, forces_tool=True) == (SHOWN, "low", True)
    assert fields("claude-opus-4-7", "low", quirks=Quirks(dropped=learnt.dropped, thinking="off")) == (
        None,
        None,
        False,
    )
