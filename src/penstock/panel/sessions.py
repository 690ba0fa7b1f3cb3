"""Sessions of the panel: an hour long, in a sealed cookie, and over at once when somebody signs out.

They are sealed under the management secret itself: another secret ends them all.
"""

import base64
import binascii
from collections import OrderedDict
from datetime import UTC, datetime

import msgspec

from penstock.coordination.base import Cache, CoordinationUnavailable
from penstock.kit.clock import Clock
from penstock.kit.crypto import SecretBox, Unsealable, derive_key, keyed_hash, same
from penstock.kit.ids import short_id
from penstock.kit.secret import Secret
from penstock.telemetry.logs import log

COOKIE = "penstock_panel"
LIFETIME_S = 3600
_CONTEXT = "panel session"
_MOST_ENDED = 10_000


class Session(msgspec.Struct, frozen=True):
    id: str
    until_s: float
    """Seconds since the epoch."""

    @property
    def until(self) -> datetime:
        return datetime.fromtimestamp(self.until_s, UTC)


class Sessions:
    """Without a management secret nobody has a session."""

    def __init__(self, secret: Secret | None, cache: Cache, clock: Clock) -> None:
        master = secret.reveal().encode() if secret else None
        self._box = SecretBox((master,), "panel sessions") if master else None
        self._form_key = derive_key(master, "panel forms") if master else b""
        self._cache, self._clock = cache, clock
        self._ended: OrderedDict[str, None] = OrderedDict()

    def begin(self) -> tuple[Session, str]:
        """A new session, and the text of its cookie."""
        assert self._box is not None
        session = Session(short_id(), self._clock.now().timestamp() + LIFETIME_S)
        sealed = self._box.seal(msgspec.json.encode(session), _CONTEXT)
        return session, base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    async def find(self, cookie: str | None) -> Session | None:
        """The session of a cookie, None for one that is not ours, is over, or was ended."""
        session = self._opened(cookie) if cookie else None
        if session is None or session.until_s <= self._clock.now().timestamp() or await self._is_ended(session):
            return None
        return session

    async def end(self, session: Session) -> None:
        """On every replica. Without coordination this one alone knows; the cookie is dropped all the same."""
        self._ended[session.id] = None
        if len(self._ended) > _MOST_ENDED:
            self._ended.popitem(last=False)
        left_s = session.until_s - self._clock.now().timestamp()
        try:
            await self._cache.set(_ended_key(session), b"1", max(1.0, left_s))
        except CoordinationUnavailable:
            log.warning("The end of a session of the panel could not be told to the other replicas")

    def form_token(self, session: Session) -> str:
        """What every form of the session carries, and no other site can know."""
        return keyed_hash(self._form_key, session.id.encode()).hex()

    def owns_form(self, session: Session, token: str) -> bool:
        return same(self.form_token(session).encode(), token.encode("utf-8", "replace"))

    def _opened(self, cookie: str) -> Session | None:
        try:
            sealed = base64.urlsafe_b64decode(cookie + "=" * (-len(cookie) % 4))
            return msgspec.json.decode(self._box.open(sealed, _CONTEXT), type=Session) if self._box else None
        except (Unsealable, binascii.Error, ValueError):
            return None

    async def _is_ended(self, session: Session) -> bool:
        if session.id in self._ended:
            return True
        try:
            return await self._cache.get(_ended_key(session)) is not None
        except CoordinationUnavailable:
            return False  # the panel is where an operator looks when Redis is down


def _ended_key(session: Session) -> str:
    return f"panel:ended:{session.id}"
