"""The installation's master secrets: what seals access keys and what hashes API keys."""

from dataclasses import dataclass, field

from penstock.gateway.identity.errors import SecretsUnreadable
from penstock.kit.crypto import SecretBox, Unsealable, derive_key, keyed_hash, same

_KEY_ID_BYTES = 4


@dataclass(frozen=True)
class MasterSecrets:
    """At least one secret, else ValueError. The first seals and hashes; all open and verify, for rotation."""

    masters: tuple[str, ...] = field(repr=False)
    _box: SecretBox = field(init=False, repr=False, compare=False)
    _hash_keys: tuple[tuple[bytes, bytes], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        encoded = tuple(master.encode() for master in self.masters)
        named = [(_key_id(master), derive_key(master, "api keys")) for master in encoded]
        object.__setattr__(self, "_box", SecretBox(encoded, "access keys"))
        object.__setattr__(self, "_hash_keys", tuple(named))

    def seal(self, secret: str, context: str) -> bytes:
        return self._box.seal(secret.encode(), context)

    def open(self, sealed: bytes, context: str) -> bytes:
        """Raises SecretsUnreadable."""
        try:
            return self._box.open(sealed, context)
        except Unsealable as error:
            raise SecretsUnreadable from error

    def hashed(self, secret: str) -> bytes:
        """How an API key is stored: the id of the hashing key (4 bytes), then HMAC-SHA256."""
        key_id, key = self._hash_keys[0]
        return key_id + keyed_hash(key, secret.encode())

    def verifies(self, secret: str, stored: bytes) -> bool:
        """Whether `stored` is the hash of `secret`, in constant time. Raises SecretsUnreadable when no key can tell."""
        keys = [key for key_id, key in self._hash_keys if key_id == stored[:_KEY_ID_BYTES]]
        if not keys:
            raise SecretsUnreadable
        return any(same(keyed_hash(key, secret.encode()), stored[_KEY_ID_BYTES:]) for key in keys)

    def can_verify(self, stored: bytes) -> bool:
        """Whether the key that `stored` was hashed with is still here."""
        return any(key_id == stored[:_KEY_ID_BYTES] for key_id, _ in self._hash_keys)


def _key_id(master: bytes) -> bytes:
    return derive_key(master, "api keys: key id")[:_KEY_ID_BYTES]
