"""Multipart forms: read whole, and written again with a part replaced."""

import re
from collections.abc import Iterable

import msgspec
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from penstock.errors import InvalidRequest

_MAX_PARTS = 100
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
"""RFC 2046, 5.1.1. It is written into a header again."""


class Part(msgspec.Struct, frozen=True):
    """`head` has the part's header lines as they came. `file_name` is None for an ordinary field."""

    name: str
    value: bytes
    head: bytes
    file_name: str | None = None
    content_type: str = ""


class Form(msgspec.Struct, frozen=True):
    parts: tuple[Part, ...]
    boundary: bytes

    @property
    def content_type(self) -> bytes:
        return b'multipart/form-data; boundary="' + self.boundary + b'"'

    def text(self, name: str) -> str | None:
        """The first field of that name that is no file."""
        found = next((part for part in self.parts if part.name == name and part.file_name is None), None)
        return None if found is None else found.value.decode("utf-8", "replace")

    def files(self, *names: str) -> list[Part]:
        return [part for part in self.parts if part.name in names and part.file_name is not None]

    def names(self) -> set[str]:
        return {part.name for part in self.parts}

    def with_field(self, name: str, value: str) -> "Form":
        """The form with this field once, where it stood first."""
        field = _field(name, value)
        kept = [part for part in self.parts if part.name != name]
        place = next((at for at, part in enumerate(self.parts) if part.name == name), len(kept))
        return Form((*kept[:place], field, *kept[place:]), self.boundary)

    def without(self, names: Iterable[str]) -> "Form":
        left_out = set(names)
        return Form(tuple(part for part in self.parts if part.name not in left_out), self.boundary)

    def renamed(self, name: str, to: str) -> "Form":
        """The ordinary fields called `name` under another name."""
        return Form(
            tuple(
                _field(to, part.value.decode("utf-8", "replace")) if part.name == name else part for part in self.parts
            ),
            self.boundary,
        )

    def encode(self) -> bytes:
        pieces: list[bytes] = []
        for part in self.parts:
            pieces += (b"--", self.boundary, b"\r\n", part.head, b"\r\n\r\n", part.value, b"\r\n")
        return b"".join((*pieces, b"--", self.boundary, b"--\r\n"))


def read_form(content_type: bytes | None, body: bytes) -> Form:
    """Raises InvalidRequest for what is no multipart form, is cut short, or has more than 100 parts."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not _BOUNDARY.fullmatch(boundary):
        raise InvalidRequest(
            "The request needs a multipart form.",
            explanation="Its `Content-Type` is not `multipart/form-data` with a boundary.",
            action="Send the file as `multipart/form-data`; HTTP libraries set the header themselves.",
        )
    collector = _Collector()
    try:
        parser = MultipartParser(boundary, collector.callbacks)  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except (FormParserError, UnicodeDecodeError) as error:
        raise _broken(str(error)[:200]) from error
    if not collector.is_whole:
        raise _broken("it ends before its last boundary")
    return Form(tuple(collector.parts), boundary)


class _Collector:
    """Takes what the parser finds. The offsets that it gives are those of the body, which is written at once."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.is_whole = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._name = self._value = b""
        self._data: list[bytes] = []
        self.callbacks = {
            "on_part_begin": self._begin,
            "on_header_field": self._take_name,
            "on_header_value": self._take_value,
            "on_header_end": self._end_header,
            "on_part_data": self._take_data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        if len(self.parts) >= _MAX_PARTS:
            raise InvalidRequest(f"The form has more than {_MAX_PARTS} parts.")
        self._headers, self._data = [], []

    def _take_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers.append((self._name, self._value))
        self._name = self._value = b""

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        self._data.append(data[start:end])

    def _end_part(self) -> None:
        headers = {name.lower(): value for name, value in self._headers}
        kind, options = parse_options_header(headers.get(b"content-disposition"))
        if kind != b"form-data" or b"name" not in options:
            raise _broken("a part has no name")
        file_name = options.get(b"filename")
        self.parts.append(
            Part(
                name=options[b"name"].decode("utf-8", "replace"),
                value=b"".join(self._data),
                head=b"\r\n".join(name + b": " + value for name, value in self._headers),
                file_name=None if file_name is None else file_name.decode("utf-8", "replace"),
                content_type=headers.get(b"content-type", b"").decode("latin-1"),
            )
        )

    def _end(self) -> None:
        self.is_whole = True


def _field(name: str, value: str) -> Part:
    head = f'Content-Disposition: form-data; name="{name}"'.encode()
    return Part(name, value.encode("utf-8", "replace"), head)


def _broken(what: str) -> InvalidRequest:
    return InvalidRequest(f"The multipart form cannot be read: {what}.", action="Send it whole.")
