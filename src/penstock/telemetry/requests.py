"""What is told of a request when its answer has ended: a line (`spec/editor-api.md` 16.1), and metrics."""

import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from penstock.kit.clock import iso
from penstock.telemetry.logs import write_line
from penstock.telemetry.meters import (
    REQUEST_SECONDS,
    REQUESTS,
    REQUESTS_RUNNING,
    STREAM_ERRORS,
    STREAMS_RUNNING,
)

_SILENT_PATHS = frozenset(("/health", "/health/ready"))
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_GONE = 499
_UNNAMED = "internal_error"


class ServedRequest(Protocol):
    """What is read of a request; `http/incoming.py` is one."""

    @property
    def id(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def status(self) -> int: ...
    @property
    def started(self) -> float: ...
    @property
    def bytes_out(self) -> int: ...
    @property
    def outcome(self) -> str: ...
    @property
    def editor_version(self) -> bytes | None: ...
    @property
    def extra(self) -> dict[str, Any] | None: ...
    @property
    def explain(self) -> Callable[[], dict[str, Any]] | None: ...
    @property
    def surface(self) -> str: ...
    @property
    def is_stream(self) -> bool: ...
    @property
    def failure_code(self) -> str | None: ...


class RequestLog:
    """`log_user_ids`: write the user's `sub` as it is; else a hash that still groups one user's lines."""

    def __init__(self, *, log_user_ids: bool) -> None:
        self._log_user_ids = log_user_ids

    def write(self, request: ServedRequest) -> None:
        if request.path in _SILENT_PATHS:
            return
        line: dict[str, Any] = {
            "timestamp": iso(datetime.now(UTC)),
            "method": request.method,
            "path": request.path,
            "statusCode": request.status or _GONE,
            "durationMs": round((time.perf_counter() - request.started) * 1000),
            "traceId": request.id,
            "bytesOut": request.bytes_out,
            "outcome": request.outcome,
        }
        if request.editor_version is not None:
            line["editorVersion"] = request.editor_version[:64].decode("latin-1")
        line |= request.extra or {}
        line |= request.explain() if request.explain is not None else {}
        subject = line.pop("sub", None)
        if subject is not None:
            line["sub"] = subject if self._log_user_ids else hashlib.sha256(subject.encode()).hexdigest()[:16]
        write_line(line)


class RequestMeters:
    """Counts each request once, at its end."""

    def begin(self) -> None:
        REQUESTS_RUNNING.change(1)

    def end(self, request: ServedRequest, route: str) -> None:
        """`route` is the path with its parameters left open."""
        REQUESTS_RUNNING.change(-1)
        method = request.method if request.method in _METHODS else "other"
        REQUESTS.add(route, method, str(request.status or _GONE), request.outcome)
        REQUEST_SECONDS.put(time.perf_counter() - request.started, route)
        if request.is_stream:
            STREAMS_RUNNING.change(-1)
            if request.outcome == "error":
                STREAM_ERRORS.add(request.surface, request.failure_code or _UNNAMED)
