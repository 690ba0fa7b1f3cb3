"""Which driver carries a provider's calls. The only place that opens one; each is imported when it is needed."""

from penstock.providers.transport.base import Transport


def open_transport(*, proxy: str | None = None, ca_file: str | None = None, verify: bool = True) -> Transport:
    """`aiohttp` when there is a `proxy` (its URL, user and password included), else `relay`.

    A private authority and unverified TLS need no other driver: `relay` does both. Raises OSError or ssl.SSLError
    when `ca_file` cannot be read.
    """
    if proxy is not None:
        from penstock.providers.transport.aiohttp import Aiohttp

        return Aiohttp(proxy=proxy, ca_file=ca_file, verify=verify)
    from penstock.providers.transport.relay import Relay

    return Relay(ca_file=ca_file, verify=verify)
