"""How OpenAI, Azure, Mistral, Qwen and compatible servers word what they refuse."""

from collections.abc import Mapping
from typing import Any

from tests.fakes.dialects.base import Refusal, RefusalKind

Row = tuple[int, Any]


def openai_error(status: int, message: str, code: str | None, kind: str = "invalid_request_error") -> Row:
    return status, {"error": {"message": message, "type": kind, "param": None, "code": code}}


OPENAI: Mapping[RefusalKind, Row] = {
    "auth": openai_error(401, "Incorrect API key provided: sk-fake***0001.", "invalid_api_key"),
    "permission": openai_error(
        403, "Country, region, or territory not supported", "unsupported_country_region_territory"
    ),
    "not_found": openai_error(404, "The model `x` does not exist or you do not have access to it.", "model_not_found"),
    "rate_limited": openai_error(429, "Rate limit reached for requests.", "rate_limit_exceeded", "requests"),
    "billing": openai_error(429, "You exceeded your current quota.", "insufficient_quota", "insufficient_quota"),
    "invalid_request": openai_error(400, "Invalid value: 'robot'.", "invalid_value"),
    "context_too_long": openai_error(
        400, "This model's maximum context length is 128000 tokens.", "context_length_exceeded"
    ),
    "content_filtered": openai_error(400, "Your request was rejected by our usage policy.", "invalid_prompt"),
    "server_error": openai_error(500, "The server had an error.", None, "server_error"),
    "overloaded": openai_error(503, "The engine is currently overloaded.", "engine_overloaded", "server_error"),
}

_FILTERED = {
    "hate": {"filtered": False, "severity": "safe"},
    "violence": {"filtered": True, "severity": "medium"},
    "jailbreak": {"filtered": True, "detected": True},
}
AZURE: Mapping[RefusalKind, Row] = {
    "auth": (
        401,
        {"error": {"code": "401", "message": "Access denied due to invalid subscription key or wrong API endpoint."}},
    ),
    "permission": (403, {"error": {"code": "403", "message": "Access denied due to Virtual Network/Firewall rules."}}),
    "not_found": (
        404,
        {"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}},
    ),
    "rate_limited": (429, {"error": {"code": "RateLimitReached", "message": "Please retry after 10 seconds."}}),
    "billing": openai_error(429, "You exceeded your quota.", "insufficient_quota", "insufficient_quota"),
    "invalid_request": (400, {"error": {"code": "BadRequest", "message": "The request is wrong."}}),
    "context_too_long": OPENAI["context_too_long"],
    "content_filtered": (
        400,
        {
            "error": {
                "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management "
                "policy. Please modify your prompt and retry. To learn more, read our documentation.",
                "type": None,
                "param": "prompt",
                "code": "content_filter",
                "status": 400,
                "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": _FILTERED},
            }
        },
    ),
    "server_error": (500, {"error": {"code": "InternalServerError", "message": "Internal server error"}}),
    "overloaded": (503, {"error": {"code": "ServiceUnavailable", "message": "The service is unavailable."}}),
}

COMPATIBLE: Mapping[RefusalKind, Row] = {
    **OPENAI,
    "auth": (401, {"error": "Unauthorized"}),
    "permission": (403, {"error": {"message": "Forbidden", "type": "forbidden"}}),
    "not_found": (404, {"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError"}),
    "invalid_request": (400, {"object": "error", "message": "Bad request.", "type": "BadRequestError", "code": 400}),
    "context_too_long": (
        400,
        {
            "error": {
                "code": 400,
                "message": "the request exceeds the available context size (4096 tokens)",
                "type": "exceed_context_size_error",
            }
        },
    ),
    "overloaded": (
        503,
        {"error": {"code": 503, "message": "The server is busy", "type": "unavailable_error"}},
    ),
}

MISTRAL: Mapping[RefusalKind, Row] = {
    "auth": (401, {"detail": "Unauthorized"}),
    "permission": (403, {"message": "You cannot use this model.", "request_id": "r1"}),
    "not_found": (400, {"object": "error", "message": "Invalid model: x", "type": "invalid_model", "code": "1500"}),
    "rate_limited": (429, {"message": "Requests rate limit exceeded"}),
    "billing": (402, {"message": "Payment required"}),
    "invalid_request": (
        422,
        {"detail": [{"loc": ["body", "temperature"], "msg": "Input should be less than 1.5", "type": "x"}]},
    ),
    "context_too_long": (
        400,
        {
            "object": "error",
            "message": "Prompt contains 99999 tokens, too large for model with 32768 maximum context length",
            "type": "invalid_request_error",
            "code": "3051",
        },
    ),
    "content_filtered": (400, {"message": "The input was flagged by moderation.", "type": "moderation"}),
    "server_error": (500, {"object": "error", "message": "Internal server error", "type": "internal_server_error"}),
    "overloaded": (503, {"object": "error", "message": "Service unavailable.", "type": "internal_server_error"}),
}

QWEN: Mapping[RefusalKind, Row] = {
    **OPENAI,
    "auth": openai_error(401, "Incorrect API key provided.", "invalid_api_key"),
    "permission": openai_error(403, "Access denied.", "AccessDenied.Unpurchased", "AccessDenied.Unpurchased"),
    "rate_limited": openai_error(429, "Requests throttled.", "limit_requests", "limit_requests"),
    "billing": openai_error(400, "Access denied, please make sure your account is in good standing.", "Arrearage"),
    "context_too_long": openai_error(400, "Range of input length should be [1, 30720]", "invalid_parameter_error"),
    "content_filtered": openai_error(400, "Input data may contain inappropriate content.", "data_inspection_failed"),
    "server_error": openai_error(500, "An internal error has occured.", "internal_error", "InternalError"),
    "overloaded": openai_error(503, "Model serving is overloaded.", "ServiceUnavailable", "ServiceUnavailable"),
}


def worded(rows: Mapping[RefusalKind, Row], kind: RefusalKind, retry_after_s: int | None) -> Refusal:
    status, body = rows[kind]
    headers = () if retry_after_s is None else (("retry-after", str(retry_after_s)),)
    return Refusal(status, body, headers)
