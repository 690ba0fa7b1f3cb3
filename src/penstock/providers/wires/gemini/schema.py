"""JSON Schema as Gemini takes it (`spec/providers.md` 3.5).

`parametersJsonSchema` and `responseJsonSchema` take nearly all of it; `parameters` and `responseSchema` of older
interfaces a subset of OpenAPI.
"""

from collections.abc import Mapping
from typing import Any

_DROPPED = frozenset({"$schema", "$id", "$comment", "discriminator", "examples"})
_TOLD = frozenset({"exclusiveMinimum", "exclusiveMaximum"})
"""Refused, but the model should know: they go into the description."""
_FORMATS = frozenset({"date-time", "date", "time", "duration", "enum", "int32", "int64", "float", "double"})
_OPENAPI = frozenset(
    {
        *("type", "format", "title", "description", "nullable", "enum", "default", "pattern", "anyOf"),
        *("items", "minItems", "maxItems", "properties", "required", "minProperties", "maxProperties"),
        *("minimum", "maximum", "minLength", "maxLength", "propertyOrdering"),
    }
)
_BY_NAME = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_LISTS = ("anyOf", "allOf", "oneOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_MAX_DEPTH = 5
_MAX_NODES = 5000
_MAX_NESTING = 100


def json_schema(schema: Mapping[str, Any], *, recursive: bool) -> dict[str, Any]:
    """`schema` for the fields that take JSON Schema. Without `recursive`, one that refers to itself is unrolled."""
    if not recursive:
        unrolling = _Unrolling(schema)
        unrolled = unrolling.unrolled()
        schema = unrolled if unrolling.was_cut else schema
    written = _written(schema)
    written.pop("title", None)
    return written


def openapi_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """`schema` for the fields that take OpenAPI's subset: references are put in place, the rest is left out."""
    return _subset(_written(_Unrolling(schema).unrolled()))


def _written(schema: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
    if depth > _MAX_NESTING:
        return {"type": "object"}
    kept: dict[str, Any] = {}
    told = []
    for name, value in schema.items():
        if name in _DROPPED:
            continue
        if name in _TOLD or (name == "format" and str(value) not in _FORMATS):
            told.append(f"{name}: {value}")
        elif name == "const":
            kept["enum"] = [value]
        else:
            kept[name] = _within(name, value, depth + 1)
    if told:
        said = schema.get("description")
        kept["description"] = " ".join([*([said] if isinstance(said, str) and said else ()), f"({', '.join(told)})"])
    return kept


def _within(name: str, value: Any, depth: int) -> Any:
    if name in _BY_NAME and isinstance(value, Mapping):
        return {key: _written(one, depth) if isinstance(one, Mapping) else one for key, one in value.items()}
    if name in _LISTS and isinstance(value, list | tuple):
        return [_written(one, depth) if isinstance(one, Mapping) else one for one in value]
    if name in _SINGLE and isinstance(value, Mapping):
        return _written(value, depth)
    return value


def _subset(schema: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in schema.items():
        if name == "oneOf":
            kept["anyOf"] = _each(value)
        elif name == "type" and isinstance(value, list):
            types = [one for one in value if one != "null"]
            kept |= {"type": types[0] if types else "string"} | ({"nullable": True} if "null" in value else {})
        elif name == "enum" and isinstance(value, list):
            kept["enum"] = [str(one) for one in value]  # texts only
            kept.setdefault("type", "string")
        elif name == "properties" and isinstance(value, Mapping):
            kept[name] = {key: _subset(one) for key, one in value.items() if isinstance(one, Mapping)}
        elif name == "anyOf":
            kept[name] = _each(value)
        elif name == "items" and isinstance(value, Mapping):
            kept[name] = _subset(value)
        elif name in _OPENAPI:
            kept[name] = value
    if "enum" in kept:
        kept["type"] = "string"
    return kept


def _each(schemas: Any) -> list[dict[str, Any]]:
    return [_subset(one) for one in schemas if isinstance(one, Mapping)] if isinstance(schemas, list) else []


class _Unrolling:
    """Puts the target of each `$ref` in its place, of one that contains itself five times, then any object."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._nodes = 0
        self.was_cut = False

    def unrolled(self) -> dict[str, Any]:
        written = self._walk(self._plain_root(), (), 0)
        return written if isinstance(written, dict) else {"type": "object"}

    def _walk(self, value: Any, within: tuple[str, ...], depth: int) -> Any:
        self._nodes += 1
        if self._nodes > _MAX_NODES or depth > _MAX_NESTING:
            self.was_cut = True
            return {"type": "object"}
        if isinstance(value, list | tuple):
            return [self._walk(one, within, depth + 1) for one in value]
        if not isinstance(value, Mapping):
            return value
        reference = value.get("$ref")
        if not isinstance(reference, str):
            return {name: self._walk(one, within, depth + 1) for name, one in value.items()}
        beside = {name: one for name, one in value.items() if name != "$ref"}
        if within.count(reference) >= _MAX_DEPTH:
            self.was_cut = True
            return {"type": "object"} | beside
        target = self._walk(self._target(reference), (*within, reference), depth + 1)
        return (target if isinstance(target, dict) else {}) | beside

    def _target(self, reference: str) -> Any:
        """What `#/$defs/x` points to; anything, for what points nowhere."""
        found: Any = self._root
        for step in reference.removeprefix("#").split("/"):
            if step:
                key = step.replace("~1", "/").replace("~0", "~")
                found = found.get(key) if isinstance(found, Mapping) else None
        if found is self._root:
            return self._plain_root()
        return found if found is not None else {}

    def _plain_root(self) -> dict[str, Any]:
        return {name: value for name, value in self._root.items() if name not in ("$defs", "definitions")}
