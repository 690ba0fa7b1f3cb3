"""Private keys that were pasted through shells, YAML and JSON lose their line feeds (S046). This gives them back."""

import re

_PEM = re.compile(r"-----BEGIN ((?:RSA )?PRIVATE KEY)-----(.*?)-----END \1-----", re.DOTALL)
_WRITTEN_BREAKS = re.compile(r"\\+[rn]")
"""Escapes that nobody has read, however often they were escaped again."""
_LINE = 64


class UnusableKey(ValueError):
    """The text is no private key, even after repair."""


def repaired(text: str) -> str:
    """The key as PEM with proper lines. Raises UnusableKey."""
    found = _PEM.search(_WRITTEN_BREAKS.sub("\n", text))
    if found is None:
        raise UnusableKey("it has no BEGIN PRIVATE KEY and END PRIVATE KEY lines")
    body = re.sub(r"[\s\"']", "", found[2])
    lines = [body[start : start + _LINE] for start in range(0, len(body), _LINE)]
    pem = "\n".join([f"-----BEGIN {found[1]}-----", *lines, f"-----END {found[1]}-----", ""])
    _check(pem)
    return pem


def _check(pem: str) -> None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusableKey("what stands between its BEGIN and END lines is not a key") from error
    if not isinstance(key, RSAPrivateKey):
        raise UnusableKey("it is not an RSA key, as those of service accounts are")
