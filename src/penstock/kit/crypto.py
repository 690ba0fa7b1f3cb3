"""Secrets at rest: sealing with a named key, keyed hashes, key derivation. Primitives come from `cryptography`."""

import hashlib
import hmac
import os
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class Unsealable(Exception):
    """The text was sealed with a key that is not in the box, or was changed, or belongs to another context."""


def derive_key(master: bytes, purpose: str) -> bytes:
    """32 bytes for one purpose (HKDF-SHA256, RFC 5869). Different purposes give unrelated keys."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode()).derive(master)


def keyed_hash(key: bytes, value: bytes) -> bytes:
    """HMAC-SHA256: how high-entropy secrets are stored. 32 bytes."""
    return hmac.digest(key, value, hashlib.sha256)


def same(one: bytes, other: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one, other)


class SecretBox:
    """AES-256-GCM under named keys: the first key seals, every key opens, so keys can be rotated.

    A sealed text is `key id (4 bytes) + nonce (12) + ciphertext`. `context` (a table and row, say) is
    authenticated with it: a sealed value moved to another row does not open.
    """

    def __init__(self, masters: tuple[bytes, ...], purpose: str) -> None:
        if not masters:
            raise ValueError("a secret box needs at least one key")
        keys = [derive_key(master, purpose) for master in masters]
        self._current = _key_id(keys[0])
        self._ciphers: Mapping[bytes, AESGCM] = {_key_id(key): AESGCM(key) for key in reversed(keys)}

    def seal(self, plain: bytes, context: str) -> bytes:
        nonce = os.urandom(12)
        return self._current + nonce + self._ciphers[self._current].encrypt(nonce, plain, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """Raises Unsealable."""
        cipher = self._ciphers.get(sealed[:4])
        if cipher is None:
            raise Unsealable("sealed with a key that is not configured")
        try:
            return cipher.decrypt(sealed[4:16], sealed[16:], context.encode())
        except InvalidTag as error:
            raise Unsealable("the sealed value does not belong here, or was changed") from error


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"key id" + key).digest()[:4]
