"""JSON Schema in the subset of Anthropic's structured outputs and strict tools (`spec/providers.md` 3.5)."""

from collections.abc import Mapping
from typing import Any

from penstock.providers.json_text import encode_json

_LIMITS = (
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
    "pattern",
)
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
# What cannot be said in the subset, and would change the meaning if it were left out.
_LOST = frozenset(
    {
        "patternProperties",
        "propertyNames",
        "unevaluatedProperties",
        "unevaluatedItems",
        "dependentSchemas",
        "dependentRequired",
        "prefixItems",
        "contains",
        "not",
        "if",
    }
)
_HOLDERS_OF_ONE = ("items",)
_HOLDERS_OF_MANY = ("anyOf", "allOf")
_HOLDERS_BY_NAME = ("properties", "$defs", "definitions")


class _NotExpressible(Exception):
    pass


def strict_schema(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """`schema` in the subset, its limits moved into the descriptions; None when something would be lost."""
    try:
        return _strict(schema)
    except (_NotExpressible, RecursionError):
        return None


def is_object(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "object" or ("type" not in schema and "properties" in schema)


def _strict(schema: Any) -> dict[str, Any]:
    if not isinstance(schema, Mapping) or not _LOST.isdisjoint(schema):
        raise _NotExpressible
    written: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    for name, value in schema.items():
        if _is_limit(name, value):
            limits[name] = value
        elif name == "oneOf":
            written["anyOf"] = _held("anyOf", value)
        else:
            written[name] = _held(name, value)
    if is_object(schema):
        written |= _closed(schema)
    if limits:
        described = [schema["description"]] if isinstance(schema.get("description"), str) else []
        written["description"] = "\n".join([*described, encode_json(limits).decode()])
    return written


def _is_limit(name: str, value: Any) -> bool:
    if name == "minItems":
        return value not in (0, 1)
    return name in _LIMITS or (name == "format" and str(value) not in _FORMATS)


def _held(name: str, value: Any) -> Any:
    if name in _HOLDERS_OF_ONE:
        return _strict(value)
    if name in _HOLDERS_OF_MANY and isinstance(value, list):
        return [_strict(one) for one in value]
    if name in _HOLDERS_BY_NAME and isinstance(value, Mapping):
        return {key: _strict(one) for key, one in value.items()}
    return value


def _closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Objects must be closed. One that is open on purpose, or says nothing of its properties, cannot be."""
    if schema.get("additionalProperties") or not schema.get("properties"):
        raise _NotExpressible
    return {"type": "object", "additionalProperties": False}
