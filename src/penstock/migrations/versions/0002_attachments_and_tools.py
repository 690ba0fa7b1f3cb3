"""What is attached to conversations, blobs, and connections to tools.

Revises 0001.
"""

import sqlalchemy as sa
from alembic import op

from penstock.database import types

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "blob_pieces",
        sa.Column("upload", types.Exact(26), nullable=False),
        sa.Column(
            "position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("created_at", types.Instant(), nullable=False),
        sa.Column("content", types.Bytes(), nullable=False),
        sa.PrimaryKeyConstraint("upload", "position"),
    )
    with op.batch_alter_table("blob_pieces", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_blob_pieces_created_at"), ["created_at"], unique=False)

    op.create_table(
        "blobs",
        sa.Column("key", types.Exact(255), nullable=False),
        sa.Column("upload", types.Exact(26), nullable=False),
        sa.Column("size_bytes", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("created_at", types.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "doomed_blobs",
        sa.Column("key", types.Exact(255), nullable=False),
        sa.Column("due_at", types.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    with op.batch_alter_table("doomed_blobs", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_doomed_blobs_due_at"), ["due_at"], unique=False)

    op.create_table(
        "mcp_clients",
        sa.Column("identity", types.Exact(64), nullable=False),
        sa.Column("sealed", types.Bytes(), nullable=False),
        sa.Column("created_at", types.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("identity"),
    )
    op.create_table(
        "mcp_connections",
        sa.Column("tenant_id", types.Exact(64), nullable=False),
        sa.Column("user_id", types.Exact(64), nullable=False),
        sa.Column("server", types.Exact(128), nullable=False),
        sa.Column("sealed", types.Bytes(), nullable=False),
        sa.Column("expires_at", types.Instant(), nullable=True),
        sa.Column("connected_at", types.Instant(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_mcp_connections_tenant_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_mcp_connections_user_id")),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "server"),
    )
    with op.batch_alter_table("mcp_connections", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_mcp_connections_user_id"), ["user_id"], unique=False)

    op.create_table(
        "conversation_document_contents",
        sa.Column("conversation_row_id", types.Exact(26), nullable=False),
        sa.Column("digest", types.Exact(64), nullable=False),
        sa.Column("content", types.LongText(), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_row_id"],
            ["conversations.row_id"],
            name=op.f("fk_conversation_document_contents_conversation_row_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("conversation_row_id", "digest"),
    )
    op.create_table(
        "conversation_documents",
        sa.Column("id", types.Exact(21), nullable=False),
        sa.Column("conversation_row_id", types.Exact(26), nullable=False),
        sa.Column("digest", types.Exact(64), nullable=False),
        sa.Column("name", types.Exact(255), nullable=True),
        sa.Column("description", types.LongText(), nullable=True),
        sa.Column("attributes", types.Json(), nullable=True),
        sa.Column("selections", types.Json(), nullable=False),
        sa.Column("created_at", types.Instant(), nullable=False),
        sa.Column("used_at", types.Instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["conversation_row_id"],
            ["conversations.row_id"],
            name=op.f("fk_conversation_documents_conversation_row_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("conversation_documents", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_conversation_documents_conversation_row_id"), ["conversation_row_id"], unique=False
        )
        batch_op.create_index("ix_conversation_documents_unused", ["used_at", "created_at"], unique=False)

    op.create_table(
        "conversation_files",
        sa.Column("id", types.Exact(21), nullable=False),
        sa.Column("conversation_row_id", types.Exact(26), nullable=False),
        sa.Column("name", types.Exact(255), nullable=False),
        sa.Column("format", types.Exact(16), nullable=False),
        sa.Column("size_bytes", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("pages", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("blob_key", types.Exact(255), nullable=False),
        sa.Column("text", types.LongText(), nullable=True),
        sa.Column("note", types.LongText(), nullable=True),
        sa.Column("attributes", types.Json(), nullable=True),
        sa.Column("created_at", types.Instant(), nullable=False),
        sa.Column("used_at", types.Instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["conversation_row_id"],
            ["conversations.row_id"],
            name=op.f("fk_conversation_files_conversation_row_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("conversation_files", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_conversation_files_conversation_row_id"), ["conversation_row_id"], unique=False
        )
        batch_op.create_index("ix_conversation_files_unused", ["used_at", "created_at"], unique=False)

    op.create_table(
        "conversation_web_resources",
        sa.Column("id", types.Exact(21), nullable=False),
        sa.Column("conversation_row_id", types.Exact(26), nullable=False),
        sa.Column("url", types.LongText(), nullable=False),
        sa.Column("title", types.LongText(), nullable=True),
        sa.Column("text", types.LongText(), nullable=False),
        sa.Column("attributes", types.Json(), nullable=True),
        sa.Column("created_at", types.Instant(), nullable=False),
        sa.Column("used_at", types.Instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["conversation_row_id"],
            ["conversations.row_id"],
            name=op.f("fk_conversation_web_resources_conversation_row_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("conversation_web_resources", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_conversation_web_resources_conversation_row_id"), ["conversation_row_id"], unique=False
        )
        batch_op.create_index("ix_conversation_web_resources_unused", ["used_at", "created_at"], unique=False)

    with op.batch_alter_table("access_keys", schema=None) as batch_op:
        batch_op.add_column(sa.Column("last_used_at", types.Instant(), nullable=True))

    with op.batch_alter_table("conversations", schema=None) as batch_op:
        batch_op.create_index("ix_conversations_updated_at", ["updated_at"], unique=False)

    with op.batch_alter_table("tenants", schema=None) as batch_op:
        batch_op.add_column(sa.Column("deleted_at", types.Instant(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("tenants", schema=None) as batch_op:
        batch_op.drop_column("deleted_at")

    with op.batch_alter_table("conversations", schema=None) as batch_op:
        batch_op.drop_index("ix_conversations_updated_at")

    with op.batch_alter_table("access_keys", schema=None) as batch_op:
        batch_op.drop_column("last_used_at")

    with op.batch_alter_table("conversation_web_resources", schema=None) as batch_op:
        batch_op.drop_index("ix_conversation_web_resources_unused")
        batch_op.drop_index(batch_op.f("ix_conversation_web_resources_conversation_row_id"))

    op.drop_table("conversation_web_resources")
    with op.batch_alter_table("conversation_files", schema=None) as batch_op:
        batch_op.drop_index("ix_conversation_files_unused")
        batch_op.drop_index(batch_op.f("ix_conversation_files_conversation_row_id"))

    op.drop_table("conversation_files")
    with op.batch_alter_table("conversation_documents", schema=None) as batch_op:
        batch_op.drop_index("ix_conversation_documents_unused")
        batch_op.drop_index(batch_op.f("ix_conversation_documents_conversation_row_id"))

    op.drop_table("conversation_documents")
    op.drop_table("conversation_document_contents")
    with op.batch_alter_table("mcp_connections", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_mcp_connections_user_id"))

    op.drop_table("mcp_connections")
    op.drop_table("mcp_clients")
    with op.batch_alter_table("doomed_blobs", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_doomed_blobs_due_at"))

    op.drop_table("doomed_blobs")
    op.drop_table("blobs")
    with op.batch_alter_table("blob_pieces", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_blob_pieces_created_at"))

    op.drop_table("blob_pieces")
