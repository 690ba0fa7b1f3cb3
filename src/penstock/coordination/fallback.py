"""Leases that outlive an outage of Redis: taken there (the primary), or in the database (the secondary) meanwhile.

The rules, and what they are worth:

- `acquire` asks whether somebody holds the key in the secondary, and then the primary: a lease that was taken during
  an outage is respected after it, at the price of one read by primary key. Only when the primary is unavailable the
  secondary grants. In this order, because a mere attempt must not show in the primary (see the third rule).
- `renew` and `release` go where the lease is. If the primary dies under a lease, `renew` takes the key in the
  secondary and the holder goes on with the lease it has. If the primary comes back and still knows that lease, the
  lease moves back.
- A holder in the secondary looks into the primary at every renewal, and gives up when another holds the key there.
- Each process remembers what it holds, and never grants itself a key twice, whatever can be reached.

So the leases of one process never overlap. Two processes can hold the same key at the same time in three cases: at
the beginning of an outage, until the first holder's next renewal, which then fails for it; when only one of them can
reach the primary, until the other finds it again and renews; and when both stores are away in turn, each deciding
alone while it is there. Holders therefore renew well within their time to live, and stop when `renew` says False.
"""

from contextlib import suppress

import msgspec

from penstock.coordination.base import CoordinationUnavailable, Lease, Leases
from penstock.coordination.shelf import Shelf
from penstock.kit.clock import Clock, SystemClock


class _Grant(msgspec.Struct):
    """`lease` is what the holder has, `stand_in` its lease in the secondary, if it is there."""

    lease: Lease
    stand_in: Lease | None


class FallbackLeases(Leases):
    """A lease is renewed and released by the object that granted it; any other says False."""

    def __init__(self, primary: Leases, secondary: Leases, clock: Clock | None = None) -> None:
        self._primary = primary
        self._secondary = secondary
        self._grants: Shelf[_Grant] = Shelf(clock or SystemClock())

    async def acquire(self, key: str, ttl_s: float, holder: bytes = b"") -> Lease | None:
        """Raises CoordinationUnavailable when both stores are away."""
        if self._grants.get(key) is not None or await self._is_held_in_secondary(key):
            return None
        stand_in = None
        try:
            lease = await self._primary.acquire(key, ttl_s, holder)
        except CoordinationUnavailable:
            lease = stand_in = await self._secondary.acquire(key, ttl_s, holder)
        if lease is not None:
            self._grants.put(key, _Grant(lease, stand_in), ttl_s)
        return lease

    async def renew(self, lease: Lease, ttl_s: float) -> bool:
        grant = self._grant(lease)
        if grant is None:
            return False  # it has run out or was lost: somebody else may have had it since
        if grant.stand_in is None:
            ours = await self._renew_in_primary(grant, ttl_s)
        else:
            ours = await self._renew_in_secondary(grant, grant.stand_in, ttl_s)
        if ours:
            self._grants.put(lease.key, grant, ttl_s)
        else:
            self._grants.drop(lease.key)
        return ours

    async def release(self, lease: Lease) -> bool:
        """Also False when the lease is in a primary that cannot be reached: then it runs out by itself."""
        grant = self._grant(lease)
        if grant is None:
            return False
        self._grants.drop(lease.key)
        if grant.stand_in is None:
            return await self._give_back(lease)
        released = await self._secondary.release(grant.stand_in)
        await self._give_back(lease)
        return released

    async def holder(self, key: str) -> bytes | None:
        try:
            found = await self._primary.holder(key)
        except CoordinationUnavailable:
            grant = self._grants.get(key)
            return grant.lease.holder if grant is not None else await self._secondary.holder(key)
        if found is None:
            with suppress(CoordinationUnavailable):
                return await self._secondary.holder(key)
        return found

    def _grant(self, lease: Lease) -> _Grant | None:
        grant = self._grants.get(lease.key)
        return grant if grant is not None and grant.lease.token == lease.token else None

    async def _is_held_in_secondary(self, key: str) -> bool:
        with suppress(CoordinationUnavailable):
            return await self._secondary.holder(key) is not None
        return False

    async def _renew_in_primary(self, grant: _Grant, ttl_s: float) -> bool:
        try:
            return await self._primary.renew(grant.lease, ttl_s)
        except CoordinationUnavailable:
            grant.stand_in = await self._secondary.acquire(grant.lease.key, ttl_s, grant.lease.holder)
        return grant.stand_in is not None

    async def _renew_in_secondary(self, grant: _Grant, stand_in: Lease, ttl_s: float) -> bool:
        if not await self._secondary.renew(stand_in, ttl_s):
            await self._give_back(grant.lease)
            return False
        with suppress(CoordinationUnavailable):
            if await self._primary.renew(grant.lease, ttl_s):  # it came back with its data
                grant.stand_in = None
                await self._secondary.release(stand_in)
            elif await self._primary.holder(stand_in.key) is not None:
                await self._secondary.release(stand_in)
                return False
        return True

    async def _give_back(self, lease: Lease) -> bool:
        with suppress(CoordinationUnavailable):
            return await self._primary.release(lease)
        return False
