"""Faces: how a surface spells an error, names a request and fails in mid-stream. Faces translate; they decide nothing.

Shapes: editor `spec/editor-api.md` 2.4 and 2.7, gateway `spec/gateway-api.md` 2.6 and 17, OpenAI
`spec/providers.md` 15.1–15.2. What an error says comes from `errors.py` only.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, Protocol

from penstock.errors import PenstockError, UpstreamError, UpstreamTimeout

Header = tuple[bytes, bytes]

JSON_TYPE = (b"content-type", b"application/json")


class Face(Protocol):
    name: str

    def status(self, error: PenstockError) -> int: ...

    def body(self, error: PenstockError, request_id: str) -> bytes: ...

    def headers(self, request_id: str) -> list[Header]:
        """The face's own request id header, beside `x-request-id`, which every answer carries."""

    def error_frame(self, error: PenstockError, request_id: str) -> bytes:
        """What a stream says when it fails after its first event."""


def error_headers(face: Face, error: PenstockError) -> list[Header]:
    headers = [JSON_TYPE]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after_s))))
    if face.status(error) == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    # The OpenAI and Anthropic SDKs retry 409, 429 and 5xx by themselves unless told that it is pointless.
    if face.name == "openai" and not error.retryable and (error.status >= 500 or error.status in (409, 429)):
        headers.append((b"x-should-retry", b"false"))
    return headers


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


class EditorFace:
    name = "editor"

    _codes: Mapping[str, str] = {
        "invalid_request": "invalid-request-data",
        "unauthenticated": "invalid-jwt",
        "forbidden": "missing-permissions",
        "model_not_found": "MODEL_NOT_FOUND",
        "payload_too_large": "content-too-large",
        "limit_reached": "rate-limited",
    }

    def status(self, error: PenstockError) -> int:
        # The editor knows 422 and 502 for upstream trouble and takes any other status for a defect (2.4.1).
        if isinstance(error, UpstreamError):
            return 422 if error.code == "upstream_content_filtered" else 502
        return error.status

    def code(self, error: PenstockError) -> str:
        if isinstance(error, UpstreamTimeout):
            return "provider-timeout"
        if isinstance(error, UpstreamError):
            return "provider-error"
        return self._codes.get(error.code) or error.code.replace("_", "-")

    def body(self, error: PenstockError, request_id: str) -> bytes:
        fields = {
            "statusCode": self.status(error),
            "code": self.code(error),
            "message": error.message,
            "explanation": error.explanation,
            "action": error.action,
            "traceId": request_id,
            "data": error.data,
        }
        return _json({name: value for name, value in fields.items() if value is not None})

    def headers(self, request_id: str) -> list[Header]:
        return []

    def error_frame(self, error: PenstockError, request_id: str) -> bytes:
        cause: dict[str, Any] = {"code": self.code(error)}
        if isinstance(error, UpstreamError) and error.upstream_status is not None:
            cause["providerStatusCode"] = error.upstream_status
        cause |= {
            name: value
            for name, value in (("explanation", error.explanation), ("hint", error.action), ("traceId", request_id))
            if value
        }
        return b"event: error\ndata: " + _json({"message": error.message, "cause": cause}) + b"\n\n"


class GatewayFace:
    name = "gateway"

    _codes: Mapping[str, str] = {
        "invalid_request": "VALIDATION_ERROR",
        "unauthenticated": "AUTH_TOKEN_INVALID",
        "invalid_jwt": "AUTH_TOKEN_INVALID",
        "invalid_jwt_payload": "AUTH_TOKEN_INVALID",
        "invalid_jwt_signature": "AUTH_TOKEN_INVALID",
        "invalid_api_key": "AUTH_TOKEN_INVALID",
        "forbidden": "AUTHZ_PERMISSION_DENIED",
        "limit_reached": "RATE_LIMITED",
        "budget_exhausted": "BUDGET_EXCEEDED",
        "unavailable": "SERVICE_UNAVAILABLE",
        "coordination_unavailable": "SERVICE_UNAVAILABLE",
        "database_unavailable": "SERVICE_UNAVAILABLE",
        "upstream_rate_limited": "BACKEND_RATE_LIMITED",
        "upstream_shape_mismatch": "UPSTREAM_SHAPE_MISMATCH",
    }

    def status(self, error: PenstockError) -> int:
        return 422 if error.status == 400 else error.status

    def code(self, error: PenstockError) -> str:
        known = self._codes.get(error.code)
        if known is not None:
            return known
        if isinstance(error, UpstreamTimeout):
            return "BACKEND_TIMEOUT"
        if isinstance(error, UpstreamError):
            return "BACKEND_ERROR" if error.status >= 500 else "VALIDATION_ERROR"
        return error.code.upper()

    def body(self, error: PenstockError, request_id: str) -> bytes:
        return _json({"status": "error", "error": self._error(error), "meta": {"request_id": request_id}})

    def headers(self, request_id: str) -> list[Header]:
        return [(b"x-scaigrid-request-id", request_id.encode())]

    def error_frame(self, error: PenstockError, request_id: str) -> bytes:
        frame = self._error(error) | {"request_id": request_id}
        return b"event: error\ndata: " + _json(frame) + b"\n\ndata: [DONE]\n\n"

    def _error(self, error: PenstockError) -> dict[str, Any]:
        fields: dict[str, Any] = {"code": self.code(error), "message": error.message}
        if error.retry_after_s is not None:
            fields["retry_after"] = max(1, math.ceil(error.retry_after_s))
        if error.param is not None:
            fields["details"] = [{"field": error.param, "message": error.message}]
        fields |= {name: text for name in ("explanation", "action") if (text := getattr(error, name))}
        return fields


class OpenAIFace:
    """SDKs show `message` and little else, so it holds all three sentences."""

    name = "openai"

    _types: Mapping[int, str] = {
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        429: "rate_limit_error",
    }
    # Applications branch on this one: they shorten the conversation and ask again.
    _codes: Mapping[str, str] = {"upstream_context_too_long": "context_length_exceeded"}

    def status(self, error: PenstockError) -> int:
        return 400 if error.status == 422 else error.status

    def body(self, error: PenstockError, request_id: str) -> bytes:
        return _json({"error": self._error(error)})

    def headers(self, request_id: str) -> list[Header]:
        return []

    def error_frame(self, error: PenstockError, request_id: str) -> bytes:
        # No `[DONE]` follows: a stream that failed must not look finished.
        return b"data: " + _json({"error": self._error(error)}) + b"\n\n"

    def _error(self, error: PenstockError) -> dict[str, Any]:
        status = self.status(error)
        kind = self._types.get(status) or ("invalid_request_error" if status < 500 else "api_error")
        if error.code == "budget_exhausted":
            kind = "insufficient_quota"
        sentences = (error.message, error.explanation, error.action)
        return {
            "message": " ".join(_ended(text) for text in sentences if text),
            "type": kind,
            "param": error.param,
            "code": self._codes.get(error.code) or self._upstreams_code(error) or error.code,
        }

    def _upstreams_code(self, error: PenstockError) -> str | None:
        """Where the caller's own request is to blame, the provider's word for it is the one to branch on."""
        if not isinstance(error, UpstreamError) or self.status(error) != 400:
            return None
        code = error.upstream_code
        return code if code is not None and not code.lower().endswith("error") else None


def _ended(text: str) -> str:
    """A provider's own words may lack the full stop that others follow."""
    return text if text[-1:] in ".!?…:;" else f"{text}."


EDITOR = EditorFace()
GATEWAY = GatewayFace()
OPENAI = OpenAIFace()

_EDITOR_PATHS = ("/v1/conversations", "/v1/actions", "/v1/reviews", "/v1/models/1", "/v1/mcp/", "/v1/api/", "/v1/docs")


def face_of(path: str, authorization: bytes | None) -> Face:
    """The face of a path. Where surfaces share one, the credential decides: editor tokens are JWTs."""
    if path.startswith("/oai/"):
        return OPENAI
    if not path.startswith("/v1/") or path.startswith(_EDITOR_PATHS):
        return EDITOR
    return EDITOR if authorization and authorization[7:9] == b"ey" else GATEWAY
