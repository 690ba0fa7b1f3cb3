"""One request of the outbound guard, over aiohttp: to the addresses that were checked, and to no other."""

import asyncio
import functools
import socket
import ssl
from collections.abc import Sequence
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from penstock import __version__
from penstock.http.outbound import Answer, FetchFailed, FetchTooLarge, shown

_CHUNK_BYTES = 64 * 1024
_USER_AGENT = f"penstock/{__version__}"


async def get(url: URL, pinned: Sequence[str], *, max_bytes: int, accept: str, ca_file: str | None) -> Answer:
    """Raises FetchFailed. Time is the caller's business."""
    connector = aiohttp.TCPConnector(
        resolver=_Pinned(pinned),
        use_dns_cache=False,
        force_close=True,
        ssl=await asyncio.to_thread(_tls, ca_file),
        # Also asked for hosts that are addresses already, which no resolver gets to see.
        socket_factory=functools.partial(_socket, frozenset(pinned)),
    )
    headers = {"Accept": accept, "Accept-Encoding": "identity", "User-Agent": _USER_AGENT}
    try:
        async with (
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                timeout=aiohttp.ClientTimeout(),
            ) as session,
            session.get(url, headers=headers, allow_redirects=False) as response,
        ):
            body = await _body(url, response, max_bytes) if 200 <= response.status < 300 else b""
            location = response.headers.get("Location")
            return Answer(response.status, location, response.headers.get("Content-Type", ""), body)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        if isinstance(error, TimeoutError):
            raise
        raise FetchFailed(
            f"{shown(url)} cannot be fetched: {_reason(error)}.", action="Check the address, and try again."
        ) from error


async def _body(url: URL, response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    if response.headers.get("Content-Encoding", "identity").lower() not in ("identity", ""):
        raise FetchFailed(f"{shown(url)} sent its answer compressed, although that was not asked for.")
    if (response.content_length or 0) > max_bytes:
        raise _too_large(url, max_bytes)
    body = bytearray()
    async for piece in response.content.iter_chunked(_CHUNK_BYTES):
        body += piece
        if len(body) > max_bytes:
            raise _too_large(url, max_bytes)
    return bytes(body)


def _too_large(url: URL, max_bytes: int) -> FetchTooLarge:
    return FetchTooLarge(f"What stands at {shown(url)} is larger than {max_bytes} bytes.", action="Use a smaller file.")


def _reason(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError() | ssl.SSLError():
            return "its certificate is not trusted"
        case aiohttp.ClientConnectorError():
            return "no connection"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError() | OSError():
            return "the connection broke off"
        case _:
            return "its answer is no HTTP that can be read"


@functools.lru_cache(maxsize=4)
def _tls(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


class _Pinned(AbstractResolver):
    """Gives what was checked, and asks nobody."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        pass


def _socket(pinned: frozenset[str], where: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
    family, kind, protocol, _, address = where
    if address[0] not in pinned:
        raise OSError("an address that was not checked")
    return socket.socket(family, kind, protocol)
