"""Tenants and the access keys that sign their users' tokens: what panel, management API and command line change."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from hashlib import blake2b

from penstock.database.engine import Database, Transaction
from penstock.database.failures import AlreadyExists
from penstock.gateway.identity.authentication import sealing_context
from penstock.gateway.identity.caller import TenantId
from penstock.gateway.identity.changes import Changes
from penstock.gateway.identity.checks import checked_id, checked_name
from penstock.gateway.identity.declared import DeclaredTenant, GivenKey, checked_given
from penstock.gateway.identity.errors import AccessKeyExists, SecretsUnreadable, TenantExists, TenantNotFound
from penstock.gateway.identity.records import AccessKey, Tenant
from penstock.gateway.identity.repository import AccessKeyRepository, Installation
from penstock.gateway.identity.secrets import MasterSecrets
from penstock.gateway.identity.tables import AccessKeyRow, TenantRow
from penstock.kit.clock import Clock
from penstock.kit.ids import prefixed, random_text
from penstock.telemetry.logs import log

ACCESS_KEY_LENGTH = 60
_TENANT_ID_LENGTH = 20
_SHORT_SECRET = 20
_ATTEMPTS = 3


class Management:
    def __init__(self, database: Database, changes: Changes, masters: MasterSecrets, clock: Clock) -> None:
        self._database, self._changes, self._masters, self._clock = database, changes, masters, clock

    # Tenants

    async def create_tenant(
        self, name: str | None = None, tenant_id: str | None = None, keys: Sequence[GivenKey] = ()
    ) -> Tenant:
        """Complete the moment it exists, `keys` included. Without a name, the id is the name.

        Raises InvalidRequest, TenantExists, AccessKeyExists.
        """
        tenant_id = random_text(_TENANT_ID_LENGTH) if tenant_id is None else checked_id(tenant_id)
        name = tenant_id if name is None else checked_name(name)

        async def add(tx: Transaction) -> TenantRow:
            row = await Installation(tx).add_tenant(tenant_id, name, self._clock.now())
            for given in keys:
                await self._add_given(tx, tenant_id, given)
            return row

        try:
            return Tenant.of(await self._changes.make(add))
        except AlreadyExists as error:
            raise await self._taken(tenant_id) from error

    async def tenants(self) -> list[Tenant]:
        """Oldest first."""
        async with self._database.reading() as tx:
            return [Tenant.of(row) for row in await Installation(tx).tenants()]

    async def tenant(self, tenant_id: str) -> Tenant:
        """Raises TenantNotFound."""
        async with self._database.reading() as tx:
            return Tenant.of(await Installation(tx).tenant(tenant_id))

    async def rename_tenant(self, tenant_id: str, name: str) -> Tenant:
        """Raises TenantNotFound, InvalidRequest."""
        name = checked_name(name)
        async with self._database.transaction() as tx:
            row = await Installation(tx).tenant(tenant_id)
            row.name = name
        return Tenant.of(row)

    async def delete_tenant(self, tenant_id: str) -> None:
        """Its tokens and keys are refused: here at once, elsewhere within a second. Raises TenantNotFound.

        Rows go later: each room removes its own (`deleted_tenants`), this one the last.
        """

        async def delete(tx: Transaction) -> None:
            (await Installation(tx).tenant(tenant_id)).deleted_at = self._clock.now()

        await self._changes.make(delete)

    async def deleted_tenants(self) -> list[TenantId]:
        """Those of which there are rows left, here or in other rooms; the longest deleted first."""
        async with self._database.reading() as tx:
            return [TenantId(tenant_id) for tenant_id in await Installation(tx).deleted_tenants()]

    async def forget_tenant(self, tenant_id: str) -> None:
        """Remove the rows of a deleted tenant. Others, and unknown ones, are left alone.

        Raises BrokenReference while another room has rows of it; then nothing was removed.
        """
        async with self._database.transaction() as tx:
            await Installation(tx).forget_tenant(tenant_id)

    async def declare_tenant(self, declared: DeclaredTenant) -> None:
        """Make what is missing of it; what is there already stays. Several processes may do so at once.

        A declared name and secret win over those that are stored; a key that was revoked stays revoked. Raises
        TenantExists for a tenant that was deleted lately, AccessKeyExists when another tenant has a key of that id.
        """
        # Somebody else may make it between our look and our change.
        for _ in range(_ATTEMPTS - 1):
            with suppress(TenantExists):
                await self._declare(declared)
                return
        await self._declare(declared)

    # Access keys: secrets that sign user tokens

    async def create_access_key(
        self, tenant_id: str, name: str | None = None, secret: str | None = None
    ) -> tuple[AccessKey, str]:
        """The key and its secret, which nobody can be shown again. `secret` is one that was made elsewhere.

        Raises TenantNotFound, InvalidRequest.
        """
        key_id, secret = prefixed("key"), random_text(ACCESS_KEY_LENGTH) if secret is None else secret
        given = checked_given(secret, key_id, name)

        async def add(tx: Transaction) -> AccessKeyRow:
            await Installation(tx).tenant(tenant_id)
            return await self._add_given(tx, tenant_id, given)

        return AccessKey.of(await self._changes.make(add)), secret

    async def access_keys(self, tenant_id: str) -> list[AccessKey]:
        """Oldest first, revoked ones too. Raises TenantNotFound."""
        async with self._database.reading() as tx:
            await Installation(tx).tenant(tenant_id)
            return [AccessKey.of(row) for row in await AccessKeyRepository(tx, tenant_id).all()]

    async def active_access_keys(self) -> list[AccessKey]:
        """Of all tenants, oldest first."""
        async with self._database.reading() as tx:
            return [AccessKey.of(row) for row in await Installation(tx).sealed_access_keys()]

    async def revoke_access_key(self, tenant_id: str, key_id: str) -> AccessKey:
        """Tokens signed with it are refused: here at once, elsewhere within a second. Raises AccessKeyNotFound."""

        async def revoke(tx: Transaction) -> AccessKeyRow:
            await Installation(tx).tenant(tenant_id)
            return await AccessKeyRepository(tx, tenant_id).revoke(key_id, self._clock.now())

        return AccessKey.of(await self._changes.make(revoke))

    async def _declare(self, declared: DeclaredTenant) -> None:
        try:
            tenant = await self.tenant(declared.id)
        except TenantNotFound:
            await self.create_tenant(declared.name, declared.id, declared.keys)
            return
        if declared.name is not None and declared.name != tenant.name:
            await self.rename_tenant(declared.id, declared.name)
        rows = {row.id: row for row in await self._access_key_rows(declared.id)}
        for given in declared.keys:
            found = rows.get(given.id) if given.id else self._with_secret(rows.values(), given)
            if found is None:
                await self._add_declared(declared.id, given)
            elif found.revoked_at is not None:
                log.warning("A declared access key was revoked, and stays so", tenantId=declared.id, keyId=found.id)
            elif self._opened(found) != given.secret.reveal():
                await self._replace_secret(declared.id, found.id, given)

    async def _add_declared(self, tenant_id: str, given: GivenKey) -> None:
        async def add(tx: Transaction) -> None:
            await self._add_given(tx, tenant_id, given)

        try:
            await self._changes.make(add)
        except AlreadyExists as error:
            # Another process may have made ours meanwhile; else the id is another tenant's.
            if self._given_id(tenant_id, given) not in {row.id for row in await self._access_key_rows(tenant_id)}:
                raise _key_taken(given) from error

    async def _replace_secret(self, tenant_id: str, key_id: str, given: GivenKey) -> None:
        async def replace(tx: Transaction) -> None:
            sealed = self._sealed(tenant_id, key_id, given)
            await AccessKeyRepository(tx, tenant_id).replace(key_id, sealed, _hint(given.secret.reveal()))

        await self._changes.make(replace)

    async def _add_given(self, tx: Transaction, tenant_id: str, given: GivenKey) -> AccessKeyRow:
        key_id = self._given_id(tenant_id, given)
        sealed, hint = self._sealed(tenant_id, key_id, given), _hint(given.secret.reveal())
        return await AccessKeyRepository(tx, tenant_id).add(
            key_id, given.name or key_id, sealed, hint, self._clock.now()
        )

    def _given_id(self, tenant_id: str, given: GivenKey) -> str:
        """Without an id of its own, one that follows from the secret: two processes that make the key agree."""
        if given.id is not None:
            return given.id
        told_apart = self._masters.hashed(f"{tenant_id}:{given.secret.reveal()}")
        return f"key_{blake2b(told_apart, digest_size=13).hexdigest()}"

    def _sealed(self, tenant_id: str, key_id: str, given: GivenKey) -> bytes:
        return self._masters.seal(given.secret.reveal(), sealing_context(tenant_id, key_id))

    def _opened(self, row: AccessKeyRow) -> str | None:
        try:
            return self._masters.open(row.sealed, sealing_context(row.tenant_id, row.id)).decode()
        except SecretsUnreadable:
            return None

    def _with_secret(self, rows: Iterable[AccessKeyRow], given: GivenKey) -> AccessKeyRow | None:
        return next((row for row in rows if self._opened(row) == given.secret.reveal()), None)

    async def _access_key_rows(self, tenant_id: str) -> Sequence[AccessKeyRow]:
        async with self._database.reading() as tx:
            await Installation(tx).tenant(tenant_id)
            return await AccessKeyRepository(tx, tenant_id).all()

    async def _taken(self, tenant_id: str) -> TenantExists | AccessKeyExists:
        async with self._database.reading() as tx:
            installation = Installation(tx)
            is_deleted = await installation.is_deleted(tenant_id)
            is_there = tenant_id in {row.id for row in await installation.tenants()}
        if not is_deleted and not is_there:
            return _key_taken(None)
        return TenantExists(
            "The tenant exists already.",
            explanation=f"The tenant `{tenant_id}` was deleted, and what it had is still being removed."
            if is_deleted
            else f"There is a tenant with the id `{tenant_id}`.",
            action="Choose another id, or leave it out and get a new one.",
        )


def _key_taken(given: GivenKey | None) -> AccessKeyExists:
    named = f"the id `{given.id}`" if given and given.id else "one of the given ids"
    return AccessKeyExists(
        "The access key exists already.",
        explanation=f"There is an access key with {named}.",
        action="Choose another id, or leave it out and get a new one.",
    )


def _hint(secret: str) -> str:
    """Its last characters: enough to tell keys apart, and not much of a short secret."""
    return secret[-4:] if len(secret) >= _SHORT_SECRET else secret[-2:]
