"""JSON Schema as OpenAI's strict mode takes it (`spec/providers.md` 3.5), and the name of a schema."""

import re
from collections.abc import Mapping
from typing import Any, Literal

from penstock.providers.base import JsonSchema, Quirks
from penstock.providers.json_text import encode_json

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")

# What strict mode refuses although it says something: without it other answers would be allowed.
_MEANT = frozenset(
    {
        "minLength",
        "maxLength",
        "patternProperties",
        "unevaluatedProperties",
        "propertyNames",
        "minProperties",
        "maxProperties",
        "unevaluatedItems",
        "contains",
        "minContains",
        "maxContains",
        "uniqueItems",
        "allOf",
        "not",
        "if",
        "then",
        "else",
        "dependentRequired",
        "dependentSchemas",
    }
)
# What may go without a loss.
_NOTES = frozenset({"default", "$schema", "examples", "$comment"})
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
_MAX_DEPTH = 64


class _Lost(Exception):
    """The schema says something that strict mode cannot say."""


def schema_name(name: str) -> str:
    return _NOT_IN_NAMES.sub("_", name)[:64] or "answer"


def schema_and_strict(
    schema: Mapping[str, Any], strict: bool | None, quirks: Quirks
) -> tuple[Mapping[str, Any], bool | None]:
    """How a schema is sent, and whether as a strict one; None: nothing is said about that."""
    if strict is None or quirks.strict is None:
        return schema, None
    if not strict or quirks.strict == "as_is":
        return schema, strict
    converted = strict_subset(schema)
    return (schema, False) if converted is None else (converted, True)


def wish_of(wanted: JsonSchema | Literal["json"] | None) -> str:
    """What a model is told where an answer format cannot be asked for."""
    if not isinstance(wanted, JsonSchema):
        return "Answer with one JSON object and nothing else."
    return f"Answer with JSON of this schema, and nothing else:\n{encode_json(wanted.schema).decode()}"


def strict_subset(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The same schema in the strict subset; None when something that it says would be lost."""
    if "anyOf" in schema or "oneOf" in schema or schema.get("type") != "object":
        return None
    try:
        return _converted(schema, 0)
    except _Lost:
        return None


def _converted(schema: Any, depth: int) -> dict[str, Any]:
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH or _MEANT.intersection(schema):
        raise _Lost
    kept = {name: value for name, value in schema.items() if name not in _NOTES}
    if "$ref" in kept and len(kept) > 1:
        return _beside_reference(kept, depth)
    if str(kept.get("format", "date")) not in _FORMATS or "(?" in str(kept.get("pattern", "")).replace("(?:", ""):
        raise _Lost
    if "oneOf" in kept:
        if "anyOf" in kept:
            raise _Lost
        kept["anyOf"] = kept.pop("oneOf")
    for name in ("$defs", "definitions"):
        if name in kept:
            kept[name] = {key: _converted(one, depth + 1) for key, one in _mapping(kept[name]).items()}
    if "anyOf" in kept:
        kept["anyOf"] = [_converted(one, depth + 1) for one in _list(kept["anyOf"])]
    kinds = kept.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "array" in kinds:
        if "items" not in kept:
            raise _Lost
        kept["items"] = _converted(kept["items"], depth + 1)
    if "object" in kinds or "properties" in kept:
        _close_object(kept, depth)
    return kept


def _beside_reference(kept: dict[str, Any], depth: int) -> dict[str, Any]:
    """Nothing may stand next to `$ref`: what describes it goes around it."""
    rest = {name: value for name, value in kept.items() if name != "$ref"}
    if not rest.keys() <= {"description", "title"} and depth > 0:
        raise _Lost
    return rest | {"anyOf": [{"$ref": kept["$ref"]}]}


def _close_object(kept: dict[str, Any], depth: int) -> None:
    if kept.get("additionalProperties", False) is not False:
        raise _Lost
    properties = _mapping(kept.get("properties", {}))
    required = _list(kept.get("required", []))
    if not all(isinstance(name, str) and name in properties for name in required):
        raise _Lost
    needed = frozenset(required)
    converted = {name: _converted(one, depth + 1) for name, one in properties.items()}
    properties = {name: one if name in needed else _nullable(one) for name, one in converted.items()}
    kept |= {"properties": properties, "required": list(properties), "additionalProperties": False}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """What was optional must be there, and may be null."""
    kind = schema.get("type")
    if isinstance(kind, str) and not {"enum", "const"}.intersection(schema):
        return schema | {"type": [kind, "null"]} if kind != "null" else schema
    if "anyOf" in schema and len(schema) == 1:
        others = [one for one in schema["anyOf"] if one != {"type": "null"}]
        return {"anyOf": [*others, {"type": "null"}]}
    return {"anyOf": [schema, {"type": "null"}]}


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _Lost
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _Lost
    return value
