"""What a provider said when it failed: error bodies of every shape, taken apart."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from penstock.providers.failures.kinds import MAX_MESSAGE_CHARS
from penstock.providers.json_text import NotJson, lenient_json


class Said(msgspec.Struct, kw_only=True):
    """An error body of any shape, taken apart."""

    message: str = ""
    codes: tuple[str, ...] = ()
    """Every word that may be a code, the most precise first."""
    number: int | None = None
    """A status inside the body."""
    retry_after: Any = None
    flagged: bool = False
    param: str | None = None
    """The field of the request that is to blame."""
    is_structured: bool = False
    """It was JSON, so it comes from the provider and not from something in between."""


def payload_of(body: bytes) -> Any:
    """The decoded body when it is a JSON object (or a list with one), else None."""
    try:
        payload = lenient_json(body.strip())
    except NotJson:
        return None
    if isinstance(payload, list):
        payload = next((one for one in payload if isinstance(one, dict)), None)
    if isinstance(payload, str):
        return {"message": payload}
    return payload if isinstance(payload, dict) else None


# Routers wrap a provider's error once; what is nested deeper was made to be deep.
_MAX_DEPTH = 4


def said_in(payload: Mapping[str, Any], depth: int = 0) -> Said:
    inner = payload.get("error")
    error: Mapping[str, Any] = inner if isinstance(inner, dict) else payload
    metadata = error.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    message = _sentence(inner) if isinstance(inner, str) else _first_text(error, ("message", "detail", "msg"))
    if not message:
        message = _first_text(payload, ("message", "detail"))
    codes, number = [], None
    for holder in (error, payload):
        for field in ("code", "status_code", "http_status", "status", "type", "error_type"):
            value = holder.get(field)
            if isinstance(value, str) and re.fullmatch("[1-5][0-9][0-9]", value):
                value = int(value)
            if isinstance(value, bool):
                continue
            if isinstance(value, int) and number is None and 100 <= value <= 599:
                number = value
            elif isinstance(value, str) and value not in ("error", ""):
                codes.append(value)
    raw = metadata.get("raw")
    if raw and depth < _MAX_DEPTH:
        # A router's own sentence is only "Provider returned error"; the reason is one level down.
        deeper = payload_of(raw.encode("utf-8", "replace")) if isinstance(raw, str) else raw
        nested = said_in(deeper, depth + 1) if isinstance(deeper, dict) else Said(message=_sentence(raw))
        message = nested.message or message
        codes = [*nested.codes, *codes]
    return Said(
        message=message,
        codes=tuple(codes),
        number=number,
        retry_after=error.get("retry_after", metadata.get("retry_after")),
        flagged="flagged_input" in metadata or "reasons" in metadata,
        param=param[:100] if isinstance(param := error.get("param"), str) and param else None,
        is_structured=True,
    )


def _first_text(holder: Mapping[str, Any], fields: Iterable[str], depth: int = 0) -> str:
    for field in fields:
        if text := _sentence(holder.get(field), depth):
            return text
    return ""


def _sentence(value: Any, depth: int = 0) -> str:
    """The text of a message field: a string, an object with a message, or a list of validation errors."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and depth < _MAX_DEPTH:
        return _first_text(value, ("message", "msg", "detail"), depth + 1)
    if isinstance(value, list):
        return "; ".join(_validation_error(one) for one in value[:10] if isinstance(one, dict))
    return ""


def _validation_error(one: Mapping[str, Any]) -> str:
    place = one.get("loc")
    where = ".".join(str(part) for part in place if isinstance(part, str | int)) if isinstance(place, list) else ""
    what = _first_text(one, ("msg", "message"), _MAX_DEPTH)
    return f"{where}: {what}" if where else what


_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_MESSAGE = re.compile(r'"(?:message|msg|detail)"\s*:\s*("(?:[^"\\]|\\.)*")')
_MOST_READ = 8 * MAX_MESSAGE_CHARS


def plain_text(body: bytes) -> str:
    text = body[:_MOST_READ].decode("utf-8", "replace").strip()
    if text.startswith(("{", "[")):
        return _message_in_a_piece(text, is_cut=len(body) > _MOST_READ)
    if not text.startswith("<"):
        return text
    title = _TITLE.search(text)
    return f"An HTML page instead of an answer: {title[1].strip()}" if title else "An HTML page instead of an answer"


def _message_in_a_piece(text: str, *, is_cut: bool) -> str:
    """Of JSON that was cut off. Validators repeat the whole request, and none of that is a message."""
    found = _MESSAGE.search(text)
    if found is None:
        return "" if is_cut else text
    try:
        return str(lenient_json(found[1].encode()))
    except NotJson:
        return found[1]
