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
        "leases",
        sa.Column("key", types.Exact(255), nullable=False),
        sa.Column("token", types.Exact(64), nullable=False),
        sa.Column("fence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("holder", types.Bytes(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    with op.batch_alter_table("leases", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_leases_expires_at_ms"), ["expires_at_ms"], unique=False)

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

    op.create_table(
        "conversations",
        sa.Column("row_id", types.Exact(26), nullable=False),
        sa.Column("tenant_id", types.Exact(64), nullable=False),
        sa.Column("user_id", types.Exact(64), nullable=False),
        sa.Column("id", types.Exact(255), nullable=False),
        sa.Column("title", types.Exact(255), nullable=True),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.Column("group_name", types.Exact(255), nullable=True),
        sa.Column("attributes", types.Json(), nullable=True),
        sa.Column("model", types.Exact(512), nullable=True),
        sa.Column("next_position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("created_at", types.Instant(), nullable=False),
        sa.Column("updated_at", types.Instant(), nullable=False),
        sa.Column("last_visited_at", types.Instant(), nullable=False),
        sa.Column("last_message_at", types.Instant(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_conversations_tenant_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_conversations_user_id")),
        sa.PrimaryKeyConstraint("row_id"),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_conversations_tenant_id_id")),
    )
    with op.batch_alter_table("conversations", schema=None) as batch_op:
        batch_op.create_index(
            "ix_conversations_history", ["tenant_id", "user_id", "updated_at", "row_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_conversations_user_id"), ["user_id"], unique=False)

    op.create_table(
        "conversation_messages",
        sa.Column("id", types.Exact(21), nullable=False),
        sa.Column("conversation_row_id", types.Exact(26), nullable=False),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("role", types.Exact(16), nullable=False),
        sa.Column("created_at", types.Instant(), nullable=False),
        sa.Column("prompt", types.LongText(), nullable=True),
        sa.Column("model", types.Exact(512), nullable=True),
        sa.Column("attributes", types.Json(), nullable=True),
        sa.Column("capabilities", types.Json(), nullable=True),
        sa.Column("content", types.Json(), nullable=False),
        sa.Column("state", types.Exact(16), nullable=True),
        sa.Column("touched_at", types.Instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["conversation_row_id"],
            ["conversations.row_id"],
            name=op.f("fk_conversation_messages_conversation_row_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "conversation_row_id", "position", name=op.f("uq_conversation_messages_conversation_row_id_position")
        ),
    )


def downgrade() -> None:
    op.drop_table("conversation_messages")
    with op.batch_alter_table("conversations", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_conversations_user_id"))
        batch_op.drop_index("ix_conversations_history")

    op.drop_table("conversations")
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
    with op.batch_alter_table("leases", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_leases_expires_at_ms"))

    op.drop_table("leases")
    op.drop_table("identity_revisions")
