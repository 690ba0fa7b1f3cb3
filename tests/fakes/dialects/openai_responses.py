"""OpenAI's side of `POST /responses`. What it refuses is asserted."""

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.fakes.dialects import openai_refusals
from tests.fakes.dialects.base import Asked, AskedTool, Refusal, RefusalKind, Says

KEY = "sk-fake-key-0001"

_FIELDS = frozenset(
    [
        "model",
        "input",
        "instructions",
        "max_output_tokens",
        "temperature",
        "top_p",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "text",
        "reasoning",
        "include",
        "store",
        "stream",
        "stream_options",
        "safety_identifier",
        "prompt_cache_key",
        "truncation",
    ]
)
_ITEM_FIELDS = {
    "message": {"type", "role", "content", "phase", "id", "status"},
    "reasoning": {"type", "id", "summary", "content", "encrypted_content", "status"},
    "function_call": {"type", "id", "call_id", "name", "arguments", "status"},
    "function_call_output": {"type", "call_id", "output"},
}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass
class ResponsesDialect:
    kind: str = "openai"
    model: str = "gpt-5.5"
    content_type: str = "text/event-stream; charset=utf-8"

    def entry(self, url: str, *keys: str) -> dict[str, Any]:
        return {"type": "openai", "baseUrl": url + "/v1", "apiKeys": list(keys or (KEY,))}

    def asked(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Asked | None:
        path = urlsplit(target).path
        if path != "/v1/responses":
            assert not path.endswith("/chat/completions"), "this model is called on /v1/responses"
            return None
        assert method == "POST", f"405 for {method}"
        assert "openai-organization" not in headers
        scheme, _, key = headers.get("authorization", "").partition(" ")
        assert scheme == "Bearer", "401"
        return _Request(json.loads(body), key).read()

    def other(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Refusal:
        if method == "GET" and urlsplit(target).path == "/v1/models":
            return Refusal(200, {"object": "list", "data": [{"id": self.model, "object": "model"}]})
        return Refusal(404, {"error": {"message": f"Invalid URL ({method} {target})", "type": "invalid_request_error"}})

    # --- what is said

    def frames(self, says: Says, asked: Asked) -> list[bytes]:
        frames = []
        for number, (kind, fields) in enumerate(self._events(says, asked)):
            data = {"type": kind, "sequence_number": number} | fields
            frames.append(f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode())
        return frames

    def _events(self, says: Says, asked: Asked) -> Iterator[tuple[str, dict[str, Any]]]:
        begun = self._response(asked, "in_progress", [], None)
        yield "response.created", {"response": begun}
        yield "response.in_progress", {"response": begun}
        items = _items(says)
        for index, item in enumerate(items):
            place = {"output_index": index}
            yield "response.output_item.added", place | {"item": _begun(item)}
            yield from _inner_events(item, index, says)
            yield "response.output_item.done", place | {"item": item}
        status = "completed" if says.finish == "stop" or says.tools else "incomplete"
        response = self._response(asked, status, items, says)
        yield f"response.{status}", {"response": response}

    def _response(self, asked: Asked, status: str, items: list[dict[str, Any]], says: Says | None) -> dict[str, Any]:
        reasons = {"length": "max_output_tokens", "content_filter": "content_filter"}
        return {
            "id": "resp_fake",
            "object": "response",
            "created_at": 1,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": reasons[says.finish]} if says and status == "incomplete" else None,
            "model": asked.model,
            "output": items,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "store": False,
            "usage": None if says is None else _usage(says),
        }

    def whole(self, says: Says, asked: Asked) -> bytes:
        status = "completed" if says.finish == "stop" or says.tools else "incomplete"
        return json.dumps(self._response(asked, status, _items(says), says)).encode()

    def refusal(self, kind: RefusalKind, *, retry_after_s: int | None = None) -> Refusal:
        return openai_refusals.worded(openai_refusals.OPENAI, kind, retry_after_s)

    def broken(self) -> bytes:
        data = {"type": "error", "code": "server_error", "message": "The server had an error.", "param": None}
        return f"event: error\ndata: {json.dumps(data)}\n\n".encode()


def _items(says: Says) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if says.reasoning or says.signature:
        summary = [{"type": "summary_text", "text": says.reasoning}] if says.reasoning else []
        thought = {"type": "reasoning", "id": "rs_1", "summary": summary}
        items.append(thought | {"encrypted_content": says.signature or None})
    if says.pieces:
        content = [{"type": "output_text", "text": "".join(says.pieces), "annotations": [], "logprobs": []}]
        items.append({"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": content})
    for number, call in enumerate(says.tools):
        items.append(
            {
                "type": "function_call",
                "id": f"fc_{number}",
                "call_id": call.id,
                "name": call.name,
                "arguments": json.dumps(call.arguments),
                "status": "completed",
            }
        )
    return items


def _begun(item: dict[str, Any]) -> dict[str, Any]:
    empty: dict[str, dict[str, Any]] = {
        "message": {"content": []},
        "reasoning": {"summary": [], "encrypted_content": ""},
        "function_call": {"arguments": ""},
    }
    return item | empty[item["type"]]


def _inner_events(item: dict[str, Any], index: int, says: Says) -> Iterator[tuple[str, dict[str, Any]]]:
    place = {"item_id": item["id"], "output_index": index}
    match item["type"]:
        case "reasoning":
            for number, part in enumerate(item["summary"]):
                at = place | {"summary_index": number}
                yield "response.reasoning_summary_part.added", at | {"part": part | {"text": ""}}
                yield "response.reasoning_summary_text.delta", at | {"delta": part["text"]}
                yield "response.reasoning_summary_text.done", at | {"text": part["text"]}
                yield "response.reasoning_summary_part.done", at | {"part": part}
        case "message":
            at = place | {"content_index": 0}
            (part,) = item["content"]
            yield "response.content_part.added", at | {"part": part | {"text": ""}}
            for piece in says.pieces:
                yield "response.output_text.delta", at | {"delta": piece, "logprobs": []}
            yield "response.output_text.done", at | {"text": part["text"], "logprobs": []}
            yield "response.content_part.done", at | {"part": part}
        case "function_call":
            yield "response.function_call_arguments.delta", place | {"delta": item["arguments"]}
            yield "response.function_call_arguments.done", place | {"arguments": item["arguments"]}


def _usage(says: Says) -> dict[str, Any]:
    return {
        "input_tokens": says.input_tokens,
        "input_tokens_details": {"cached_tokens": says.cached_tokens},
        "output_tokens": says.output_tokens,
        "output_tokens_details": {"reasoning_tokens": says.reasoning_tokens},
        "total_tokens": says.input_tokens + says.output_tokens,
    }


class _Request:
    """Reads one body; every rule of the surface is an assertion."""

    def __init__(self, sent: dict[str, Any], credential: str) -> None:
        self._sent = sent
        self._credential = credential
        self._system: list[str] = [sent["instructions"]] if sent.get("instructions") else []
        self._texts: list[str] = []
        self._images: list[bytes] = []
        self._documents: list[bytes] = []
        self._calls: list[tuple[str, str, Any]] = []
        self._results: list[tuple[str, str]] = []
        self._opaque: list[str] = []

    def read(self) -> Asked:
        sent = self._sent
        assert (unknown := set(sent) - _FIELDS) == set(), f"Unknown parameter: {sorted(unknown)}"
        assert sent.get("max_output_tokens", 16) >= 16, "Expected a value >= 16"
        effort = sent.get("reasoning", {}).get("effort")
        assert effort == "none" or not {"temperature", "top_p"} & set(sent), "Unsupported parameter: 'temperature'"
        if isinstance(sent["input"], str):
            self._texts.append(sent["input"])
        else:
            self._read_items(sent["input"])
        wanted = sent.get("text", {}).get("format", {})
        return Asked(
            model=sent["model"],
            stream=sent.get("stream", False),
            credential=self._credential,
            system="\n\n".join(self._system),
            texts=tuple(self._texts),
            images=tuple(self._images),
            documents=tuple(self._documents),
            tools=self._tools(),
            tool_calls=tuple(self._calls),
            tool_results=tuple(self._results),
            opaque=tuple(self._opaque),
            max_tokens=sent.get("max_output_tokens"),
            reasons=None if effort is None else effort != "none",
            schema=wanted.get("schema"),
        )

    def _tools(self) -> tuple[AskedTool, ...]:
        tools = self._sent.get("tools", [])
        for tool in tools:
            assert tool["type"] == "function"
            assert "function" not in tool, "tools are flat on this surface"
            assert _NAME.fullmatch(tool["name"]), f"Invalid 'tools[].name': {tool['name']}"
            assert tool.get("strict") is not None, "strict is the default: say so"
        assert tools or "tool_choice" not in self._sent, "tool_choice without tools"
        return tuple(AskedTool(one["name"], one["parameters"]) for one in tools)

    def _read_items(self, items: list[dict[str, Any]]) -> None:
        waiting: set[str] = set()
        thought: str | None = None
        for item in items:
            kind = item.get("type", "message")
            assert (unknown := set(item) - _ITEM_FIELDS[kind]) == set(), f"Unknown parameter: {kind}.{unknown}"
            lost = f"Item '{thought}' of type 'reasoning' was provided without its required following item."
            is_own = kind in ("reasoning", "function_call") or item.get("role") == "assistant"
            assert thought is None or is_own, lost
            thought = item["id"] if kind == "reasoning" else None
            match kind:
                case "reasoning":
                    assert item["encrypted_content"], "nothing is stored: the content must come along"
                    self._opaque.append(item["encrypted_content"])
                case "function_call":
                    self._calls.append((item["call_id"], item["name"], json.loads(item["arguments"])))
                    waiting.add(item["call_id"])
                case "function_call_output":
                    assert item["call_id"] in waiting, "No tool call found for function call output"
                    waiting.remove(item["call_id"])
                    self._results.append((item["call_id"], self._content(item["output"])))
                case _:
                    self._read_message(item)
        assert thought is None, "a reasoning item without its required following item"
        assert not waiting, f"No tool output found for function call {waiting}"

    def _read_message(self, item: dict[str, Any]) -> None:
        match item["role"]:
            case "user":
                self._texts.append(self._content(item["content"]))
            case "system" | "developer":
                self._system.append(self._content(item["content"]))
            case _:
                content = item["content"]
                for part in content if isinstance(content, list) else ():
                    assert part["type"] in ("output_text", "refusal"), f"Invalid value: '{part['type']}'"

    def _content(self, content: Any) -> str:
        if isinstance(content, str):
            return content
        texts = []
        for part in content:
            match part["type"]:
                case "input_text":
                    texts.append(part["text"])
                case "input_image" if part["image_url"].startswith("https://"):
                    pass
                case "input_image":
                    self._images.append(_data(part["image_url"], "image/"))
                case "input_file":
                    assert part["filename"]
                    self._documents.append(_data(part["file_data"], "application/pdf"))
                case other:
                    raise AssertionError(f"Invalid value: '{other}'")
        return "\n".join(texts)


def _data(uri: str, kind: str) -> bytes:
    head, _, data = uri.partition(";base64,")
    assert head.startswith(f"data:{kind}"), f"not a data URI of {kind}"
    return b64decode(data, validate=True)


OPENAI_RESPONSES = ResponsesDialect()
