"""What the OpenAPI document says of the OpenAI surface's calls. Only what is read here is bound to a type."""

from typing import Any

from penstock.http.document import Operation, error_response
from penstock.http.faces import OPENAI

_TEXT: dict[str, Any] = {"type": "string"}
_MESSAGE = {
    "type": "object",
    "properties": {
        "role": {
            "type": "string",
            "description": "`system`, `developer`, `user`, `assistant`, `tool`, or `function` (older clients).",
        },
        "content": {
            "description": "Text, or parts: `text`, `image_url`, `file` with `file_data`, `input_audio`.",
            "anyOf": [_TEXT, {"type": "array", "items": {"type": "object"}}, {"type": "null"}],
        },
        "tool_calls": {"type": ["array", "null"], "items": {"type": "object"}},
        "tool_call_id": {"type": "string", "description": "Of a `tool` message: the call that it is the result of."},
        "reasoning_details": {
            "type": "array",
            "description": "Signed thoughts of an answer. Send them back as they came, with their message: some "
            "models refuse the result of a tool without them.",
            "items": {"type": "object"},
        },
    },
}
_REQUEST = {
    "title": "ChatRequest",
    "type": "object",
    "description": "Fields that are not listed here reach providers of the same format as they are; for the others "
    "the request is translated, and what they have no word for is left out. What would change the answer is refused: "
    "`logprobs`, audio as an answer, and `n` over 4.",
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
        "n": {"type": ["integer", "null"], "description": "How many answers."},
        "tools": {"type": ["array", "null"], "items": {"type": "object"}},
        "tool_choice": {"description": "`auto`, `none`, `required`, one tool by name, or `allowed_tools`."},
        "response_format": {"type": ["object", "null"], "description": "`text`, `json_object` or `json_schema`."},
        "reasoning_effort": {
            "type": ["string", "null"],
            "description": "`none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`, or the nearest one.",
        },
        "reasoning": {
            "type": ["object", "null"],
            "description": "For providers of another format: the same with a budget, and whether thoughts are shown.",
            "properties": {
                "effort": {"type": ["string", "null"]},
                "max_tokens": {"type": ["integer", "null"]},
                "exclude": {"type": ["boolean", "null"]},
            },
        },
    },
    "additionalProperties": True,
}
_ANSWER = {
    "title": "ChatAnswer",
    "type": "object",
    "description": "The answer of a provider of the same format, byte for byte; of any other, put into this format. "
    "Thoughts are in `reasoning_content`, signed ones in `reasoning_details`, sources in `annotations`.",
}
_ATTEMPTS = {
    "description": "How many requests were sent to providers for this call.",
    "schema": {"type": "integer"},
}

_WARNING = {
    "description": "A field that was not sent, because the model refuses it; one header for each.",
    "schema": _TEXT,
}

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
            "headers": {"X-Request-Id": {"schema": _TEXT}, "X-Penstock-Attempts": _ATTEMPTS, "X-Warning": _WARNING},
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
