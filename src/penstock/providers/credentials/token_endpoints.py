"""Asking a token service or a metadata service, over the entry's own connections.

A token is only ever asked for over https, with the entry's proxy and authorities; or over plain http from this machine
and its metadata service, and that without a proxy, whose identity we would get otherwise.
"""

import asyncio
import random
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

import msgspec

from penstock.kit.secret import Secret
from penstock.providers.base import ProviderConfig
from penstock.providers.credentials.addresses import is_metadata_service, is_private, parts_of
from penstock.providers.failures import CredentialsRefused, Failure, Unreachable
from penstock.providers.json_text import NotJson, lenient_json
from penstock.providers.masking import mask
from penstock.providers.transport.base import Header, Limits, Origin, Request, Transport, TransportError

_MAX_ANSWER_BYTES = 256 * 1024
_LIMITS = Limits(connect_s=10.0, first_byte_s=20.0, idle_s=10.0, total_s=30.0)
METADATA_LIMITS = Limits(connect_s=1.0, first_byte_s=3.0, idle_s=3.0, total_s=5.0)
"""Where there is a metadata service, it is next door; where there is none, packets vanish."""

_PAUSES_S = (0.25, 1.0)
_PASSING = frozenset({"internal_failure", "server_error", "temporarily_unavailable"})
_HEADER_VALUE = re.compile(r"[!-~]+")


class TokenRefused(CredentialsRefused):
    """The token service knows us and says no: other than a refusal of the provider, it is not about an old token."""


class Said(msgspec.Struct, frozen=True):
    """An answer. `payload` is its JSON object, empty when it was none; `at` is when it was given, by their clock.

    `sent` are the secrets of the question, which an answer may repeat.
    """

    status: int
    headers: tuple[Header, ...]
    body: bytes
    payload: dict[str, Any]
    at: datetime | None = None
    sent: tuple[Secret, ...] = ()

    def __repr__(self) -> str:
        return f"Said(status={self.status})"  # the rest may be a token

    @property
    def error(self) -> str:
        """`invalid_grant: Invalid JWT Signature.`, or what else was said."""
        error: Any = self.payload.get("error")
        pair = (error, self.payload.get("error_description"))
        if isinstance(error, dict):
            pair = (error.get("status"), error.get("message"))
        found = ": ".join(part for part in pair if isinstance(part, str) and part)
        return mask(found, [one.reveal() for one in self.sent]) or f"status {self.status}"


class TokenClient:
    """What the identities of one entry ask with."""

    def __init__(self, config: ProviderConfig, transport: Transport) -> None:
        self.entry = config.key
        self._transport = transport

    async def post_form(self, url: str, fields: Mapping[str, str]) -> Said:
        """A form to a token service; secrets in it are `Secret`. Tries again when it is busy.

        Raises Failure; any status may be returned.
        """
        headers = ((b"content-type", b"application/x-www-form-urlencoded"),)
        secrets = tuple(value for value in fields.values() if isinstance(value, Secret))
        plain = {name: value.reveal() if isinstance(value, Secret) else value for name, value in fields.items()}
        said = await self.ask(b"POST", url, headers, urlencode(plain).encode())
        return msgspec.structs.replace(said, sent=secrets)

    async def ask(
        self, method: bytes, url: str, headers: tuple[Header, ...] = (), body: bytes = b"", limits: Limits = _LIMITS
    ) -> Said:
        for pause_s in _PAUSES_S:
            said = await self.once(method, url, headers, body, limits)
            if not _is_passing(said):
                return said
            await asyncio.sleep(pause_s * random.uniform(0.75, 1.25))
        return await self.once(method, url, headers, body, limits)

    async def once(
        self, method: bytes, url: str, headers: tuple[Header, ...] = (), body: bytes = b"", limits: Limits = _LIMITS
    ) -> Said:
        """Raises Unreachable, also for an address that a token must not be asked of."""
        origin, target = _split(url)
        request = Request(
            method=method,
            origin=origin,
            target=target,
            headers=((b"accept", b"application/json"), (b"accept-encoding", b"identity"), *headers),
            body=body,
        )
        if origin.scheme == "https":
            return await _exchange(self._transport, request, limits)
        return await asyncio.to_thread(_exchange_nearby, request, limits)


def token_in(said: Said, service: str) -> tuple[Secret, float]:
    """The token of an answer and how many seconds it lasts. Raises Failure for every other answer."""
    if said.status != 200:
        raise refusal(said, service)
    token, lasts_s = said.payload.get("access_token"), said.payload.get("expires_in")
    if not isinstance(token, str) or not _HEADER_VALUE.fullmatch(token):
        raise Unreachable(f"{service} answered without a token.", explanation="Its answer has no `access_token`.")
    try:
        return Secret(token), float(lasts_s or 0) or 300.0
    except (TypeError, ValueError):
        return Secret(token), 300.0


def refusal(said: Said, service: str) -> Failure:
    """What an answer other than 200 means."""
    if _is_passing(said):
        failure: Failure = Unreachable(
            f"{service} could not give a token: {said.error}.",
            explanation=f"{service} is busy or down; the model itself was not called.",
            action="Ask again in a minute.",
        )
    else:
        failure = TokenRefused(said.error)
        failure.upstream_code = said.error.partition(":")[0][:100]
    failure.upstream_status = said.status
    return failure.cleaned()


def _split(url: str) -> tuple[Origin, bytes]:
    parts = parts_of(url)
    if parts is None:
        raise Unreachable(
            "A token cannot be asked for: the address of the token service is none.",
            explanation="It has blanks, a password, a port that does not exist, or no host.",
            action="Correct the address in the credentials, or in the variable that names it.",
        )
    host = parts.hostname or ""
    if not is_private(url) and not is_metadata_service(host):
        raise Unreachable(
            f"A token is not asked for at {parts.scheme}://{host}: everybody on the way could read it.",
            explanation="Token services are called over https, or on this machine.",
            action="Correct the address in the credentials, or in the variable that names it.",
        )
    https = parts.scheme == "https"
    origin = Origin("https" if https else "http", host, parts.port or (443 if https else 80))
    query = f"?{parts.query}" if parts.query else ""
    return origin, (parts.path or "/").encode() + query.encode()


async def _exchange(transport: Transport, request: Request, limits: Limits) -> Said:
    try:
        response = await transport.send(request, limits)
        try:
            body = await response.read_all(_MAX_ANSWER_BYTES)
        finally:
            response.close()
    except TransportError as error:
        raise _unreachable(error) from error
    return _said(response.status, tuple(response.headers), body)


def _exchange_nearby(request: Request, limits: Limits) -> Said:
    """Over a connection of its own, without the entry's proxy. For a thread."""
    from http.client import HTTPConnection, HTTPException

    from penstock.providers.transport.failures import connect_failure

    origin = request.origin
    connection = HTTPConnection(origin.host, origin.port, timeout=limits.connect_s)
    try:
        connection.connect()
        connection.sock.settimeout(limits.first_byte_s)
        headers = {name.decode(): value.decode("latin-1") for name, value in request.headers}
        connection.request(request.method.decode(), request.target.decode(), request.body or None, headers)
        response = connection.getresponse()
        body = response.read(_MAX_ANSWER_BYTES)
    except TimeoutError as error:
        raise _unreachable(TransportError("ETIMEDOUT", f"{origin.host}:{origin.port}", "connect")) from error
    except OSError as error:
        raise _unreachable(connect_failure(error, origin.host, origin.port)) from error
    except HTTPException as error:
        raise _unreachable(TransportError("EPROTO", f"{origin.host}:{origin.port}", "headers")) from error
    except ValueError:  # its text has the header that cannot be sent, which may be a secret
        raise Unreachable(f"A header for {origin.host}:{origin.port} has characters that no header has.") from None
    finally:
        connection.close()
    found = tuple((name.lower().encode(), value.encode("latin-1")) for name, value in response.getheaders())
    return _said(response.status, found, body)


def _unreachable(error: TransportError) -> Unreachable:
    return Unreachable(
        f"{error.name}: {error.detail}",
        explanation="The service that gives tokens could not be reached; the model itself was not called.",
        action="Check that this service can reach it, through the entry's `proxy` if it has one.",
    ).cleaned()


def _said(status: int, headers: tuple[Header, ...], body: bytes) -> Said:
    return Said(status, headers, body, _object(body), _date(headers))


def _object(body: bytes) -> dict[str, Any]:
    try:
        payload = lenient_json(body)
    except NotJson:
        return {}
    return payload if isinstance(payload, dict) else {}


def _date(headers: tuple[Header, ...]) -> datetime | None:
    text = next((value for name, value in headers if name == b"date"), b"").decode("latin-1")
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found if found.tzinfo is not None else None


def _is_passing(said: Said) -> bool:
    word: Any = said.payload.get("error")
    return said.status == 429 or said.status >= 500 or (isinstance(word, str) and word in _PASSING)
