"""What a process remembers of credentials: bounded, never longer than they are valid, and forgotten on every change."""

import os
from collections import OrderedDict
from collections.abc import Hashable
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Generic, TypeVar

from penstock.gateway.identity.caller import Caller
from penstock.gateway.identity.tokens import Keyring
from penstock.kit.clock import Clock

LONGEST = timedelta(seconds=300)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Bounded(Generic[K, V]):
    """The newest `size` values, each until its own instant.

    Instants are turned into monotonic seconds when they come in: reading the calendar costs more than the look-up.
    """

    def __init__(self, size: int, clock: Clock) -> None:
        self._size, self._clock = size, clock
        self._kept: OrderedDict[K, tuple[V, float]] = OrderedDict()

    def get(self, key: K) -> V | None:
        found = self._kept.get(key)
        if found is None:
            return None
        if self._clock.monotonic() < found[1]:
            return found[0]
        del self._kept[key]
        return None

    def put(self, key: K, value: V, until: datetime) -> None:
        self._kept[key] = value, self._clock.monotonic() + (until - self._clock.now()).total_seconds()
        self._kept.move_to_end(key)
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        self._kept.clear()


class Memory:
    """Empty until the first `follow`: a process that does not watch for changes must remember nothing.

    Credentials are kept under a keyed hash. `moment` changes with every `forget`: whoever reads the database takes
    it before and gives it back with what was found, which is not kept when it was read at an earlier moment.
    """

    def __init__(self, clock: Clock, size: int = 10_000) -> None:
        self._clock = clock
        self._salt = os.urandom(32)
        self.moment = 0
        self._revision: int | None = None
        self._callers: Bounded[bytes, Caller] = Bounded(size, clock)
        self._keyrings: Bounded[str, Keyring] = Bounded(1_000, clock)
        self._users: Bounded[tuple[str, str], str] = Bounded(size, clock)

    def caller(self, authorization: bytes) -> Caller | None:
        """On the path of every model call: one hash, one look-up, one comparison of instants."""
        return self._callers.get(blake2b(authorization, digest_size=16, key=self._salt).digest())

    def keyring(self, tenant_id: str) -> Keyring | None:
        return self._keyrings.get(tenant_id)

    def user_id(self, tenant_id: str, subject: str) -> str | None:
        return self._users.get((tenant_id, subject))

    def keep_caller(self, moment: int, authorization: bytes, caller: Caller, valid_until: datetime) -> None:
        if self._is_fresh(moment):
            fingerprint = blake2b(authorization, digest_size=16, key=self._salt).digest()
            self._callers.put(fingerprint, caller, min(valid_until, self._longest()))

    def keep_keyring(self, moment: int, keyring: Keyring) -> None:
        if self._is_fresh(moment):
            self._keyrings.put(keyring.tenant_id, keyring, self._longest())

    def keep_user_id(self, moment: int, tenant_id: str, subject: str, user_id: str) -> None:
        if self._is_fresh(moment):
            self._users.put((tenant_id, subject), user_id, self._longest())

    def follow(self, revision: int) -> None:
        """The database is at `revision`: forget everything unless it was there before."""
        if revision != self._revision:
            self.forget()
            self._revision = revision

    def forget(self) -> None:
        self.moment += 1
        self._callers.clear()
        self._keyrings.clear()
        self._users.clear()

    def _is_fresh(self, moment: int) -> bool:
        return self._revision is not None and moment == self.moment

    def _longest(self) -> datetime:
        return self._clock.now() + LONGEST
