"""First tables.

Revises nothing.
"""

import sqlalchemy as sa
from alembic import op

from penstock.database import types

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "identity_revisions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "partners",
        sa.Column("id", types.Exact(64), nullable=False),
        sa.Column("name", types.Exact(100), nullable=False),
        sa.Column("created_at", types.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "tenants",
        sa.Column("id", types.Exact(64), nullable=False),
        sa.Column("partner_id", types.Exact(64), nullable=False),
        sa.Column("name", types.Exact(100), nullable=False),
        sa.Column("created_at", types.Instant(), nullable=False),
        sa.ForeignKeyConstraint(["partner_id"], ["partners.id"], name=op.f("fk_tenants_partner_id")),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("tenants", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tenants_partner_id"), ["partner_id"], unique=False)

    op.create_table(
        "access_keys",
        sa.Column("id", types.Exact(64), nullable=False),
        sa.Column("tenant_id", types.Exact(64), nullable=False),
        sa.Column("name", types.Exact(100), nullable=False),
        sa.Column("sealed", types.Bytes(), nullable=False),
        sa.Column("hint", types.Exact(4), nullable=False),
        sa.Column("created_at", types.Instant(), nullable=False),
        sa.Column("revoked_at", types.Instant(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_access_keys_tenant_id")),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("access_keys", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_access_keys_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "users",
        sa.Column("id", types.Exact(64), nullable=False),
        sa.Column("tenant_id", types.Exact(64), nullable=False),
        sa.Column("subject", types.Exact(255), nullable=False),
        sa.Column("name", types.Exact(255), nullable=True),
        sa.Column("email", types.Exact(255), nullable=True),
        sa.Column("created_at", types.Instant(), nullable=False),
        sa.Column("last_seen_at", types.Instant(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_users_tenant_id")),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant_id", "subject", name=op.f("uq_users_tenant_id_subject")),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", types.Exact(64), nullable=False),
        sa.Column("tenant_id", types.Exact(64), nullable=False),
        sa.Column("user_id", types.Exact(64), nullable=True),
        sa.Column("name", types.Exact(100), nullable=False),
        sa.Column("secret_hash", types.Bytes(), nullable=False),
        sa.Column("last4", types.Exact(4), nullable=False),
        sa.Column("permissions", types.Json(), nullable=False),
        sa.Column("expires_at", types.Instant(), nullable=True),
        sa.Column("created_at", types.Instant(), nullable=False),
        sa.Column("revoked_at", types.Instant(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_api_keys_tenant_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_api_keys_user_id")),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("api_keys", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_api_keys_tenant_id"), ["tenant_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_api_keys_user_id"), ["user_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("api_keys", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_api_keys_user_id"))
        batch_op.drop_index(batch_op.f("ix_api_keys_tenant_id"))

    op.drop_table("api_keys")
    op.drop_table("users")
    with op.batch_alter_table("access_keys", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_access_keys_tenant_id"))

    op.drop_table("access_keys")
    with op.batch_alter_table("tenants", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tenants_partner_id"))

    op.drop_table("tenants")
    op.drop_table("partners")
    op.drop_table("identity_revisions")
