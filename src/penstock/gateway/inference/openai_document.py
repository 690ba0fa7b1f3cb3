"""What the OpenAPI document says of the OpenAI surface's calls. Only what the relay itself reads is bound to a type."""

from typing import Any

from penstock.http.document import Operation, error_response
from penstock.http.faces import OPENAI

_TEXT: dict[str, Any] = {"type": "string"}
_MESSAGE = {
    "type": "object",
    "properties": {
        "role": {"type": "string", "description": "`system`, `developer`, `user`, `assistant` or `tool`."},
        "content": {
            "description": "Text, or parts: text, images and what else the model reads.",
            "anyOf": [_TEXT, {"type": "array", "items": {"type": "object"}}, {"type": "null"}],
        },
    },
}
_REQUEST = {
    "title": "ChatRequest",
    "type": "object",
    "description": "Fields that are not listed here reach the provider as they are.",
    "required": ["model", "messages"],
    "properties": {
        "model": {"type": "string", "description": "A name of `GET /oai/v1/models`, or `agent-1`."},
        "messages": {"type": "array", "minItems": 1, "items": _MESSAGE},
        "stream": {"type": ["boolean", "null"], "description": "Answer with server-sent events."},
        "stream_options": {
            "type": ["object", "null"],
            "properties": {"include_usage": {"type": ["boolean", "null"]}},
        },
        "temperature": {"type": ["number", "null"]},
        "max_tokens": {"type": ["integer", "null"]},
        "max_completion_tokens": {"type": ["integer", "null"]},
        "tools": {"type": ["array", "null"], "items": {"type": "object"}},
    },
    "additionalProperties": True,
}
_ANSWER = {"title": "ChatAnswer", "type": "object", "description": "The provider's answer, byte for byte."}

CHAT_OPERATION: Operation = {
    "tags": ["OpenAI"],
    "summary": "Chat completions",
    "description": "Ask a model. A stream ends with `data: [DONE]` only if the answer is complete; one that fails ends "
    "with a frame that holds `error`.",
    "operationId": "oai_chat_completions",
    "requestBody": {"required": True, "content": {"application/json": {"schema": _REQUEST}}},
    "responses": {
        "200": {
            "description": "The answer, whole or as a stream.",
            "headers": {"X-Request-Id": {"schema": _TEXT}},
            "content": {"application/json": {"schema": _ANSWER}, "text/event-stream": {"schema": _TEXT}},
        },
        **{
            status: error_response(OPENAI, description)
            for status, description in {
                "400": "The request breaks a rule, here or at the provider.",
                "401": "The credential is missing, unknown, expired or revoked.",
                "403": "The credential may not use this model.",
                "404": "No model has this name.",
                "413": "The body is larger than MAX_BODY_BYTES.",
                "429": "A limit was reached, here or at the provider; `Retry-After` says when to come back.",
                "502": "The provider failed, or refuses us.",
            }.items()
        },
    },
}
