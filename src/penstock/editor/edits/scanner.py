"""HTML cut into tokens while it arrives. Every character is looked at once, whatever it arrives in."""

import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import Final, NamedTuple

from penstock.editor.edits.elements import RAW_TEXT

_TAG: Final = re.compile(r"</?([a-zA-Z][a-zA-Z0-9:_.-]*)(?=[\s/>])")
_TAG_STOP: Final = re.compile("[\"'>]")
_BEGINS: Final = re.compile(r"<(?:[a-zA-Z]|/[a-zA-Z>]|!|\?)")
_UNSURE: Final = frozenset(("<", "</"))
_MARKER_BEGUN: Final = re.compile(
    r"<!--\s*(?:existing\s+(?:document|content)|removed\b[^<>]{0,80}?)\s*[!-]?>", re.IGNORECASE
)
_LONGEST_MARKER: Final = 120
_TOO_LONG: Final = _LONGEST_MARKER + 1


class Kind(Enum):
    TEXT = auto()
    START = auto()
    END = auto()
    COMMENT = auto()
    JUNK = auto()
    """In angle brackets, but no tag."""


class Token(NamedTuple):
    """`raw` is what was written: the tokens' `raw`s together are the text. `name` is in lower case."""

    kind: Kind
    raw: str
    name: str = ""


class Scanner:
    def __init__(self) -> None:
        self._held: list[str] = []
        self._find_end = self._in_text
        self._quote = ""
        self._before = ""
        self._raw_text = ""

    @property
    def is_within_token(self) -> bool:
        return bool(self._held)

    def feed(self, text: str) -> Iterator[Token]:
        """Text may come in pieces; tags and comments come whole."""
        position = 0
        if self._find_end == self._in_text and self._held:
            text, self._held = "".join(self._held) + text, []
        while position < len(text):
            end, token = self._find_end(text, position)
            if token is not None:
                yield token
            position = end

    def end(self) -> str:
        """What was begun and is not finished."""
        held, self._held = "".join(self._held), []
        self._find_end = self._in_text
        return held

    def _in_text(self, text: str, start: int) -> tuple[int, Token | None]:
        if self._raw_text:
            return self._in_raw_text(text, start)
        bracket = text.find("<", start)
        if bracket < 0:
            return len(text), Token(Kind.TEXT, text[start:])
        if bracket > start:
            return bracket, Token(Kind.TEXT, text[start:bracket])
        if _BEGINS.match(text, start):
            return self._begin(text, start)
        if text[start : start + 3] in _UNSURE:
            self._held.append(text[start:])
            return len(text), None
        return start + 1, Token(Kind.JUNK, "<")

    def _begin(self, text: str, start: int) -> tuple[int, Token | None]:
        if text.startswith("<!--", start):
            self._held.append("<!--")
            self._find_end = self._in_comment
            return start + 4, None
        if (rest := text[start : start + 4]) in ("<!", "<!-"):
            self._held.append(rest)
            return len(text), None
        self._held.append(text[start])
        self._find_end, self._quote, self._before = self._in_tag, "", ""
        return start + 1, None

    def _in_tag(self, text: str, start: int) -> tuple[int, Token | None]:
        position = start
        while True:
            if self._quote:
                position = text.find(self._quote, position)
                if position < 0:
                    return self._hold(text, start)
                self._quote, position = "", position + 1
                continue
            stop = _TAG_STOP.search(text, position)
            if stop is None:
                return self._hold(text, start)
            position = stop.end()
            if stop.group() == ">":
                return position, self._tag(text[start:position])
            # Only after `=` does a quotation mark begin a value (WHATWG, 13.2.5.37).
            before = text[max(start, stop.start() - 9) : stop.start()].rstrip() or self._before
            if before.endswith("="):
                self._quote = stop.group()

    def _hold(self, text: str, start: int) -> tuple[int, None]:
        rest = text[start:]
        self._held.append(rest)
        self._before = rest.rstrip()[-1:] or self._before
        return len(text), None

    def _tag(self, rest: str) -> Token:
        raw = "".join((*self._held, rest))
        self._held, self._find_end = [], self._in_text
        match = _TAG.match(raw)
        if match is None:
            return Token(Kind.COMMENT if raw[1] in "!?" or raw == "</>" else Kind.JUNK, raw)
        name = match[1].lower()
        if raw[1] == "/":
            return Token(Kind.END, raw, name)
        self._raw_text = name if name in RAW_TEXT else ""
        return Token(Kind.START, raw, name)

    def _in_comment(self, text: str, start: int) -> tuple[int, Token | None]:
        """A marker whose end is misspelt ends all the same, rather than swallow the document."""
        before = "".join(self._held[-3:])
        position = start
        while (bracket := text.find(">", position)) >= 0:
            tail = (before if bracket - start < 3 else "") + text[max(start, bracket - 3) : bracket]
            position = bracket + 1
            if tail.endswith(("--", "--!")) or self._is_marker(text[start : min(position, start + _TOO_LONG)]):
                raw = "".join((*self._held, text[start:position]))
                self._held, self._find_end = [], self._in_text
                return position, Token(Kind.COMMENT, raw)
        self._held.append(text[start:])
        return len(text), None

    def _is_marker(self, rest: str) -> bool:
        if len(rest) > _LONGEST_MARKER or len(self._held) > _LONGEST_MARKER:
            return False
        return _MARKER_BEGUN.fullmatch("".join((*self._held, rest))) is not None

    def _in_raw_text(self, text: str, start: int) -> tuple[int, Token | None]:
        closing = f"</{self._raw_text}"
        found = text.find("</", start)
        while found >= 0 and text[found : found + len(closing)].lower() != closing:
            if closing.startswith(text[found:].lower()):
                break
            found = text.find("</", found + 2)
        if found < 0 and text.endswith("<"):
            found = len(text) - 1
        if found < 0:
            return len(text), Token(Kind.TEXT, text[start:])
        if found > start:
            return found, Token(Kind.TEXT, text[start:found])
        if len(text) - found <= len(closing):
            self._held.append(text[found:])
            return len(text), None
        self._raw_text = ""
        return found, None
