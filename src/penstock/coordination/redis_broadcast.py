"""Publish and subscribe over Redis. All subscriptions of a process share one connection and one task.

The task exists while there are subscriptions. It owns the connection: it connects, subscribes to whatever is wanted,
reads, and begins again after a loss. A connection that has been silent for a while is asked whether it still lives.

redis-py's own `PubSub` is not used: it connects again behind our back, once in the task that reads and once in the
one that subscribes, and then loses one of the two connections.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, cast

from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from penstock.coordination.base import CoordinationUnavailable
from penstock.coordination.inbox import Inbox
from penstock.coordination.redis_link import FAILURES, RedisLink, unavailable

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_SILENT_FOR_LIMITS = 5  # silence, in multiples of an operation's limit, before a connection is questioned


class _Channel:
    def __init__(self) -> None:
        self.inboxes: set[Inbox] = set()
        self.is_listening = asyncio.Event()
        """The server has confirmed the subscription on the present connection."""


class RedisBroadcast:
    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._channels: dict[str, _Channel] = {}
        self._task: asyncio.Task[None] | None = None
        self._connection: AbstractConnection | None = None
        self._asked_for: set[str] = set()
        """Channels that the present connection was told to subscribe to."""
        self._writing = asyncio.Lock()
        self._failure: BaseException | None = None

    async def publish(self, channel: str, message: bytes) -> None:
        name = self._link.name("on", channel)
        await self._link.run(lambda client: client.publish(name, message))

    def subscribe(self, channel: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Entering raises CoordinationUnavailable when the server cannot confirm the subscription in time."""
        return self._subscribed(self._link.name("on", channel))

    async def aclose(self) -> None:
        for channel in self._channels.values():
            for inbox in channel.inboxes:
                inbox.close()
        self._channels.clear()
        await self._stop()

    @asynccontextmanager
    async def _subscribed(self, name: str) -> AsyncIterator[AsyncIterator[bytes]]:
        self._link.check_open()
        inbox = Inbox()
        try:
            await self._join(name, inbox)
            yield inbox
        finally:
            inbox.close()
            await self._leave(name, inbox)

    async def _join(self, name: str, inbox: Inbox) -> None:
        channel = self._channels.setdefault(name, _Channel())
        channel.inboxes.add(inbox)
        if self._task is None or self._task.done():
            self._failure = None
            self._task = asyncio.create_task(self._keep_listening(), name="redis subscriptions")
        try:
            async with asyncio.timeout(self._link.limit_s):
                await self._ask()
                await channel.is_listening.wait()
        except FAILURES as error:
            raise unavailable(self._failure or error) from (self._failure or error)

    async def _leave(self, name: str, inbox: Inbox) -> None:
        channel = self._channels.get(name)
        if channel is None:
            return
        channel.inboxes.discard(inbox)
        if channel.inboxes:
            return
        del self._channels[name]
        if not self._channels:
            await self._stop()
            return
        with suppress(*FAILURES):
            async with asyncio.timeout(self._link.limit_s):
                await self._ask()

    async def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _ask(self) -> None:
        """Tell the connection what changed. Without one there is nothing to do: the next one is told everything."""
        async with self._writing:
            connection = self._connection
            if connection is None:
                return
            old = self._asked_for - self._channels.keys()
            # Asking twice does no harm, and is confirmed twice.
            new = [name for name, channel in self._channels.items() if not channel.is_listening.is_set()]
            self._asked_for = set(self._channels)
            if new:
                await _send(connection, "SUBSCRIBE", *new)
            if old:
                await _send(connection, "UNSUBSCRIBE", *old)

    async def _keep_listening(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                await self._listen()
            except (*FAILURES, CoordinationUnavailable) as error:
                if self._failure is None:
                    pause_s = _FIRST_PAUSE_S
                self._failure = error
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _listen(self) -> None:
        """Returns never; raises when the connection is lost."""
        async with asyncio.timeout(self._link.limit_s):
            connection = await self._link.connection()
        try:
            self._connection, self._asked_for, self._failure = connection, set(), None
            await self._ask()
            while True:
                self._deliver(*await self._next(connection))
        finally:
            self._forget(connection)
            await connection.disconnect(nowait=True)

    async def _next(self, connection: AbstractConnection) -> list[Any]:
        limit_s = self._link.limit_s
        reply = await connection.read_response(timeout=limit_s * _SILENT_FOR_LIMITS)
        if reply is None:
            async with self._writing:
                await _send(connection, "PING")
            reply = await connection.read_response(timeout=limit_s)
        if reply is None:
            raise exceptions.TimeoutError("the connection of the subscriptions is dead")
        return cast(list[Any], reply)

    def _deliver(self, kind: bytes, name: bytes, message: Any = None) -> None:
        """`subscribe` and `unsubscribe` come with a number, `message` with the message, `pong` with an empty name."""
        channel = self._channels.get(name.decode())
        if channel is None:
            return
        if kind == b"subscribe":
            channel.is_listening.set()
        elif kind == b"message":
            for inbox in channel.inboxes:
                inbox.put(message)

    def _forget(self, connection: AbstractConnection) -> None:
        if self._connection is not connection:
            return
        self._connection = None
        for channel in self._channels.values():
            channel.is_listening.clear()


async def _send(connection: AbstractConnection, *command: str) -> None:
    if not connection.is_connected:  # sending would connect again, and nobody would know what to subscribe to
        raise exceptions.ConnectionError("the connection is closed")
    await connection.send_command(*command)
