"""Google's side of `generateContent`: the Gemini API with a key, and Vertex with a service account's token."""

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from tests.fakes.dialects.base import Asked, AskedTool, Refusal, RefusalKind, Says
from tests.fakes.dialects.google_rules import check, check_labels, in_camel_case, is_third_generation
from tests.fakes.dialects.vertex_tokens import LOCATION, PROJECT, account_entry, account_of, issued

KEY = "AIzaFakeKeyOfTheFake0001"

_VERB = r"(streamGenerateContent\?alt=sse|generateContent)"
_GOOGLE_PATH = re.compile(rf"/v1beta/models/([^/:%?]+):{_VERB}")
_VERTEX_PATH = re.compile(
    rf"/v1beta1/projects/{PROJECT}/locations/{LOCATION}/publishers/google/models/([^/:%?]+):{_VERB}"
)
_FINISHES = {"stop": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}
_NO_SIGNATURE = b64encode(b"skip_thought_signature_validator").decode()

# Status, its word, the sentence, and Google's own reason where it gives one.
_Row = tuple[int, str, str, str | None]
_REFUSALS: Mapping[RefusalKind, _Row] = {
    "auth": (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", "API_KEY_INVALID"),
    "permission": (
        403,
        "PERMISSION_DENIED",
        "Generative Language API has not been used in project 1 before or it is disabled.",
        "SERVICE_DISABLED",
    ),
    "not_found": (
        404,
        "NOT_FOUND",
        "models/x is not found for API version v1beta, or is not supported for generateContent.",
        None,
    ),
    "rate_limited": (429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).", None),
    "billing": (
        400,
        "FAILED_PRECONDITION",
        "Gemini API free tier is not available in your country. Please enable billing on your project.",
        None,
    ),
    "invalid_request": (400, "INVALID_ARGUMENT", "Request contains an invalid argument.", None),
    "context_too_long": (
        400,
        "INVALID_ARGUMENT",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        None,
    ),
    "server_error": (500, "INTERNAL", "An internal error has occurred. Please retry.", None),
    "overloaded": (503, "UNAVAILABLE", "The model is overloaded. Please try again later.", None),
}
_AT_VERTEX: Mapping[RefusalKind, _Row] = {
    **_REFUSALS,
    "auth": (
        401,
        "UNAUTHENTICATED",
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
        "authentication credential.",
        "ACCESS_TOKEN_EXPIRED",
    ),
    "permission": (
        403,
        "PERMISSION_DENIED",
        "Permission 'aiplatform.endpoints.predict' denied on resource '//aiplatform.googleapis.com/projects/project-1' "
        "(or it may not exist).",
        "IAM_PERMISSION_DENIED",
    ),
    "not_found": (
        404,
        "NOT_FOUND",
        "Publisher Model `projects/project-1/x` was not found or your project does not have access to it.",
        None,
    ),
    "rate_limited": (429, "RESOURCE_EXHAUSTED", "Resource exhausted. Please try again later.", None),
}


class _Generating:
    """What both platforms say alike."""

    content_type = "text/event-stream"
    refusals: Mapping[RefusalKind, _Row] = _REFUSALS

    def frames(self, says: Says, asked: Asked) -> list[bytes]:
        parts = _parts(says, asked)
        *first, last = [[part] for part in parts] or [[]]
        return [*(_event(_frame(one, says)) for one in first), _event(_frame(last, says, is_last=True))]

    def whole(self, says: Says, asked: Asked) -> bytes:
        return json.dumps(_frame(_parts(says, asked), says, is_last=True)).encode()

    def refusal(self, kind: RefusalKind, *, retry_after_s: int | None = None) -> Refusal:
        if kind == "content_filtered":
            # No refusal by status: the stream says it, and nothing else.
            blocked = {
                "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
                "usageMetadata": {"promptTokenCount": 7},
            }
            return Refusal(200, _event(blocked), (("content-type", self.content_type),))
        status, word, message, reason = self.refusals[kind]
        details: list[dict[str, Any]] = []
        if reason is not None:
            kind_of = "type.googleapis.com/google.rpc.ErrorInfo"
            details.append({"@type": kind_of, "reason": reason, "domain": "googleapis.com"})
        if retry_after_s is not None:
            details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{retry_after_s}s"})
        return Refusal(status, error(status, word, message, *details))

    def broken(self) -> bytes:
        return _event(error(500, "INTERNAL", "An internal error has occurred."))


class Google(_Generating):
    kind = "google"
    model = "gemini-3-flash"

    def entry(self, url: str, *keys: str) -> dict[str, Any]:
        return {"type": "google", "baseUrl": f"{url}/v1beta", "apiKeys": list(keys or (KEY,))}

    def asked(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Asked | None:
        if not _is_chat(method, target):
            return None
        found = _GOOGLE_PATH.fullmatch(target)
        assert found is not None, f"no such path: {target}"
        assert "authorization" not in headers, "a key goes into x-goog-api-key"
        return _read(body, headers, found[1], found[2], headers.get("x-goog-api-key"))

    def other(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Refusal:
        path, _, _ = target.partition("?")
        if (method, path) == ("GET", "/v1beta/models"):
            methods = ["generateContent", "countTokens"]
            one = {"name": f"models/{self.model}", "displayName": "Fake", "supportedGenerationMethods": methods}
            return Refusal(200, {"models": [one]})
        return Refusal(404, error(404, "NOT_FOUND", "Not Found"))


class Vertex(_Generating):
    kind = "vertex"
    model = "gemini-2.5-flash"
    refusals = _AT_VERTEX

    def entry(self, url: str, *keys: str) -> dict[str, Any]:
        """`keys` are the addresses of service accounts."""
        return account_entry(url, *keys)

    def asked(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Asked | None:
        if not _is_chat(method, target):
            return None
        found = _VERTEX_PATH.fullmatch(target)
        assert found is not None, f"no such path: {target}"
        assert "x-goog-api-key" not in headers, "a key beside a token"
        credential = account_of(headers.get("authorization", ""))
        return _read(body, headers, found[1], found[2], credential, at_vertex=True)

    def other(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Refusal:
        return issued(method, target, headers, body)


GOOGLE = Google()
VERTEX = Vertex()


# --- what is asked ---------------------------------------------------------------------------------------------------


def _is_chat(method: str, target: str) -> bool:
    return method == "POST" and "enerateContent" in target


def _read(
    body: bytes, headers: Mapping[str, str], model: str, verb: str, credential: str | None, *, at_vertex: bool = False
) -> Asked:
    assert headers.get("content-type", "").startswith("application/json"), "content-type"
    sent = in_camel_case(json.loads(body))
    if at_vertex:
        check_labels(sent.pop("labels", {}))
    check(sent, model)
    parts = [(content["role"], part) for content in sent["contents"] for part in content["parts"]]
    of_user = [part for role, part in parts if role == "user"]
    inside = [one for part in of_user for one in part.get("functionResponse", {}).get("parts", ())]
    media = [part["inlineData"] for part in [*of_user, *inside] if "inlineData" in part]
    config = sent.get("generationConfig", {})
    thinks = config.get("thinkingConfig")
    return Asked(
        model=model,
        stream=verb.startswith("stream"),
        credential=credential,
        system="\n\n".join(part["text"] for part in sent.get("systemInstruction", {}).get("parts", ())),
        texts=tuple(part["text"] for part in of_user if "text" in part),
        images=tuple(b64decode(one["data"]) for one in media if one["mimeType"].startswith("image/")),
        documents=tuple(b64decode(one["data"]) for one in media if one["mimeType"] == "application/pdf"),
        tools=tuple(
            AskedTool(one["name"], one.get("parametersJsonSchema", one.get("parameters")))
            for tool in sent.get("tools", ())
            for one in tool["functionDeclarations"]
        ),
        tool_calls=tuple(
            (one.get("id", f"#{at}"), one["name"], one.get("args", {}))
            for at, one in enumerate(part["functionCall"] for _, part in parts if "functionCall" in part)
        ),
        tool_results=tuple(
            (one.get("id", f"#{at}"), str(one["response"].get("output", one["response"].get("error"))))
            for at, one in enumerate(part["functionResponse"] for part in of_user if "functionResponse" in part)
        ),
        opaque=tuple(
            part["thoughtSignature"]
            for _, part in parts
            if part.get("thoughtSignature", _NO_SIGNATURE) != _NO_SIGNATURE
        ),
        max_tokens=config.get("maxOutputTokens"),
        reasons=None if thinks is None else bool(thinks.get("includeThoughts")),
        schema=config.get("responseJsonSchema", config.get("responseSchema")),
    )


# --- what is said ----------------------------------------------------------------------------------------------------


def error(status: int, word: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    found = {"code": status, "message": message, "status": word}
    return {"error": found | ({"details": list(details)} if details else {})}


def _parts(says: Says, asked: Asked) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if says.reasoning and asked.reasons:
        parts.append({"text": says.reasoning, "thought": True})
    parts += [{"text": piece} for piece in says.pieces]
    calls = [_call(one.id, one.name, one.arguments, asked.model) for one in says.tools]
    parts += [{"functionCall": call} for call in calls]
    if says.signature:
        # On the first call; without one, on the last text.
        signed = next((part for part in parts if "functionCall" in part), parts[-1] if parts else {})
        signed["thoughtSignature"] = says.signature
    return parts


def _call(call_id: str, name: str, arguments: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Ids came with the third generation."""
    call: dict[str, Any] = {"name": name, "args": arguments}
    return call | ({"id": call_id} if is_third_generation(model) else {})


def _frame(parts: list[dict[str, Any]], says: Says, *, is_last: bool = False) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    counts: dict[str, Any] = {"promptTokenCount": says.input_tokens, "totalTokenCount": says.input_tokens}
    if is_last:
        candidate["finishReason"] = _FINISHES[says.finish]
        counts |= _counts(says)
    return {"candidates": [candidate], "usageMetadata": counts, "modelVersion": "fake", "responseId": "abc"}


def _counts(says: Says) -> dict[str, int]:
    counts = {
        "candidatesTokenCount": says.output_tokens - says.reasoning_tokens,
        "thoughtsTokenCount": says.reasoning_tokens,
        "cachedContentTokenCount": says.cached_tokens,
    }
    total = says.input_tokens + says.output_tokens
    return {name: count for name, count in counts.items() if count} | {"totalTokenCount": total}


def _event(frame: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(frame, ensure_ascii=False).encode() + b"\r\n\r\n"
