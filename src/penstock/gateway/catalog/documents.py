"""The JSON texts of PROVIDERS and MODELS: where they come from, and where in them something stands.

Nothing here ever repeats a string value: the texts hold keys. A context shows structure and field names only.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from penstock.gateway.catalog.snapshot import Problem

Step = str | int
Severity = Literal["error", "warning", "info"]

MAX_BYTES = 4 * 1024 * 1024
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+', re.DOTALL)
_OPAQUE = re.compile(r'[^\s{}\[\]:,"]+')
_SAFE_WORDS = frozenset(
    """
    type name apiKeys apiKey baseUrl headers resourceName apiVersion region project location credentials clientEmail
    privateKey accessKeyId secretAccessKey sessionToken betas ambientCredentials api flavor timeouts connectMs
    firstTokenMs idleMs totalMs proxy tls caFile verify id provider description recommended capabilities webSearch
    reasoning contextLimits maxContextLength maxFiles maxFileSize maxImageSize maxTotalFileSize maxTotalPdfFilePages
    features true false null privateKeyId tokenUri facts price contextTokens outputTokens images documents audio tools
    structuredOutput input output cacheRead cacheWrite cacheWrite1h tiers aboveInput
    url oauth clientId clientSecret scopes callbackUrl disabled options callToolTimeout
    """.split()  # noqa: SIM905
)
_WINDOW = 60
_DEEPEST = 32


class Refused(Exception):
    """The text cannot be used at all. Holds every problem that was found, at least one of them an error."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{one.variable}{one.path}: {one.message}" for one in problems))
        self.problems = tuple(problems)


class Document(msgspec.Struct, frozen=True, dict=True):
    """One JSON text. `root` leads to the part that counts, when the text is a whole configuration file."""

    variable: str
    text: str
    origin: str
    root: tuple[Step, ...] = ()

    def value(self) -> Any:
        """The parsed part at `root`. Raises Refused: not JSON, nested too deeply, too large, lone surrogates."""
        if len(self.text) > MAX_BYTES:
            raise Refused([self.at("error", (), "is larger than 4 MiB.", "Shorten it.")])
        try:
            found = json.loads(self.text, parse_constant=_no_constant)
            json.dumps(found, ensure_ascii=False).encode()
        except json.JSONDecodeError as error:
            raise Refused([self._malformed(error)]) from None
        except RecursionError:
            raise Refused([self.at("error", (), "is nested too deeply.", "Flatten it.")]) from None
        except ValueError:
            fix = "Use plain JSON numbers, and no half of a surrogate pair in strings."
            raise Refused([self.at("error", (), "holds a value that JSON does not have.", fix)]) from None
        for step in self.root:
            if not isinstance(found, dict) or step not in found:
                raise Refused([self.at("error", (), "is not in the file any more.", "Put it back, or start again.")])
            found = found[step]
        return found

    def __repr__(self) -> str:
        return f"Document({self.variable} of {self.origin})"

    def at(self, severity: Severity, path: Sequence[Step], message: str, fix: str) -> Problem:
        """A problem at `path`, or at its nearest ancestor that exists."""
        offset = self._offset((*self.root, *path))
        line, column = self._line_and_column(offset) if offset is not None else (None, None)
        return Problem(
            severity, self.variable, written(path), message, fix, source=self.origin, line=line, column=column
        )

    def repeated_keys(self) -> list[tuple[Step, ...]]:
        """Paths below `root` that the text gives more than once (JSON lets the last one win)."""
        depth = len(self.root)
        seen: set[tuple[Step, ...]] = set()
        repeated = []
        for path, _ in _places(self.text):
            if path in seen and path[:depth] == self.root:
                repeated.append(path[depth:])
            seen.add(path)
        return list(dict.fromkeys(repeated))

    def _malformed(self, error: json.JSONDecodeError) -> Problem:
        line = self.text.split("\n")[error.lineno - 1] if self.text else ""
        quoted = self.text.lstrip()[:1] == "'"
        hint = " It begins with a quote: `docker --env-file` keeps quotes as part of the value." if quoted else ""
        return Problem(
            "error",
            self.variable,
            "",
            f"is not JSON: {error.msg}.",
            f"Mend the JSON at this place.{hint}",
            source=self.origin,
            line=error.lineno,
            column=error.colno,
            context=_context(line, error.colno - 1),
        )

    def _offset(self, path: tuple[Step, ...]) -> int | None:
        if "_offsets" not in self.__dict__:
            self.__dict__["_offsets"] = dict(_places(self.text)) if len(self.text) <= MAX_BYTES else {}
        offsets: dict[tuple[Step, ...], int] = self.__dict__["_offsets"]
        for length in range(len(path), -1, -1):
            if path[:length] in offsets:
                return offsets[path[:length]]
        return None

    def _line_and_column(self, offset: int) -> tuple[int, int]:
        before = self.text[:offset]
        return before.count("\n") + 1, offset - before.rfind("\n")


class Source(msgspec.Struct, frozen=True):
    """Where the text of PROVIDERS or MODELS is read from: a value given at start, or a file that may change."""

    variable: str
    origin: str
    text: str | None = None
    path: Path | None = None
    root: tuple[Step, ...] = ()

    def __repr__(self) -> str:
        return f"Source({self.variable} of {self.origin})"

    def read(self) -> Document:
        """Raises Refused when the file cannot be read."""
        if self.path is None:
            return Document(self.variable, self.text or "", self.origin, self.root)
        try:
            text = self.path.read_text("utf-8-sig")
        except (OSError, ValueError) as error:
            cause = getattr(error, "strerror", None) or "it is not UTF-8 text, or not a path"
            fix = "Give the service's user a readable file."
            message = f"cannot be read: {cause}."
            raise Refused([Problem("error", self.variable, "", message, fix, source=self.origin)]) from error
        return Document(self.variable, text, self.origin, self.root)


def written(path: Sequence[Step]) -> str:
    """`["mine"].apiKeys[0]`: the keys that operators choose are quoted, field names are not."""
    parts = []
    for step in path:
        if isinstance(step, int):
            parts.append(f"[{step}]")
        elif step in _SAFE_WORDS:
            parts.append(f".{step}")
        else:
            parts.append(f"[{json.dumps(step[:80])}]")
    return "".join(parts)


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _context(line: str, column: int) -> str:
    """The line around `column` with everything blanked that could be a value, and a caret below the place."""
    start = max(0, column - _WINDOW)
    before, after = line[start:column], line[column : column + _WINDOW]
    head, tail = _blanked(before), _blanked(after)
    return f"{head}{tail}\n{' ' * len(head)}^"


def _blanked(text: str) -> str:
    shown = _OPAQUE.sub(lambda found: found[0] if found[0] in _SAFE_WORDS else "…", text)
    return re.sub(r"\s", " ", shown)


def _places(text: str) -> Iterator[tuple[tuple[Step, ...], int]]:
    """Every value's path and offset, in order, up to where it is nested deeper than any entry of ours.

    `text` is JSON; of anything else only the beginning is understood.
    """
    path: list[Step] = []
    awaits_key = False
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if sign in "}]":
            del path[-1:]
        elif sign == ",":
            awaits_key = bool(path) and isinstance(path[-1], str)
            _advance(path)
        elif sign == ":":
            awaits_key = False
        elif awaits_key:
            path[-1:] = [_unquoted(sign)]
        else:
            yield tuple(path), token.start()
            if sign in "{[":
                path.append("" if sign == "{" else 0)
                awaits_key = sign == "{"
                if len(path) > _DEEPEST:
                    return


def _advance(path: list[Step]) -> None:
    if path and isinstance(path[-1], int):
        path[-1] += 1


def _unquoted(token: str) -> str:
    try:
        return str(json.loads(token))
    except ValueError:
        return token
