"""The OpenAPI document: what the framework writes, with our errors, our credentials and the calls it does not know."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI

from penstock.http.faces import EDITOR, GATEWAY, OPENAI, Face, face_of

Operation = dict[str, Any]

# A credential is needed wherever an error has a face; operations of the management say themselves which.
_SURFACES = ("/v1/", "/oai/")
_MANAGEMENT = ("/panel/api/", "/environments")
_TEXT = {"type": "string"}
_ERRORS: Mapping[str, dict[str, Any]] = {
    EDITOR.name: {
        "title": "EditorError",
        "type": "object",
        "required": ["statusCode", "code", "message", "traceId"],
        "properties": {
            "statusCode": {"type": "integer", "description": "The HTTP status."},
            "code": {"type": "string", "description": "Stable, in kebab case."},
            "message": {"type": "string", "description": "What happened."},
            "explanation": {"type": "string", "description": "Why."},
            "action": {"type": "string", "description": "What to do."},
            "traceId": {"type": "string", "description": "The request id, as in `X-Request-Id` and in the log."},
            "data": {"type": "object", "description": "Detail for programs, such as `issues` of length."},
        },
    },
    GATEWAY.name: {
        "title": "GatewayError",
        "type": "object",
        "required": ["status", "error", "meta"],
        "properties": {
            "status": {"const": "error"},
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": {"type": "string", "description": "Stable, in upper snake case."},
                    "message": {"type": "string", "description": "What happened."},
                    "explanation": {"type": "string", "description": "Why."},
                    "action": {"type": "string", "description": "What to do."},
                    "retry_after": {"type": "integer", "description": "Seconds."},
                    "details": {
                        "type": "array",
                        "items": {"type": "object", "properties": {"field": _TEXT, "message": _TEXT}},
                    },
                },
            },
            "meta": {"type": "object", "required": ["request_id"], "properties": {"request_id": _TEXT}},
        },
    },
    OPENAI.name: {
        "title": "OpenAIError",
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type", "param", "code"],
                "properties": {
                    "message": {"type": "string", "description": "What happened, why, and what to do."},
                    "type": _TEXT,
                    "param": {"type": ["string", "null"], "description": "The field of the request, dotted."},
                    "code": {"type": "string", "description": "Stable, in snake case."},
                },
            }
        },
    },
}
_CREDENTIALS = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or an editor token."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
}
_MANAGEMENT_CREDENTIALS = {
    "management": {"type": "http", "scheme": "bearer", "description": "The management secret."},
    "timestamp": {"type": "apiKey", "in": "header", "name": "X-CS-Timestamp", "description": "Milliseconds."},
    "signature": {"type": "apiKey", "in": "header", "name": "X-CS-Signature", "description": "HMAC-SHA256."},
}


def describe(app: FastAPI, calls: Mapping[str, Operation]) -> None:
    """Make `app` serve the whole document. `calls` are the plain ASGI calls in front of it, each a `POST` by its path.

    A failure that an operation does not describe itself is added in the face of its path.
    """

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(FastAPI.openapi(app), calls)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def error_response(face: Face, description: str) -> dict[str, Any]:
    return _error_response([face], description)


def _completed(document: dict[str, Any], calls: Mapping[str, Operation]) -> dict[str, Any]:
    for path, operation in calls.items():
        document["paths"].setdefault(path, {})["post"] = operation
    for path, operation in _operations(document):
        _drop_framework_error(operation["responses"])
        if path.startswith(_SURFACES):
            operation["security"] = [{name: []} for name in _CREDENTIALS]
        if path.startswith((*_SURFACES, *_MANAGEMENT)):
            _add_failures(path, operation["responses"])
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas |= {schema["title"]: schema for schema in _ERRORS.values()}
    document["components"]["securitySchemes"] = {**_CREDENTIALS, **_MANAGEMENT_CREDENTIALS}
    return document


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, Operation]]:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            yield path, operation


def _drop_framework_error(responses: dict[str, Any]) -> None:
    """The framework promises a 422 of its own for every operation with a parameter; none is ever sent."""
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]


def _add_failures(path: str, responses: dict[str, Any]) -> None:
    # Where surfaces share a path, the credential decides how an error looks.
    faces = list({face.name: face for face in (face_of(path, b"Bearer ey"), face_of(path, None))}.values())
    responses.setdefault("4XX", _error_response(faces, "Refused: the request has to change, or to wait."))
    responses.setdefault("5XX", _error_response(faces, "Failed here or at a model's provider."))


def _error_response(faces: list[Face], description: str) -> dict[str, Any]:
    shapes = [{"$ref": f"#/components/schemas/{_ERRORS[face.name]['title']}"} for face in faces]
    return {
        "description": description,
        "headers": {"X-Request-Id": {"schema": _TEXT}},
        "content": {"application/json": {"schema": shapes[0] if len(shapes) == 1 else {"anyOf": shapes}}},
    }
