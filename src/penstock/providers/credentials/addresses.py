"""Where a token may be asked for."""

from ipaddress import ip_address
from urllib.parse import urlsplit

_METADATA_HOSTS = frozenset({"metadata.google.internal", "metadata"})


def is_private(url: str) -> bool:
    """Whether nobody on the way can read what is sent there: https, or plain http that does not leave the machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host or "")))


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_metadata_service(host: str) -> bool:
    """Link-local: the machine itself answers there, whatever machine it is."""
    try:
        return ip_address(host).is_link_local
    except ValueError:
        return host in _METADATA_HOSTS
