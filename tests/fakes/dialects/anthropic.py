"""Anthropic's side of the Messages format, at its own address and at Vertex AI."""

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

from tests.fakes.dialects.anthropic_rules import blocks, check, content, system_texts
from tests.fakes.dialects.base import Asked, AskedTool, Refusal, RefusalKind, Says
from tests.fakes.dialects.vertex_tokens import LOCATION, PROJECT, account_entry, account_of, issued

KEY = "sk-ant-api03-fake-key-of-the-fake"

_VERSIONS = ("2023-06-01", "2026-10-21")
_ANSWER_TOOL = "json_response"
_STOPS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}
_VERTEX_PATH = re.compile(
    rf"/v1beta1/projects/{PROJECT}/locations/{LOCATION}/publishers/anthropic/models/([^/:%]+):(streamRawPredict|rawPredict)"
)

_REFUSALS: dict[RefusalKind, tuple[int, str, str]] = {
    "auth": (401, "authentication_error", "invalid x-api-key"),
    "permission": (403, "permission_error", "Your API key does not have permission to use the specified resource."),
    "not_found": (404, "not_found_error", "model: claude-unknown"),
    "rate_limited": (429, "rate_limit_error", "This request would exceed your organization's rate limit."),
    "billing": (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
    "invalid_request": (400, "invalid_request_error", "messages: roles must alternate between user and assistant"),
    "context_too_long": (400, "invalid_request_error", "prompt is too long: 250000 tokens > 200000 maximum"),
    "content_filtered": (400, "invalid_request_error", "Output blocked by content filtering policy"),
    "server_error": (500, "api_error", "Internal server error"),
    "overloaded": (529, "overloaded_error", "Overloaded"),
}


class Anthropic:
    kind = "anthropic"
    model = "claude-haiku-4-5"
    content_type = "text/event-stream; charset=utf-8"

    def entry(self, url: str, *keys: str) -> dict[str, Any]:
        return {"type": "anthropic", "baseUrl": url, "apiKeys": list(keys) or [KEY]}

    def asked(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Asked | None:
        if (method, target.partition("?")[0]) != ("POST", "/v1/messages"):
            return None
        # The key header wins where both are there; the vendor's own SDK sends the other one.
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        credential = headers.get("x-api-key") or bearer
        assert credential, "x-api-key header is required"
        version = headers.get("anthropic-version", "")
        assert version in _VERSIONS, f"anthropic-version: {version!r} is not a valid version"
        assert headers.get("content-type", "").startswith("application/json"), "content-type"
        sent = json.loads(body)
        check(sent, sent["model"], version, at_vertex=False)
        return _read(sent, sent["model"], credential)

    def other(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Refusal:
        path = target.partition("?")[0]
        if (method, path) == ("POST", "/v1/messages/count_tokens"):
            return Refusal(200, {"input_tokens": 7})
        model = {"type": "model", "id": self.model, "display_name": "Claude", "created_at": "2025-09-29T00:00:00Z"}
        if (method, path) == ("GET", "/v1/models"):
            return Refusal(200, {"data": [model], "has_more": False, "first_id": self.model, "last_id": self.model})
        if (method, path) == ("GET", f"/v1/models/{self.model}"):
            return Refusal(200, model)
        return Refusal(404, _error("not_found_error", "Not Found"))

    def frames(self, says: Says, asked: Asked) -> list[bytes]:
        message = _message(asked.model, []) | {"usage": _usage(says) | {"output_tokens": 1}}
        frames = [_event("message_start", message=message), _event("ping")]
        for index, block in enumerate(_blocks(says, asked)):
            frames += [_event(kind, index=index, **fields) for kind, fields in _streamed(block, says)]
        ending = {"stop_reason": _stop(says, asked), "stop_sequence": None, "stop_details": _details(says)}
        return [*frames, _event("message_delta", delta=ending, usage=_usage(says)), _event("message_stop")]

    def whole(self, says: Says, asked: Asked) -> bytes:
        answer = _message(asked.model, _blocks(says, asked)) | {
            "stop_reason": _stop(says, asked),
            "stop_details": _details(says),
            "usage": _usage(says),
        }
        return json.dumps(answer).encode()

    def refusal(self, kind: RefusalKind, *, retry_after_s: int | None = None) -> Refusal:
        status, name, message = _REFUSALS[kind]
        headers = [("request-id", "req_fake")]
        if retry_after_s is not None:
            headers.append(("retry-after", str(retry_after_s)))
        return Refusal(status, _error(name, message), tuple(headers))

    def broken(self) -> bytes:
        return _event("error", error={"type": "overloaded_error", "message": "Overloaded"}, request_id="req_fake")


class VertexAnthropic(Anthropic):
    """Keys are the addresses of service accounts."""

    kind = "vertex-anthropic"
    model = "claude-sonnet-4-5@20250929"

    def entry(self, url: str, *keys: str) -> dict[str, Any]:
        return account_entry(url, *keys)

    def asked(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Asked | None:
        if method != "POST" or "/publishers/" not in target:
            return None
        found = _VERTEX_PATH.fullmatch(target)
        assert found is not None, f"no such path: {target}"
        account = account_of(headers.get("authorization", ""))
        assert not {"x-api-key", "anthropic-version"} & set(headers), "headers of Anthropic's own address"
        sent = json.loads(body)
        version = sent.get("anthropic_version")
        assert version in ("vertex-2023-10-16", "2026-10-21"), f"anthropic_version: {version}"
        check(sent, found[1], version, at_vertex=True)
        asked = _read(sent, found[1], account)
        assert asked.stream == (found[2] == "streamRawPredict"), "`stream` and the path do not fit together"
        return asked

    def other(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Refusal:
        return issued(method, target, headers, body)

    def refusal(self, kind: RefusalKind, *, retry_after_s: int | None = None) -> Refusal:
        """The platform refuses in Google's words, the model in Anthropic's."""
        said = {
            "auth": (401, "UNAUTHENTICATED", "Request had invalid authentication credentials."),
            "permission": (
                403,
                "PERMISSION_DENIED",
                "Permission 'aiplatform.endpoints.predict' denied on resource '//aiplatform.googleapis.com/x'.",
            ),
            "not_found": (404, "NOT_FOUND", "Publisher Model `claude-unknown` was not found."),
            "rate_limited": (429, "RESOURCE_EXHAUSTED", "Resource exhausted. Please try again later."),
            "billing": (402, "FAILED_PRECONDITION", "This API method requires billing to be enabled."),
        }.get(kind)
        if said is None:
            return super().refusal(kind, retry_after_s=retry_after_s)
        status, name, message = said
        headers = () if retry_after_s is None else (("retry-after", str(retry_after_s)),)
        return Refusal(status, {"error": {"code": status, "message": message, "status": name}}, headers)


ANTHROPIC = Anthropic()
VERTEX_ANTHROPIC = VertexAnthropic()


# --- answers ---------------------------------------------------------------------------------------------------------


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind} | fields, ensure_ascii=False)}\n\n".encode()


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_fake"}


def _message(model: str, blocks: list[dict[str, Any]]) -> dict[str, Any]:
    ids = {"id": "msg_fake", "type": "message", "role": "assistant", "model": model}
    return ids | {"content": blocks, "stop_reason": None, "stop_sequence": None, "stop_details": None}


def _blocks(says: Says, asked: Asked) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if says.reasoning or says.signature:
        found.append({"type": "thinking", "thinking": says.reasoning, "signature": says.signature})
    text = "".join(says.pieces)
    if _answers_by_tool(says, asked):
        answer = json.loads(text)
        return [*found, {"type": "tool_use", "id": "toolu_json", "name": _ANSWER_TOOL, "input": answer}]
    if text:
        found.append({"type": "text", "text": text, "citations": None})
    calls = ({"type": "tool_use", "id": one.id, "name": one.name, "input": one.arguments} for one in says.tools)
    return [*found, *calls]


def _streamed(block: dict[str, Any], says: Says) -> Iterator[tuple[str, dict[str, Any]]]:
    deltas: list[dict[str, Any]] = []
    match block["type"]:
        case "text":
            start = {"type": "text", "text": ""}
            deltas = [{"type": "text_delta", "text": piece} for piece in says.pieces if piece]
        case "thinking":
            start = {"type": "thinking", "thinking": "", "signature": ""}
            if block["thinking"]:
                deltas.append({"type": "thinking_delta", "thinking": block["thinking"]})
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        case _:
            start = block | {"input": {}}
            written = json.dumps(block["input"], ensure_ascii=False) if block["input"] else ""
            half = len(written) // 2
            parts = ("", written[:half], written[half:]) if written else ("",)
            deltas = [{"type": "input_json_delta", "partial_json": part} for part in parts]
    yield "content_block_start", {"content_block": start}
    for delta in deltas:
        yield "content_block_delta", {"delta": delta}
    yield "content_block_stop", {}


def _answers_by_tool(says: Says, asked: Asked) -> bool:
    is_offered = asked.schema is not None and any(tool.name == _ANSWER_TOOL for tool in asked.tools)
    return is_offered and not says.tools and "".join(says.pieces).startswith("{")


def _stop(says: Says, asked: Asked) -> str:
    return "tool_use" if says.tools or _answers_by_tool(says, asked) else _STOPS[says.finish]


def _details(says: Says) -> dict[str, str] | None:
    if says.finish != "content_filter":
        return None
    return {"type": "refusal", "category": "cyber", "explanation": "This cannot be answered."}


def _usage(says: Says) -> dict[str, Any]:
    return {
        "input_tokens": says.input_tokens - says.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": says.cached_tokens,
        "output_tokens": says.output_tokens,
        "output_tokens_details": {"thinking_tokens": says.reasoning_tokens},
    }


# --- requests --------------------------------------------------------------------------------------------------------


def _read(sent: dict[str, Any], model: str, credential: str) -> Asked:
    messages = sent["messages"]
    said = [(message["role"], block) for message in messages for block in content(message)]
    everything = list(blocks(messages))
    tools = tuple(AskedTool(tool["name"], tool["input_schema"]) for tool in sent.get("tools", ()))
    return Asked(
        model=model,
        stream=sent.get("stream", False),
        credential=credential,
        system="\n\n".join(system_texts(sent)),
        texts=tuple(block["text"] for role, block in said if role == "user" and block["type"] == "text"),
        images=tuple(_bytes(block) for block in everything if block["type"] == "image"),
        documents=tuple(_bytes(block) for block in everything if block["type"] == "document"),
        tools=tools,
        tool_calls=tuple((one["id"], one["name"], one["input"]) for _, one in said if one["type"] == "tool_use"),
        tool_results=tuple((one["tool_use_id"], _text(one)) for _, one in said if one["type"] == "tool_result"),
        opaque=tuple(one.get("signature") or one.get("data", "") for _, one in said if "thinking" in one["type"]),
        max_tokens=sent["max_tokens"],
        reasons=sent["thinking"]["type"] in ("enabled", "adaptive") if "thinking" in sent else None,
        schema=_schema(sent, tools),
    )


def _bytes(block: dict[str, Any]) -> bytes:
    source = block["source"]
    match source["type"]:
        case "base64":
            return b64decode(source["data"])
        case "text":
            return str(source["data"]).encode()
        case _:
            return str(source["url"]).encode()


def _text(result: dict[str, Any]) -> str:
    written = result.get("content", "")
    return written if isinstance(written, str) else "".join(block.get("text", "") for block in written)


def _schema(sent: dict[str, Any], tools: tuple[AskedTool, ...]) -> Any:
    if "format" in sent.get("output_config", {}):
        return sent["output_config"]["format"]["schema"]
    return next((tool.schema for tool in tools if tool.name == _ANSWER_TOOL), None)
