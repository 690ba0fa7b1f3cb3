"""Every room's tables, in one metadata: what migrations are written from and tests create."""

from penstock.database.base import Base

metadata = Base.metadata
