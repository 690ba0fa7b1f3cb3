"""An opened provider: one entry of PROVIDERS with its connections, its keys and what was learnt about it.

This is the only place where a wire meets a transport. It tries the keys of one entry; moving on to another entry is the
business of `gateway/inference`. Nothing is tried again once the caller can have seen something (`Reader.begun`).
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar
from urllib.parse import urlsplit

import msgspec

from penstock import __version__
from penstock.errors import UpstreamError
from penstock.kit.clock import Clock
from penstock.kit.secret import Secret
from penstock.providers.base import Exchange, ProviderConfig, Quirks, Reader, Translation, Wire
from penstock.providers.failures import Failure, UpstreamNotFound, explain_for, from_transport
from penstock.providers.keys import Key, KeyRing
from penstock.providers.transport.base import (
    MAX_ERROR_BYTES,
    Header,
    Limits,
    Origin,
    Request,
    Response,
    Transport,
    TransportError,
    TransportTimeout,
)
from penstock.providers.vendors import Vendor, load_wire, vendor_of
from penstock.telemetry.logs import log

Output = TypeVar("Output")

OpenTransport = Callable[[ProviderConfig], Transport]

_DRAIN_S = 1.0
_FINISHING_S = 5.0
_PAUSE_S = (0.5, 1.5)
_USER_AGENT = f"penstock/{__version__}".encode()


class Attempts:
    """How often one call of a caller may be sent, over all keys and backends. `made` goes into the usage record."""

    __slots__ = ("made", "most")

    def __init__(self, most: int = 4) -> None:
        self.made = 0
        self.most = most

    @property
    def left(self) -> int:
        return self.most - self.made


class Answer(Generic[Output]):
    """An answer of which something can be shown, or all of it. Whoever holds it must `close` it."""

    __slots__ = ("_drained", "_ended", "_explain", "_response", "is_expired", "reader", "ready")

    def __init__(
        self, response: Response, reader: Reader[Output], explain: Callable[[UpstreamError], UpstreamError]
    ) -> None:
        self.reader = reader
        self.ready: list[Output] = []
        """What was read until the answer had begun; `next` gives what follows."""
        self._response = response
        self._explain = explain
        self.is_expired = False
        self._drained = False
        self._ended = False

    async def begin(self) -> None:
        """Read until there is something to show. Raises UpstreamError: then another attempt is allowed."""
        while not self.reader.begun:
            output = await self.next()
            if output is None:
                return
            self.ready.append(output)

    async def next(self) -> Output | None:
        """What the next read brought, None after the end. Raises UpstreamError."""
        reader = self.reader
        if self._ended:
            if not self._drained:
                await self._drain()
            return None
        try:
            if not reader.terminated and reader.failure is None:
                data = await (self._last_words() if reader.complete else self._response.read())
                if data:
                    return reader.feed(data)
                self._drained = True
            self._ended = True
            return reader.end()
        except TransportError as error:
            raise self._explain(from_transport(error)) from error
        except UpstreamError as error:
            raise self._explain(error) from error.__cause__

    async def _last_words(self) -> bytes:
        """After its finish reason an answer lacks usage and terminator only; some servers send neither, and stay."""
        is_quiet = False

        def give_up() -> None:
            nonlocal is_quiet
            is_quiet = True
            self._response.close()

        timer = asyncio.get_running_loop().call_later(_FINISHING_S, give_up)
        try:
            return await self._response.read()
        except TransportError:
            if not is_quiet:
                raise
            return b""
        finally:
            timer.cancel()

    async def _drain(self) -> None:
        """After its terminator a body has nothing more to say; its orderly end lets the connection be used again."""
        self._drained = True
        try:
            async with asyncio.timeout(_DRAIN_S):
                while await self._response.read():
                    pass
        except (TransportError, TimeoutError):
            pass

    def expire(self) -> None:
        """Give up waiting: a read under way fails."""
        self.is_expired = True
        self._response.close()

    def close(self) -> None:
        """At once: an answer that was not read to its end costs its connection."""
        self._response.close()


class Provider:
    """Safe to use from many calls at a time."""

    def __init__(self, config: ProviderConfig, transport: Transport, clock: Clock) -> None:
        self.config = config
        self.keys = KeyRing(config.api_keys, clock)
        self._vendor: Vendor = vendor_of(config)
        self.wire: Wire = load_wire(self._vendor.wire)
        self._transport = transport
        self._manner = _Manner(_Address.of(config.base_url), self._vendor.quirks)
        self._secrets = tuple(_secrets_of(config))
        self._headers: dict[Key, tuple[Header, ...]] = {}
        self._limits = Limits(
            connect_s=config.connect_s, first_byte_s=config.first_byte_s, idle_s=config.idle_s, total_s=config.total_s
        )

    async def open(self, model: str, translation: Translation[Output], attempts: Attempts) -> Answer[Output]:
        """Send with one key after another until an answer has begun.

        Raises UpstreamError, the failure of the first key when all of them failed alike.
        """
        first_failure: UpstreamError | None = None
        paused = False
        manner = self._manner
        while True:
            try:
                key = self.keys.pick()
            except UpstreamError as error:
                raise first_failure or self._explained(error, None, model, manner.address) from None
            attempts.made += 1
            try:
                answer = await self._attempt(key, model, translation, manner)
            except UpstreamError as error:
                self.keys.report(key, error)
                if attempts.left <= 0:
                    raise
                other = self._other_manner(error, manner)
                if other is not None:
                    manner = other
                elif _other_key(error):
                    first_failure = first_failure or error
                elif paused or not _same_key_once(error):
                    raise
                else:
                    paused = True
                    await asyncio.sleep(random.uniform(*_PAUSE_S))
                continue
            if manner is not self._manner:
                self._learn(manner)
            self.keys.ok(key)
            return answer

    async def _attempt(
        self, key: Key, model: str, translation: Translation[Output], manner: "_Manner"
    ) -> Answer[Output]:
        exchange = translation.exchange(self.wire, model, manner.quirks)

        def explain(error: UpstreamError) -> UpstreamError:
            return self._explained(error, key, model, manner.address)

        dispatched_at = asyncio.get_running_loop().time()
        try:
            response = await self._transport.send(self._request(exchange, key, manner.address), self._limits)
        except TransportError as error:
            raise explain(from_transport(error)) from error
        try:
            if not 200 <= response.status < 300:
                raise explain(await self._failure(response))
            content_type = _content_type(response)
            reader = translation.reader(
                self.wire, manner.quirks, content_type=content_type, sent_bytes=len(exchange.body)
            )
            answer = Answer(response, reader, explain)
            await self._begin(answer, dispatched_at)
        except BaseException:
            response.close()
            raise
        return answer

    async def _begin(self, answer: Answer[Output], dispatched_at: float) -> None:
        """Wait for the first content; headers and comments alone do not count as an answer (S054)."""
        limit_s = self._limits.first_byte_s
        # A bare timer, because this is on the path of every call and `asyncio.timeout` costs three times as much.
        timer = asyncio.get_running_loop().call_at(dispatched_at + limit_s, answer.expire)
        try:
            await answer.begin()
        except UpstreamError:
            if not answer.is_expired:
                raise
            late = TransportTimeout("first_byte", limit_s, "no content although the answer has begun", "body")
            raise from_transport(late) from late
        finally:
            timer.cancel()

    async def _failure(self, response: Response) -> UpstreamError:
        try:
            body = await response.read_all(MAX_ERROR_BYTES)
        except TransportError:
            body = b""  # the status says enough; what it wanted to add did not arrive
        return self.wire.failure(response.status, response.headers, body)

    def _request(self, exchange: Exchange, key: Key, address: "_Address") -> Request:
        headers = self._headers.get(key)
        if headers is None:
            headers = self._headers[key] = self._static_headers(key)
        return Request(
            method=b"POST",
            origin=address.origin,
            target=address.target(exchange.path),
            headers=headers + exchange.headers if exchange.headers else headers,
            body=exchange.body,
        )

    def _static_headers(self, key: Key) -> tuple[Header, ...]:
        configured = tuple((name.lower().encode(), value.encode()) for name, value in self.config.headers)
        names = {name for name, _ in configured}
        standard: list[Header] = [
            (b"content-type", b"application/json"),
            (b"accept", b"application/json, text/event-stream"),
            (b"accept-encoding", b"identity"),
            (b"user-agent", _USER_AGENT),
        ]
        if key.secret is not None:
            standard.append((b"authorization", b"Bearer " + key.secret.reveal().encode()))
        return tuple(header for header in standard if header[0] not in names) + configured

    def _explained(self, error: UpstreamError, key: Key | None, model: str, address: "_Address") -> UpstreamError:
        return explain_for(
            error,
            provider_key=self.config.key,
            key_hint=key.hint if key is not None else None,
            model=model,
            base_url=address.shown,
            secrets=self._secrets,
        )

    def _other_manner(self, error: UpstreamError, manner: "_Manner") -> "_Manner | None":
        """Another way to send the same call that may get past this refusal."""
        quirks, address = manner.quirks, manner.address
        if error.upstream_status in (400, 422) and quirks.stream_options and "stream_options" in error.message:
            return _Manner(address, msgspec.structs.replace(quirks, stream_options=False))
        lost = isinstance(error, UpstreamNotFound) and error.upstream_status == 404 and error.wrong_path
        if lost and self._vendor.wants_v1 and not address.path.endswith(b"/v1"):
            return _Manner(address.with_v1(), quirks)
        return None

    def _learn(self, manner: "_Manner") -> None:
        """Begin with `manner` from now on. Only what an answer has proved: refusals may repeat the caller's words."""
        if manner.address != self._manner.address:
            log.warning(
                "the provider's address lacks /v1; it answers with it",
                provider=self.config.key,
                action=f'set "baseUrl": "{manner.address.shown}" in PROVIDERS',
            )
        self._manner = manner

    async def retire(self) -> None:
        """Calls in flight go on, and the last connection is closed after them."""
        await self._transport.retire()

    async def aclose(self) -> None:
        await self._transport.aclose()


def _content_type(response: Response) -> str:
    for name, value in response.headers:
        if name == b"content-type":
            return value.decode("latin-1")
    return ""


def _other_key(error: UpstreamError) -> bool:
    return isinstance(error, Failure) and error.other_key


def _same_key_once(error: UpstreamError) -> bool:
    return isinstance(error, Failure) and error.same_key_once


def _secrets_of(config: ProviderConfig) -> Iterator[str]:
    """What a provider may repeat in its answers and nobody may read there."""
    yield from (secret.reveal() for secret in config.api_keys)
    for _, value in config.headers:
        text = value.reveal() if isinstance(value, Secret) else value
        yield text
        yield text.rpartition(" ")[2]  # without the scheme
    query = urlsplit(config.base_url).query
    if query:
        yield query


class _Address(msgspec.Struct, frozen=True):
    """A base URL, taken apart once. Query parameters of the base stay (some private gateways need them).

    `shown` is for people; it has no query, which may hold a key.
    """

    origin: Origin
    path: bytes
    query: bytes
    shown: str

    @classmethod
    def of(cls, base_url: str) -> "_Address":
        parts = urlsplit(base_url)
        scheme = "http" if parts.scheme == "http" else "https"
        port = parts.port or (80 if scheme == "http" else 443)
        origin = Origin(scheme, parts.hostname or "", port)  # type: ignore[arg-type]
        query = b"?" + parts.query.encode() if parts.query else b""
        return cls(origin, parts.path.rstrip("/").encode(), query, base_url.partition("?")[0].rstrip("/"))

    def with_v1(self) -> "_Address":
        return msgspec.structs.replace(self, path=self.path + b"/v1", shown=self.shown + "/v1")

    def target(self, path: str) -> bytes:
        return self.path + path.encode() + self.query


class _Manner(msgspec.Struct, frozen=True):
    """How an entry is called: where, and with which of its vendor's quirks."""

    address: _Address
    quirks: Quirks


class Providers:
    """The opened providers, by their configuration. A reload that changes nothing keeps connections and key states."""

    def __init__(self, open_transport: OpenTransport, clock: Clock) -> None:
        self._open_transport = open_transport
        self._clock = clock
        self._opened: dict[ProviderConfig, Provider] = {}
        self._by_identity: dict[int, Provider] = {}

    def of(self, config: ProviderConfig) -> Provider:
        """Raises UpstreamError when it cannot be opened."""
        # Hashing a whole configuration for each call would cost more than the rest of the look-up.
        provider = self._by_identity.get(id(config))
        if provider is None or provider.config is not config:
            provider = self._opened.get(config)
            if provider is None:
                provider = self._opened[config] = self._open(config)
            provider.config = config
            self._by_identity[id(config)] = provider
        return provider

    def _open(self, config: ProviderConfig) -> Provider:
        try:
            transport = self._open_transport(config)
        except OSError as error:  # the file was there when the configuration was read
            lost = TransportError(
                "CERT_UNTRUSTED", "`tls.caFile` cannot be read any more, or is no PEM file", "connect"
            )
            raise explain_for(from_transport(lost), provider_key=config.key) from error
        return Provider(config, transport, self._clock)

    async def keep_only(self, configs: Iterable[ProviderConfig]) -> None:
        """Forget the others. Their calls in flight go on: a connection is closed when its answer ends."""
        kept = set(configs)
        retired = [self._opened.pop(config) for config in list(self._opened) if config not in kept]
        self._by_identity = {id(one.config): one for one in self._opened.values()}
        for provider in retired:
            await provider.retire()

    async def aclose(self) -> None:
        for provider in self._opened.values():
            await provider.aclose()
        self._opened.clear()
