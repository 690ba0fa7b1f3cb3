"""Selected passages of a document. Editors count in UTF-16 code units, as JavaScript does. Pure."""

from collections.abc import Sequence
from typing import Protocol

from penstock.errors import InvalidRequest

_LOW_SURROGATES = range(0xDC00, 0xE000)


class Range(Protocol):
    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...


class SelectionOutside(InvalidRequest):
    """`place` names the range in the request."""

    def __init__(self, place: str, one: Range, length: int) -> None:
        found = f"{one.start} to {one.end}"
        super().__init__(
            f"{place}: the selection from {found} does not lie within the document.",
            explanation=f"The document has {length} UTF-16 code units, which is how editors count.",
            action="Send the offsets of the document that was uploaded for this message, start before end.",
            param=place,
        )


def selected(content: str, ranges: Sequence[Range], places: Sequence[str]) -> list[str]:
    """The passages, in the order given; empty ranges are a caret and give nothing.

    A range that begins or ends inside a character takes the whole of it. Ranges that overlap give one passage, so that
    all passages together are never longer than the document. `places` name the ranges for SelectionOutside, which is
    raised when one does not lie in the document.
    """
    if not ranges:
        return []
    units = content.encode("utf-16-le")
    length = len(units) // 2
    for one, place in zip(ranges, places, strict=True):
        if not one.start <= one.end <= length:
            raise SelectionOutside(place, one, length)
    whole = [(_whole(units, one.start, -1), _whole(units, one.end, 1)) for one in ranges if one.start < one.end]
    return [units[2 * start : 2 * end].decode("utf-16-le") for start, end in _apart(whole)]


def _apart(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Overlapping ones as one, in the place of the first of them that was given."""
    found: list[tuple[int, int, int]] = []
    for start, end, order in sorted((start, end, order) for order, (start, end) in enumerate(ranges)):
        if found and start < found[-1][1]:
            before = found[-1]
            found[-1] = (before[0], max(before[1], end), min(before[2], order))
        else:
            found.append((start, end, order))
    return [(start, end) for start, end, _ in sorted(found, key=lambda one: one[2])]


def _whole(units: bytes, offset: int, step: int) -> int:
    """`offset`, moved by `step` where it stands between the halves of a character."""
    unit = int.from_bytes(units[2 * offset : 2 * offset + 2], "little")
    return offset + step if unit in _LOW_SURROGATES else offset
