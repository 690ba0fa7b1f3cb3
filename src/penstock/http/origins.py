"""CORS (`spec/editor-api.md` 2.5). Preflights are answered here, without authentication."""

from collections.abc import Iterable

from penstock.errors import Forbidden
from penstock.http.faces import Header
from penstock.telemetry.logs import log

_METHODS = b"GET, POST, PUT, PATCH, DELETE, OPTIONS"
_HEADERS = b"authorization, content-type, x-editor-version"
_EXPOSED = b"Retry-After, X-Request-Id, X-Should-Retry, X-Penstock-Attempts, X-Warning"
_MAX_REMEMBERED = 200


class OriginNotAllowed(Forbidden):
    code = "origin_not_allowed"


class Origins:
    """The allowed origins, already normalised (lower case, no trailing slash); `*` allows every one."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = frozenset(origin.encode() for origin in allowed)
        self._any = b"*" in self._allowed
        self._reported: set[bytes] = set()

    def headers(self, origin: bytes | None) -> list[Header]:
        """What every answer carries, errors and streams too: without it a browser hides even the error body."""
        if not self._allowed:
            return []
        vary = (b"vary", b"Origin")
        if origin is None or not self._allows(origin):
            return [vary]
        return [vary, *self._grant(origin), (b"access-control-expose-headers", _EXPOSED)]

    def preflight(self, origin: bytes, asked_headers: bytes | None) -> list[Header]:
        """Raises OriginNotAllowed, with the sentence that an administrator needs (S033)."""
        if not self._allows(origin):
            raise self._refusal(origin)
        return [
            (b"vary", b"Origin"),
            *self._grant(origin),
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", asked_headers or _HEADERS),
            (b"access-control-max-age", b"600"),
        ]

    def _allows(self, origin: bytes) -> bool:
        return self._any or origin.lower().rstrip(b"/") in self._allowed

    def _grant(self, origin: bytes) -> list[Header]:
        if self._any:
            return [(b"access-control-allow-origin", b"*")]
        return [(b"access-control-allow-origin", origin), (b"access-control-allow-credentials", b"true")]

    def _refusal(self, origin: bytes) -> OriginNotAllowed:
        shown = origin.decode("latin-1")[:200]
        action = f"Add {shown} to ALLOWED_ORIGINS (scheme, host and port; comma-separated), and start again."
        if origin not in self._reported and len(self._reported) < _MAX_REMEMBERED:
            self._reported.add(origin)
            log.warning("origin refused", origin=shown, action=action)
        configured = ", ".join(sorted(one.decode() for one in self._allowed)) or "nothing"
        return OriginNotAllowed(
            f"The origin {shown} may not call this service from a browser.",
            explanation=f"ALLOWED_ORIGINS holds {configured}.",
            action=action,
        )
