"""Which key of an entry is used next, and which ones are set aside for a while. All in this process's memory."""

import math
from collections.abc import Container, Sequence
from typing import Literal

import msgspec

from penstock.errors import UpstreamError
from penstock.kit.clock import Clock
from penstock.kit.secret import Secret
from penstock.providers.credentials.base import Authorizer
from penstock.providers.failures import MAX_RETRY_AFTER_S, AllKeysResting, Failure, NoUsableKey

BAD_FOR_S = 300.0
REST_FOR_S = 10.0

KeyState = Literal["ready", "bad", "resting"]


class Key:
    """One key of an entry: a secret, or an identity that signs or fetches tokens. Both are None for an entry without.

    `hint` is the secret's last four characters, or what the identity shows of itself.
    """

    __slots__ = ("_hint", "authorizer", "reason", "secret", "state", "until")

    def __init__(self, credential: Secret | Authorizer | None) -> None:
        self.secret = credential if isinstance(credential, Secret) else None
        self.authorizer = None if credential is None or isinstance(credential, Secret) else credential
        self._hint = _hint(self.secret)
        self.state: KeyState = "ready"
        self.until = -math.inf
        self.reason = ""

    @property
    def hint(self) -> str | None:
        return self._hint if self.authorizer is None else self.authorizer.hint


class KeyReport(msgspec.Struct, frozen=True):
    """What health pages show of a key. `for_s`: how long it is still set aside."""

    hint: str | None
    state: KeyState
    for_s: float = 0.0
    reason: str = ""


class KeyRing:
    """Hands out the keys of one entry in turn. Sync; belongs to one event loop."""

    def __init__(self, keys: Sequence[Secret | Authorizer], clock: Clock) -> None:
        self._keys = tuple(Key(credential) for credential in keys) or (Key(None),)
        self._clock = clock
        self._next = 0
        self._set_aside = 0
        """How many keys are not `ready`; some of them may have served their time."""

    def pick(self, without: Container[Key] = ()) -> Key:
        """The next key in turn that is neither bad nor resting, nor in `without`.

        Raises AllKeysResting and NoUsableKey.
        """
        at = self._next
        if not self._set_aside and not without:
            self._next = at + 1 if at + 1 < len(self._keys) else 0
            return self._keys[at]
        self._readmit()
        for _ in self._keys:
            key = self._keys[at]
            at = at + 1 if at + 1 < len(self._keys) else 0
            if key.state == "ready" and key not in without:
                self._next = at
                return key
        raise self._nothing_left()

    def report(self, key: Key, error: UpstreamError) -> None:
        """Set the key aside if the failure says so. The key of an entry without keys never is."""
        has_credential = key.secret is not None or key.authorizer is not None
        if not has_credential or not isinstance(error, Failure) or error.key_effect is None:
            return
        now = self._clock.monotonic()
        if error.key_effect == "bad":
            self._put_aside(key, "bad", now + BAD_FOR_S, error.message)
        elif key.state != "bad":
            if error.retry_after_s is None:
                error.retry_after_s = REST_FOR_S  # the caller is told what we do ourselves
            # Quotas of a day let a key rest for longer than any caller is asked to wait.
            wait = error.rest_s or min(error.retry_after_s, MAX_RETRY_AFTER_S)
            # An earlier, longer wait still holds.
            self._put_aside(key, "resting", max(now + wait, key.until), error.message)

    def ok(self, key: Key) -> None:
        """The key was accepted, so it is not bad. A resting key goes on resting: the answer may be to an older call."""
        if key.state == "bad":
            self._admit(key)

    def states(self) -> list[KeyReport]:
        if self._set_aside:
            self._readmit()
        now = self._clock.monotonic()
        return [KeyReport(key.hint, key.state, max(key.until - now, 0.0), key.reason) for key in self._keys]

    def _put_aside(self, key: Key, state: KeyState, until: float, reason: str) -> None:
        if key.state == "ready":
            self._set_aside += 1
        key.state, key.until, key.reason = state, until, reason

    def _admit(self, key: Key) -> None:
        self._set_aside -= 1
        key.state, key.until, key.reason = "ready", -math.inf, ""

    def _readmit(self) -> None:
        now = self._clock.monotonic()
        for key in self._keys:
            if key.state != "ready" and key.until <= now:
                self._admit(key)

    def _nothing_left(self) -> Failure:
        now = self._clock.monotonic()
        waits = [key.until - now for key in self._keys if key.state == "resting"]
        if waits:
            return AllKeysResting(
                "The provider has asked this service to wait (rate limit).",
                retry_after_s=min(max(min(waits), 0.0), MAX_RETRY_AFTER_S),
            )
        last = max(self._keys, key=lambda key: key.until)
        count = "The only key" if len(self._keys) == 1 else f"All {len(self._keys)} keys"
        verb = "was" if len(self._keys) == 1 else "were"
        return NoUsableKey(f"NoValidApiKeysFoundError: {count} {verb} refused. Last: {last.reason}")


def _hint(secret: Secret | None) -> str | None:
    """The last four characters, unless the key is so short that they would give it away."""
    if secret is None:
        return None
    value = secret.reveal()
    return value[-4:] if len(value) >= 12 else "…"
