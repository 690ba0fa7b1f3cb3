"""Signed thoughts on their way through an OpenAI client: `reasoning_details` of an assistant's message.

A client that sends the message back as it got it, as tool loops do, brings the provider's own blocks back unread
(`spec/providers.md` 2.5). They are packed, not sealed: they hold what the provider gave for the caller's own answer,
and the provider checks its signatures itself.
"""

import base64
import binascii
from typing import Any

import msgspec

from penstock.providers.base import Opaque
from penstock.providers.failures import shape_mismatch
from penstock.providers.json_text import encode_json

_TYPE = "reasoning.encrypted"
_FORMAT = "penstock/1"

_opaque_of = msgspec.json.Decoder(Opaque).decode


def packed(opaque: Opaque, index: int) -> dict[str, Any]:
    """One entry of `reasoning_details`. SDKs put streamed lists together by their entries' `index`.

    Raises ShapeMismatch for a block that cannot be written again.
    """
    try:
        data = base64.b64encode(encode_json(opaque)).decode()
    except RecursionError as error:
        raise shape_mismatch("JSON that is nested too deeply") from error
    return {"type": _TYPE, "format": _FORMAT, "data": data, "index": index}


def unpacked(details: Any) -> tuple[Opaque, ...]:
    """The blocks in what a client sent back. Entries that are not ours, or are broken, are left out."""
    entries = details if isinstance(details, list) else ()
    return tuple(opaque for entry in entries if (opaque := _unpacked(entry)) is not None)


def _unpacked(entry: Any) -> Opaque | None:
    if not isinstance(entry, dict) or entry.get("type") != _TYPE or entry.get("format") != _FORMAT:
        return None
    data = entry.get("data")
    if not isinstance(data, str):
        return None
    try:
        return _opaque_of(base64.b64decode(data.encode(), validate=True))
    except (binascii.Error, msgspec.DecodeError, UnicodeError, RecursionError):
        return None
