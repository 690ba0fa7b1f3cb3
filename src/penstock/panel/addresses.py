"""Who is at the other end: the address that counts, and whether it may come in (W-33).

`X-Forwarded-For` is a list that every proxy appends to, and that anybody may begin. So it is read from its end, and
only for as long as a trusted proxy is speaking.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Networks = Sequence[IPv4Network | IPv6Network]

_ONE_HOUSEHOLD = 64


def visitors(peer: str | None, forwarded_for: Iterable[str], trusted: Networks) -> tuple[str, ...]:
    """The addresses that a request came through; the first one is the client's.

    With trusted proxies there is one: the last that none of them is. A list that came from anybody else proves nothing,
    but says that there is a proxy: then all of it is returned, after the peer itself.
    """
    here = peer or "unknown"
    chain = [entry.strip() for line in forwarded_for for entry in line.split(",") if entry.strip()]
    if not _is_in(here, trusted):
        return (here, *(_bare(entry) for entry in chain))
    for entry in reversed(chain):
        here = _bare(entry)
        if not _is_in(here, trusted):
            break
    return (here,)


def may_enter(addresses: Iterable[str], allowed: Networks) -> bool:
    """Every one has to be allowed: then a proxy that nobody named does not open the door for its clients."""
    return not allowed or all(_is_in(address, allowed) for address in addresses)


def counted_as(address: str) -> str:
    """Whom attempts are counted for. Whoever has one IPv6 address has the 2**64 beside it."""
    parsed = _parsed(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, _ONE_HOUSEHOLD), strict=False))
    return str(parsed) if parsed else "unknown"


def _is_in(address: str, networks: Networks) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in networks)


def _parsed(address: str) -> Address | None:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def _bare(entry: str) -> str:
    """Some proxies add the port: `192.0.2.1:4711`, `[2001:db8::1]:4711`."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry[:64]
