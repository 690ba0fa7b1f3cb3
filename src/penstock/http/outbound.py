"""The guard of everything that is fetched from an address which a user gave: who may be spoken to, and for how long.

The host's name is resolved here, every address of it is checked, and the connection goes to one of those addresses: a
name that answers differently the second time gains nothing. Each redirect is a new address and is checked like the
first.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

import msgspec

from penstock.errors import InvalidRequest, Unprocessable

if TYPE_CHECKING:
    from yarl import URL

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to addresses, as text. Raises OSError."""

WEB_PORTS = frozenset({80, 443, 8080, 8443})
MAX_REDIRECTS = 5
_MAX_URL_CHARS = 4096
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

# Where clouds tell a machine its secrets, at addresses that are not private by themselves. Nothing opens these.
_METADATA = frozenset(
    ipaddress.ip_address(one)
    for one in (
        *("169.254.169.254", "fd00:ec2::254", "169.254.170.2", "169.254.170.23", "fd00:ec2::23"),  # AWS, its containers
        *("168.63.129.16", "192.0.0.192", "100.100.100.200", "fd20:ce::254"),  # Azure, Oracle, Alibaba, Google
    )
)
_UNICAST = ipaddress.ip_network("2000::/3")
_SPECIAL = tuple(ipaddress.ip_network(one) for one in ("2001::/23", "2001:db8::/32", "3fff::/20", "192.88.99.0/24"))
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class AddressRefused(InvalidRequest):
    """The address is one that this service does not speak to, whatever is there."""

    code: ClassVar[str] = "address_refused"


class FetchFailed(Unprocessable):
    """The address may be asked, but did not give what was wanted."""

    code: ClassVar[str] = "fetch_failed"


class FetchTooLarge(FetchFailed):
    code: ClassVar[str] = "fetch_too_large"


class FetchTimedOut(FetchFailed):
    code: ClassVar[str] = "fetch_timed_out"


class Fetched(msgspec.Struct, frozen=True):
    """`url` is where the last redirect led; `content_type` is what the server says, and nothing more than that."""

    url: str
    content_type: str
    body: bytes


class Outbound:
    """`allow` opens networks that are not public, by CIDR; metadata services stay closed. `ports` None: any."""

    def __init__(
        self,
        *,
        allow: Iterable[str] = (),
        ports: frozenset[int] | None = WEB_PORTS,
        resolve: Resolve | None = None,
        ca_file: str | None = None,
    ) -> None:
        """Raises ValueError for what is no network."""
        self._allow: tuple[Network, ...] = tuple(ipaddress.ip_network(one, strict=False) for one in allow)
        self._ports = ports
        self._resolve = resolve or _resolve
        self._ca_file = ca_file

    async def fetch(self, url: str, *, max_bytes: int, within_s: float, accept: str = "*/*") -> Fetched:
        """What stands at `url`. Raises AddressRefused and FetchFailed.

        `max_bytes` bounds the body, `within_s` everything together: names, redirects and the body.
        """
        get = (await asyncio.to_thread(import_module, "penstock.http.outbound_client")).get
        target = _parsed(url)
        try:
            async with asyncio.timeout(within_s):
                for _ in range(MAX_REDIRECTS + 1):
                    pinned = await self._checked(target)
                    answer = await get(target, pinned, max_bytes=max_bytes, accept=accept, ca_file=self._ca_file)
                    if answer.status not in _REDIRECTS or answer.location is None:
                        return _taken(target, answer)
                    target = _redirected(target, answer.location)
        except TimeoutError as error:
            raise FetchTimedOut(
                f"{shown(target)} did not answer completely within {within_s:g} s.",
                action="Try again, or use an address that answers faster.",
            ) from error
        raise FetchFailed(f"{shown(target)} redirects more than {MAX_REDIRECTS} times.")

    async def addresses(self, url: str) -> tuple[str, ...]:
        """Where `url` may be connected to, for those who connect by themselves. Raises AddressRefused, FetchFailed."""
        return await self._checked(_parsed(url))

    async def check(self, url: str) -> None:
        """That `url` may be fetched, by whomever. Raises AddressRefused, and FetchFailed for a host without address."""
        await self._checked(_parsed(url))

    async def _checked(self, url: "URL") -> tuple[str, ...]:
        """The addresses that may be connected to. One forbidden address forbids the name."""
        if url.scheme not in ("http", "https") or not url.raw_host:
            raise _refused(url, "Only http and https addresses are fetched.")
        if url.raw_user is not None or url.raw_password is not None:
            raise _refused(url, "Addresses with a user or a password are not fetched.")
        if self._ports is not None and url.port not in self._ports:
            raise _refused(url, f"Port {url.port} is not one that is fetched from.")
        try:
            found = await self._resolve(url.raw_host, url.port or 0)
        except (OSError, UnicodeError) as error:
            raise FetchFailed(f"The host of {shown(url)} is not known.", action="Check the address.") from error
        if not found:
            raise FetchFailed(f"The host of {shown(url)} has no address.", action="Check the address.")
        addresses = tuple(one.partition("%")[0] for one in found)
        if not all(self.permits(one) for one in addresses):
            raise _refused(url, "It leads into a network that is not public.")
        return addresses

    def permits(self, address: str) -> bool:
        """Whether this IP address may be connected to."""
        try:
            real = _unwrapped(ipaddress.ip_address(address))
        except ValueError:
            return False
        if real in _METADATA:
            return False
        return is_public(real) or any(real in network for network in self._allow)


def is_public(address: Address) -> bool:
    """Anybody's: neither this machine, nor a network of ours, nor one with a special purpose."""
    real = _unwrapped(address)
    if real.version == 6 and real not in _UNICAST:
        return False
    if real in _METADATA or any(real in network for network in _SPECIAL if network.version == real.version):
        return False
    return real.is_global and not (real.is_multicast or real.is_reserved or real.is_unspecified or real.is_loopback)


def shown(url: "URL | str") -> str:
    """The part of an address that may be repeated: paths and queries may hold keys."""
    if isinstance(url, str):
        try:
            url = _parsed(url)
        except AddressRefused:
            return "the address"
    return f"{url.scheme}://{(url.raw_host or '')[:200]}"


def _unwrapped(address: Address) -> Address:
    """The IPv4 address that really is spoken to, where one is wrapped in an IPv6 address."""
    if not isinstance(address, ipaddress.IPv6Address):
        return address
    wrapped = address.ipv4_mapped or address.sixtofour
    if wrapped is None and address in _NAT64:
        wrapped = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return wrapped or address


def _parsed(text: str) -> "URL":
    from yarl import URL

    if len(text) > _MAX_URL_CHARS:
        raise AddressRefused("The address is too long to be fetched.", action="Use a shorter address.")
    try:
        return URL(text.strip()).with_fragment(None)
    except (ValueError, TypeError) as error:
        raise AddressRefused(
            "The address cannot be read.", action="Use an address such as https://host/file."
        ) from error


def _redirected(url: "URL", location: str) -> "URL":
    from yarl import URL

    try:
        return _parsed(str(url.join(URL(location))))
    except (ValueError, TypeError) as error:
        raise FetchFailed(f"{shown(url)} redirects to something that is no address.") from error


def _taken(url: "URL", answer: "Answer") -> Fetched:
    if not 200 <= answer.status < 300:
        raise FetchFailed(
            f"{shown(url)} answered with status {answer.status}.",
            action="Check that the address can be opened without signing in.",
        )
    return Fetched(str(url), answer.content_type, answer.body)


def _refused(url: "URL", explanation: str) -> AddressRefused:
    return AddressRefused(
        f"{shown(url)} is not fetched.",
        explanation=explanation,
        action="Use a public https address, or send the content itself.",
    )


async def _resolve(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(where[0]) for *_, where in found))


class Answer(msgspec.Struct, frozen=True):
    """Of one address; the body is empty unless the status is a 2xx."""

    status: int
    location: str | None
    content_type: str
    body: bytes
