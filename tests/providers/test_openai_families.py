"""What is known of OpenAI's families, and how schemas and stop sequences are brought into their form."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.providers.base import Effort
from penstock.providers.wires.openai.families import effort_of, family_of, is_reasoning, nearest
from penstock.providers.wires.openai.schema import strict_subset
from penstock.providers.wires.stops import StopCutter


@pytest.mark.parametrize(
    "model, reasoning",
    [
        ("o1", "always"),
        ("o1-mini", "always"),
        ("o3", "always"),
        ("o4-mini-2025-04-16", "always"),
        ("gpt-5", "always"),
        ("gpt-5-mini", "always"),
        ("gpt-5-pro", "always"),
        ("gpt-5-2025-08-07", "always"),
        ("gpt-5.1-codex-max", "always"),
        ("gpt-5.2-chat-latest", "always"),
        ("gpt-5.4-pro", "always"),
        ("gpt-5.1", "optional"),
        ("gpt-5.4-mini", "optional"),
        ("gpt-5.5", "optional"),
        ("gpt-5.6", "optional"),
        ("gpt-6-astra", "always"),
        ("gpt-5-chat-latest", "none"),
        ("gpt-4o", "none"),
        ("gpt-4.1-nano", "none"),
        ("gpt-3.5-turbo", "none"),
        ("ft:gpt-4.1:acme::x", "none"),
        ("ft:o4-mini:acme::x", "always"),
        ("omni-x", "none"),
        ("gpt-4o-search-preview", "none"),
    ],
)
def test_a_name_tells_whether_a_model_reasons(model: str, reasoning: str) -> None:
    assert family_of(model).reasoning == reasoning


@pytest.mark.parametrize(
    "model, thinks_by_itself, thinks_at_none",
    [("gpt-5.4", False, False), ("gpt-5.5", True, False), ("o3", True, False), ("gpt-4.1", False, False)],
)
def test_a_family_has_a_usual_effort(model: str, thinks_by_itself: bool, thinks_at_none: bool) -> None:
    assert is_reasoning(model, None) is thinks_by_itself
    assert is_reasoning(model, "none") is thinks_at_none
    assert is_reasoning(model, "low")


@pytest.mark.parametrize(
    "wanted, levels, level",
    [
        ("off", ("none", "low"), "none"),
        ("off", ("low", "medium"), "low"),
        ("minimal", ("none", "low"), "low"),
        ("minimal", ("none", "high"), "none"),
        ("low", ("none", "high"), "high"),
        ("medium", ("none", "high"), "high"),
        ("max", ("low", "high"), "high"),
        ("max", ("low", "xhigh"), "xhigh"),
        ("high", ("none", "default"), "default"),
        ("high", (), None),
    ],
)
def test_the_nearest_level_is_taken(wanted: Effort, levels: tuple[str, ...], level: str | None) -> None:
    assert nearest(wanted, levels) == level


def test_levels_that_were_learnt_replace_those_of_the_family() -> None:
    assert effort_of("high", "gpt-5.5", ("low",)) == "low"
    assert effort_of("high", "gpt-4.1", None) is None
    assert effort_of(None, "gpt-5.5", ("low",)) is None


OPTIONAL = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "required": ["a"]}
CONVERTED: list[tuple[dict[str, Any], dict[str, Any] | None]] = [
    (
        OPTIONAL,
        {
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": ["integer", "null"]}},
            "required": ["a", "b"],
            "additionalProperties": False,
        },
    ),
    (
        {"type": "object", "properties": {"x": {"oneOf": [{"type": "string"}, {"type": "null"}], "default": None}}},
        {
            "type": "object",
            "properties": {"x": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
            "required": ["x"],
            "additionalProperties": False,
        },
    ),
    (
        {
            "type": "object",
            "properties": {"n": {"$ref": "#/$defs/n", "description": "D"}},
            "required": ["n"],
            "$defs": {"n": {"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}, "required": ["n"]}},
        },
        {
            "type": "object",
            "properties": {"n": {"description": "D", "anyOf": [{"$ref": "#/$defs/n"}]}},
            "required": ["n"],
            "$defs": {
                "n": {
                    "type": "object",
                    "properties": {"n": {"$ref": "#/$defs/n"}},
                    "required": ["n"],
                    "additionalProperties": False,
                }
            },
            "additionalProperties": False,
        },
    ),
    ({"anyOf": [OPTIONAL]}, None),
    ({"type": "array", "items": {"type": "string"}}, None),
    ({"type": "object", "additionalProperties": {"type": "string"}}, None),
    ({"type": "object", "properties": {"a": {"type": "string", "minLength": 2}}}, None),
    ({"type": "object", "properties": {"a": {"type": "string", "format": "uri"}}}, None),
    ({"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=x)"}}}, None),
    ({"type": "object", "properties": {"a": {"type": "array"}}}, None),
    ({"type": "object", "properties": {"a": {"type": "array", "items": True}}}, None),
    ({"type": "object", "properties": {}, "required": ["gone"]}, None),
    ({"type": "object", "properties": 7}, None),
    ({"type": "object", "properties": {"a": {"type": "string", "format": {}}}}, None),
    ({"type": "object", "properties": {"a": {"type": "string"}}, "required": [{}]}, None),
    ({"type": "object", "properties": {"a": {"type": ["string", {}]}}, "required": ["a", []]}, None),
]


@pytest.mark.parametrize("schema, converted", CONVERTED)
def test_a_schema_becomes_strict_unless_something_would_be_lost(schema: Any, converted: Any) -> None:
    assert strict_subset(schema) == converted


def test_a_schema_without_a_bottom_is_not_followed() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(500):
        deep = {"type": "array", "items": deep}
    assert strict_subset({"type": "object", "properties": {"a": deep}}) is None


def cut(pieces: list[str], stops: list[str]) -> tuple[str, bool]:
    cutter = StopCutter(stops)
    text = "".join(cutter.feed(piece) for piece in pieces)
    return text + cutter.end(), cutter.hit


STOPS = st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3)


@settings(max_examples=100)
@given(st.lists(st.text("abc", max_size=5), max_size=6), STOPS)
def test_where_a_text_ends_does_not_depend_on_its_pieces(pieces: list[str], stops: list[str]) -> None:
    whole = "".join(pieces)
    text, hit = cut(pieces, stops)
    assert (text, hit) == cut([whole], stops) == cut(list(whole), stops)
    assert not any(stop in text for stop in stops)
    assert hit is any(stop in whole for stop in stops)
    assert hit or text == whole
