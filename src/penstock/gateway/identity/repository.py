"""The SQL of the identity room. What belongs to a tenant is opened for one tenant and sees no other's rows."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, or_, select, update

from penstock.database.engine import Transaction
from penstock.gateway.identity.errors import AccessKeyNotFound, ApiKeyNotFound, TenantNotFound
from penstock.gateway.identity.tables import (
    AccessKeyRow,
    ApiKeyRow,
    PartnerRow,
    RevisionRow,
    TenantRow,
    UserRow,
)

DEFAULT_PARTNER_ID = "partner_default"
_THE_ROW = 1


class Installation:
    """What belongs to no tenant: tenants themselves, the default partner, the revision."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def add_partner(self, now: datetime) -> None:
        """Nothing happens when it is there. Raises AlreadyExists when somebody else was faster."""
        if await self._tx.get(PartnerRow, DEFAULT_PARTNER_ID) is None:
            self._tx.add(PartnerRow(id=DEFAULT_PARTNER_ID, name="Default", created_at=now))
            await self._tx.flush()

    async def add_tenant(self, tenant_id: str, name: str, now: datetime) -> TenantRow:
        """Raises AlreadyExists."""
        row = TenantRow(id=tenant_id, partner_id=DEFAULT_PARTNER_ID, name=name, created_at=now)
        self._tx.add(row)
        await self._tx.flush()
        return row

    async def tenants(self) -> Sequence[TenantRow]:
        """Oldest first, without the deleted ones."""
        query = select(TenantRow).where(TenantRow.deleted_at.is_(None))
        return (await self._tx.scalars(query.order_by(TenantRow.created_at, TenantRow.id))).all()

    async def tenant(self, tenant_id: str) -> TenantRow:
        """Raises TenantNotFound, also for a deleted one."""
        row = await self._tx.get(TenantRow, tenant_id)
        if row is None or row.deleted_at is not None:
            raise TenantNotFound(
                "There is no such tenant.",
                explanation=f"No tenant has the id `{tenant_id}`.",
                action="List the tenants with `penstock tenant list`, or create one with `penstock tenant create`.",
            )
        return row

    async def deleted_tenants(self) -> Sequence[str]:
        """Those whose rows are still there, the longest deleted first."""
        query = select(TenantRow.id).where(TenantRow.deleted_at.is_not(None))
        return (await self._tx.scalars(query.order_by(TenantRow.deleted_at, TenantRow.id))).all()

    async def is_deleted(self, tenant_id: str) -> bool:
        """Whether its rows are still there although it was deleted."""
        row = await self._tx.get(TenantRow, tenant_id)
        return row is not None and row.deleted_at is not None

    async def forget_tenant(self, tenant_id: str) -> None:
        """Remove a deleted tenant with what this room knows of it. Raises BrokenReference while others refer to it."""
        if not await self.is_deleted(tenant_id):
            return
        for table in (ApiKeyRow, AccessKeyRow, UserRow):
            await self._tx.execute(delete(table).where(table.tenant_id == tenant_id))
        await self._tx.execute(delete(TenantRow).where(TenantRow.id == tenant_id))

    async def key_used(self, key_id: str, at: datetime) -> None:
        """Instants only grow: replicas write in any order."""
        is_older = or_(AccessKeyRow.last_used_at.is_(None), AccessKeyRow.last_used_at < at)
        await self._tx.execute(update(AccessKeyRow).where(AccessKeyRow.id == key_id, is_older).values(last_used_at=at))

    async def api_key(self, key_id: str) -> tuple[ApiKeyRow, str | None] | None:
        """A key and the subject of its user: the one look-up that does not know its tenant yet."""
        query = (
            select(ApiKeyRow, UserRow.subject)
            .join(TenantRow, TenantRow.id == ApiKeyRow.tenant_id)
            .outerjoin(UserRow, UserRow.id == ApiKeyRow.user_id)
            .where(ApiKeyRow.id == key_id, TenantRow.deleted_at.is_(None))
        )
        found = (await self._tx.execute(query)).one_or_none()
        return None if found is None else (found[0], found[1])

    async def sealed_access_keys(self) -> Sequence[AccessKeyRow]:
        """The active ones of all tenants, oldest first."""
        query = select(AccessKeyRow).join(TenantRow, TenantRow.id == AccessKeyRow.tenant_id)
        active = query.where(AccessKeyRow.revoked_at.is_(None), TenantRow.deleted_at.is_(None))
        return (await self._tx.scalars(active.order_by(AccessKeyRow.created_at, AccessKeyRow.id))).all()

    async def api_key_hashes(self) -> Sequence[bytes]:
        """Of the active keys of all tenants."""
        query = select(ApiKeyRow.secret_hash).join(TenantRow, TenantRow.id == ApiKeyRow.tenant_id)
        active = query.where(ApiKeyRow.revoked_at.is_(None), TenantRow.deleted_at.is_(None))
        return (await self._tx.scalars(active)).all()

    async def add_revision(self) -> None:
        """Nothing happens when it is there. Raises AlreadyExists when somebody else was faster."""
        if await self._tx.get(RevisionRow, _THE_ROW) is None:
            self._tx.add(RevisionRow(id=_THE_ROW, revision=0))
            await self._tx.flush()

    async def revision(self) -> int:
        found = await self._tx.scalar(select(RevisionRow.revision).where(RevisionRow.id == _THE_ROW))
        return found or 0

    async def next_revision(self) -> None:
        """To be called last: from here to the commit, every other change of the installation waits."""
        await self._tx.execute(
            update(RevisionRow).where(RevisionRow.id == _THE_ROW).values(revision=RevisionRow.revision + 1)
        )


class UserRepository:
    def __init__(self, tx: Transaction, tenant_id: str) -> None:
        self._tx, self._tenant_id = tx, tenant_id

    async def id_of(self, subject: str) -> str | None:
        query = select(UserRow.id).where(UserRow.tenant_id == self._tenant_id, UserRow.subject == subject)
        return await self._tx.scalar(query)

    async def add(self, user_id: str, subject: str, name: str | None, email: str | None, now: datetime) -> None:
        """Raises AlreadyExists."""
        row = UserRow(id=user_id, tenant_id=self._tenant_id, subject=subject, name=name, email=email)
        row.created_at = row.last_seen_at = now
        self._tx.add(row)
        await self._tx.flush()


class AccessKeyRepository:
    def __init__(self, tx: Transaction, tenant_id: str) -> None:
        self._tx, self._tenant_id = tx, tenant_id

    async def all(self) -> Sequence[AccessKeyRow]:
        """Oldest first, revoked ones too."""
        mine = select(AccessKeyRow).where(AccessKeyRow.tenant_id == self._tenant_id)
        return (await self._tx.scalars(mine.order_by(AccessKeyRow.created_at, AccessKeyRow.id))).all()

    async def add(self, key_id: str, name: str, sealed: bytes, hint: str, now: datetime) -> AccessKeyRow:
        row = AccessKeyRow(id=key_id, tenant_id=self._tenant_id, name=name, sealed=sealed, hint=hint, created_at=now)
        self._tx.add(row)
        await self._tx.flush()
        return row

    async def revoke(self, key_id: str, now: datetime) -> AccessKeyRow:
        """Revoking again changes nothing. Raises AccessKeyNotFound, also for another tenant's key."""
        row = await self._mine(key_id)
        row.revoked_at = row.revoked_at or now
        return row

    async def replace(self, key_id: str, sealed: bytes, hint: str) -> None:
        """Another secret for the same key. Raises AccessKeyNotFound."""
        row = await self._mine(key_id)
        row.sealed, row.hint = sealed, hint

    async def _mine(self, key_id: str) -> AccessKeyRow:
        row = await self._tx.get(AccessKeyRow, key_id)
        if row is None or row.tenant_id != self._tenant_id:
            raise AccessKeyNotFound(
                "There is no such access key.",
                explanation=f"The tenant `{self._tenant_id}` has no access key of that id.",
                action=f"List its keys with `penstock access-key list --tenant {self._tenant_id}`.",
            )
        return row


class ApiKeyRepository:
    def __init__(self, tx: Transaction, tenant_id: str) -> None:
        self._tx, self._tenant_id = tx, tenant_id

    async def all(self) -> Sequence[ApiKeyRow]:
        """Oldest first, revoked and expired ones too."""
        mine = select(ApiKeyRow).where(ApiKeyRow.tenant_id == self._tenant_id)
        return (await self._tx.scalars(mine.order_by(ApiKeyRow.created_at, ApiKeyRow.id))).all()

    async def add(self, row: ApiKeyRow) -> ApiKeyRow:
        """Raises AlreadyExists."""
        row.tenant_id = self._tenant_id
        self._tx.add(row)
        await self._tx.flush()
        return row

    async def revoke(self, key_id: str, now: datetime) -> ApiKeyRow:
        """Revoking again changes nothing. Raises ApiKeyNotFound, also for another tenant's key."""
        row = await self._tx.get(ApiKeyRow, key_id)
        if row is None or row.tenant_id != self._tenant_id:
            raise ApiKeyNotFound(
                "There is no such API key.",
                explanation=f"The tenant `{self._tenant_id}` has no API key of that id.",
                action=f"List its keys with `penstock api-key list --tenant {self._tenant_id}`.",
            )
        row.revoked_at = row.revoked_at or now
        return row
