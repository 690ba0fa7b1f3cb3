"""An opened provider: one entry of PROVIDERS with its connections, its keys and what was learnt about it.

This is the only place where a wire meets a transport. It tries the keys of one entry; moving on to another entry is the
business of `gateway/inference`. Nothing is tried again once the caller can have seen something (`Reader.begun`).
"""

import asyncio
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from penstock import __version__
from penstock.errors import PenstockError, UpstreamError
from penstock.kit.clock import Clock
from penstock.kit.secret import Secret
from penstock.providers.base import Amendment, AwsKeys, Exchange, ProviderConfig, Quirks, Reader, Translation, Wire
from penstock.providers.credentials.base import Authorizer
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
from penstock.providers.vendors import Vendor, Way, load_wire, vendor_of, wire_for
from penstock.telemetry.logs import log

Output = TypeVar("Output")

OpenTransport = Callable[[ProviderConfig], Transport]

_SURFACES = {"chat": "openai_chat", "responses": "openai_responses"}
"""What `api` of an entry says."""

_DRAIN_S = 1.0
_FINISHING_S = 5.0
_PAUSE_S = (0.5, 1.5)
_LONGEST_PAUSE_S = 5.0
_USER_AGENT = f"penstock/{__version__}".encode()


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One request to a provider. `outcome` is `ok` or the kind of failure; `key` the last characters of the key."""

    provider: str
    model: str
    key: str | None
    outcome: str
    status: int | None
    duration_s: float


class Attempts:
    """How often one call of a caller may be sent, over all keys and backends, and what became of each attempt."""

    __slots__ = ("log", "most")

    def __init__(self, most: int = 4) -> None:
        self.log: list[Attempt] = []
        self.most = most

    @property
    def made(self) -> int:
        return len(self.log)

    @property
    def left(self) -> int:
        return self.most - len(self.log)


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
        self._vendor: Vendor = vendor_of(config)
        self.keys = KeyRing(_keys_of(config, self._vendor, transport, clock), clock)
        self._transport = transport
        self._clock = clock
        self._details = dict(config.details)
        self._address = _Address.of(config.base_url)
        self._manners: dict[tuple[str, str | None, bool], _Manner] = {}
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
        paused = renewed = False
        usual = manner = self._manner_for(model, translation)
        while True:
            try:
                key = self.keys.pick()
            except UpstreamError as error:
                raise first_failure or self._explained(error, None, manner) from None
            begun_at = time.perf_counter()
            try:
                answer = await self._attempt(key, translation, manner)
            except UpstreamError as error:
                attempts.log.append(self._noted(key, manner, error, begun_at))
                is_stale = not renewed and key.authorizer is not None and key.authorizer.refused(error)
                may_go_on = attempts.left > 0
                other = self._other_manner(error, manner, translation) if may_go_on and not is_stale else None
                if other is None and not (is_stale and may_go_on):
                    self.keys.report(key, error)
                if not may_go_on:
                    raise
                if is_stale:
                    renewed = True
                elif other is not None:
                    manner = other
                elif _other_key(error):
                    first_failure = first_failure or error
                elif paused or not _same_key_once(error):
                    raise
                else:
                    paused = True
                    await asyncio.sleep(_pause_s(error))
                continue
            attempts.log.append(self._noted(key, manner, None, begun_at))
            if manner is not usual:
                self._learn(manner, model, translation)
            self.keys.ok(key)
            return answer

    def _noted(self, key: Key, manner: "_Manner", error: UpstreamError | None, begun_at: float) -> Attempt:
        outcome = "ok" if error is None else error.kind if isinstance(error, Failure) else error.code
        status = 200 if error is None else error.upstream_status
        took_s = time.perf_counter() - begun_at
        return Attempt(self.config.key, manner.model, key.hint, outcome, status, took_s)

    async def _attempt(self, key: Key, translation: Translation[Output], manner: "_Manner") -> Answer[Output]:
        wire, quirks = manner.wire, manner.quirks

        def explain(error: UpstreamError) -> UpstreamError:
            return self._explained(error, key, manner)

        try:
            exchange = translation.exchange(wire, manner.model, quirks)
            request = self._request(exchange, key, manner)
            if key.authorizer is not None:
                request = await key.authorizer.authorize(request)
        except UpstreamError as error:
            raise explain(error) from error.__cause__
        dispatched_at = asyncio.get_running_loop().time()
        try:
            response = await self._transport.send(request, self._limits)
        except TransportError as error:
            raise explain(from_transport(error)) from error
        try:
            if not 200 <= response.status < 300:
                raise explain(await self._failure(response, wire))
            reader = translation.reader(
                wire, manner.model, quirks, content_type=_content_type(response), sent_bytes=len(exchange.body)
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

    async def _failure(self, response: Response, wire: Wire) -> UpstreamError:
        try:
            body = await response.read_all(MAX_ERROR_BYTES)
        except TransportError:
            body = b""  # the status says enough; what it wanted to add did not arrive
        return wire.failure(response.status, response.headers, body)

    def _request(self, exchange: Exchange, key: Key, manner: "_Manner") -> Request:
        headers = self._headers.get(key)
        if headers is None:
            headers = self._headers[key] = self._static_headers(key)
        if exchange.headers:
            replaced = {name for name, _ in exchange.headers}
            headers = tuple(header for header in headers if header[0] not in replaced) + exchange.headers
        return Request(
            method=exchange.method,
            origin=manner.address.origin,
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

    def _explained(self, error: UpstreamError, key: Key | None, manner: "_Manner") -> UpstreamError:
        return explain_for(
            error,
            provider_key=self.config.key,
            provider_type=self.config.type,
            details=self._details,
            key_hint=key.hint if key is not None else None,
            model=manner.model,
            base_url=manner.address.shown,
            secrets=self._secrets,
        )

    def _manner_for(self, model: str, translation: Translation[Output]) -> "_Manner":
        """How a call of this kind is sent now."""
        kind = (model, translation.wire, translation.has_tools)
        manner = self._manners.get(kind)
        if manner is not None and (manner.until is None or self._clock.monotonic() < manner.until):
            return manner
        manner = self._manners[kind] = _Manner.of(self._way_for(model, translation.wire), model, self._address)
        return manner

    def _way_for(self, model: str, preferred: str | None) -> Way:
        vendor, api = self._vendor, self._details.get("api", "auto")
        wire = _SURFACES.get(api)
        if wire is None and preferred is not None and vendor.learns_surface:
            wire = preferred
        return vendor.way_of(wire or wire_for(vendor, model)) or vendor.ways[0]

    def _other_manner(
        self, error: UpstreamError, manner: "_Manner", translation: Translation[Output]
    ) -> "_Manner | None":
        """Another way to send the same call that may get past this refusal."""
        lost = isinstance(error, UpstreamNotFound) and error.upstream_status == 404 and error.wrong_path
        if lost and self._vendor.wants_v1 and not manner.address.path.endswith(b"/v1"):
            return manner.at(manner.address.with_v1())
        amendment = manner.wire.amended(error, manner.model, manner.quirks)
        if amendment is None or (amendment.drops_tools and not translation.tools_optional):
            return None
        other = manner.amended(amendment, self._vendor, self._clock.monotonic())
        if other is None:
            return None
        try:
            before = translation.exchange(manner.wire, manner.model, manner.quirks)
            after = translation.exchange(other.wire, other.model, other.quirks)
        except PenstockError:
            return None
        return None if before == after and manner.wire is other.wire and not other.is_elsewhere(manner) else other

    def _learn(self, manner: "_Manner", model: str, translation: Translation[Output]) -> None:
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
            if manner.until is not None
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


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, frozenset) else value


def _content_type(response: Response) -> str:
    for name, value in response.headers:
        if name == b"content-type":
            return value.decode("latin-1")
    return ""


def _other_key(error: UpstreamError) -> bool:
    return isinstance(error, Failure) and error.other_key


def _same_key_once(error: UpstreamError) -> bool:
    return isinstance(error, Failure) and error.same_key_once and (error.retry_after_s or 0.0) <= _LONGEST_PAUSE_S


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
        """`path` may have a query of its own."""
        query = b"&" + self.query[1:] if self.query and "?" in path else self.query
        return self.path + path.encode() + query


class _Manner:
    """How calls of one model are sent: where, in which format, with which quirks."""

    __slots__ = ("_targets", "_way", "address", "is_lasting", "model", "quirks", "until", "wire")

    def __init__(self, way: Way, model: str, address: _Address, quirks: Quirks) -> None:
        self._way = way
        self.model = model
        self.address = address
        self.quirks = quirks
        self.wire: Wire = load_wire(way.wire)
        self.until: float | None = None
        self.is_lasting = True
        self._targets: dict[str, bytes] = {}

    @classmethod
    def of(cls, way: Way, model: str, address: _Address) -> "_Manner":
        return cls(way, re.sub(way.strips, "", model) if way.strips else model, address, way.quirks)

    def at(self, address: _Address) -> "_Manner":
        return _Manner(self._way, self.model, address, self.quirks)

    def amended(self, amendment: Amendment, vendor: Vendor, now: float) -> "_Manner | None":
        """None when the vendor has no such format."""
        way, quirks = self._way, amendment.quirks
        if amendment.wire is not None:
            found = vendor.way_of(amendment.wire)
            if found is None:
                return None
            way, quirks = found, found.quirks
        other = _Manner(way, self.model, self.address, quirks)
        other.is_lasting = self.is_lasting and amendment.lasts_s > 0
        untils = [until for until in (self.until, now + amendment.lasts_s) if until is not None]
        other.until = min(untils)
        return other

    def differences(self) -> dict[str, Any]:
        """The quirks that are not those of the vendor's row, for people."""
        usual = msgspec.structs.asdict(self._way.quirks)
        now = msgspec.structs.asdict(self.quirks)
        return {name: _plain(value) for name, value in now.items() if value != usual[name]}

    def is_elsewhere(self, other: "_Manner") -> bool:
        return self.quirks.short_path != other.quirks.short_path or self.address != other.address

    def target(self, path: str, details: Mapping[str, str]) -> bytes:
        """`path`, as the wire writes it, at this vendor and for this model."""
        target = self._targets.get(path)
        if target is None:
            paths = self._way.short_paths if self.quirks.short_path else self._way.paths
            template = paths.get(path, path)
            values = {name: quote(value, safe="") for name, value in details.items()}
            values["model"] = quote(self.model, safe=self._way.safe)
            filled = re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), template)
            target = self._targets[path] = self.address.target(filled)
        return target


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
