"""JSON Schema as Bedrock enforces it: a subset, in which the rest is said in words (`spec/providers.md` 3.5)."""

from collections.abc import Mapping
from typing import Any

# Limits that are refused. What they said is kept for the model to read.
_TOLD = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
)
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
_SCHEMAS_BY_NAME = ("properties", "$defs", "definitions", "patternProperties")
_SCHEMA_LISTS = ("anyOf", "allOf", "oneOf", "prefixItems")
_MAX_DEPTH = 100


def of_object(schema: Mapping[str, Any]) -> dict[str, Any]:
    """`schema` with an object at its root, which Converse insists on."""
    return dict(schema) if schema.get("type") == "object" else {**schema, "type": "object"}


def enforceable(schema: Any, depth: int = 0) -> Any:
    """`schema` within the subset that can be enforced: closed objects, and limits moved into descriptions."""
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return schema
    kept = {name: _within(name, value, depth + 1) for name, value in schema.items() if not _is_told(name, value)}
    told = [f"{name}: {value}" for name, value in schema.items() if _is_told(name, value)]
    if told:
        said = schema.get("description")
        kept["description"] = " ".join([*([said] if isinstance(said, str) and said else ()), f"({', '.join(told)})"])
    if "properties" in kept or kept.get("type") == "object":
        kept["additionalProperties"] = False
    return kept


def _is_told(name: str, value: Any) -> bool:
    if name == "minItems":
        return value not in (0, 1)
    if name == "format":
        return value not in _FORMATS
    return name in _TOLD


def _within(name: str, value: Any, depth: int) -> Any:
    if name in _SCHEMAS_BY_NAME and isinstance(value, Mapping):
        return {key: enforceable(inner, depth) for key, inner in value.items()}
    if name in _SCHEMA_LISTS and isinstance(value, list):
        return [enforceable(inner, depth) for inner in value]
    return enforceable(value, depth) if name in ("items", "not") else value
