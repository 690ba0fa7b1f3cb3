"""How we trust an upstream. Both drivers take their TLS context from here."""

import functools
import ssl


def context(ca_file: str | None, verify: bool) -> ssl.SSLContext:
    """A client context. `ca_file` (PEM) replaces the system's authorities, it does not add to them.

    Raises OSError or ssl.SSLError when `ca_file` cannot be read. Without one the context is shared: loading the
    system's authorities takes some 25 ms, and every provider has its transport.
    """
    if ca_file is None:
        return _system(verify)
    return _made(ssl.create_default_context(cafile=ca_file), verify)


@functools.cache
def _system(verify: bool) -> ssl.SSLContext:
    return _made(ssl.create_default_context(), verify)


def _made(made: ssl.SSLContext, verify: bool) -> ssl.SSLContext:
    made.set_alpn_protocols(["http/1.1"])
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made
