"""A JSON service that the operator has configured: asked by POST, wherever it is, and never followed elsewhere.

Its address is trusted, so it may be private (`http/outbound.py` is for addresses of users); its answer is not.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from penstock.http.endpoint_client import EndpointClient

_AT_ONCE_BYTES = 256 * 1024


class EndpointFailed(Exception):
    """`reason` follows the service's name in a sentence ("answered with status 503"), and repeats nothing of it."""

    def __init__(self, reason: str, *, status: int | None = None, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.timed_out = timed_out


class Endpoint:
    """`proxy` is used where it is given; one that the environment names is not."""

    def __init__(
        self,
        url: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        timeout_s: float,
        max_bytes: int,
        proxy: str | None = None,
        ca_file: str | None = None,
    ) -> None:
        """`timeout_s` is the time of one question from its first to its last byte, `max_bytes` bounds the answer."""
        self._url = url
        self._headers = tuple(headers)
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._proxy = proxy
        self._ca_file = ca_file
        self._opening = asyncio.Lock()
        self._client: EndpointClient | None = None

    async def ask(self, question: Mapping[str, Any], *, headers: Sequence[tuple[str, str]] = ()) -> Any:
        """The answer's JSON; strings may hold lone surrogates. Raises EndpointFailed, also for a status but 2xx.

        `headers` are those of this question, such as a credential.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                status, body = await (await self._opened()).post(msgspec.json.encode(question), headers)
        except TimeoutError as error:
            raise EndpointFailed(f"did not answer within {self._timeout_s:g} s", timed_out=True) from error
        if not 200 <= status < 300:
            raise EndpointFailed(f"answered with status {status}", status=status)
        try:
            # Not msgspec: services that cut texts leave halves of surrogate pairs, which it refuses.
            return json.loads(body) if len(body) <= _AT_ONCE_BYTES else await asyncio.to_thread(json.loads, body)
        except (ValueError, RecursionError) as error:
            raise EndpointFailed("answered with something that is no JSON", status=status) from error

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _opened(self) -> "EndpointClient":
        async with self._opening:
            if self._client is None:
                kind = (await asyncio.to_thread(import_module, "penstock.http.endpoint_client")).EndpointClient
                self._client = await kind.open(self._url, self._headers, self._max_bytes, self._proxy, self._ca_file)
            return self._client
