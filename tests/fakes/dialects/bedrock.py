"""Amazon Bedrock's side of Converse and ConverseStream.

Signatures are checked with botocore's own signer over the path as it arrived, bodies with botocore's own model of the
service; rules that only the service knows are those of its documentation.
"""

import json
import re
import struct
import zlib
from base64 import b64decode
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import quote, unquote

from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]
from botocore.session import get_session  # type: ignore[import-untyped]
from botocore.validate import ParamValidator  # type: ignore[import-untyped]

from tests.fakes.dialects.base import Asked, AskedTool, Refusal, RefusalKind, Says

REGION = "us-east-1"
KEY_ID = "AKIAFAKE000000000000"

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?"
    r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})"
)
_PATH = re.compile(r"/model/([^/]+)/(converse|converse-stream)")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_DOCUMENT_NAME = re.compile(r"(?!.*  )[A-Za-z0-9\-()\[\] ]{1,200}")
_JSON_TOOL = "json_response"
_STOPS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "guardrail_intervened"}

_REFUSALS: dict[RefusalKind, tuple[int, str, str]] = {
    "auth": (403, "UnrecognizedClientException", "The security token included in the request is invalid."),
    "permission": (403, "AccessDeniedException", "You don't have access to the model with the specified model ID."),
    "not_found": (404, "ResourceNotFoundException", "Could not resolve the foundation model from the provided model."),
    "rate_limited": (429, "ThrottlingException", "Too many requests, please wait before trying again."),
    "billing": (403, "AccessDeniedException", "Model access is denied due to INVALID_PAYMENT_INSTRUMENT: no card."),
    "invalid_request": (400, "ValidationException", "A conversation must alternate between the roles."),
    "context_too_long": (400, "ValidationException", "Input is too long for requested model."),
    "content_filtered": (400, "ValidationException", "Output blocked by content filtering policy."),
    "server_error": (500, "InternalServerException", "The system encountered an unexpected error."),
    "overloaded": (503, "ServiceUnavailableException", "Bedrock is unable to process your request."),
}


def secret_of(key_id: str) -> str:
    """The secret that goes with an access key id here."""
    return f"secret+of/{key_id}=" + "x" * 20


class Bedrock:
    kind = "bedrock"
    model = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    content_type = "application/vnd.amazon.eventstream"

    def entry(self, url: str, *keys: str) -> dict[str, Any]:
        credentials = [{"accessKeyId": key, "secretAccessKey": secret_of(key)} for key in keys or (KEY_ID,)]
        return {
            "type": "bedrock",
            "region": REGION,
            "baseUrl": url,
            "credentials": credentials[0] if len(credentials) == 1 else credentials,
        }

    def asked(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Asked | None:
        credential = _credential(method, target, headers, body)
        found = _PATH.fullmatch(target)
        if method != "POST" or found is None:
            return None
        model = unquote(found[1])
        assert quote(model, safe="") == found[1], "the model's id is not percent-encoded as it was signed"
        assert headers.get("content-type") == "application/json", "content-type"
        sent = json.loads(body)
        check_request(sent, model)
        return _read(sent, model, credential, stream=found[2] == "converse-stream")

    def other(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Refusal:
        path = target.partition("?")[0]
        if (method, path) == ("GET", "/foundation-models"):
            return Refusal(
                200, {"modelSummaries": [{"modelId": self.model.removeprefix("us."), "modelName": "Claude"}]}
            )
        if (method, path) == ("GET", "/inference-profiles"):
            return Refusal(200, {"inferenceProfileSummaries": [{"inferenceProfileId": self.model}]})
        return Refusal(404, {"message": "no such operation"}, (("x-amzn-errortype", "UnknownOperationException:"),))

    def frames(self, says: Says, asked: Asked) -> list[bytes]:
        frames = [event("messageStart", {"role": "assistant", "p": "abcd"})]
        for index, block in enumerate(_blocks(says, asked)):
            frames += [event(name, payload) for name, payload in _streamed(index, block, says)]
        return [
            *frames,
            event("messageStop", {"stopReason": _stop(says, asked), "p": "ab"}),
            event("metadata", {"metrics": {"latencyMs": 9}, "usage": _usage(says)}),
        ]

    def whole(self, says: Says, asked: Asked) -> bytes:
        answer = {
            "output": {"message": {"role": "assistant", "content": _blocks(says, asked)}},
            "stopReason": _stop(says, asked),
            "usage": _usage(says),
            "metrics": {"latencyMs": 9},
        }
        return json.dumps(answer).encode()

    def refusal(self, kind: RefusalKind, *, retry_after_s: int | None = None) -> Refusal:
        status, name, message = _REFUSALS[kind]
        headers = [("x-amzn-errortype", f"{name}:http://internal.amazon.com/coral/com.amazon.bedrock/")]
        if retry_after_s is not None:
            headers.append(("retry-after", str(retry_after_s)))
        return Refusal(status, {"message": message}, tuple(headers))

    def broken(self) -> bytes:
        return exception("internalServerException", {"message": "The system encountered an unexpected error."})


BEDROCK = Bedrock()


# --- frames ----------------------------------------------------------------------------------------------------------


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """One message of AWS's event stream, all headers texts."""
    block = b"".join(
        struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(value.encode())) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", 12 + len(block) + len(payload) + 4, len(block))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + block + payload
    return message + struct.pack(">I", zlib.crc32(message))


def event(name: str, payload: Any) -> bytes:
    return frame(_headers("event", ":event-type", name), json.dumps(payload, ensure_ascii=False).encode())


def exception(name: str, payload: Any) -> bytes:
    return frame(_headers("exception", ":exception-type", name), json.dumps(payload).encode())


def error(code: str, message: str) -> bytes:
    return frame({":message-type": "error", ":error-code": code, ":error-message": message}, b"")


def _headers(kind: str, name_header: str, name: str) -> dict[str, str]:
    return {name_header: name, ":content-type": "application/json", ":message-type": kind}


# --- answers ---------------------------------------------------------------------------------------------------------


def _blocks(says: Says, asked: Asked) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if says.reasoning or says.signature:
        text = {"text": says.reasoning} | ({"signature": says.signature} if says.signature else {})
        blocks.append({"reasoningContent": {"reasoningText": text}})
    if _is_json_tool(asked) and not says.tools:
        try:
            answer = json.loads("".join(says.pieces))
        except ValueError:
            answer = None
        if isinstance(answer, dict):
            return [*blocks, {"toolUse": {"toolUseId": "tooluse_json", "name": _JSON_TOOL, "input": answer}}]
    if any(says.pieces):
        blocks.append({"text": "".join(says.pieces)})
    calls = [{"toolUseId": tool.id, "name": tool.name, "input": tool.arguments} for tool in says.tools]
    return [*blocks, *({"toolUse": call} for call in calls)]


def _streamed(index: int, block: dict[str, Any], says: Says) -> Iterator[tuple[str, dict[str, Any]]]:
    at = {"contentBlockIndex": index}
    deltas: list[dict[str, Any]] = []
    if "text" in block:
        deltas = [{"text": piece} for piece in says.pieces if piece]
    elif "toolUse" in block:
        call = dict(block["toolUse"])
        written = json.dumps(call.pop("input"), ensure_ascii=False)
        yield "contentBlockStart", {**at, "start": {"toolUse": call}}
        half = len(written) // 2
        parts = ("", written[:half], written[half:]) if written != "{}" else ("",)
        deltas = [{"toolUse": {"input": part}} for part in parts]
    else:
        thought = block["reasoningContent"]["reasoningText"]
        deltas = [{"reasoningContent": {name: value}} for name, value in thought.items() if value]
    for delta in deltas:
        yield "contentBlockDelta", {**at, "delta": delta, "p": "abcdefghij"}
    yield "contentBlockStop", at


def _stop(says: Says, asked: Asked) -> str:
    return "tool_use" if says.tools or _is_json_tool(asked) else _STOPS[says.finish]


def _is_json_tool(asked: Asked) -> bool:
    return asked.schema is not None and any(tool.name == _JSON_TOOL for tool in asked.tools)


def _usage(says: Says) -> dict[str, int]:
    return {
        "inputTokens": says.input_tokens - says.cached_tokens,
        "outputTokens": says.output_tokens,
        "totalTokens": says.input_tokens + says.output_tokens,
    } | ({"cacheReadInputTokens": says.cached_tokens, "cacheWriteInputTokens": 0} if says.cached_tokens else {})


# --- signatures ------------------------------------------------------------------------------------------------------


def _credential(method: str, target: str, headers: dict[str, str], body: bytes) -> str:
    authorization = headers.get("authorization", "")
    if authorization.startswith("Bearer "):
        return authorization.removeprefix("Bearer ")
    found = _AUTHORIZATION.fullmatch(authorization)
    assert found is not None, f"no signature: {authorization[:40]!r}"
    key_id, day, region, service, names, signature = found.groups()
    assert (region, service) == (REGION, "bedrock"), f"signed for {service} in {region}"
    stamp = headers.get("x-amz-date", "")
    assert re.fullmatch(day + r"T\d{6}Z", stamp), f"x-amz-date {stamp!r}"
    signed = names.split(";")
    assert {"host", "x-amz-date"} <= set(signed), f"signed headers: {names}"
    assert all(name in signed for name in headers if name.startswith("x-amz-")), f"x-amz-* not signed: {names}"
    request = AWSRequest(
        method=method,
        url=f"http://{headers['host']}{target}",
        data=body,
        headers={name: headers[name] for name in signed},
    )
    request.context["timestamp"] = stamp
    signer = SigV4Auth(Credentials(key_id, secret_of(key_id)), service, region)
    expected = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    assert signature == expected, "the signature does not match the request as it arrived"
    return key_id


# --- requests --------------------------------------------------------------------------------------------------------


def check_request(sent: dict[str, Any], model: str) -> None:
    """Raises AssertionError for a body that the service would refuse."""
    operation = get_session().get_service_model("bedrock-runtime").operation_model("ConverseStream")
    report = ParamValidator().validate({"modelId": model, **_with_bytes(sent)}, operation.input_shape)
    assert not report.has_errors(), report.generate_report()
    messages = sent["messages"]
    roles = [message["role"] for message in messages]
    assert all(one != following for one, following in pairwise(roles)), f"roles: {roles}"
    assert roles[0] == "user" or "anthropic" in model, "begins with the assistant"
    for message in messages:
        _check_content(message, model)
    _check_tools(sent, messages)
    _check_sampling(sent, model)
    names = [one["document"]["name"] for one in _all_blocks(messages) if "document" in one]
    assert len(names) == len(set(names)), f"document names: {names}"
    assert all(_DOCUMENT_NAME.fullmatch(name) for name in names), f"document names: {names}"
    assert all(block["text"].strip() for block in sent.get("system", ()) if "text" in block), "a blank system prompt"
    _check_cache_points(sent, model)


def _check_cache_points(sent: dict[str, Any], model: str) -> None:
    holders = [sent.get("system", ()), *(message["content"] for message in sent["messages"])]
    kinds = [[next(iter(block)) for block in blocks] for blocks in holders]
    assert sum(one.count("cachePoint") for one in kinds) <= 4, "more than four cache points"
    assert not any(one[:1] == ["cachePoint"] for one in kinds), "a cache point before anything"
    assert not any(pair == ("reasoningContent", "cachePoint") for one in kinds for pair in pairwise(one)), (
        "on a thought"
    )
    has_cache = "anthropic.claude" in model and "claude-3-haiku" not in model
    assert has_cache or not any("cachePoint" in one for one in kinds), "your request did not allow prompt caching"


def _check_content(message: dict[str, Any], model: str) -> None:
    content = message["content"]
    kinds = [next(iter(block)) for block in content]
    assert kinds, "a message without content"
    assert all(block["text"].strip() for block in content if "text" in block), "a blank text"
    assert message["role"] == "user" or not {"image", "document", "toolResult"} & set(kinds), f"assistant: {kinds}"
    assert message["role"] == "assistant" or not {"toolUse", "reasoningContent"} & set(kinds), f"user: {kinds}"
    assert "document" not in kinds or "text" in kinds, "a document without a text"
    beside = set(kinds) - {"toolResult", "cachePoint"} if "toolResult" in kinds else set()
    assert "anthropic" not in model or "document" not in beside, "a document beside results"
    assert not re.search(r"meta\.llama|mistral\.", model) or not beside, f"beside results: {beside}"


def _check_tools(sent: dict[str, Any], messages: Sequence[dict[str, Any]]) -> None:
    config = sent.get("toolConfig", {})
    declared = [tool["toolSpec"]["name"] for tool in config.get("tools", ())]
    assert len(declared) == len(set(declared)), f"tools twice: {declared}"
    for tool in config.get("tools", ()):
        spec = tool["toolSpec"]
        assert _NAME.fullmatch(spec["name"]), spec["name"]
        assert spec["description"].strip(), "an empty description"
        assert spec["inputSchema"]["json"].get("type") == "object", "a schema without an object at its root"
    used = [block["toolUse"] for block in _all_blocks(messages) if "toolUse" in block]
    assert {call["name"] for call in used} <= set(declared), "a tool of the history is not declared"
    ids = [call["toolUseId"] for call in used]
    assert all(_NAME.fullmatch(one) for one in ids), "an id of a call"
    assert len(ids) == len(set(ids)), f"ids of calls twice: {ids}"
    for at, message in enumerate(messages):
        calls = [block["toolUse"]["toolUseId"] for block in message["content"] if "toolUse" in block]
        after = messages[at + 1]["content"] if at + 1 < len(messages) else []
        results = [block["toolResult"]["toolUseId"] for block in after if "toolResult" in block]
        if message["role"] == "assistant":
            assert calls == results, f"calls {calls}, results {results}"
    fields = sent.get("additionalModelRequestFields", {})
    thinks = fields.get("thinking", {}).get("type") in ("enabled", "adaptive")
    assert not (thinks and {"any", "tool"} & set(config.get("toolChoice", {}))), "forced while it thinks"


def _check_sampling(sent: dict[str, Any], model: str) -> None:
    inference = sent.get("inferenceConfig", {})
    assert 0 <= inference.get("temperature", 0) <= 1, "temperature"
    assert 0 <= inference.get("topP", 0) <= 1, "topP"
    assert not ({"temperature", "topP"} <= set(inference) and "-4-5" in model), "temperature and topP"
    thinking = sent.get("additionalModelRequestFields", {}).get("thinking", {})
    if thinking.get("type") == "enabled":
        assert 1024 <= thinking["budget_tokens"] < inference.get("maxTokens", 1 << 30), "budget_tokens"
        assert "temperature" not in inference, "temperature while it thinks"


def _with_bytes(value: Any) -> Any:
    """The model of the service wants bytes where JSON has base64."""
    if isinstance(value, dict):
        return {
            name: b64decode(inner, validate=True)
            if name in ("bytes", "redactedContent") and isinstance(inner, str)
            else _with_bytes(inner)
            for name, inner in value.items()
        }
    return [_with_bytes(one) for one in value] if isinstance(value, list) else value


def _all_blocks(messages: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for message in messages:
        for block in message["content"]:
            yield block
            yield from block.get("toolResult", {}).get("content", ())


def _read(sent: dict[str, Any], model: str, credential: str, *, stream: bool) -> Asked:
    blocks = [(message["role"], block) for message in sent["messages"] for block in message["content"]]
    everything = list(_all_blocks(sent["messages"]))
    tools = [tool["toolSpec"] for tool in sent.get("toolConfig", {}).get("tools", ())]
    fields = sent.get("additionalModelRequestFields", {})
    return Asked(
        model=model,
        stream=stream,
        credential=credential,
        system="\n\n".join(block["text"] for block in sent.get("system", ()) if "text" in block),
        texts=tuple(block["text"] for role, block in blocks if role == "user" and "text" in block),
        images=tuple(b64decode(one["image"]["source"]["bytes"]) for one in everything if "image" in one),
        documents=tuple(b64decode(one["document"]["source"]["bytes"]) for one in everything if "document" in one),
        tools=tuple(AskedTool(spec["name"], spec["inputSchema"]["json"]) for spec in tools),
        tool_calls=tuple(
            (call["toolUseId"], call["name"], call["input"])
            for _, block in blocks
            if (call := block.get("toolUse")) is not None
        ),
        tool_results=tuple(
            (result["toolUseId"], "".join(one.get("text", "") for one in result["content"]))
            for _, block in blocks
            if (result := block.get("toolResult")) is not None
        ),
        opaque=tuple(_opaque(block["reasoningContent"]) for _, block in blocks if "reasoningContent" in block),
        max_tokens=sent.get("inferenceConfig", {}).get("maxTokens"),
        reasons=_reasons(fields),
        schema=_schema(sent, tools),
    )


def _opaque(reasoning: dict[str, Any]) -> str:
    text = reasoning.get("reasoningText")
    found: str = text["signature"] if text is not None else reasoning["redactedContent"]
    return found


def _reasons(fields: dict[str, Any]) -> bool | None:
    if "thinking" in fields:
        return fields["thinking"]["type"] in ("enabled", "adaptive")
    if "reasoningConfig" in fields:
        return bool(fields["reasoningConfig"]["type"] == "enabled")
    return True if "reasoning_effort" in fields else None


def _schema(sent: dict[str, Any], tools: Sequence[dict[str, Any]]) -> Any:
    native = sent.get("outputConfig", {}).get("textFormat", {}).get("structure", {}).get("jsonSchema")
    if native is not None:
        return json.loads(native["schema"])
    return next((spec["inputSchema"]["json"] for spec in tools if spec["name"] == _JSON_TOOL), None)
