"""What the router's framework says when it refuses a request, in our errors. Its own bodies never leave the house."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from penstock.errors import InvalidRequest, NotFound, PenstockError
from penstock.http.answers import unexpected
from penstock.http.door import NotByThisMethod
from penstock.http.faces import OPENAI, error_headers
from penstock.http.incoming import incoming_of


class BadRequest(InvalidRequest):
    pass


class EndpointNotServed(NotFound):
    """A path of a known API that we do not serve: a client may fall back to another one."""

    code = "unsupported_endpoint"


def install_handlers(app: FastAPI) -> None:
    app.add_exception_handler(PenstockError, _penstock)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _framework)
    app.add_exception_handler(Exception, _bug)


async def _penstock(request: Request, error: Exception) -> Response:
    assert isinstance(error, PenstockError)
    incoming = incoming_of(request.scope)
    incoming.outcome = "error"
    allowed = getattr(error, "allowed", None)
    headers = error_headers(incoming.face, error)
    response = Response(incoming.face.body(error, incoming.id), incoming.face.status(error))
    response.raw_headers = [
        *headers,
        (b"content-length", b"%d" % len(response.body)),
        *([(b"allow", ", ".join(allowed).encode())] if allowed else []),
    ]
    return response


async def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = error.errors()
    if tuple(problems[0]["loc"]) == ("body",) and not _is_json(request):
        return await _penstock(request, _not_declared_json(request))
    return await _penstock(request, invalid(problems))


async def _framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, ClientDisconnect):
        incoming_of(request.scope).outcome = "client-abort"
        return Response(status_code=499)  # nobody is left to read it, but the metric log is
    return await _penstock(request, _translated(error, request))


async def _bug(request: Request, error: Exception) -> Response:
    """The framework raises `error` on when this has been sent; the door logs it."""
    return await _penstock(request, unexpected(incoming_of(request.scope).id))


def _translated(error: HTTPException, request: Request) -> PenstockError:
    if isinstance(error.__cause__, PenstockError):  # raised below the framework's body reader, which wraps it
        return error.__cause__
    if error.status_code == 405:
        return NotByThisMethod(request.method, _methods_here(request))
    if error.status_code == 404:
        kind = EndpointNotServed if incoming_of(request.scope).face is OPENAI else NotFound
        return kind(
            f"There is nothing at {request.scope['path'][:200]}.",
            action="Check the path and the HTTP method; /v1/api/doc.json lists what there is.",
        )
    return BadRequest("The request body could not be read.", explanation="It is not valid UTF-8 or not valid JSON.")


def _methods_here(request: Request) -> tuple[str, ...]:
    """Of every route with this path: the framework knows those of the first one only."""
    path = request.scope["path"]
    found: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        if route.path_regex.match(path):
            found |= route.methods or set()
    return tuple(sorted(found))


def _is_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind.startswith("application/") and kind.endswith(("/json", "+json"))


def _not_declared_json(request: Request) -> InvalidRequest:
    kind = request.headers.get("content-type")
    return BadRequest(
        "The request needs a JSON body.",
        explanation=f"It came with `Content-Type: {kind[:80]}`." if kind else "It came without `Content-Type`.",
        action="Send JSON, with the header `Content-Type: application/json`.",
        param="body",
    )


def invalid(problems: Sequence[Mapping[str, Any]]) -> InvalidRequest:
    """The first problem becomes the sentence; problems of length are listed as the editor understands them (2.4)."""
    first = problems[0]
    field = _field(first)
    issues = [_too_long(problem) for problem in problems if problem["type"] == "string_too_long"]
    return BadRequest(
        f"{field}: {_sentence(first)}",
        explanation="; ".join(f"{_field(one)}: {_sentence(one)}" for one in problems[1:6]) or None,
        action="Correct the request; sending it again unchanged will fail again.",
        data={"issues": issues} if issues else None,
        param=field,
    )


def _field(problem: Mapping[str, Any]) -> str:
    place = [str(part) for part in problem["loc"] if part not in ("body", "query", "path", "header")]
    return ".".join(place)[:200] or str(problem["loc"][0] if problem["loc"] else "body")


def _sentence(problem: Mapping[str, Any]) -> str:
    if problem["type"] == "json_invalid":
        position = problem["loc"][-1] if len(problem["loc"]) > 1 else "?"
        return f"the body is not valid JSON at character {position} ({problem.get('ctx', {}).get('error', '')})"
    sentence = str(problem["msg"]).removeprefix("Value error, ")  # our own checks need no label
    return sentence[:1].lower() + sentence[1:300]


def _too_long(problem: Mapping[str, Any]) -> dict[str, Any]:
    limit = problem["ctx"]["max_length"]
    length = len(problem["input"])
    return {
        "type": "too-long",
        "message": f"{_field(problem)} has {length} characters, {limit} are allowed.",
        "length": length,
        "maxLength": limit,
    }
