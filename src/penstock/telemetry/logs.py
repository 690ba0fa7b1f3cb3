"""Application logs: JSON lines on stdout with a numeric `level` (`spec/editor-api.md` 11.2 and 16.2)."""

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from penstock.kit.clock import iso

_LEVELS = {"debug": 20, "info": 30, "warning": 40, "error": 50, "critical": 60, "exception": 50}
_encoder = msgspec.json.Encoder(enc_hook=str)


def _numbered(_: Any, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    line = {"timestamp": iso(datetime.now(UTC)), "level": _LEVELS.get(method, 30), "message": event.pop("event")}
    request_id = _request_id.get()
    if request_id is not None:
        line["requestId"] = request_id
    return {**line, **event}


def _rendered(_: Any, __: str, event: structlog.typing.EventDict) -> bytes:
    return _encoder.encode(event)


class _Lines:
    """Writes whole lines; a broken pipe must not break a request."""

    def msg(self, line: bytes) -> None:
        try:
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.flush()
        except (BrokenPipeError, ValueError):
            pass

    debug = info = warning = error = critical = exception = msg


_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


def configure_logs(level: int) -> None:
    """`level` as the variable LOG_LEVEL counts: 10 trace, 20 debug, 30 info, 40 warn, 50 error, 60 fatal."""
    structlog.configure(
        processors=[
            structlog.processors.format_exc_info,
            _numbered,
            _rendered,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(max(0, level - 10)),
        logger_factory=lambda *_: _Lines(),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(logging.WARNING, level - 10), handlers=[_Forward()], force=True)


bind_request = _request_id.set
"""Put this request id on every line that is written from here on in this task."""


class _Forward(logging.Handler):
    """Lines of libraries that use the standard `logging` module come out in the same shape."""

    def emit(self, record: logging.LogRecord) -> None:
        method = "error" if record.levelno >= logging.ERROR else "warning"
        getattr(log, method)(record.getMessage(), logger=record.name, exc_info=record.exc_info)


def write_line(fields: dict[str, Any]) -> None:
    """One JSON line whatever LOG_LEVEL says: the metric log and the boot report."""
    _Lines().msg(_encoder.encode(fields))
