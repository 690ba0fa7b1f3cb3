"""The head of a request, as bytes."""

import functools

from penstock.providers.transport.base import Origin, Request, TransportError

_BODY_METHODS = frozenset({b"POST", b"PUT", b"PATCH"})
"""These say their length even when it is 0 (RFC 9110, 8.6)."""


def request_head(request: Request) -> bytes:
    """The request up to its body. Raises TransportError when a value would break out of its line."""
    lines = [
        b"%b %b HTTP/1.1" % (request.method, request.target),
        b"host: %b" % _authority(request.origin),
        b"connection: keep-alive",
        *map(b": ".join, request.headers),
    ]
    if request.body or request.method in _BODY_METHODS:
        lines.append(b"content-length: %d" % len(request.body))
    head = b"\r\n".join(lines)
    breaks = len(lines) - 1
    if head.count(b"\n") != breaks or head.count(b"\r") != breaks or b"\0" in head or b" " in request.target:
        raise TransportError("EPROTO", "a line break or a blank in the request's target or headers", "connect")
    return head + b"\r\n\r\n"


@functools.lru_cache
def _authority(origin: Origin) -> bytes:
    """The value of `host` (RFC 9110, 7.2): without the port that the scheme implies, IPv6 in brackets."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    if origin.port != (443 if origin.scheme == "https" else 80):
        host = f"{host}:{origin.port}"
    try:
        return host.encode("ascii")
    except UnicodeEncodeError:
        return _idna(host)


def _idna(host: str) -> bytes:
    try:
        return host.encode("idna")
    except UnicodeError as error:
        raise TransportError("ENOTFOUND", f"getaddrinfo {host}: not a host name", "connect") from error
