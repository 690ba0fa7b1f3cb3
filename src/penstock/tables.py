"""Every room's tables, in one metadata: what migrations are written from and tests create."""

import penstock.coordination.tables
import penstock.editor.conversations.tables
import penstock.editor.mcp.tables
import penstock.gateway.identity.tables
import penstock.storage.tables  # noqa: F401
from penstock.database.base import Base

metadata = Base.metadata
