"""Picks the driver. The only importer of `redis.py`, so that a process without Redis never loads its client."""

from penstock.coordination.base import Coordination
from penstock.coordination.options import RedisOptions


async def open_coordination(options: RedisOptions | None) -> Coordination:
    """In this process when `options` is None. Nothing is connected yet: `ping` tells whether Redis is there.

    Raises OSError or ssl.SSLError for certificate files that cannot be used.
    """
    if options is None:
        from penstock.coordination.memory import Memory

        return Memory()
    from penstock.coordination.redis import Redis

    return Redis(options)
