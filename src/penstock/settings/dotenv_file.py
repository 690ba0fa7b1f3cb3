"""The file `.env`: read as Docker Compose reads it, without substitution, and with an eye on lines that were glued."""

import io
import re
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from penstock.gateway.catalog.snapshot import Problem
from penstock.settings.given import Given, error, warning
from penstock.settings.kinds import reason
from penstock.settings.variables import BY_NAME

_MULTILINE = "A value over several lines must stand in single quotes."
_GLUED = re.compile(rf"(?<=[^\s#_`'\"(])({'|'.join(sorted(BY_NAME, key=len, reverse=True))})(?:_FILE)?=")


def read_dotenv(path: Path, problems: list[Problem]) -> dict[str, Given]:
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeError) as cause:
        problems.append(error(".env", f"cannot be read: {reason(cause)}.", "Mend or remove the file.", str(path)))
        return {}
    found: dict[str, Given] = {}
    for binding in parse_stream(io.StringIO(text)):
        _add_binding(binding, found, problems)
    return found


def _add_binding(binding: Binding, found: dict[str, Given], problems: list[Problem]) -> None:
    leading = len(binding.original.string) - len(binding.original.string.lstrip("\n"))
    source = f".env, line {binding.original.line + leading}"
    if binding.error:
        problems.append(warning(".env", "has a line that is no assignment; it is ignored.", _MULTILINE, source))
    swallowed = _swallowed(binding)
    if swallowed is not None:
        problems.append(_glued(binding.key, swallowed, source))
    elif binding.key and binding.value:
        found[binding.key] = Given(binding.value, source)


def _glued(key: str | None, swallowed: str, source: str) -> Problem:
    fix = f"Start a new line before `{swallowed}=`; if the value is meant like this, put it in quotes."
    message = f"`{swallowed}=` stands inside another line: two lines were glued together, and {swallowed} is lost."
    return (error if key else warning)(key or ".env", message, fix, source)


def _swallowed(binding: Binding) -> str | None:
    """The variable whose assignment is glued to the end of this line, which ended without a line feed (S010)."""
    line = binding.original.string.strip()
    if binding.key is None:
        return _glued_name(line) if line.startswith("#") else None
    value = line.partition("=")[2].lstrip()
    return None if value[:1] in ("'", '"', "{", "[") else _glued_name(value)


def _glued_name(text: str) -> str | None:
    names = [found[1] for found in _GLUED.finditer(text)]
    return names[0] if names else None
