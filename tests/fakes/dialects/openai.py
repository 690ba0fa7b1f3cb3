"""The vendors' side of `POST /chat/completions`: OpenAI, Azure, Mistral, Qwen, and servers that resemble them.

What each of them refuses is asserted. `OPENAI_RESPONSES` is in `openai/responses.py`, and listed here.
"""

import json
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.fakes.dialects import openai_refusals
from tests.fakes.dialects.base import Asked, AskedTool, Refusal, RefusalKind, Says
from tests.fakes.dialects.openai_responses import OPENAI_RESPONSES

__all__ = ["AZURE", "COMPATIBLE", "DIALECTS", "MISTRAL", "OPENAI_CHAT", "OPENAI_RESPONSES", "QWEN"]

KEY = "sk-fake-key-0001"
API_VERSION = "2024-10-21"

_COMMON = frozenset(
    [
        "model",
        "messages",
        "stream",
        "max_tokens",
        "temperature",
        "top_p",
        "stop",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "presence_penalty",
        "frequency_penalty",
    ]
)
_OPENAI_FIELDS = _COMMON | frozenset(
    {
        "max_completion_tokens",
        "stream_options",
        "seed",
        "store",
        "safety_identifier",
        "user",
        "reasoning_effort",
        "n",
    }
)
_REASONS = re.compile(r"o\d|gpt-5(?!-chat)|gpt-[6-9]")
_SAMPLING = frozenset({"temperature", "top_p", "presence_penalty", "frequency_penalty", "seed"})
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_STOPS = {"stop": "stop", "length": "length", "content_filter": "content_filter"}


def check_model_takes(body: Mapping[str, Any]) -> None:
    """What OpenAI's reasoning models refuse."""
    if not _REASONS.match(str(body.get("model"))):
        assert "reasoning_effort" not in body, "Unsupported parameter: 'reasoning_effort'"
        return
    assert "max_tokens" not in body, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    assert "stop" not in body, "Unsupported parameter: 'stop'"
    thinks = body.get("reasoning_effort") != "none"
    assert not thinks or not _SAMPLING.intersection(body), "Unsupported parameter: sampling while reasoning"


@dataclass
class ChatDialect:
    kind: str
    model: str
    fields: frozenset[str]
    refusals: Mapping[RefusalKind, openai_refusals.Row]
    base: str = "/v1"
    auth: str = "bearer"
    roles: frozenset[str] = frozenset({"system", "user", "assistant", "tool"})
    documents: str | None = None
    """The type of the part that holds a PDF."""
    thoughts: str | None = None
    """`thinking` parts, `reasoning_content`, or nothing."""
    usage_in_last: bool = False
    strict_turns: bool = False
    """Mistral's rules for turns and ids."""
    data_uris: bool = False
    content_type: str = "text/event-stream; charset=utf-8"

    # --- what is asked

    def entry(self, url: str, *keys: str) -> dict[str, Any]:
        entry: dict[str, Any] = {"type": self.kind, "baseUrl": url + self.base, "apiKeys": list(keys or (KEY,))}
        if self.kind == "azure":
            entry |= {"resourceName": "fake", "apiVersion": API_VERSION}
        return entry

    def asked(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Asked | None:
        parts = urlsplit(target)
        if not parts.path.endswith("/chat/completions"):
            return None
        assert method == "POST", f"405 for {method}"
        assert headers.get("content-type", "").startswith("application/json"), "415"
        sent = json.loads(body)
        model = self._model_of(parts.path, parts.query, sent)
        assert (unknown := set(sent) - self.fields) == set(), f"Extra inputs are not permitted: {sorted(unknown)}"
        if "max_completion_tokens" in self.fields and self.kind != "openai-compatible":
            check_model_takes(sent | {"model": model})
        return _Request(self, sent, model, self._credential(headers)).read()

    def _model_of(self, path: str, query: str, sent: Mapping[str, Any]) -> str:
        if self.kind != "azure":
            assert path == f"{self.base}/chat/completions", f"404 Not Found: {path}"
            return str(sent["model"])
        found = re.fullmatch(r"/openai/deployments/([^/]+)/chat/completions", path)
        assert found, f"404 Resource not found: {path}"
        assert parse_qs(query).get("api-version") == [API_VERSION], "404: api-version"
        return unquote(found[1])

    def _credential(self, headers: Mapping[str, str]) -> str | None:
        if self.auth == "api-key":
            assert "authorization" not in headers, "a key goes into api-key"
            return headers.get("api-key")
        assert "openai-organization" not in headers
        scheme, _, key = headers.get("authorization", "").partition(" ")
        assert scheme in ("Bearer", ""), "401"
        return key or None

    def other(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Refusal:
        if method == "GET" and urlsplit(target).path.endswith("/models"):
            return Refusal(200, {"object": "list", "data": [{"id": self.model, "object": "model"}]})
        if self.kind == "azure":
            return Refusal(404, {"error": {"code": "404", "message": "Resource not found"}})
        return Refusal(404, {"detail": "Not Found"})

    # --- what is said

    def frames(self, says: Says, asked: Asked) -> list[bytes]:
        return [_event(one) for one in self._chunks(says, asked)] + [b"data: [DONE]\n\n"]

    def _chunks(self, says: Says, asked: Asked) -> Iterator[dict[str, Any]]:
        if self.kind == "azure":
            results = [{"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False}}}]
            opening = {"id": "", "object": "", "created": 0, "model": "", "choices": []}
            yield opening | {"prompt_filter_results": results}
        yield self._chunk(asked, {"role": "assistant", "content": "", "refusal": None})
        if says.reasoning and self.thoughts is not None:
            yield self._chunk(asked, self._thought(says))
        for piece in says.pieces:
            yield self._chunk(asked, {"content": piece})
        for index, call in enumerate(says.tools):
            begun = {"name": call.name, "arguments": ""}
            yield self._chunk(
                asked, {"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": begun}]}
            )
            yield self._chunk(
                asked, {"tool_calls": [{"index": index, "function": {"arguments": json.dumps(call.arguments)}}]}
            )
        last = self._chunk(asked, {}, "tool_calls" if says.tools else _STOPS[says.finish])
        if self.usage_in_last:
            yield last | {"usage": self._usage(says)}
            return
        yield last
        yield self._chunk(asked, {}) | {"choices": [], "usage": self._usage(says)}

    def _chunk(self, asked: Asked, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        if self.kind == "azure":
            choice["content_filter_results"] = {"violence": {"filtered": False, "severity": "safe"}}
        frame = {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1, "model": asked.model}
        return frame | {"choices": [choice]}

    def _thought(self, says: Says) -> dict[str, Any]:
        if self.thoughts != "thinking":
            return {"reasoning_content": says.reasoning, "content": None}
        return {"content": [self._thinking(says)]}

    def _thinking(self, says: Says) -> dict[str, Any]:
        part = {"type": "thinking", "thinking": [{"type": "text", "text": says.reasoning}], "closed": True}
        return part | ({"signature": says.signature} if says.signature else {})

    def _usage(self, says: Says) -> dict[str, Any]:
        total = says.input_tokens + says.output_tokens
        usage: dict[str, Any] = {
            "prompt_tokens": says.input_tokens,
            "completion_tokens": says.output_tokens,
            "total_tokens": total,
        }
        if self.usage_in_last:
            return usage | {"num_cached_tokens": says.cached_tokens}
        return usage | {
            "prompt_tokens_details": {"cached_tokens": says.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": says.reasoning_tokens},
        }

    def whole(self, says: Says, asked: Asked) -> bytes:
        text = "".join(says.pieces)
        message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": None}
        if says.reasoning and self.thoughts == "thinking":
            message["content"] = [self._thinking(says), {"type": "text", "text": text}]
        elif says.reasoning and self.thoughts is not None:
            message["reasoning_content"] = says.reasoning
        if says.tools:
            message["tool_calls"] = [
                {
                    "id": one.id,
                    "type": "function",
                    "function": {"name": one.name, "arguments": json.dumps(one.arguments)},
                }
                for one in says.tools
            ]
        finish = "tool_calls" if says.tools else _STOPS[says.finish]
        answer = {"id": "chatcmpl-fake", "object": "chat.completion", "created": 1, "model": asked.model}
        choices = [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}]
        return json.dumps(answer | {"choices": choices, "usage": self._usage(says)}).encode()

    def refusal(self, kind: RefusalKind, *, retry_after_s: int | None = None) -> Refusal:
        return openai_refusals.worded(self.refusals, kind, retry_after_s)

    def broken(self) -> bytes:
        return _event({"error": {"message": "The server had an error.", "type": "server_error", "code": None}})


class _Request:
    """Reads one body; every rule of the vendor is an assertion."""

    def __init__(self, dialect: ChatDialect, sent: dict[str, Any], model: str, credential: str | None) -> None:
        self._dialect = dialect
        self._sent = sent
        self._model = model
        self._credential = credential
        self._system: list[str] = []
        self._texts: list[str] = []
        self._images: list[bytes] = []
        self._documents: list[bytes] = []
        self._calls: list[tuple[str, str, Any]] = []
        self._results: list[tuple[str, str]] = []
        self._opaque: list[str] = []

    def read(self) -> Asked:
        sent = self._sent
        assert sent["messages"], "messages: too short"
        waiting: list[str] = []
        before = ""
        for at, message in enumerate(sent["messages"]):
            role = message["role"]
            assert role in self._dialect.roles, f"Unsupported value: 'messages[{at}].role' does not support '{role}'"
            assert role == "tool" or not waiting, f"tool calls without a result: {waiting}"
            self._read_message(message, role, waiting, before, at)
            before = role
        assert not waiting, f"tool calls without a result: {waiting}"
        tools = self._tools()
        limits = [sent[name] for name in ("max_tokens", "max_completion_tokens") if name in sent]
        assert len(limits) < 2, "two output limits"
        stream = sent.get("stream", False)
        assert stream or "stream_options" not in sent, "stream_options only with stream"
        wanted = sent.get("response_format", {})
        return Asked(
            model=self._model,
            stream=stream,
            credential=self._credential,
            system="\n\n".join(self._system),
            texts=tuple(self._texts),
            images=tuple(self._images),
            documents=tuple(self._documents),
            tools=tools,
            tool_calls=tuple(self._calls),
            tool_results=tuple(self._results),
            opaque=tuple(self._opaque),
            max_tokens=limits[0] if limits else None,
            reasons=self._reasons(),
            schema=wanted.get("json_schema", {}).get("schema") if wanted else None,
        )

    def _tools(self) -> tuple[AskedTool, ...]:
        sent = self._sent
        if "tools" not in sent:
            assert not {"tool_choice", "parallel_tool_calls"} & set(sent), "only allowed when 'tools' are specified"
            return ()
        assert sent["tools"], "[] is too short - 'tools'"
        for tool in sent["tools"]:
            assert tool["type"] == "function"
            assert _NAME.fullmatch(tool["function"]["name"]), f"Invalid 'tools[].function.name': {tool}"
        return tuple(AskedTool(one["function"]["name"], one["function"]["parameters"]) for one in sent["tools"])

    def _reasons(self) -> bool | None:
        sent = self._sent
        if "enable_thinking" in sent:
            return bool(sent["enable_thinking"])
        effort = sent.get("reasoning_effort")
        return None if effort is None else effort != "none"

    def _read_message(self, message: dict[str, Any], role: str, waiting: list[str], before: str, at: int) -> None:
        content = message.get("content")
        match role:
            case "system" | "developer":
                assert at == 0 or self._dialect.kind in ("openai", "azure"), "system messages come first"
                self._system.append(content if isinstance(content, str) else self._parts(content))
            case "user":
                assert not (self._dialect.strict_turns and before == "tool"), "Unexpected role 'user' after role 'tool'"
                self._texts.append(content if isinstance(content, str) else self._parts(content))
            case "assistant":
                has_words = isinstance(content, str) or (content is None and message.get("tool_calls"))
                assert has_words or self._dialect.thoughts == "thinking", "content of the assistant"
                if isinstance(content, list):
                    self._opaque += [one["signature"] for one in content if "signature" in one]
                for call in message.get("tool_calls", ()):
                    self._read_call(call)
                    waiting.append(call["id"])
            case "tool":
                assert message["tool_call_id"] in waiting, "a tool message must follow its tool_calls"
                assert isinstance(content, str), "images are not allowed in tool messages"
                waiting.remove(message["tool_call_id"])
                self._results.append((message["tool_call_id"], content))

    def _read_call(self, call: dict[str, Any]) -> None:
        assert call["type"] == "function"
        if self._dialect.strict_turns:
            assert re.fullmatch("[A-Za-z0-9]{9}", call["id"]), "Tool call id must be a-z, A-Z, 0-9, with a length of 9"
        function = call["function"]
        self._calls.append((call["id"], function["name"], json.loads(function["arguments"])))

    def _parts(self, parts: Any) -> str:
        assert isinstance(parts, list), "content must be a string or parts"
        texts = []
        for part in parts:
            match part["type"]:
                case "text":
                    texts.append(part["text"])
                case "image_url" if is_fetched(self._dialect.kind, part["image_url"]["url"]):
                    pass
                case "image_url":
                    self._images.append(data_of(part["image_url"]["url"], "image/"))
                case "input_audio":
                    assert part["input_audio"]["data"].startswith("data:") == self._dialect.data_uris
                case "file" if self._dialect.documents == "file":
                    assert part["file"]["filename"]
                    self._documents.append(data_of(part["file"]["file_data"], "application/pdf"))
                case "document_url" if self._dialect.documents == "document_url":
                    self._documents.append(data_of(part["document_url"], "application/pdf"))
                case other:
                    raise AssertionError(f"Invalid content type: {other}")
        return "\n".join(texts)


def is_fetched(kind: str, url: str) -> bool:
    """OpenAI itself fetches what stands behind an address; its relatives want the bytes."""
    return kind in ("openai", "azure") and url.startswith("https://")


def data_of(uri: str, kind: str) -> bytes:
    head, _, data = uri.partition(";base64,")
    assert head.startswith(f"data:{kind}"), f"not a data URI of {kind}"
    return b64decode(data, validate=True)


def _event(data: Any) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


OPENAI_CHAT = ChatDialect(
    "openai",
    "gpt-4.1",
    _OPENAI_FIELDS,
    openai_refusals.OPENAI,
    roles=frozenset({"system", "developer", "user", "assistant", "tool"}),
    documents="file",
)
AZURE = ChatDialect(
    "azure",
    "prod-chat",
    _OPENAI_FIELDS - {"safety_identifier", "store"},
    openai_refusals.AZURE,
    base="/openai",
    auth="api-key",
)
COMPATIBLE = ChatDialect(
    "openai-compatible",
    "local-model",
    _COMMON | {"stream_options", "seed"},
    openai_refusals.COMPATIBLE,
    thoughts="reasoning_content",
)
MISTRAL = ChatDialect(
    "mistral",
    "mistral-small-latest",
    _COMMON | {"random_seed", "reasoning_effort", "prompt_mode", "safe_prompt"},
    openai_refusals.MISTRAL,
    documents="document_url",
    thoughts="thinking",
    usage_in_last=True,
    strict_turns=True,
)
QWEN = ChatDialect(
    "qwen",
    "qwen-plus",
    (_COMMON - {"frequency_penalty"}) | {"stream_options", "seed", "enable_thinking", "thinking_budget"},
    openai_refusals.QWEN,
    base="/compatible-mode/v1",
    thoughts="reasoning_content",
    data_uris=True,
)
DIALECTS = (OPENAI_CHAT, OPENAI_RESPONSES, AZURE, COMPATIBLE, MISTRAL, QWEN)
