"""One event of the Messages format, decoded as far as it is looked at."""

from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.providers.failures import Failure, from_event, shape_mismatch
from penstock.providers.json_text import encode_json, lenient_json
from penstock.providers.wires.anthropic.refusals import as_sentence

# `Raw | None` would take nothing but null.
_ABSENT = msgspec.Raw()
_NOTHING = (b"", b"null")


class FrameDelta(msgspec.Struct, gc=False):
    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    citation: msgspec.Raw = _ABSENT
    stop_reason: str | None = None
    stop_details: msgspec.Raw = _ABSENT


class Frame(msgspec.Struct, gc=False):
    """The fields that are looked at; what is rare stays undecoded."""

    type: str
    index: int = 0
    delta: FrameDelta | None = None
    content_block: msgspec.Raw = _ABSENT
    message: msgspec.Raw = _ABSENT
    usage: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT


_frame_of = msgspec.json.Decoder(Frame).decode


def frame_of(data: bytes, name: bytes | None) -> Frame:
    """Decode one event; `name` is that of what it came in. Raises the Failure that it carries, NotJson, RecursionError.

    Broken text and fields of other types than ours are read as if they were not there.
    """
    try:
        frame = _frame_of(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _odd_frame(data, name)
    if (name == b"error" or bytes(frame.error) not in _NOTHING or frame.type == "error") and (
        failure := failure_in(lenient_json(data), name)
    ):
        raise failure
    return frame


def failure_in(payload: Any, name: bytes | None = None) -> Failure | None:
    """The error that an event or a document is, None for an ordinary one."""
    failure = from_event(payload, name=name)
    if failure is None:
        return None
    as_sentence(failure)
    request_id = payload.get("request_id") if isinstance(payload, dict) else None
    if isinstance(request_id, str):
        failure.upstream_request_id = request_id[:200]
    return failure


def decoded(raw: msgspec.Raw) -> Any:
    """None for what is absent or null. Raises NotJson."""
    text = bytes(raw)
    return None if text in _NOTHING else lenient_json(text)


def text_in(holder: Mapping[str, Any], field: str) -> str:
    value = holder.get(field)
    return value if isinstance(value, str) else ""


def _odd_frame(data: bytes, name: bytes | None) -> Frame:
    payload = lenient_json(data)
    if (failure := failure_in(payload, name)) is not None:
        raise failure
    if not isinstance(payload, dict):
        raise shape_mismatch("an event that is no object", data)
    delta, index = payload.get("delta"), payload.get("index")
    return Frame(
        text_in(payload, "type"),
        index if isinstance(index, int) and not isinstance(index, bool) else 0,
        _odd_delta(delta) if isinstance(delta, dict) else None,
        *(_raw(payload.get(field)) for field in ("content_block", "message", "usage")),
    )


def _odd_delta(delta: Mapping[str, Any]) -> FrameDelta:
    texts = {field: text_in(delta, field) for field in ("type", "text", "thinking", "signature", "partial_json")}
    return FrameDelta(
        **texts,
        citation=_raw(delta.get("citation")),
        stop_reason=text_in(delta, "stop_reason") or None,
        stop_details=_raw(delta.get("stop_details")),
    )


def _raw(value: Any) -> msgspec.Raw:
    return _ABSENT if value is None else msgspec.Raw(encode_json(value))
