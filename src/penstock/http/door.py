"""The front door: the ASGI application in front of everything.

It gives each request its id and its face, answers preflights, bounds bodies, finds model calls by exact path without
a router, and turns whatever was raised into the face's error. Nothing below it sends an error body.
"""

import asyncio
import re
from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

import msgspec

from penstock.errors import (
    InvalidRequest,
    MethodNotAllowed,
    PenstockError,
    Unavailable,
    UnsupportedMediaType,
)
from penstock.http.answers import log_failure, send_error, unexpected
from penstock.http.bodies import BodyTooLarge, bounded
from penstock.http.faces import Header, face_of
from penstock.http.incoming import SCOPE_KEY, AsgiApp, Incoming, Message, Receive, Scope, Send
from penstock.http.origins import Origins
from penstock.telemetry.logs import bind_request, log
from penstock.telemetry.requests import RequestLog, RequestMeters


class ModelCall(Protocol):
    """A model call: plain ASGI, reached by `POST` on an exact path."""

    def __call__(self, incoming: Incoming, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]: ...


_NO_ROUTE = "none"
_ONCE = frozenset((b"authorization", b"x-api-key", b"content-type", b"content-length", b"origin"))


class Uploads(msgspec.Struct, frozen=True):
    """Requests whose bodies are files, with a limit of their own. `paths` matches whole paths."""

    paths: re.Pattern[str]
    max_bytes: int


class Door:
    def __init__(
        self,
        *,
        calls: Mapping[str, ModelCall],
        router: AsgiApp,
        origins: Origins,
        max_body_bytes: int,
        request_log: RequestLog | None,
        body_within_s: float = 300.0,
        uploads: Uploads | None = None,
        request_meters: RequestMeters | None = None,
    ) -> None:
        self._calls = calls
        self._router = router
        self._origins = origins
        self._max_body_bytes = max_body_bytes
        self._request_log = request_log
        self._body_within_s = body_within_s
        self._uploads = uploads
        self._request_meters = request_meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError("only HTTP is served")
        sent = scope["headers"]
        headers: dict[bytes, bytes] = dict(sent)
        repeated = None if len(headers) == len(sent) else _repeated(sent)
        authorization = headers.get(b"authorization")
        path: str = scope["path"]
        incoming = Incoming(scope, face_of(path, authorization))
        incoming.authorization = authorization
        incoming.x_api_key = headers.get(b"x-api-key")
        incoming.origin = headers.get(b"origin")
        incoming.editor_version = headers.get(b"x-editor-version")
        incoming.headers = incoming.id_headers() + self._origins.headers(incoming.origin)
        scope[SCOPE_KEY] = incoming
        bind_request(incoming.id)
        if self._request_meters is not None:
            self._request_meters.begin()
        try:
            if repeated is not None:
                raise _Repeated(repeated)
            length = headers.get(b"content-length")
            if length is not None and int(length) > self._max_body_bytes:
                self._check_length(path, int(length))
            if b"content-encoding" in headers:
                _check_encoding(headers[b"content-encoding"])
            call = self._calls.get(path)
            if call is not None and incoming.method == "POST":
                await call(incoming, scope, receive, send)
            else:
                await self._serve_route(incoming, scope, headers, receive, send)
        except PenstockError as error:
            await self._refuse(incoming, send, error)
        except asyncio.CancelledError:
            await self._stop(incoming, send)
        except Exception as error:
            await self._report_bug(incoming, send, error)
        finally:
            if self._request_log is not None:
                self._request_log.write(incoming)
            if self._request_meters is not None:
                self._request_meters.end(incoming, self._route(incoming.path, scope))

    async def _serve_route(
        self, incoming: Incoming, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        if incoming.method == "OPTIONS" and incoming.origin and b"access-control-request-method" in headers:
            await self._answer_preflight(incoming, headers, send)
        elif incoming.path in self._calls:
            raise NotByThisMethod(incoming.method, ("POST",))
        else:
            limit, variable = self._bound(incoming.path)
            receive = bounded(receive, limit_bytes=limit, within_s=self._body_within_s, variable=variable)
            await self._router(scope, receive, _dressed(incoming, send))

    def _check_length(self, path: str, length: int) -> None:
        """Before a byte of the body is read."""
        limit, variable = self._bound(path)
        if length > limit:
            raise BodyTooLarge(limit, variable)

    def _bound(self, path: str) -> tuple[int, str]:
        """How large a body may be there, and the setting that says so."""
        if self._uploads is not None and self._uploads.paths.fullmatch(path):
            return self._uploads.max_bytes, "MAX_UPLOAD_BYTES"
        return self._max_body_bytes, "MAX_BODY_BYTES"

    async def _answer_preflight(self, incoming: Incoming, headers: Mapping[bytes, bytes], send: Send) -> None:
        assert incoming.origin is not None
        granted = self._origins.preflight(incoming.origin, headers.get(b"access-control-request-headers"))
        incoming.status = 204
        answer_headers = incoming.id_headers() + granted
        await send({"type": "http.response.start", "status": 204, "headers": answer_headers})
        await send({"type": "http.response.body"})

    def _route(self, path: str, scope: Scope) -> str:
        """The path as its route has it: there are few of them, whatever callers ask for."""
        if path in self._calls:
            return path
        return getattr(scope.get("route"), "path", _NO_ROUTE)

    async def _refuse(self, incoming: Incoming, send: Send, error: PenstockError) -> None:
        incoming.fail(error)
        log_failure(incoming, error)
        if incoming.status:
            raise error  # too late for an answer: the server cuts the connection, so it cannot look complete
        await send_error(incoming, send, error)

    async def _stop(self, incoming: Incoming, send: Send) -> None:
        """Only the server cancels: the grace for running answers is over. One that has begun is cut by returning."""
        stopping = _Stopping()
        incoming.fail(stopping)
        if incoming.status == 0:
            await send_error(incoming, send, stopping)

    async def _report_bug(self, incoming: Incoming, send: Send, error: Exception) -> None:
        incoming.outcome = "error"
        log.error("unexpected failure", path=incoming.path, exc_info=error)
        if incoming.status == 0:
            await send_error(incoming, send, unexpected(incoming.id))
        elif not incoming.complete:
            raise error


class NotByThisMethod(MethodNotAllowed):
    def __init__(self, method: str, allowed: tuple[str, ...]) -> None:
        super().__init__(
            f"This path does not answer {method}.", action=f"Use {' or '.join(allowed)}." if allowed else None
        )
        self.allowed = allowed


def _check_encoding(encoding: bytes) -> None:
    shown = encoding.decode("latin-1")[:80]
    if shown.strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType(
            f"The request body is encoded (`Content-Encoding: {shown}`).",
            explanation="Compressed bodies are not read: their true size shows only when it is too late.",
            action="Send the body as it is, without Content-Encoding.",
        )


class _Stopping(Unavailable):
    def __init__(self) -> None:
        super().__init__("The service is stopping.", action="Send the request again.", retry_after_s=1)


class _Repeated(InvalidRequest):
    def __init__(self, name: bytes) -> None:
        header = name.decode("latin-1")
        super().__init__(
            f"The header `{header}` was sent more than once.",
            explanation="Which one counts would be a guess, and a proxy in between may guess differently.",
            action=f"Send `{header}` once.",
        )


def _repeated(sent: Sequence[Header]) -> bytes | None:
    """The name of a header that may come once, and came twice."""
    names = [name for name, _ in sent]
    return next((name for name in _ONCE if names.count(name) > 1), None)


def _dressed(incoming: Incoming, send: Send) -> Send:
    """Adds the request id and CORS headers to a router's answer, and keeps count for the metric log."""

    async def dressed(message: Message) -> None:
        if message["type"] == "http.response.start":
            incoming.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *incoming.headers]
        else:
            incoming.bytes_out += len(message.get("body", b""))
            incoming.complete = not message.get("more_body", False)
        await send(message)

    return dressed
