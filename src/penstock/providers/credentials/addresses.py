"""Where a token may be asked for."""

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

_METADATA_HOSTS = frozenset({"metadata.google.internal", "metadata"})


def parts_of(url: str) -> SplitResult | None:
    """None for what cannot be called as it stands: no host, a port that is none, blanks, a user or password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    is_plain = url.isascii() and url.isprintable() and " " not in url
    usable = parts.scheme in ("http", "https") and parts.hostname and port != 0 and "@" not in parts.netloc
    return parts if usable and is_plain else None


def is_private(url: str) -> bool:
    """Whether nobody on the way can read what is sent there: https, or plain http that does not leave the machine."""
    parts = parts_of(url)
    return parts is not None and (parts.scheme == "https" or is_loopback(parts.hostname or ""))


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
