"""Leases in the database, for when Redis cannot be reached."""

from sqlalchemy.orm import Mapped, mapped_column

from penstock.database.base import Base
from penstock.database.types import Exact


class LeaseRow(Base):
    """A free key keeps its row for a day, for its fence. Instants are numbers, so that every server can add to them."""

    __tablename__ = "leases"

    key: Mapped[str] = mapped_column(Exact(255), primary_key=True)
    token: Mapped[str] = mapped_column(Exact(64))
    fence: Mapped[int]
    holder: Mapped[bytes]
    expires_at_ms: Mapped[int] = mapped_column(index=True)
