"""Random identifiers. All come from the operating system's generator."""

import os
import secrets
import time

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
URL_SAFE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


def random_text(length: int, alphabet: str = BASE62) -> str:
    """`length` characters, each drawn evenly from `alphabet`."""
    return "".join(secrets.choice(alphabet) for _ in range(length))


def short_id() -> str:
    """21 URL-safe characters, 126 bits: ids of messages, documents, calls."""
    raw = os.urandom(21)
    return "".join(URL_SAFE[byte & 63] for byte in raw)


def ulid() -> str:
    """26 lower-case characters that sort by creation time, to the millisecond (github.com/ulid/spec)."""
    value = (int(time.time() * 1000) << 80) | int.from_bytes(os.urandom(10))
    return "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))


def prefixed(prefix: str) -> str:
    """An id that says what it names: `user_01j…`."""
    return f"{prefix}_{ulid()}"


def base62(number: int, length: int) -> str:
    """`number` in base 62, left-padded with `0` to `length`. Higher digits than fit are dropped."""
    digits = []
    for _ in range(length):
        number, rest = divmod(number, 62)
        digits.append(BASE62[rest])
    return "".join(reversed(digits))
