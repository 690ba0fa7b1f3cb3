"""How the commands that manage things speak: results on stdout, as text or JSON; everything else on stderr."""

import asyncio
import json
import re
import sys
from collections.abc import Coroutine, Sequence
from datetime import datetime
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from penstock.database.diagnosis import CannotPrepare
from penstock.errors import PenstockError
from penstock.kit.clock import iso

T = TypeVar("T")

FAILED = 1
NOT_AVAILABLE = 69
"""EX_UNAVAILABLE of sysexits.h: the database cannot be used."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_DURATION = re.compile(r"(\d{1,9})([smhd]?)\Z", re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST_S = 36_500 * 86_400  # a hundred years: beyond them, the calendar ends


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result; a failure that we know ends the command with what happened, why, and what to do."""
    try:
        return asyncio.run(work)
    except PenstockError as error:
        sentences = (error.message, error.explanation, error.action)
        _fail(FAILED, *(sentence for sentence in sentences if sentence))
    except CannotPrepare as error:
        _fail(NOT_AVAILABLE, *error.sentences)


def print_json(value: Any) -> None:
    """Keys are snake case, instants ISO 8601 in UTC. Keys may be added later; none changes its meaning."""
    print(json.dumps(value, default=_written, ensure_ascii=False, indent=2))


def print_table(rows: Sequence[tuple[str, ...]], header: tuple[str, ...], when_empty: str) -> None:
    if not rows:
        remark(when_empty)
        return
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def remark(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def duration_s(text: str) -> int:
    """Seconds from `3600`, `90m`, `12h` or `30d`."""
    found = _DURATION.match(text)
    if found is None:
        raise typer.BadParameter("expected a number of seconds, or a number with s, m, h or d, such as 30d")
    seconds = int(found[1]) * _SECONDS[found[2]]
    if seconds > _LONGEST_S:
        raise typer.BadParameter("expected at most 36500d")
    return seconds


def state(revoked_at: datetime | None) -> str:
    return f"revoked {iso(revoked_at)}" if revoked_at else "active"


def _fail(code: int, *sentences: str) -> NoReturn:
    for sentence in sentences:
        remark(sentence)
    raise typer.Exit(code)


def _written(value: object) -> str:
    if isinstance(value, datetime):
        return iso(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
