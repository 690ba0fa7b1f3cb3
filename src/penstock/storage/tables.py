"""Tables of the storage room: blobs of the driver `database`, and what is to be deleted from any driver."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from penstock.database.base import Base
from penstock.database.types import Exact

KEY_LENGTH = 255


class BlobRow(Base):
    """`upload` tells the pieces of this content from those of one that is being written over it."""

    __tablename__ = "blobs"

    key: Mapped[str] = mapped_column(Exact(KEY_LENGTH), primary_key=True)
    upload: Mapped[str] = mapped_column(Exact(26))
    size_bytes: Mapped[int]
    created_at: Mapped[datetime]


class BlobPieceRow(Base):
    """A piece of a blob, small enough for every server's packet limit. Pieces are written before their blob's row."""

    __tablename__ = "blob_pieces"

    upload: Mapped[str] = mapped_column(Exact(26), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    created_at: Mapped[datetime] = mapped_column(index=True)
    content: Mapped[bytes]


class DoomedBlobRow(Base):
    """A key whose content nobody will ask for any more once `due_at` has come: it is deleted in the background.

    Written in the transaction that forgets the key, and before an upload whose row is not there yet, so that nothing
    stays behind whenever a process dies.
    """

    __tablename__ = "doomed_blobs"

    key: Mapped[str] = mapped_column(Exact(KEY_LENGTH), primary_key=True)
    due_at: Mapped[datetime] = mapped_column(index=True)
