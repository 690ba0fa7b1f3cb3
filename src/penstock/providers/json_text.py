"""JSON as providers and clients really write it: broken UTF-8, halves of surrogate pairs, nesting without end."""

import json
import re
from typing import Any

import msgspec

_SURROGATE = re.compile("[\ud800-\udfff]")
# An escaped pair is matched first and kept; a half that is left over is replaced. `\\` before `u` is a backslash.
_ESCAPES = re.compile(
    rb"(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)


_encode = msgspec.json.Encoder().encode


class NotJson(ValueError):
    """The text is not JSON, or too deeply nested to be read."""


def lenient_json(data: bytes) -> Any:
    """Decode JSON; broken UTF-8 and lone surrogates become U+FFFD. Raises NotJson and nothing else."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _decode_repaired(data)
    except RecursionError as error:
        raise NotJson("too deeply nested") from error


def _decode_repaired(data: bytes) -> Any:
    text = repair_escapes(data).decode("utf-8", "replace").removeprefix("\ufeff")
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise NotJson(str(error)) from error


def repair_escapes(data: bytes) -> bytes:
    r"""Replace lone surrogate escapes (`\ud83d` without its other half) by `\ufffd`; otherwise return `data` itself."""
    if b"\\ud" not in data and b"\\uD" not in data:
        return data
    return _ESCAPES.sub(lambda found: found[1] or rb"\ufffd", data)


def well_formed(text: str) -> str:
    """`text` without lone surrogates: every provider refuses them, and pasted text is full of them."""
    if text.isascii():
        return text
    return _SURROGATE.sub("\ufffd", text)


def encode_json(value: Any) -> bytes:
    """Compact UTF-8. Lone surrogates anywhere in `value` become U+FFFD."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", json.dumps(value, ensure_ascii=False, separators=(",", ":"))).encode()
