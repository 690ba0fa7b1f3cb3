"""An opened provider: one entry of PROVIDERS with its connections, its keys and what was learnt about it.

This is the only place where a wire meets a transport. It tries the keys of one entry; moving on to another entry is the
business of `gateway/inference`. Nothing is tried again once the caller can have seen something (`Reader.begun`).
"""

import asyncio
import random
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

from penstock import __version__
from penstock.errors import PenstockError, UpstreamError
from penstock.kit.clock import Clock
from penstock.kit.secret import Secret
from penstock.providers.answer import Answer, error_body
from penstock.providers.attempts import Attempt, Attempts
from penstock.providers.base import AwsKeys, Exchange, ProviderConfig, Reader, Translation
from penstock.providers.credentials.base import Authorizer
from penstock.providers.failures import SHORT_WAIT_S, Failure, UpstreamNotFound, explain_for, from_transport
from penstock.providers.keys import Key, KeyRing
from penstock.providers.manners import Address, Manner
from penstock.providers.sent import text_bytes
from penstock.providers.transport.base import (
    Header,
    Limits,
    Request,
    Response,
    Transport,
    TransportError,
    TransportTimeout,
)
from penstock.providers.vendors import Vendor, vendor_of, way_for
from penstock.providers.wires.estimates import estimated
from penstock.telemetry.logs import log

Output = TypeVar("Output")

OpenTransport = Callable[[ProviderConfig], Transport]

_PAUSE_S = (0.5, 1.5)
_USER_AGENT = f"penstock/{__version__}".encode()


class Provider:
    """Safe to use from many calls at a time."""

    def __init__(self, config: ProviderConfig, transport: Transport, clock: Clock) -> None:
        self.config = config
        self._vendor: Vendor = vendor_of(config)
        self.keys = KeyRing(_keys_of(config, self._vendor, transport, clock), clock)
        self._transport = transport
        self._clock = clock
        self._details = dict(config.details)
        self._address = Address.of(config.base_url)
        self._manners: dict[tuple[str, str | None, bool], Manner] = {}
        self._secrets = tuple(_secrets_of(config))
        self._headers: dict[Key, tuple[Header, ...]] = {}
        self._limits = Limits(
            connect_s=config.connect_s, first_byte_s=config.first_byte_s, idle_s=config.idle_s, total_s=config.total_s
        )

    async def open(self, model: str, translation: Translation[Output], attempts: Attempts) -> Answer[Output]:
        """Send with one key after another until an answer has begun.

        Raises UpstreamError, the failure of the first key when all of them failed alike. Nothing is sent when
        `attempts` has run out, and no wait is begun that would outlast it.
        """
        attempts.start(self._limits.total_s)
        first_failure: UpstreamError | None = None
        refused: set[Key] = set()
        paused = renewed = False
        usual = manner = self._manner_for(model, translation)
        tried = [usual]
        while True:
            try:
                key = self.keys.pick(refused)
            except UpstreamError as error:
                raise first_failure or self._explained(error, None, manner) from None
            try:
                exchange = translation.exchange(manner.wire, manner.model, manner.quirks)
            except UpstreamError as error:  # nothing was sent, and nothing else would be
                raise self._explained(error, key, manner) from error.__cause__
            begun_at = time.perf_counter()
            try:
                answer = await self._attempt(exchange, key, translation, manner, attempts)
            except asyncio.CancelledError:
                attempts.log.append(self._noted(key, manner, "cancelled", None, begun_at))
                raise
            except UpstreamError as error:
                attempts.log.append(self._noted(key, manner, _outcome(error), error.upstream_status, begun_at))
                is_stale = not renewed and key.authorizer is not None and key.authorizer.refused(error)
                may_go_on = attempts.may_go_on()
                other = self._other_manner(error, tried, translation) if may_go_on and not is_stale else None
                if other is None and not (is_stale and may_go_on):
                    self.keys.report(key, error)
                if not may_go_on:
                    raise
                if is_stale:
                    renewed = True
                elif other is not None:
                    manner = other
                    tried.append(manner)
                elif _other_key(error):
                    first_failure = first_failure or error
                    refused.add(key)
                elif paused or not _same_key_once(error) or not attempts.may_go_on(pause_s := _pause_s(error)):
                    raise
                else:
                    paused = True
                    await asyncio.sleep(pause_s)
                continue
            attempts.log.append(self._noted(key, manner, "ok", 200, begun_at))
            if manner is not usual:
                self._learn(manner, model, translation)
            self.keys.ok(key)
            return answer

    def _noted(self, key: Key, manner: Manner, outcome: str, status: int | None, begun_at: float) -> Attempt:
        took_s = time.perf_counter() - begun_at
        return Attempt(self.config.key, manner.model, key.hint, outcome, status, took_s)

    async def _attempt(
        self, exchange: Exchange, key: Key, translation: Translation[Output], manner: Manner, attempts: Attempts
    ) -> Answer[Output]:
        wire, quirks = manner.wire, manner.quirks

        def explain(error: UpstreamError | TransportError) -> UpstreamError:
            failure = self._broken(error) if isinstance(error, TransportError) else error
            return self._explained(failure, key, manner)

        request = self._request(exchange, key, manner)
        if key.authorizer is not None:
            try:
                request = await key.authorizer.authorize(request)
            except UpstreamError as error:
                raise explain(error) from error.__cause__
        dispatched_at = asyncio.get_running_loop().time()
        response: Response | None = None
        reader: Reader[Output] | None = None
        has_begun = False
        try:
            response = await self._transport.send(request, self._limits_now(attempts))
            if not 200 <= response.status < 300:
                raise explain(wire.failure(response.status, response.headers, await error_body(response)))
            sent_bytes = text_bytes(exchange.body)
            reader = translation.reader(
                wire, manner.model, quirks, content_type=_content_type(response), sent_bytes=sent_bytes
            )
            answer = Answer(response, reader, explain)
            await self._begin(answer, dispatched_at)
            has_begun = True
        except TransportError as error:
            raise explain(error) from error
        except asyncio.CancelledError:
            # The provider may have worked for it already, and nobody will tell how much.
            attempts.abandoned = estimated(text_bytes(exchange.body), 0) if reader is None else reader.estimate()
            raise
        finally:
            if not has_begun and response is not None:
                response.close()
        return answer

    def _limits_now(self, attempts: Attempts) -> Limits:
        """The first attempt has all the time of the entry, the others what is left of it."""
        if not attempts.made or attempts.left_s >= self._limits.total_s:
            return self._limits
        return msgspec.structs.replace(self._limits, total_s=max(attempts.left_s, 0.0))

    def _broken(self, error: TransportError) -> UpstreamError:
        if isinstance(error, TransportTimeout) and error.limit == "total":
            # Of a later attempt the limit was shorter; people know the one that is configured.
            error = TransportTimeout("total", self._limits.total_s, error.detail, error.phase)
        return from_transport(error)

    async def _begin(self, answer: Answer[Output], dispatched_at: float) -> None:
        """Wait for the first content; headers and comments alone do not count as an answer (S054)."""
        if answer.is_here:
            return await answer.begin()
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

    def _request(self, exchange: Exchange, key: Key, manner: Manner) -> Request:
        headers = self._headers.get(key)
        if headers is None:
            headers = self._headers[key] = self._static_headers(key)
        if exchange.headers:
            replaced = {name for name, _ in exchange.headers}
            headers = tuple(header for header in headers if header[0] not in replaced) + exchange.headers
        return Request(
            method=exchange.method,
            origin=manner.place.origin,
            target=manner.target(exchange.path, self._details),
            headers=headers,
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
        auth = self._vendor.auth
        if key.secret is not None and auth != "none":
            value = key.secret.reveal().encode()
            name = b"authorization" if auth == "bearer" else auth.encode()
            standard.append((name, b"Bearer " + value if auth == "bearer" else value))
        return tuple(header for header in standard if header[0] not in names) + configured

    def _explained(self, error: UpstreamError, key: Key | None, manner: Manner) -> UpstreamError:
        return explain_for(
            error,
            provider_key=self.config.key,
            provider_type=self.config.type,
            details=self._details,
            key_hint=key.hint if key is not None else None,
            model=manner.model,
            base_url=manner.place.shown,
            secrets=(*self._secrets, *_secrets_of_identity(key)),
        )

    def _manner_for(self, model: str, translation: Translation[Output]) -> Manner:
        """How a call of this kind is sent now."""
        kind = (model, translation.wire, translation.has_tools)
        manner = self._manners.get(kind)
        if manner is not None and (manner.until is None or self._clock.monotonic() < manner.until):
            return manner
        manner = self._manners[kind] = Manner.of(way_for(self._vendor, model, translation.wire), model, self._address)
        return manner

    def _other_manner(
        self, error: UpstreamError, tried: Sequence[Manner], translation: Translation[Output]
    ) -> Manner | None:
        """Another way than those that were `tried` to send the same call, which may get past this refusal."""
        manner = tried[-1]
        lost = isinstance(error, UpstreamNotFound) and error.upstream_status == 404 and error.wrong_path
        if lost and self._vendor.wants_v1 and not manner.address.path.endswith(b"/v1"):
            return manner.at(manner.address.with_v1())
        amendment = manner.wire.amended(error, manner.model, manner.quirks)
        if amendment is None or (amendment.drops_tools and not translation.tools_optional):
            return None
        other = manner.amended(amendment, self._vendor, self._clock.monotonic())
        if other is None or any(map(other.is_like, tried)):
            return None
        try:
            before = translation.exchange(manner.wire, manner.model, manner.quirks)
            after = translation.exchange(other.wire, other.model, other.quirks)
        except PenstockError:
            return None
        return None if before == after and manner.wire is other.wire and not other.is_elsewhere(manner) else other

    def _learn(self, manner: Manner, model: str, translation: Translation[Output]) -> None:
        """Begin with `manner` from now on. Only what an answer has proved: refusals may repeat the caller's words."""
        if manner.address != self._address:
            log.warning(
                "the provider's address lacks /v1; it answers with it",
                provider=self.config.key,
                action=f'set "baseUrl": "{manner.address.shown}" in PROVIDERS',
            )
            self._address = manner.address
            self._manners.clear()
        if manner.is_lasting:
            kind = (model, translation.wire, translation.has_tools)
            log.info("learnt how a model is called", provider=self.config.key, model=model, wire=manner.wire.name)
            self._manners[kind] = manner

    def learnt(self) -> list[dict[str, Any]]:
        """What health pages show of the models that are called in another way than their vendor's usual one."""
        return [
            {"model": model, "wire": manner.wire.name, "differs": manner.differences()}
            for (model, _, _), manner in self._manners.items()
            if manner.until is not None and self._clock.monotonic() < manner.until
        ]

    async def retire(self) -> None:
        """Calls in flight go on, and the last connection is closed after them."""
        await self._transport.retire()

    async def aclose(self) -> None:
        await self._transport.aclose()


def _keys_of(
    config: ProviderConfig, vendor: Vendor, transport: Transport, clock: Clock
) -> Sequence[Secret | Authorizer]:
    """Keys first; then credentials; then the platform's own identity, where the type has one."""
    if config.api_keys or (vendor.credentials is None):
        return config.api_keys
    from penstock.providers.credentials.opening import open_authorizers

    return open_authorizers(vendor.credentials, config, transport, clock)


def _content_type(response: Response) -> str:
    for name, value in response.headers:
        if name == b"content-type":
            return value.decode("latin-1")
    return ""


def _outcome(error: UpstreamError) -> str:
    return error.kind if isinstance(error, Failure) else error.code


def _other_key(error: UpstreamError) -> bool:
    return isinstance(error, Failure) and error.other_key


def _same_key_once(error: UpstreamError) -> bool:
    return isinstance(error, Failure) and error.same_key_once and (error.retry_after_s or 0.0) <= SHORT_WAIT_S


def _pause_s(error: UpstreamError) -> float:
    """What the provider asks for, or a moment."""
    if error.retry_after_s:
        return error.retry_after_s * random.uniform(1.0, 1.25)
    return random.uniform(*_PAUSE_S)


def _secrets_of(config: ProviderConfig) -> Iterator[str]:
    """What a provider may repeat in its answers and nobody may read there."""
    yield from (secret.reveal() for secret in config.api_keys)
    for credentials in config.credentials:
        if isinstance(credentials, AwsKeys):
            yield credentials.secret_access_key.reveal()
            if credentials.session_token is not None:
                yield credentials.session_token.reveal()
        else:
            yield credentials.private_key.reveal()
    for _, value in config.headers:
        text = value.reveal() if isinstance(value, Secret) else value
        yield text
        yield text.rpartition(" ")[2]  # without the scheme
    query = urlsplit(config.base_url).query
    if query:
        yield query
        yield from (value for _, value in parse_qsl(query))
    if config.proxy is not None:
        yield from _secrets_of_proxy(urlsplit(config.proxy.reveal()))


def _secrets_of_proxy(proxy: SplitResult) -> Iterator[str]:
    """A proxy repeats its password as it stands in the header, too."""
    password = unquote(proxy.password or "")
    if password:
        yield password
        yield proxy.password or ""
        yield b64encode(f"{unquote(proxy.username or '')}:{password}".encode()).decode()


def _secrets_of_identity(key: Key | None) -> Iterator[str]:
    if key is not None and key.authorizer is not None:
        yield from (secret.reveal() for secret in key.authorizer.secrets)


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

    def opened(self, config: ProviderConfig) -> Provider | None:
        """The provider, if it was called since it is configured so."""
        return self._opened.get(config)

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
