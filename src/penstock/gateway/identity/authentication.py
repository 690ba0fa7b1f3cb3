"""From the text of a credential to a Caller, through the database. `memory.py` spares most requests this way."""

from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any, NamedTuple

from penstock.database.engine import Database
from penstock.database.failures import AlreadyExists, WriteConflict
from penstock.gateway.identity.api_keys import PREFIX, check_alive, parse_key, refused
from penstock.gateway.identity.caller import Caller, TenantId, UserId
from penstock.gateway.identity.checks import is_possible_id
from penstock.gateway.identity.errors import SecretsUnreadable, TenantNotFound
from penstock.gateway.identity.key_use import KeyUse
from penstock.gateway.identity.memory import LONGEST, Memory
from penstock.gateway.identity.permissions import Permissions
from penstock.gateway.identity.repository import AccessKeyRepository, Installation, UserRepository
from penstock.gateway.identity.secrets import MasterSecrets
from penstock.gateway.identity.tables import AccessKeyRow
from penstock.gateway.identity.tokens import (
    Keyring,
    SigningKey,
    Token,
    audience,
    check_algorithm,
    check_clock,
    check_signature,
    permissions_of,
    read_token,
    required_claims,
    unknown_environment,
)
from penstock.kit.clock import Clock
from penstock.kit.ids import prefixed
from penstock.telemetry.logs import log

_REVOKED_KEYS_TRIED = 10
_WARNED_USERS = 10_000


class Authenticated(NamedTuple):
    caller: Caller
    valid_until: datetime


class Authenticator:
    def __init__(
        self,
        database: Database,
        memory: Memory,
        masters: MasterSecrets,
        management_secret: str | None,
        clock: Clock,
        key_use: KeyUse,
    ) -> None:
        self._database, self._memory, self._masters, self._clock = database, memory, masters, clock
        self._key_use = key_use
        self._management_secret = management_secret
        self._warned: OrderedDict[str, None] = OrderedDict()

    async def authenticate(self, credential: str) -> Authenticated:
        """Raises Unauthenticated (its subclasses say why), SecretsUnreadable, or what the database raises."""
        if credential.startswith(PREFIX):
            return await self._by_api_key(credential)
        return await self._by_token(read_token(credential))

    async def keyring(self, claimed: str) -> Keyring:
        """The access keys of the environment that a token claims. Raises InvalidTokenPayload for an unknown one."""
        if not is_possible_id(claimed):
            raise unknown_environment(claimed)
        moment = self._memory.moment
        keyring = self._memory.keyring(claimed)
        if keyring is None:
            keyring = await self._read_keyring(claimed)
            self._memory.keep_keyring(moment, keyring)
        return keyring

    async def user_id(self, tenant_id: str, subject: str, about: dict[str, Any]) -> str:
        """The id of the tenant's user, who is made on first sight. `about` may hold `name` and `email`."""
        moment = self._memory.moment
        found = self._memory.user_id(tenant_id, subject)
        if found is None:
            found = await self._find_user(tenant_id, subject) or await self._add_user(tenant_id, subject, about)
            self._memory.keep_user_id(moment, tenant_id, subject, found)
        return found

    async def _by_token(self, token: Token) -> Authenticated:
        keyring = await self.keyring(audience(token))
        check_algorithm(token)
        signer = self._signer(token, keyring)
        claims = required_claims(token)
        now = self._clock.now()
        check_clock(claims, now)
        self._key_use.note(signer.id)
        about = token.claims.get("user")
        user_id = await self.user_id(keyring.tenant_id, claims.subject, about if isinstance(about, dict) else {})
        caller = Caller(
            tenant_id=TenantId(keyring.tenant_id),
            user_id=UserId(user_id),
            subject=claims.subject,
            credential="editor_token",
            credential_id=signer.id,
            permissions=permissions_of(token),
        )
        self._warn_once(caller)
        longest = (now + LONGEST).timestamp()
        return Authenticated(caller, datetime.fromtimestamp(min(claims.valid_until_s, longest), UTC))

    def _signer(self, token: Token, keyring: Keyring) -> SigningKey:
        try:
            return check_signature(token, keyring, self._management_secret)
        except SecretsUnreadable:
            log.error("Access keys cannot be opened", tenantId=keyring.tenant_id, keys=keyring.unreadable)
            raise

    async def _by_api_key(self, text: str) -> Authenticated:
        parsed = parse_key(text)
        async with self._database.reading() as tx:
            found = await Installation(tx).api_key(parsed.id)
        if found is None or not self._masters.verifies(text, found[0].secret_hash):
            raise refused("unknown", "No key of this installation has that id and secret.")
        row, subject = found
        now = self._clock.now()
        check_alive(row.revoked_at, row.expires_at, now)
        acts_for = acting_user(row.id)
        caller = Caller(
            tenant_id=TenantId(row.tenant_id),
            user_id=UserId(row.user_id or acts_for),
            subject=subject or acts_for,
            credential="api_key",
            credential_id=row.id,
            permissions=Permissions.of(*row.permissions),
        )
        return Authenticated(caller, min(row.expires_at or now + LONGEST, now + LONGEST))

    async def _read_keyring(self, tenant_id: str) -> Keyring:
        async with self._database.reading() as tx:
            try:
                await Installation(tx).tenant(tenant_id)
            except TenantNotFound:
                raise unknown_environment(tenant_id) from None
            rows = await AccessKeyRepository(tx, tenant_id).all()
        active = [row for row in rows if row.revoked_at is None]
        revoked = [row for row in rows if row.revoked_at is not None][-_REVOKED_KEYS_TRIED:]
        opened = tuple(key for row in active if (key := self._opened(row)) is not None)
        return Keyring(
            tenant_id=tenant_id,
            active=opened,
            revoked=tuple(key for row in revoked if (key := self._opened(row)) is not None),
            unreadable=len(active) - len(opened),
        )

    def _opened(self, row: AccessKeyRow) -> SigningKey | None:
        try:
            secret = self._masters.open(row.sealed, sealing_context(row.tenant_id, row.id))
        except SecretsUnreadable:
            return None
        return SigningKey(id=row.id, name=row.name, secret=secret)

    async def _find_user(self, tenant_id: str, subject: str) -> str | None:
        async with self._database.reading() as tx:
            return await UserRepository(tx, tenant_id).id_of(subject)

    async def _add_user(self, tenant_id: str, subject: str, about: dict[str, Any]) -> str:
        user_id, now = prefixed("user"), self._clock.now()
        try:
            async with self._database.transaction() as tx:
                users = UserRepository(tx, tenant_id)
                await users.add(user_id, subject, _line(about.get("name")), _line(about.get("email")), now)
        except (AlreadyExists, WriteConflict):
            # Another request or process saw the user first, and has committed: that is what made ours fail.
            found = await self._find_user(tenant_id, subject)
            if found is None:
                raise
            return found
        return user_id

    def _warn_once(self, caller: Caller) -> None:
        found = caller.permissions
        if caller.user_id in self._warned or not (found.dropped or found.shape):
            return
        self._warned[caller.user_id] = None
        if len(self._warned) > _WARNED_USERS:
            self._warned.popitem(last=False)
        log.warning(
            "A token has permissions that grant nothing",
            tenantId=caller.tenant_id,
            userId=caller.user_id,
            found=found.describe(),
        )


def acting_user(api_key_id: str) -> str:
    """Id and subject of the user that an API key made for nobody acts for."""
    return f"key:{api_key_id}"


def sealing_context(tenant_id: str, key_id: str) -> str:
    return f"access_keys:{tenant_id}:{key_id}"


def _line(value: object) -> str | None:
    """A display name as it can be kept: one printable line, at most 255 characters."""
    if not isinstance(value, str):
        return None
    return "".join(character for character in value[:255] if character.isprintable()).strip() or None
