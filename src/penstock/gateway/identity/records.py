"""What the identity room hands out: rows without their secrets."""

from datetime import datetime

import msgspec

from penstock.gateway.identity.tables import AccessKeyRow, ApiKeyRow, TenantRow


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    created_at: datetime

    @classmethod
    def of(cls, row: TenantRow) -> "Tenant":
        return cls(id=row.id, name=row.name, created_at=row.created_at)


class AccessKey(msgspec.Struct, frozen=True, kw_only=True):
    """`hint` are the last characters of the secret. `last_used_at` may be some minutes behind."""

    id: str
    tenant_id: str
    name: str
    hint: str
    created_at: datetime
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    @classmethod
    def of(cls, row: AccessKeyRow) -> "AccessKey":
        return cls(
            id=row.id,
            tenant_id=row.tenant_id,
            name=row.name,
            hint=row.hint,
            created_at=row.created_at,
            last_used_at=row.last_used_at,
            revoked_at=row.revoked_at,
        )


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """`id` and `last4` are parts of the key that may be shown. `user_id` None: made for nobody in particular."""

    id: str
    tenant_id: str
    user_id: str | None
    name: str
    last4: str
    permissions: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    @classmethod
    def of(cls, row: ApiKeyRow) -> "ApiKey":
        return cls(
            id=row.id,
            tenant_id=row.tenant_id,
            user_id=row.user_id,
            name=row.name,
            last4=row.last4,
            permissions=tuple(row.permissions),
            created_at=row.created_at,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
        )
