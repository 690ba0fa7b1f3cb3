"""Tables of these tests' own, in a metadata of their own: the suite depends on no room."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, MetaData
from sqlalchemy.orm import Mapped, mapped_column

from penstock.database.base import NAMING_CONVENTION, Base
from penstock.database.types import Exact, Json


class Private(Base):
    __abstract__ = True
    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Shelf(Private):
    __tablename__ = "shelves"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Exact(50), unique=True)


class Thing(Private):
    __tablename__ = "things"

    id: Mapped[int] = mapped_column(primary_key=True)
    shelf_id: Mapped[int | None] = mapped_column(ForeignKey("shelves.id"))
    name: Mapped[str | None] = mapped_column(Exact(50), index=True)
    story: Mapped[str | None]
    facts: Mapped[Any] = mapped_column(Json(), nullable=True)
    seen_at: Mapped[datetime | None]
    blob: Mapped[bytes | None]
    count: Mapped[int | None]
