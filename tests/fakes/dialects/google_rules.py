"""What Google refuses in a request to `generateContent`. Every rule is an assertion in the vendor's words."""

import re
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_FIELDS = frozenset({"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings"})
_CONFIG = frozenset(
    {
        *("maxOutputTokens", "temperature", "topP", "topK", "seed", "presencePenalty", "frequencyPenalty"),
        *("stopSequences", "responseMimeType", "responseJsonSchema", "responseSchema", "thinkingConfig"),
        *("candidateCount", "responseModalities"),
    }
)
_PART = frozenset({"text", "inlineData", "fileData", "functionCall", "functionResponse"})
_BESIDE = frozenset({"thoughtSignature", "thought", "partMetadata"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")
_REFUSED_IN_SCHEMAS = frozenset(
    {"$schema", "discriminator", "examples", "exclusiveMinimum", "exclusiveMaximum", "const"}
)
_LEVELS = {"MINIMAL", "LOW", "MEDIUM", "HIGH"}


def is_third_generation(model: str) -> bool:
    return re.match(r"gemini-[3-9]", model) is not None


_FREE = frozenset({"args", "response", "parametersJsonSchema", "responseJsonSchema"})
"""Objects whose fields are the caller's own."""


def in_camel_case(value: Any) -> Any:
    """A body as Google reads it: names of fields may be in either case."""
    if isinstance(value, list):
        return [in_camel_case(one) for one in value]
    if not isinstance(value, dict):
        return value
    named = {re.sub(r"_([a-z])", lambda found: found[1].upper(), name): one for name, one in value.items()}
    return {name: one if name in _FREE else in_camel_case(one) for name, one in named.items()}


def check_labels(labels: Mapping[str, Any]) -> None:
    """What only Vertex knows: texts for the bill."""
    assert len(labels) <= 64, "at most 64 labels"
    for name, value in labels.items():
        assert re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", name), f"Invalid label key: {name}"
        assert re.fullmatch(r"[a-z0-9_-]{0,63}", value), f"Invalid label value: {value}"


def check(sent: Mapping[str, Any], model: str) -> None:
    """Raises AssertionError for what the model would refuse."""
    assert (unknown := set(sent) - _FIELDS) == set(), f"Unknown name {sorted(unknown)}: Cannot find field."
    contents = sent.get("contents")
    assert contents, "contents is not specified"
    for content in contents:
        assert content.get("role") in ("user", "model"), "Please use a valid role: user, model."
        assert content.get("parts"), "must include at least one parts field"
        for part in content["parts"]:
            _check_part(part)
    assert contents[-1]["role"] == "user", "Please ensure that the last turn is a user's"
    _check_turns(contents, model)
    if "systemInstruction" in sent:
        assert all(part["text"] for part in sent["systemInstruction"]["parts"]), "empty system instruction"
        assert not model.startswith("gemma"), f"Developer instruction is not enabled for models/{model}"
    names = _check_tools(sent.get("tools", []))
    _check_choice(sent.get("toolConfig"), names)
    _check_config(sent.get("generationConfig", {}), model, has_tools=bool(names))


def _check_part(part: Mapping[str, Any]) -> None:
    kinds = _PART.intersection(part)
    assert set(part) <= _PART | _BESIDE, f"Unknown name {sorted(set(part) - _PART - _BESIDE)}"
    assert len(kinds) == 1, f"required oneof field 'data' must have one initialized field: {sorted(part)}"
    assert part.get("text") != "" or "thoughtSignature" in part, "must have a text parameter"
    if "inlineData" in part:
        assert set(part["inlineData"]) <= {"mimeType", "data", "displayName"}
        assert b64decode(part["inlineData"]["data"], validate=True), "Base64 decoding failed"
        assert re.fullmatch(r"[a-z]+/[\w.+-]+", part["inlineData"]["mimeType"]), "Unsupported MIME type"
    if "thoughtSignature" in part:
        assert b64decode(part["thoughtSignature"], validate=True), "Base64 decoding failed for thought_signature"
    if "functionCall" in part:
        assert isinstance(part["functionCall"].get("args", {}), dict), "args must be an object"
    if "functionResponse" in part:
        assert isinstance(part["functionResponse"]["response"], dict), "response must be an object"


def _check_turns(contents: Sequence[Mapping[str, Any]], model: str) -> None:
    """Calls follow a user's turn and are answered in the next one, each in its place."""
    for at, content in enumerate(contents):
        calls = [part["functionCall"] for part in content["parts"] if "functionCall" in part]
        responses = [part["functionResponse"] for part in content["parts"] if "functionResponse" in part]
        before: Mapping[str, Any] = contents[at - 1] if at else {"role": "", "parts": []}
        asked = [part["functionCall"] for part in before["parts"] if "functionCall" in part]
        if calls:
            assert content["role"] == "model"
            assert before["role"] == "user", "function call turn comes immediately after a user turn"
        assert len(responses) == len(asked), "the number of function response parts is equal to the function call parts"
        for call, response in zip(asked, responses, strict=True):
            assert response["name"] == call["name"], "a response for another function"
            assert response.get("id") == call.get("id"), "a response for another call"
    if is_third_generation(model):
        _check_signatures(contents)


def _check_signatures(contents: Sequence[Mapping[str, Any]]) -> None:
    spoken = [
        at
        for at, content in enumerate(contents)
        if content["role"] == "user" and any("functionResponse" not in part for part in content["parts"])
    ]
    for content in contents[spoken[-1] if spoken else 0 :]:
        calls = [part for part in content["parts"] if "functionCall" in part]
        if content["role"] == "model" and calls:
            signed = "thoughtSignature" in calls[0]
            assert signed, "Function call is missing a thought_signature in functionCall parts."


def _check_tools(tools: Sequence[Mapping[str, Any]]) -> list[str]:
    names = []
    for tool in tools:
        for declared in tool["functionDeclarations"]:
            assert set(declared) <= {"name", "description", "parametersJsonSchema", "parameters"}
            assert _NAME.fullmatch(declared["name"]), "Invalid function name."
            assert declared.get("description"), "description is required"
            assert not {"parametersJsonSchema", "parameters"} <= set(declared), "only one of the schemas"
            _check_schema(declared.get("parametersJsonSchema", {}))
            names.append(declared["name"])
    assert len(set(names)) == len(names), "Duplicate function declaration found"
    return names


def _check_schema(schema: Any) -> None:
    for inner in _schemas_in(schema):
        assert (refused := _REFUSED_IN_SCHEMAS.intersection(inner)) == set(), f"Unknown name {sorted(refused)}"


def _schemas_in(schema: Any) -> Iterator[Mapping[str, Any]]:
    if not isinstance(schema, dict):
        return
    yield schema
    for name, value in schema.items():
        if name in ("properties", "$defs"):
            for inner in value.values():
                yield from _schemas_in(inner)
        elif name in ("items", "additionalProperties"):
            yield from _schemas_in(value)
        elif name in ("anyOf", "oneOf", "allOf"):
            for inner in value:
                yield from _schemas_in(inner)


def _check_choice(config: Mapping[str, Any] | None, names: Sequence[str]) -> None:
    if config is None:
        return
    assert names, "tool config without tools"
    calling = config["functionCallingConfig"]
    assert calling["mode"] in ("AUTO", "ANY", "NONE", "VALIDATED")
    allowed = calling.get("allowedFunctionNames", [])
    assert not allowed or calling["mode"] == "ANY", "allowed_function_names is only for mode ANY"
    assert set(allowed) <= set(names), "a function that was not declared"


def _check_config(config: Mapping[str, Any], model: str, *, has_tools: bool) -> None:
    assert set(config) <= _CONFIG, f"Unknown name {sorted(set(config) - _CONFIG)}"
    assert len(config.get("stopSequences", ())) <= 5, "the number of stop sequences must be less than or equal to 5"
    assert 0 <= config.get("temperature", 1) <= 2, "temperature must be in the range [0.0, 2.0]"
    assert 1 <= config.get("maxOutputTokens", 1) <= 65_536, "max_output_tokens is out of range"
    has_schema = bool({"responseJsonSchema", "responseSchema"}.intersection(config))
    is_json = config.get("responseMimeType") == "application/json"
    assert is_json or not has_schema, "a response schema needs the response mime type application/json"
    if has_tools and not is_third_generation(model):
        assert not is_json, "Function calling with a response mime type: 'application/json' is unsupported"
    _check_schema(config.get("responseJsonSchema", {}))
    _check_thinking(config.get("thinkingConfig"), model)


def _check_thinking(config: Mapping[str, Any] | None, model: str) -> None:
    if config is None:
        return
    assert set(config) <= {"thinkingLevel", "thinkingBudget", "includeThoughts"}
    assert not {"thinkingLevel", "thinkingBudget"} <= set(config), (
        "You can only set one of thinking budget and thinking level."
    )
    if is_third_generation(model):
        assert "thinkingBudget" not in config, "Thinking budget is not supported for this model."
        assert config.get("thinkingLevel", "LOW") in _LEVELS, "Thinking level is not supported for this model."
        return
    assert "thinkingLevel" not in config, "Thinking level is not supported for this model."
    budget = config.get("thinkingBudget", -1)
    assert -1 <= budget <= 24_576, f"The thinking budget {budget} is invalid."
    assert budget or not config.get("includeThoughts"), "include_thoughts is only enabled when thinking is enabled."
