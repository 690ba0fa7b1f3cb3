"""Tables of users' connections to MCP servers. What is secret in them is sealed."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from penstock.database.base import Base
from penstock.database.types import Exact

SERVER_LENGTH = 128


class McpClientRow(Base):
    """What an authorization server gave us when we registered with it (RFC 7591), sealed.

    `identity` tells registrations apart: a digest of the server's address, its issuer, our callback address and scopes.
    """

    __tablename__ = "mcp_clients"

    identity: Mapped[str] = mapped_column(Exact(64), primary_key=True)
    sealed: Mapped[bytes]
    created_at: Mapped[datetime]


class McpConnectionRow(Base):
    """One user at one server: tokens and authorizations that have begun, sealed (`oauth_records.Record`).

    `expires_at` is the access token's, `connected_at` when the user first began to connect.
    """

    __tablename__ = "mcp_connections"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True, index=True)
    server: Mapped[str] = mapped_column(Exact(SERVER_LENGTH), primary_key=True)
    sealed: Mapped[bytes]
    expires_at: Mapped[datetime | None]
    connected_at: Mapped[datetime]
