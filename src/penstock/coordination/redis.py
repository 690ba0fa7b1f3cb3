"""The driver for many processes: Redis 6.2+ or Valkey, as one server, a cluster, or behind sentinels.

Time is the server's own (TIME), so that processes whose clocks differ agree on windows and leases. Every key stands
alone, which is why a cluster needs no hash tags, and every key has a time to live:

    count:<window, ms>:<key>   hash: start of the window → total; until the window ends
    lease:<key>                hash: token, holder, fence, until; until the lease ends, and a day
    cache:<key>                string
"""

import secrets
from typing import Any, cast

from penstock.coordination.base import Broadcast, Cache, Coordination, Count, Counters, Lease, Leases
from penstock.coordination.options import RedisOptions
from penstock.coordination.redis_broadcast import RedisBroadcast
from penstock.coordination.redis_link import RedisLink, Script

FENCE_KEPT_MS = 24 * 60 * 60 * 1000


class Redis(Coordination):
    """Connects on first use, and again after a loss."""

    def __init__(self, options: RedisOptions) -> None:
        self._link = RedisLink(options)
        self._broadcast = RedisBroadcast(self._link)
        self.counters: Counters = _Counters(self._link)
        self.leases: Leases = _Leases(self._link)
        self.cache: Cache = _Cache(self._link)
        self.broadcast: Broadcast = self._broadcast

    async def ping(self) -> None:
        await self._link.run(lambda client: client.ping())

    async def aclose(self) -> None:
        """Subscriptions end; what is called later raises CoordinationUnavailable."""
        await self._broadcast.aclose()
        await self._link.aclose()


# `now` is in milliseconds. `%d` keeps all digits of what Lua has as a double.
_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# The start of the window is the field, not only the reason for the key's end: before Redis 7 a script's TIME runs on
# while the clock that expires keys stands still, so a script may still find the key of the window before.
_WINDOW = (
    _NOW
    + """
local window = tonumber(ARGV[1])
local start = now - now % window
local field = string.format('%d', start)
local left = start + window - now
"""
)

_ADD = Script(
    _WINDOW
    + """
local total = redis.call('HINCRBY', KEYS[1], field, ARGV[2])
redis.call('PEXPIREAT', KEYS[1], string.format('%d', start + window))
return {total, left}
"""
)

_PEEK = Script(
    _WINDOW
    + """
return {tonumber(redis.call('HGET', KEYS[1], field) or 0), left}
"""
)

# The fence is the time, or one more than the last: it grows even when a restart has lost the key, and agrees with
# the fences of the database (`leases_in_sql.py`) when one takes over from the other.
_ACQUIRE = Script(
    _NOW
    + """
local found = redis.call('HMGET', KEYS[1], 'until', 'fence')
if found[1] and tonumber(found[1]) > now then
    return false
end
local fence = string.format('%d', math.max(now, (tonumber(found[2]) or 0) + 1))
local ttl = tonumber(ARGV[3])
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'holder', ARGV[2], 'fence', fence,
           'until', string.format('%d', now + ttl))
redis.call('PEXPIRE', KEYS[1], string.format('%d', ttl + ARGV[4]))
return fence
"""
)

_OURS = (
    _NOW
    + """
local found = redis.call('HMGET', KEYS[1], 'until', 'token')
if not found[1] or tonumber(found[1]) <= now or found[2] ~= ARGV[1] then
    return 0
end
"""
)

_RENEW = Script(
    _OURS
    + """
local ttl = tonumber(ARGV[2])
redis.call('HSET', KEYS[1], 'until', string.format('%d', now + ttl))
redis.call('PEXPIRE', KEYS[1], string.format('%d', ttl + ARGV[3]))
return 1
"""
)

_RELEASE = Script(
    _OURS
    + """
redis.call('HDEL', KEYS[1], 'until', 'token', 'holder')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
)

_HOLDER = Script(
    _NOW
    + """
local found = redis.call('HMGET', KEYS[1], 'until', 'holder')
if not found[1] or tonumber(found[1]) <= now then
    return false
end
return found[2]
"""
)


class _Counters:
    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def add(self, key: str, amount: int, window_s: float) -> Count:
        return await self._count(_ADD, key, window_s, amount)

    async def peek(self, key: str, window_s: float) -> Count:
        return await self._count(_PEEK, key, window_s)

    async def _count(self, script: Script, key: str, window_s: float, *amount: int) -> Count:
        window_ms = _milliseconds(window_s)
        name = self._link.name("count", f"{window_ms}:{key}")
        total, left_ms = await self._link.script(script, name, window_ms, *amount)
        return Count(int(total), int(left_ms) / 1000)


class _Leases:
    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def acquire(self, key: str, ttl_s: float, holder: bytes = b"") -> Lease | None:
        token = secrets.token_urlsafe(16)
        fence = await self._run(_ACQUIRE, key, token, holder, _milliseconds(ttl_s), FENCE_KEPT_MS)
        return None if fence is None else Lease(key, token, int(fence), holder)

    async def renew(self, lease: Lease, ttl_s: float) -> bool:
        return bool(await self._run(_RENEW, lease.key, lease.token, _milliseconds(ttl_s), FENCE_KEPT_MS))

    async def release(self, lease: Lease) -> bool:
        return bool(await self._run(_RELEASE, lease.key, lease.token, FENCE_KEPT_MS))

    async def holder(self, key: str) -> bytes | None:
        return cast(bytes | None, await self._run(_HOLDER, key))

    async def _run(self, script: Script, key: str, *arguments: str | bytes | int) -> Any:
        return await self._link.script(script, self._link.name("lease", key), *arguments)


class _Cache:
    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def get(self, key: str) -> bytes | None:
        name = self._link.name("cache", key)
        return cast(bytes | None, await self._link.run(lambda client: client.get(name)))

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        name = self._link.name("cache", key)
        await self._link.run(lambda client: client.set(name, value, px=_milliseconds(ttl_s)))

    async def delete(self, key: str) -> None:
        name = self._link.name("cache", key)
        await self._link.run(lambda client: client.delete(name))


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
