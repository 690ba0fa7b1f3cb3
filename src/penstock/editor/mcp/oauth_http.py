"""Requests to what an MCP server says its authorization server is: that is not ours to trust, so the guard looks first.

The configured server's own host is trusted. Every other address has to be https and has to pass the outbound guard, and
the connection goes to the address that passed. No redirect is followed.
"""

from types import TracebackType
from typing import Any, Final

import httpx2

from penstock.editor.mcp.errors import AuthorizationFailed
from penstock.editor.mcp.session_http import CONNECT_S, tls
from penstock.http.outbound import AddressRefused, FetchFailed, Outbound, shown

MAX_BYTES: Final = 256 * 1024
_IDLE_S = 10.0


class OAuthHttp:
    """An async context manager. Time as a whole is the caller's business. Everything raises AuthorizationFailed."""

    def __init__(self, server_url: str, outbound: Outbound) -> None:
        self._server, self._outbound = httpx2.URL(server_url), outbound
        self._client = httpx2.AsyncClient(
            headers={"Accept-Encoding": "identity", "Accept": "application/json"},
            timeout=httpx2.Timeout(_IDLE_S, connect=CONNECT_S),
            transport=httpx2.AsyncHTTPTransport(verify=tls(), trust_env=False),
            trust_env=False,
        )

    async def __aenter__(self) -> "OAuthHttp":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def check(self, url: str) -> None:
        """Whether users may be sent there."""
        await self._place(httpx2.URL(url))

    async def ask(self, method: str, url: str, *, within_bytes: int = MAX_BYTES, **content: Any) -> httpx2.Response:
        """The answer with its body, whatever its status. `within_bytes` 0: the body is left alone."""
        target = _parsed(url)
        place = await self._place(target)
        request = self._client.build_request(method, target, **content)
        if place is not None:
            request.headers["host"] = _host(target)
            request.url = target.copy_with(host=place)
            request.extensions["sni_hostname"] = target.host
        try:
            answer = await self._client.send(request, stream=True)
            try:
                body = await _body(answer, within_bytes, url) if within_bytes else b""
            finally:
                await answer.aclose()
        except (httpx2.TransportError, httpx2.StreamError, httpx2.InvalidURL, OSError) as error:
            raise AuthorizationFailed(
                f"{shown(url)} could not be asked.", explanation=_reason(error), action="Try again in a while."
            ) from error
        return httpx2.Response(answer.status_code, headers=answer.headers, content=body, request=request)

    async def _place(self, url: httpx2.URL) -> str | None:
        """The address to connect to; None for the host that the operator has named."""
        if url.host == self._server.host and url.scheme in ("https", self._server.scheme):
            return None
        if url.scheme != "https":
            raise _refused(url, "Only https is spoken with hosts other than the server's own.")
        try:
            return (await self._outbound.addresses(str(url)))[0]
        except (AddressRefused, FetchFailed) as error:
            raise _refused(url, error.explanation or error.message) from error


def _refused(url: httpx2.URL, explanation: str) -> AuthorizationFailed:
    return AuthorizationFailed(
        f"The MCP server sends us to {shown(str(url))}, where we do not go.",
        explanation=explanation,
        action="Tell the server's operator, or list the network in OUTBOUND_ALLOW.",
    )


def _parsed(url: str) -> httpx2.URL:
    try:
        return httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError) as error:
        raise AuthorizationFailed("The MCP server sends us to something that is no address.") from error


def _host(url: httpx2.URL) -> str:
    host = f"[{url.host}]" if ":" in url.host else url.host
    return host if url.port is None else f"{host}:{url.port}"


async def _body(answer: httpx2.Response, most: int, url: str) -> bytes:
    if answer.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
        raise AuthorizationFailed(f"{shown(url)} sent its answer compressed, although that was not asked for.")
    body = bytearray()
    async for piece in answer.aiter_raw():
        body += piece
        if len(body) > most:
            raise AuthorizationFailed(f"{shown(url)} answered with more than {most // 1024} KiB.")
    return bytes(body)


def _reason(error: Exception) -> str:
    if isinstance(error, httpx2.ConnectError) and "CERTIFICATE" in str(error).upper():
        return "Its certificate is not trusted."
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return "There is no connection to it."
    return "It did not answer in time." if isinstance(error, httpx2.TimeoutException) else "The connection broke off."
