"""What Anthropic refuses in a body of the Messages format, as its documentation and its answers say it."""

import re
from base64 import b64decode
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

_FIELDS = frozenset(
    {
        "model",
        "max_tokens",
        "messages",
        "system",
        "stream",
        "stop_sequences",
        "temperature",
        "top_p",
        "top_k",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "metadata",
        "service_tier",
        "cache_control",
    }
)
_VERTEX_FIELDS = (_FIELDS - {"model"}) | {"anthropic_version", "anthropic_beta"}
_TOOL_FIELDS = frozenset({"name", "description", "input_schema", "strict", "cache_control", "type"})
_ID = re.compile(r"[A-Za-z0-9_-]+")
_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_OF_ASSISTANT = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})
_OF_USER = frozenset({"text", "image", "document", "tool_result"})
_THOUGHTS = frozenset({"thinking", "redacted_thinking"})
_REFUSED_IN_FORMATS = frozenset({"minimum", "maximum", "minLength", "maxLength", "maxItems", "oneOf"})


def check(sent: dict[str, Any], model: str, version: str, *, at_vertex: bool) -> None:
    """Raises AssertionError with what would be refused."""
    unknown = set(sent) - (_VERTEX_FIELDS if at_vertex else _FIELDS)
    assert not unknown, f"{sorted(unknown)}: Extra inputs are not permitted"
    assert isinstance(sent.get("max_tokens"), int), "max_tokens: Field required"
    assert sent["max_tokens"] >= 1, "max_tokens"
    _check_sampling(sent, version)
    _check_turns(sent["messages"])
    _check_tools(sent)
    _check_thinking(sent, model)
    _check_format(sent)
    for block in blocks(sent["messages"]):
        _check_block(block, at_vertex=at_vertex)
    for text in system_texts(sent):
        assert text.strip(), "system: text content blocks must be non-empty"
    marked = [block for block in _everything(sent) if "cache_control" in block]
    assert len(marked) <= 4, "a maximum of 4 blocks with cache_control may be provided"
    assert all(block.get("type") not in _THOUGHTS for block in marked), "cache_control on a thought"


def blocks(messages: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """All blocks, those inside results too."""
    for message in messages:
        for block in content(message):
            yield block
            if block["type"] == "tool_result" and isinstance(block.get("content"), list):
                yield from block["content"]


def content(message: dict[str, Any]) -> list[dict[str, Any]]:
    written = message["content"]
    return [{"type": "text", "text": written}] if isinstance(written, str) else written


def system_texts(sent: dict[str, Any]) -> list[str]:
    system = sent.get("system", [])
    return [system] if isinstance(system, str) else [block["text"] for block in system]


def _everything(sent: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from blocks(sent["messages"])
    yield from sent.get("tools", ())
    if not isinstance(sent.get("system", ""), str):
        yield from sent["system"]


def _check_sampling(sent: dict[str, Any], version: str) -> None:
    for field in ("temperature", "top_p"):
        if field in sent:
            assert version != "2026-10-21", f"{field}: Extra inputs are not permitted"
            assert 0 <= sent[field] <= 1, f"{field}: range"
    assert not {"temperature", "top_p"} <= set(sent), "`temperature` and `top_p` cannot both be specified"
    assert all(stop.strip() for stop in sent.get("stop_sequences", ())), "stop_sequences: whitespace"


def _check_turns(messages: Sequence[dict[str, Any]]) -> None:
    assert messages, "messages: at least one message is required"
    roles = [message["role"] for message in messages]
    assert roles[0] == "user", "messages: first message must use the user role"
    assert set(roles) <= {"user", "assistant"}, f"messages: roles {roles}"
    assert all(one != following for one, following in pairwise(roles)), "messages: roles must alternate"
    for message in messages:
        kinds = [block["type"] for block in content(message)]
        allowed = _OF_ASSISTANT if message["role"] == "assistant" else _OF_USER
        assert kinds, "messages: content must be non-empty"
        assert set(kinds) <= allowed, f"{message['role']}: {kinds}"
        assert kinds[-1] not in _THOUGHTS, "the final block in an assistant message cannot be `thinking`"
        thoughts = [kind in _THOUGHTS for kind in kinds]
        assert thoughts == sorted(thoughts, reverse=True), "thoughts must come first"
        results = [kind == "tool_result" for kind in kinds]
        assert results == sorted(results, reverse=True), "`tool_result` blocks must come first"
    if roles[-1] == "assistant":
        last = content(messages[-1])[-1]
        assert last.get("text", "x") == last.get("text", "x").rstrip(), "final assistant content: trailing whitespace"


def _check_tools(sent: dict[str, Any]) -> None:
    tools, messages = sent.get("tools", []), sent["messages"]
    names = [tool["name"] for tool in tools]
    for tool in tools:
        assert not set(tool) - _TOOL_FIELDS, f"tools: {sorted(tool)}: Extra inputs are not permitted"
        assert _TOOL_NAME.fullmatch(tool["name"]), f"tools.name: {tool['name']}"
        assert tool["input_schema"].get("type") == "object", "tools.input_schema.type: Field required"
    assert len(names) == len(set(names)), "tools: names must be unique"
    used = [block for block in blocks(messages) if block["type"] in ("tool_use", "tool_result")]
    assert tools or not used, "Requests which include `tool_use` or `tool_result` blocks must define tools"
    ids = [block["id"] for block in used if block["type"] == "tool_use"]
    assert len(ids) == len(set(ids)), "`tool_use` ids must be unique"
    for at, message in enumerate(messages):
        calls = [block["id"] for block in content(message) if block["type"] == "tool_use"]
        after = content(messages[at + 1]) if at + 1 < len(messages) else []
        results = [block["tool_use_id"] for block in after if block["type"] == "tool_result"]
        if message["role"] == "assistant":
            assert sorted(calls) == sorted(results), f"tool_use {calls} and tool_result {results} do not match"
    choice = sent.get("tool_choice")
    if choice is not None:
        assert tools, "tool_choice may only be specified while providing tools"
        assert choice["type"] in ("auto", "any", "tool", "none"), "tool_choice.type"
        assert choice["type"] != "tool" or choice["name"] in names, "tool_choice: tool not found"
        assert choice["type"] != "none" or "disable_parallel_tool_use" not in choice, "tool_choice.none"


def _check_thinking(sent: dict[str, Any], model: str) -> None:
    thinking = sent.get("thinking", {"type": "disabled"})
    has_budget = "-4-5" in model
    if has_budget:
        assert thinking["type"] in ("enabled", "disabled"), f"thinking.type.{thinking['type']} is not supported"
        assert "effort" not in sent.get("output_config", {}), "This model does not support the effort parameter."
    else:
        assert thinking["type"] in ("adaptive", "disabled"), f"thinking.type.{thinking['type']} is not supported"
        assert not {"temperature", "top_p"} & set(sent), "sampling: Extra inputs are not permitted"
    if thinking["type"] == "disabled":
        return
    assert sent.get("tool_choice", {}).get("type") not in ("any", "tool"), "Thinking may not be enabled when forced"
    assert "temperature" not in sent, "`temperature` may only be set to 1 when thinking is enabled"
    if has_budget:
        assert 1024 <= thinking["budget_tokens"] < sent["max_tokens"], "thinking.budget_tokens"


def _check_format(sent: dict[str, Any]) -> None:
    output = sent.get("output_config", {})
    assert set(output) <= {"effort", "format"}, "output_config: Extra inputs are not permitted"
    if "format" in output:
        assert output["format"]["type"] == "json_schema", "output_config.format.type"
        _check_schema(output["format"]["schema"])


def _check_schema(schema: Any) -> None:
    if isinstance(schema, list):
        for one in schema:
            _check_schema(one)
    if not isinstance(schema, dict):
        return
    assert not _REFUSED_IN_FORMATS & set(schema), "output_config.format.schema: a limit is not supported"
    if schema.get("type") == "object":
        assert schema.get("additionalProperties") is False, "output_config.format.schema: additionalProperties"
    for name, inner in schema.items():
        if name not in ("enum", "const", "required", "default"):
            _check_schema(inner)


def _check_block(block: dict[str, Any], *, at_vertex: bool) -> None:
    match block["type"]:
        case "text":
            assert block["text"].strip(), "text content blocks must contain non-whitespace text"
        case "tool_use":
            assert _ID.fullmatch(block["id"]), f"tool_use.id: {block['id']}"
            assert isinstance(block["input"], dict), "tool_use.input: Input should be an object"
        case "tool_result":
            assert not block.get("is_error") or block.get("content"), "content is required if `is_error` is true"
        case "thinking":
            assert set(block) == {"type", "thinking", "signature"}, f"thinking: {sorted(block)}"
            assert block["signature"], "Invalid `signature` in `thinking` block"
        case "redacted_thinking":
            assert set(block) == {"type", "data"}, f"redacted_thinking: {sorted(block)}"
        case "image" | "document":
            _check_source(block["type"], block["source"], at_vertex=at_vertex)


def _check_source(kind: str, source: dict[str, Any], *, at_vertex: bool) -> None:
    match source["type"]:
        case "base64":
            assert b64decode(source["data"], validate=True), "source.data"
            allowed = _IMAGES if kind == "image" else {"application/pdf"}
            assert source["media_type"] in allowed, f"source.media_type: {source['media_type']}"
        case "text":
            assert (kind, source["media_type"]) == ("document", "text/plain"), "source"
        case other:
            assert (other, at_vertex) == ("url", False), f"source.type: {other}"
            assert source["url"].startswith("https://"), "source.url"
