"""The format of API keys: `sgk_`, 12 characters of id, 32 of secret, 6 of checksum, all base 62."""

import zlib
from datetime import datetime
from typing import Literal

import msgspec

from penstock.gateway.identity.errors import InvalidApiKey
from penstock.kit.clock import iso
from penstock.kit.ids import BASE62, base62, random_text

PREFIX = "sgk_"
_ID_LENGTH, _SECRET_LENGTH, _CHECKSUM_LENGTH = 12, 32, 6
_LENGTH = len(PREFIX) + _ID_LENGTH + _SECRET_LENGTH + _CHECKSUM_LENGTH
_ALPHABET = frozenset(BASE62)

Reason = Literal["unknown", "revoked", "expired", "mistyped"]


class ParsedKey(msgspec.Struct, frozen=True):
    """A key whose checksum is right; nothing else is known of it. `id` names it, `last4` are shown to its owner."""

    id: str
    last4: str


def new_key() -> str:
    body = PREFIX + random_text(_ID_LENGTH + _SECRET_LENGTH)
    return body + _checksum(body)


def key_from_seed(seed: bytes) -> str:
    """The same 32 secret bytes give the same key. For a key that is shown again at every start without being stored."""
    body = PREFIX + base62(int.from_bytes(seed), _ID_LENGTH + _SECRET_LENGTH)
    return body + _checksum(body)


def parse_key(text: str) -> ParsedKey:
    """Raises InvalidApiKey (`mistyped`) without having asked anybody: the checksum is part of the key."""
    if len(text) != _LENGTH:
        raise refused("mistyped", f"An API key has {_LENGTH} characters; this one has {len(text)}.")
    body, checksum = text[:-_CHECKSUM_LENGTH], text[-_CHECKSUM_LENGTH:]
    if not text.startswith(PREFIX) or not _ALPHABET.issuperset(text[len(PREFIX) :]):
        raise refused("mistyped", "After `sgk_`, an API key consists of letters and digits only.")
    if checksum != _checksum(body):
        raise refused("mistyped", "Its checksum, the last six characters, does not fit the rest.")
    return ParsedKey(id=body[len(PREFIX) :][:_ID_LENGTH], last4=text[-4:])


def refused(reason: Reason, why: str) -> InvalidApiKey:
    return InvalidApiKey(
        {
            "mistyped": "The API key was mistyped or cut off.",
            "unknown": "The API key is unknown.",
            "revoked": "The API key was revoked.",
            "expired": "The API key has expired.",
        }[reason],
        explanation=why,
        action="Copy the whole key again, from `sgk_` to its end."
        if reason == "mistyped"
        else "Create a new key with `penstock api-key create`, and use that one.",
        data={"reason": reason},
    )


def check_alive(revoked_at: datetime | None, expires_at: datetime | None, now: datetime) -> None:
    """Raises InvalidApiKey (`revoked` or `expired`). Only for a key whose secret was proved."""
    if revoked_at is not None:
        raise refused("revoked", f"It was revoked at {iso(revoked_at)}.")
    if expires_at is not None and now >= expires_at:
        raise refused("expired", f"It expired at {iso(expires_at)}; the server's clock says {iso(now)}.")


def _checksum(body: str) -> str:
    return base62(zlib.crc32(body.encode()), _CHECKSUM_LENGTH)
