"""Tables of tenants, users and keys. Other rooms name them by string: `tenants.id`, `users.id`."""

from datetime import datetime

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from penstock.database.base import Base
from penstock.database.types import Exact, Json

ID_LENGTH = 64
NAME_LENGTH = 100


class PartnerRow(Base):
    """Owns tenants. One exists by default."""

    __tablename__ = "partners"

    id: Mapped[str] = mapped_column(Exact(ID_LENGTH), primary_key=True)
    name: Mapped[str] = mapped_column(Exact(NAME_LENGTH))
    created_at: Mapped[datetime]


class TenantRow(Base):
    """From `deleted_at` on the tenant does not exist for anybody; its rows are removed in the background."""

    __tablename__ = "tenants"

    id: Mapped[str] = mapped_column(Exact(ID_LENGTH), primary_key=True)
    partner_id: Mapped[str] = mapped_column(ForeignKey("partners.id"), index=True)
    name: Mapped[str] = mapped_column(Exact(NAME_LENGTH))
    created_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]


class UserRow(Base):
    """`subject` is what the tenant calls the user. `last_seen_at` is written with the row: no request changes it."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("tenant_id", "subject"),)

    id: Mapped[str] = mapped_column(Exact(ID_LENGTH), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    subject: Mapped[str] = mapped_column(Exact(255))
    name: Mapped[str | None] = mapped_column(Exact(255))
    email: Mapped[str | None] = mapped_column(Exact(255))
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]


class AccessKeyRow(Base):
    """`sealed` is the secret under AES-256-GCM: verifying HS256 needs it in clear. `hint` are its last 4 characters."""

    __tablename__ = "access_keys"

    id: Mapped[str] = mapped_column(Exact(ID_LENGTH), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), index=True)
    name: Mapped[str] = mapped_column(Exact(NAME_LENGTH))
    sealed: Mapped[bytes]
    hint: Mapped[str] = mapped_column(Exact(4))
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class ApiKeyRow(Base):
    """`id` is the public part of the key. Without a user, the key acts for the user `key:<id>`."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(Exact(ID_LENGTH), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), index=True)
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id"), index=True)
    name: Mapped[str] = mapped_column(Exact(NAME_LENGTH))
    secret_hash: Mapped[bytes]
    last4: Mapped[str] = mapped_column(Exact(4))
    permissions: Mapped[list[str]] = mapped_column(Json(list[str]))
    expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class RevisionRow(Base):
    """One row. `revision` grows in the transaction of every change that a cached credential depends on."""

    __tablename__ = "identity_revisions"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    revision: Mapped[int]
