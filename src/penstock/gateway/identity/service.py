"""The identity service: who is asking, and the keys by which that is known. API, panel and CLI all ask here."""

import asyncio
import hmac
from collections.abc import Sequence
from datetime import datetime

from penstock.coordination.base import Broadcast
from penstock.database.engine import Database, Transaction
from penstock.database.failures import AlreadyExists
from penstock.errors import InvalidRequest
from penstock.gateway.identity.api_keys import new_key
from penstock.gateway.identity.authentication import Authenticator, acting_user, sealing_context
from penstock.gateway.identity.caller import Caller
from penstock.gateway.identity.changes import Changes
from penstock.gateway.identity.checks import checked_key, checked_name, checked_permissions, checked_subject
from penstock.gateway.identity.credentials import bearer, presented
from penstock.gateway.identity.errors import AccessKeyNotFound, ApiKeyExists, NotForTokens, SecretsUnreadable
from penstock.gateway.identity.explanation import Explainer, Explanation
from penstock.gateway.identity.key_use import KeyUse
from penstock.gateway.identity.management import Management
from penstock.gateway.identity.memory import Memory
from penstock.gateway.identity.permissions import FULL_ACCESS
from penstock.gateway.identity.records import ApiKey
from penstock.gateway.identity.repository import ApiKeyRepository, Installation, UserRepository
from penstock.gateway.identity.revisions import Revisions
from penstock.gateway.identity.secrets import MasterSecrets
from penstock.gateway.identity.tables import ApiKeyRow
from penstock.gateway.identity.tokens import MAX_AGE_S, sign
from penstock.kit.clock import Clock, SystemClock
from penstock.kit.secret import Secret

DEFAULT_API_KEY_PERMISSIONS = ("models:use", "models:list")


class Identity(Management):
    """One per process. Until `watch()` has read the database once, nothing is remembered and `known` knows nobody."""

    def __init__(
        self,
        database: Database,
        broadcast: Broadcast,
        masters: MasterSecrets,
        management_secret: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self._memory = Memory(clock)
        self._revisions = Revisions(database, broadcast, self._memory)
        super().__init__(database, Changes(database, self._revisions, clock), masters, clock)
        self._management_secret = Secret(management_secret) if management_secret else None
        self.key_use = KeyUse(database, clock)
        self._authenticator = Authenticator(database, self._memory, masters, management_secret, clock, self.key_use)
        self._explainer = Explainer(self._authenticator, management_secret, clock)

    # Who is asking

    def known(self, authorization: bytes) -> Caller | None:
        """The caller of an `Authorization` header that was authenticated lately; None says nothing against it.

        For an `x-api-key` header, ask for `b"Bearer " + x_api_key`.
        """
        return self._memory.caller(authorization)

    async def authenticate(self, authorization: bytes | None, x_api_key: bytes | None = None) -> Caller:
        """Raises a subclass of Unauthenticated, SecretsUnreadable, or DatabaseUnavailable."""
        header = presented(authorization, x_api_key)
        credential = bearer(header)
        moment = self._memory.moment
        if header is not None and (known := self._memory.caller(header)) is not None:
            return known
        caller, valid_until = await self._authenticator.authenticate(credential)
        if header is not None:
            self._memory.keep_caller(moment, header, caller, valid_until)
        return caller

    async def require_operator(self, authorization: bytes | None, x_api_key: bytes | None, permission: str) -> None:
        """Let the management secret in, and API keys with `permission`; what tenants sign themselves never is enough.

        Raises Unauthenticated, MissingPermission, NotForTokens.
        """
        secret = self._management_secret
        header = presented(authorization, x_api_key)
        if secret and header is not None and hmac.compare_digest(header, b"Bearer " + secret.reveal().encode()):
            return
        caller = await self.authenticate(authorization, x_api_key)
        if caller.credential == "editor_token":
            raise NotForTokens(permission)
        caller.require(permission)

    async def watch(self) -> None:
        """Keep what is remembered in step with the database, within a second. Runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._revisions.watch())
            tasks.create_task(self.key_use.watch())

    async def explain_token(self, token: str) -> Explanation:
        """What each check found about a token or API key; never a secret."""
        return await self._explainer.explain(token)

    async def check_secrets(self) -> None:
        """Raises SecretsUnreadable when an active key was stored under a master secret that is not configured."""
        async with self._database.reading() as tx:
            access_keys = await Installation(tx).sealed_access_keys()
            hashes = await Installation(tx).api_key_hashes()
        for row in access_keys:
            self._masters.open(row.sealed, sealing_context(row.tenant_id, row.id))
        if not all(self._masters.can_verify(stored) for stored in hashes):
            raise SecretsUnreadable

    # API keys

    async def create_api_key(
        self,
        tenant_id: str,
        name: str,
        user_subject: str | None = None,
        permissions: Sequence[str] | None = None,
        expires_at: datetime | None = None,
        key: str | None = None,
    ) -> tuple[ApiKey, str]:
        """The key's row and the key, which nobody can be shown again.

        `permissions` None: `models:use` and `models:list`. `user_subject` names the user it acts for, who is made when
        unknown. `key` is one that was made elsewhere in our format. Raises TenantNotFound, InvalidRequest,
        ApiKeyExists.
        """
        granted = checked_permissions(DEFAULT_API_KEY_PERMISSIONS if permissions is None else permissions)
        key = key or new_key()
        parsed = checked_key(key)
        row = ApiKeyRow(
            id=parsed.id,
            name=checked_name(name),
            secret_hash=self._masters.hashed(key),
            last4=parsed.last4,
            permissions=list(granted),
            expires_at=self._checked_expiry(expires_at),
            created_at=self._clock.now(),
        )
        if user_subject is not None:
            row.user_id = await self._user_id(tenant_id, user_subject)
        return await self._add_api_key(tenant_id, row), key

    async def api_keys(self, tenant_id: str) -> list[ApiKey]:
        """Oldest first, revoked and expired ones too. Raises TenantNotFound."""
        async with self._database.reading() as tx:
            await Installation(tx).tenant(tenant_id)
            return [ApiKey.of(row) for row in await ApiKeyRepository(tx, tenant_id).all()]

    async def revoke_api_key(self, tenant_id: str, key_id: str) -> ApiKey:
        """The key is refused: here at once, elsewhere within a second. Raises ApiKeyNotFound."""

        async def revoke(tx: Transaction) -> ApiKeyRow:
            await Installation(tx).tenant(tenant_id)
            return await ApiKeyRepository(tx, tenant_id).revoke(key_id, self._clock.now())

        return ApiKey.of(await self._changes.make(revoke))

    async def mint_token(
        self, tenant_id: str, subject: str, permissions: Sequence[str] = FULL_ACCESS, ttl_s: int = 3600
    ) -> str:
        """A user token, signed with the tenant's newest access key, as the tenant's own back end would make it.

        Raises TenantNotFound, AccessKeyNotFound when there is no active one, SecretsUnreadable, InvalidRequest.
        """
        if not 1 <= ttl_s <= MAX_AGE_S:
            raise InvalidRequest(f"A token may live for 1 to {MAX_AGE_S} seconds.", param="ttl")
        granted, subject = checked_permissions(permissions), checked_subject(subject)
        active = [key for key in await self._access_key_rows(tenant_id) if key.revoked_at is None]
        if not active:
            raise AccessKeyNotFound(
                "The tenant has no active access key.",
                explanation="User tokens are signed with one.",
                action=f"Create one with `penstock access-key create --tenant {tenant_id}`.",
            )
        secret = self._masters.open(active[-1].sealed, sealing_context(tenant_id, active[-1].id))
        return sign(secret, tenant_id, subject, granted, self._clock.now(), ttl_s)

    async def _add_api_key(self, tenant_id: str, row: ApiKeyRow) -> ApiKey:
        async def add(tx: Transaction) -> ApiKeyRow:
            await Installation(tx).tenant(tenant_id)
            if row.user_id is None:
                # Rows of other rooms refer to users, and what this key does is done by one of its own.
                acts_for = acting_user(row.id)
                await UserRepository(tx, tenant_id).add(acts_for, acts_for, row.name, None, row.created_at)
            return await ApiKeyRepository(tx, tenant_id).add(row)

        try:
            return ApiKey.of(await self._changes.make(add))
        except AlreadyExists as error:
            raise ApiKeyExists(
                "The API key exists already.",
                explanation=f"There is a key with the id `{row.id}`.",
                action="Leave the key out and get a new one.",
            ) from error

    async def _user_id(self, tenant_id: str, subject: str) -> str:
        async with self._database.reading() as tx:
            await Installation(tx).tenant(tenant_id)
        return await self._authenticator.user_id(tenant_id, checked_subject(subject), {})

    def _checked_expiry(self, expires_at: datetime | None) -> datetime | None:
        if expires_at is not None and expires_at <= self._clock.now():
            raise InvalidRequest("The expiry is in the past.", param="expires_at", action="Give an instant to come.")
        return expires_at
