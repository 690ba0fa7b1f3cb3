"""Reading request bodies: bounded in bytes and in time."""

import asyncio

from penstock.errors import PayloadTooLarge, RequestTimeout
from penstock.http.incoming import Message, Receive


class ClientGone(Exception):
    """The client hung up before its request was complete; nobody is left to answer."""


class BodyTooLarge(PayloadTooLarge):
    """`variable` names the setting that bounds this kind of body."""

    def __init__(self, limit_bytes: int, variable: str = "MAX_BODY_BYTES") -> None:
        super().__init__(
            f"The request body is larger than {limit_bytes} bytes.",
            action=f"Send less, or raise {variable}.",
        )


class BodyTooSlow(RequestTimeout):
    def __init__(self, after_s: float) -> None:
        super().__init__(f"The request body did not arrive within {after_s:g} s.", action="Send the request again.")


def bounded(receive: Receive, *, limit_bytes: int, within_s: float, variable: str = "MAX_BODY_BYTES") -> Receive:
    """`receive` for those who read a body themselves. It raises BodyTooLarge and BodyTooSlow while there is a body."""
    received = 0
    is_whole = False
    due: float | None = None

    async def bounded_receive() -> Message:
        nonlocal received, is_whole, due
        if is_whole:
            return await receive()
        due = due or asyncio.get_running_loop().time() + within_s
        try:
            async with asyncio.timeout_at(due):
                message = await receive()
        except TimeoutError as error:
            raise BodyTooSlow(within_s) from error
        received += len(message.get("body", b""))
        is_whole = not message.get("more_body", False)
        if received > limit_bytes:
            raise BodyTooLarge(limit_bytes, variable)
        return message

    return bounded_receive


async def read_body(receive: Receive, *, limit_bytes: int, within_s: float = 60.0) -> bytes:
    """The whole body. Raises BodyTooLarge, BodyTooSlow and ClientGone."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        _check(len(body), limit_bytes)
        return body
    try:
        async with asyncio.timeout(within_s):
            return await _rest(receive, bytearray(body), limit_bytes)
    except TimeoutError as error:
        raise BodyTooSlow(within_s) from error


async def _rest(receive: Receive, body: bytearray, limit_bytes: int) -> bytes:
    while True:
        _check(len(body), limit_bytes)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body += message.get("body", b"")
        if not message.get("more_body", False):
            _check(len(body), limit_bytes)
            return bytes(body)


def _check(size: int, limit_bytes: int) -> None:
    if size > limit_bytes:
        raise BodyTooLarge(limit_bytes)
