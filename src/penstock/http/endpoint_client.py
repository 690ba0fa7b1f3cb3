"""What `http/endpoint.py` speaks with: aiohttp, with connections that are kept."""

import asyncio
import functools
import ssl
from collections.abc import Sequence
from typing import Self

import aiohttp

from penstock import __version__
from penstock.http.endpoint import EndpointFailed

_CHUNK_BYTES = 64 * 1024
_OUR_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
    "User-Agent": f"penstock/{__version__}",
}


class EndpointClient:
    def __init__(self, session: aiohttp.ClientSession, url: str, max_bytes: int, proxy: str | None) -> None:
        self._session = session
        self._url = url
        self._max_bytes = max_bytes
        self._proxy = proxy

    @classmethod
    async def open(
        cls, url: str, headers: Sequence[tuple[str, str]], max_bytes: int, proxy: str | None, ca_file: str | None
    ) -> Self:
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=await asyncio.to_thread(_tls, ca_file)),
            headers=_merged(headers),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(),
        )
        return cls(session, url, max_bytes, proxy)

    async def post(self, body: bytes, headers: Sequence[tuple[str, str]]) -> tuple[int, bytes]:
        """Status and body; the body is empty unless the status is a 2xx. Raises EndpointFailed.

        A question that met a kept connection just as it was closed is asked once more: it changes nothing there.
        """
        try:
            try:
                return await self._post(body, headers)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                if isinstance(error, aiohttp.ClientConnectorError):
                    raise
            return await self._post(body, headers)
        except TimeoutError:
            raise
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise EndpointFailed(_reason(error)) from error

    async def _post(self, body: bytes, headers: Sequence[tuple[str, str]]) -> tuple[int, bytes]:
        async with self._session.post(
            self._url, data=body, headers=list(headers), proxy=self._proxy, allow_redirects=False
        ) as response:
            if not 200 <= response.status < 300:
                return response.status, b""
            return response.status, await self._read(response)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        if response.headers.get("Content-Encoding", "identity").lower() not in ("identity", ""):
            raise EndpointFailed("sent its answer compressed, although that was not asked for", status=response.status)
        body = bytearray()
        async for piece in response.content.iter_chunked(_CHUNK_BYTES):
            body += piece
            if len(body) > self._max_bytes:
                raise EndpointFailed(f"answered with more than {self._max_bytes} bytes", status=response.status)
        return bytes(body)

    async def aclose(self) -> None:
        await self._session.close()


def _merged(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Ours, but for those that the operator has set."""
    theirs = {name.lower() for name, _ in headers}
    return [*((name, value) for name, value in _OUR_HEADERS.items() if name.lower() not in theirs), *headers]


def _reason(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError() | ssl.SSLError():
            return "has a certificate that is not trusted"
        case aiohttp.ClientConnectorDNSError():
            return "has a host name that is not known"
        case aiohttp.ClientHttpProxyError() | aiohttp.ClientProxyConnectionError():
            return "cannot be reached through the proxy"
        case aiohttp.ClientConnectorError():
            return "cannot be reached"
        case aiohttp.InvalidURL():
            return "has an address that cannot be used"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError() | OSError():
            return "broke off the connection"
        case _:
            return "answered with something that is no HTTP"


@functools.lru_cache(maxsize=4)
def _tls(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context
