"""Column types that behave alike on SQLite, MySQL, MariaDB and PostgreSQL.

What a server would silently change (case, accents, trailing spaces, microseconds, time zones) or only some servers
refuse (U+0000, text that is too long) is settled here, before the driver is called. That goes for values to compare
with too: whoever looks something up by text from outside and owes a 404 checks the text first.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import DateTime, Dialect, LargeBinary, String, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from penstock.database.failures import TextTooLong, UnstorableText
from penstock.kit.clock import to_milliseconds

# The dialects of the servers are imported where one is used: together they take 30 ms of every start, and 3 MiB.
_MYSQL = "mysql"
_POSTGRES = "postgresql"


class Instant(TypeDecorator[datetime]):
    """A moment in UTC, cut to milliseconds. Always timezone-aware; a naive value is a bug and raises ValueError."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == _POSTGRES:
            from sqlalchemy.dialects import postgresql

            return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True, precision=3))
        if dialect.name == _MYSQL:
            from sqlalchemy.dialects import mysql

            return dialect.type_descriptor(mysql.DATETIME(fsp=3))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs a time zone")
        instant = to_milliseconds(value.astimezone(UTC))
        return instant if dialect.name == _POSTGRES else instant.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class Exact(TypeDecorator[str]):
    """At most `length` characters, compared and sorted code point by code point: `a`, `A`, `á` and `a ` are four.

    For ids, names and everything with an index; up to 768 characters fit in one. Raises TextTooLong, UnstorableText.
    """

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == _MYSQL:
            from sqlalchemy.dialects import mysql

            # Even utf8mb4_bin pads with spaces before it compares; bytes are compared as they are.
            return dialect.type_descriptor(mysql.VARBINARY(self.length * 4))
        if dialect.name == _POSTGRES:
            return dialect.type_descriptor(String(self.length, collation="C"))
        return dialect.type_descriptor(String(self.length))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if len(value) > self.length:
            raise TextTooLong(f"A text of {len(value)} characters is too long: {self.length} fit here.")
        encoded = _encoded(value)
        return encoded if dialect.name == _MYSQL else value

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        return value.decode() if isinstance(value, bytes) else value


class LongText(TypeDecorator[str]):
    """Text without a limit of its own. Not for comparing or indexing: `Exact` is. Raises UnstorableText."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(_long_text(dialect))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is not None:
            _encoded(value)
        return value


class Json(TypeDecorator[Any]):
    """Any JSON value, kept as text: what is read is byte for byte what was written, U+0000 in strings included.

    `shape` is the type that a read value is decoded into (a msgspec struct, say). Change a value by assigning a new
    one: a list changed in place is not noticed. None is NULL.
    """

    impl = Text
    cache_ok = True

    def __init__(self, shape: Any = Any) -> None:
        super().__init__()
        self.shape = shape
        self._decode: Callable[[str], Any] = msgspec.json.Decoder(shape).decode

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(_long_text(dialect))

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        if value is None:
            return None
        try:
            return msgspec.json.encode(value).decode()
        except UnicodeEncodeError as error:
            raise _half_a_character() from error

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else self._decode(value)


class Bytes(TypeDecorator[bytes]):
    """Bytes without a limit of their own; a server's packet limit (MySQL `max_allowed_packet`) still applies."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == _MYSQL:
            from sqlalchemy.dialects import mysql

            return dialect.type_descriptor(mysql.LONGBLOB())
        return dialect.type_descriptor(LargeBinary())


def _long_text(dialect: Dialect) -> TypeEngine[str]:
    if dialect.name == _MYSQL:
        from sqlalchemy.dialects import mysql

        return mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin")
    return Text()


def _encoded(text: str) -> bytes:
    if "\0" in text:
        raise UnstorableText(
            "The text holds the character U+0000.",
            explanation="Not every supported database can keep that character, so none is asked to.",
            action="Remove it and send the text again.",
        )
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise _half_a_character() from error


def _half_a_character() -> UnstorableText:
    return UnstorableText(
        "The text holds half of a character (a lone UTF-16 surrogate).",
        explanation="It was cut in the middle of an emoji or another character beyond U+FFFF.",
        action="Send the whole character or none of it.",
    )
