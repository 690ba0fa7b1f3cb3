"""What every source of settings shares: a text with its origin, and how problems are put."""

import re

import msgspec

from penstock.gateway.catalog.snapshot import Problem

_ADDRESS_USER = re.compile(r"//[^/@\s]*@")


class Given(msgspec.Struct, frozen=True):
    """The text of one variable, and where it was found. `place` is line and column in a JSON file."""

    text: str
    source: str
    place: tuple[int, int] | None = None


def shown(text: str) -> str:
    """A value that is no secret, short and printable; the user part of an address may hold a password."""
    masked = _ADDRESS_USER.sub("//***@", text)
    cut = masked if len(masked) <= 80 else masked[:77] + "..."
    return '"' + "".join(one if one.isprintable() else "?" for one in cut) + '"'


def error(variable: str, message: str, fix: str, source: str) -> Problem:
    return Problem("error", variable, "", message, fix, source=source)


def warning(variable: str, message: str, fix: str, source: str) -> Problem:
    return Problem("warning", variable, "", message, fix, source=source)
