"""The declarative base of every table. Constraints are named by rule, so that migrations can find them again."""

from datetime import datetime

from sqlalchemy import BigInteger, Integer, MetaData
from sqlalchemy.orm import DeclarativeBase

from penstock.database.types import Bytes, Instant, LongText

# The shortest rule that keeps names apart: PostgreSQL allows 63 bytes, MySQL 64 characters. Primary keys are not
# named, because MySQL warns that it ignores the name.
NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}


class Base(DeclarativeBase):
    """`Mapped[datetime]` is an Instant, `Mapped[int]` has 64 bits, `Mapped[str]` no limit unless it says `Exact(n)`.

    A single `Mapped[int]` primary key counts up by itself on every server.
    """

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {  # noqa: RUF012 - read once by SQLAlchemy, never by instances
        datetime: Instant(),
        # Only a column spelled INTEGER counts up by itself on SQLite; it holds 64 bits there too.
        int: BigInteger().with_variant(Integer(), "sqlite"),
        str: LongText(),
        bytes: Bytes(),
    }
