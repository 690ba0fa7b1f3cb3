"""Reading request bodies on the paths that have no router: bounded in bytes and in time."""

import asyncio

from penstock.errors import RequestTimeout
from penstock.http.door import BodyTooLarge
from penstock.http.incoming import Receive


class ClientGone(Exception):
    """The client hung up before its request was complete; nobody is left to answer."""


class BodyTooSlow(RequestTimeout):
    def __init__(self, after_s: float) -> None:
        super().__init__(f"The request body did not arrive within {after_s:g} s.", action="Send the request again.")


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
