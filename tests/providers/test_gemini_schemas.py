"""JSON Schema on its way to Gemini."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.providers.base import Call, Message, Quirks, Tool
from penstock.providers.wires.gemini.schema import json_schema, openapi_schema
from penstock.providers.wires.gemini.wire import WIRE

TREE = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "child": {"$ref": "#/$defs/node"}},
    "$defs": {"node": {"type": "object", "properties": {"child": {"$ref": "#/$defs/node"}}}},
}


@pytest.mark.parametrize(
    "schema, sent",
    [
        ({"$schema": "x", "title": "T", "type": "object"}, {"type": "object"}),
        ({"properties": {"title": {"title": "T"}}}, {"properties": {"title": {"title": "T"}}}),
        ({"const": 5}, {"enum": [5]}),
        ({"type": "string", "format": "date-time"}, {"type": "string", "format": "date-time"}),
        ({"type": "string", "format": "uri"}, {"type": "string", "description": "(format: uri)"}),
        (
            {"type": "number", "exclusiveMinimum": 0, "description": "A size."},
            {"type": "number", "description": "A size. (exclusiveMinimum: 0)"},
        ),
        ({"anyOf": [{"const": "a", "examples": ["a"]}]}, {"anyOf": [{"enum": ["a"]}]}),
        ({"oneOf": [{"type": "string"}], "discriminator": {}}, {"oneOf": [{"type": "string"}]}),
        (
            {"items": {"const": 1}, "prefixItems": [{"const": 2}]},
            {"items": {"enum": [1]}, "prefixItems": [{"enum": [2]}]},
        ),
        ({"properties": {"const": {"type": "string"}}}, {"properties": {"const": {"type": "string"}}}),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"const": 1}}}, {"$ref": "#/$defs/a", "$defs": {"a": {"enum": [1]}}}),
        ({"additionalProperties": False}, {"additionalProperties": False}),
    ],
)
def test_what_is_refused_is_said_otherwise(schema: dict[str, Any], sent: dict[str, Any]) -> None:
    assert json_schema(schema, recursive=True) == sent
    assert json_schema(schema, recursive=False) == sent


def test_a_schema_that_refers_to_itself_is_unrolled_five_times_for_older_models() -> None:
    assert json_schema(TREE, recursive=True) == TREE
    found: Any = json_schema(TREE, recursive=False)["properties"]["child"]
    for _ in range(4):
        assert set(found) == {"type", "properties"}
        found = found["properties"]["child"]
    assert found == {"type": "object", "properties": {"child": {"type": "object"}}}
    assert "$ref" not in json.dumps(json_schema(TREE, recursive=False))


@pytest.mark.parametrize("model, has_reference", [("gemini-2.5-flash", False), ("gemini-3-flash", True)])
def test_only_older_models_get_an_unrolled_schema(model: str, has_reference: bool) -> None:
    call = Call(messages=[Message(role="user", content="Hi")], tools=[Tool("f", "F", TREE)])
    assert (b"$ref" in WIRE.request(call, model, Quirks()).body) is has_reference


def test_a_schema_that_grows_without_end_is_cut() -> None:
    names = [f"p{number}" for number in range(20)]
    wild = {"$ref": "#/$defs/a", "$defs": {"a": {"properties": {name: {"$ref": "#/$defs/a"} for name in names}}}}
    assert len(json.dumps(json_schema(wild, recursive=False))) < 500_000


def test_a_schema_that_is_too_deep_is_cut() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(400):
        deep = {"type": "array", "items": deep}
    for written in (json_schema(deep, recursive=True), json_schema(deep, recursive=False), openapi_schema(deep)):
        assert 50 < json.dumps(written).count("items") < 150


@pytest.mark.parametrize(
    "schema, sent",
    [
        ({"type": ["integer", "null"]}, {"type": "integer", "nullable": True}),
        (
            {"oneOf": [{"type": "string"}, {"const": "a"}]},
            {"anyOf": [{"type": "string"}, {"enum": ["a"], "type": "string"}]},
        ),
        ({"enum": [1, "a"], "type": "integer"}, {"enum": ["1", "a"], "type": "string"}),
        ({"type": "object", "additionalProperties": False, "required": ["a"]}, {"type": "object", "required": ["a"]}),
        ({"$ref": "#/definitions/a", "definitions": {"a": {"type": "string"}}}, {"type": "string"}),
        ({"$ref": "#/nowhere/at~1all"}, {}),
    ],
)
def test_the_older_subset_says_what_it_can(schema: dict[str, Any], sent: dict[str, Any]) -> None:
    assert openapi_schema(schema) == sent


_NAMES = ["type", "properties", "items", "anyOf", "$ref", "$defs", "const", "format", "enum", "required", "title"]
_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["#", "#/$defs/a", "object", "#/properties/x/"]),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.sampled_from([*_NAMES, "a", "x"]), one, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(st.sampled_from(_NAMES), _ANY, max_size=5))
@settings(max_examples=100)
def test_no_schema_is_an_exception(schema: dict[str, Any]) -> None:
    for written in (json_schema(schema, recursive=False), json_schema(schema, recursive=True), openapi_schema(schema)):
        assert isinstance(json.loads(json.dumps(written)), dict)
