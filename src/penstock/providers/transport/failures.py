"""Socket, name and TLS failures in the words of `TransportError`. Both drivers translate here."""

import errno
import socket
import ssl

from penstock.providers.transport.base import LimitName, Origin, Phase, TransportError, TransportTimeout

# X509_V_ERR_… of OpenSSL. Node's names for the rest differ from one OpenSSL to the next; theirs all mean untrusted.
_CERTIFICATES = {
    9: "CERT_NOT_YET_VALID",
    10: "CERT_HAS_EXPIRED",
    23: "CERT_REVOKED",
    62: "CERT_HOSTNAME_MISMATCH",
    64: "CERT_HOSTNAME_MISMATCH",
}
_NAMES = {value: name for name, value in vars(socket).items() if name.startswith("EAI_")}


def connect_failure(error: BaseException, host: str, port: int) -> TransportError:
    """What failed between the name and the end of the TLS handshake."""
    where = f"connect {host}:{port}"
    if isinstance(error, socket.gaierror):
        return _name_failure(error, host)
    if isinstance(error, UnicodeError):
        return TransportError("ENOTFOUND", f"getaddrinfo {host}: not a host name", "connect")
    if isinstance(error, ssl.SSLCertVerificationError):
        name = _CERTIFICATES.get(error.verify_code, "CERT_UNTRUSTED")
        return TransportError(name, f"{where}: {error.verify_message.rstrip('.')}", "connect")
    if isinstance(error, ssl.SSLError):
        return TransportError("EPROTO", f"{where}: TLS handshake failed: {error.reason or error}", "connect")
    if isinstance(error, OSError) and error.errno is None and not isinstance(error, ConnectionError):
        # Several addresses, each failing in its own way; the text has them all.
        return TransportError("EHOSTUNREACH", f"{where}: {error}", "connect")
    return TransportError(name_of(error), where, "connect")


def name_of(error: BaseException) -> str:
    """`ECONNREFUSED` and the like. A connection that fell without a number was reset."""
    number = error.errno if isinstance(error, OSError) else None
    return errno.errorcode.get(number or 0, "ECONNRESET")


def lost(error: BaseException | None, origin: Origin, phase: Phase) -> TransportError:
    """The connection went away during an exchange; `error` is None when the upstream closed it in order."""
    where = f"{origin.host}:{origin.port}"
    if isinstance(error, ssl.SSLError):
        return TransportError("EPROTO", f"{where}: TLS failed: {error.reason or error}", phase)
    if error is not None:
        return TransportError(name_of(error), f"read {where}", phase)
    if phase == "body":
        return TransportError("ETRUNCATED", f"{where} closed the connection before the end of its answer", phase)
    return TransportError("ECONNRESET", f"{where} closed the connection without an answer", phase)


def late(limit: LimitName, after_s: float, origin: Origin, phase: Phase) -> TransportTimeout:
    where = f"{origin.host}:{origin.port}"
    detail = {
        "connect": f"connect {where}: not connected after {after_s:g} s",
        "first_byte": f"{where} did not answer within {after_s:g} s",
        "idle": f"{where} was silent for {after_s:g} s",
        "total": f"{where} was not done after {after_s:g} s",
    }[limit]
    return TransportTimeout(limit, after_s, detail, phase)


def closed(phase: Phase) -> TransportError:
    return TransportError("ECONNABORTED", "the exchange was closed on our side", phase)


def _name_failure(error: socket.gaierror, host: str) -> TransportError:
    name = _NAMES.get(error.errno or 0, "")
    name = "EAI_AGAIN" if name == "EAI_AGAIN" else "ENOTFOUND"
    return TransportError(name, f"getaddrinfo {host}: {error.strerror}", "connect")
