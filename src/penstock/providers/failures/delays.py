"""When to come back, in the many ways of saying it (`spec/providers.md` 14.3)."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from penstock.providers.failures.said import Said, payload_of, plain_text, said_in
from penstock.providers.transport.base import Header

MAX_RETRY_AFTER_S = 120.0
SHORT_WAIT_S = 5.0
"""The longest wait that is waited for here: it costs a caller less than asking again (`spec/providers.md` 2.7)."""

_TEXT_DELAY = re.compile(
    r"(?:try again in|retry after|retry in)\s+((?:\d+(?:\.\d+)?\s*(?:ms|h|m|s)?\s*)+)", re.IGNORECASE
)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|h|m|s)?", re.IGNORECASE)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}


def retry_after(headers: Sequence[Header], body: bytes) -> float | None:
    """Seconds until another try makes sense, at most 120; None when nobody said so (`spec/providers.md` 14.3)."""
    found = {name: value.decode("latin-1").strip() for name, value in headers}
    in_milliseconds = seconds_of(found.get(b"retry-after-ms"))
    if in_milliseconds is not None:
        return capped(in_milliseconds / 1000)
    for delay in (seconds_of(found.get(b"retry-after")), _until_date(found.get(b"retry-after"))):
        if delay is not None:
            return capped(delay)
    payload = payload_of(body)
    said = said_in(payload) if payload is not None else Said(message=plain_text(body))
    for delay in (_google_delay(payload), seconds_of(said.retry_after), _reset_of_exhausted(found)):
        if delay is not None:
            return capped(delay)
    return capped(delay_in_text(said.message))


def capped(delay: float | None) -> float | None:
    return None if delay is None else min(delay, MAX_RETRY_AFTER_S)


def seconds_of(value: Any) -> float | None:
    """A number of seconds, also as text; None for anything else, negative ones and NaN included."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if seconds >= 0 else None


def _duration(text: str | None) -> float | None:
    """`1m2.5s`, `120ms`, `6s`, `38s`; a bare number is seconds."""
    parts = _DURATION_PART.findall(text) if text else []
    if not parts:
        return None
    return float(sum(float(number) * _UNITS[unit.lower()] for number, unit in parts))


def _until_date(text: str | None) -> float | None:
    """Seconds until an HTTP date (RFC 9110, 10.2.3). One that has passed is no delay."""
    if not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
    return _until(moment)


def _until(moment: datetime) -> float | None:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    delay = (moment - datetime.now(UTC)).total_seconds()
    return delay if delay >= 0 else None


def _google_delay(payload: Any) -> float | None:
    error = payload.get("error") if isinstance(payload, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and isinstance(detail.get("retryDelay"), str):
            return _duration(detail["retryDelay"])
    return None


def _reset_of_exhausted(found: Mapping[bytes, str]) -> float | None:
    for dimension in (b"requests", b"tokens"):
        if found.get(b"x-ratelimit-remaining-" + dimension) == "0":
            return _duration(found.get(b"x-ratelimit-reset-" + dimension))
    for name, value in found.items():
        if name.startswith(b"anthropic-ratelimit-") and name.endswith(b"-reset"):
            remaining = found.get(name.removesuffix(b"-reset") + b"-remaining")
            if remaining == "0":
                return _until_instant(value)
    return None


def _until_instant(text: str) -> float | None:
    try:
        return _until(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def delay_in_text(message: str) -> float | None:
    found = _TEXT_DELAY.search(message)
    return _duration(found[1]) if found else None
