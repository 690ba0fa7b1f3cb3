"""Thought signatures: what is kept of an answer, and on which parts it goes back (`spec/providers.md` 2.5, 7.3).

A block says which part it was on: `{"thoughtSignature", "call": id}` for a function call, `{"thoughtSignature",
"start", "chars", "after"}` for a text, by its place in the answer's text and the number of calls before it. Blocks come
back from callers, so nothing about them is sure.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from penstock.providers.base import Opaque

WIRE_NAME = "gemini"

# Tells the validator that the history was not written by this model; bytes travel as base64.
PLACEHOLDER = base64.b64encode(b"skip_thought_signature_validator").decode()


class SignedText(msgspec.Struct, frozen=True):
    signature: str
    start: int
    chars: int
    after: int
    """How many calls stand before it."""


class Signatures(msgspec.Struct, frozen=True):
    """Of one assistant's turn."""

    calls: Mapping[str, str] = {}
    """By the call's id."""
    texts: Sequence[SignedText] = ()


def on_call(signature: str, call_id: str) -> dict[str, Any]:
    return {"thoughtSignature": signature, "call": call_id}


def on_text(signature: str, *, start: int, chars: int, after: int) -> dict[str, Any]:
    return {"thoughtSignature": signature, "start": start, "chars": chars, "after": after}


def signatures_in(blocks: Iterable[Opaque], model: str) -> Signatures:
    """Those that this model has written through this wire; others would be refused."""
    calls: dict[str, str] = {}
    texts: list[SignedText] = []
    for one in blocks:
        if one.wire != WIRE_NAME or one.model != model:
            continue
        block = one.block
        signature, call_id = block.get("thoughtSignature"), block.get("call")
        if not isinstance(signature, str) or not signature:
            continue
        if isinstance(call_id, str):
            calls.setdefault(call_id, signature)
        else:
            places = [_count(block.get(name)) for name in ("start", "chars", "after")]
            texts.append(SignedText(signature, *places))
    return Signatures(calls, texts)


def signed_texts(text: str, signed: Iterable[SignedText]) -> list[dict[str, Any]]:
    """`text` as parts, cut where signatures were. One whose place is gone stands on an empty part at the end."""
    parts: list[dict[str, Any]] = []
    at = 0
    for one in signed:
        start, end = one.start, one.start + one.chars
        if start < at or end > len(text):
            start = end = len(text)
        if start > at:
            parts.append({"text": text[at:start]})
        parts.append({"text": text[start:end], "thoughtSignature": one.signature})
        at = end
    if at < len(text):
        parts.append({"text": text[at:]})
    return parts


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
