"""Places in the list of conversations. A cursor is opaque to clients and good for the list it came from only."""

import base64
import binascii
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from penstock.editor.conversations.errors import BadCursor

SortKey = Literal["createdAt", "updatedAt"]
Order = Literal["asc", "desc"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_MS = 253_402_300_799_999  # the end of the year 9999


class ListFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What a list shows, and how it is sorted. None means: both, or all."""

    sort_by: SortKey = "updatedAt"
    order: Order = "desc"
    pinned: bool | None = None
    exclude_empty: bool = False
    group: str | None = None


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Between two rows: after the row with this key, or before it when the list is read backwards.

    A row's key never moves when others are added or removed, so no page repeats or leaves out what stayed put.
    """

    at: datetime
    row_id: str
    backwards: bool = False


class _Sealed(msgspec.Struct, array_like=True):
    filter: str
    at_ms: int
    row_id: str
    backwards: bool


def to_cursor(place: Place, list_filter: ListFilter) -> str:
    sealed = _Sealed(_digest(list_filter), _milliseconds(place.at), place.row_id, place.backwards)
    return base64.urlsafe_b64encode(msgspec.json.encode(sealed)).decode().rstrip("=")


def from_cursor(cursor: str, list_filter: ListFilter) -> Place:
    """Raises BadCursor, also for a cursor of a list with another filter."""
    try:
        raw = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        sealed = msgspec.json.decode(raw, type=_Sealed)
    except (ValueError, binascii.Error, UnicodeError) as error:
        raise BadCursor from error
    is_sound = 0 <= sealed.at_ms <= _LATEST_MS and len(sealed.row_id) == 26 and sealed.row_id.isalnum()
    if sealed.filter != _digest(list_filter) or not is_sound:
        raise BadCursor
    return Place(_EPOCH + timedelta(milliseconds=sealed.at_ms), sealed.row_id, sealed.backwards)


def _digest(list_filter: ListFilter) -> str:
    return hashlib.sha256(msgspec.json.encode(list_filter)).hexdigest()[:12]


def _milliseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(milliseconds=1)
