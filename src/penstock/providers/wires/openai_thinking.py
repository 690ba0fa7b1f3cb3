"""Reasoning that a server left inside the answer, between `<think>` and `</think>`."""

from typing import Literal

_OPEN = "<think>"
_CLOSE = "</think>"


class ThinkSplitter:
    """Tells reasoning and text apart when the answer starts with the tag. Tags may be cut anywhere."""

    __slots__ = ("_held", "_state")

    def __init__(self) -> None:
        self._state: Literal["start", "thinking", "after", "text"] = "start"
        self._held = ""

    def feed(self, piece: str) -> tuple[str, str]:
        """Return `(reasoning, text)`, either may be empty."""
        if self._state == "text":
            return "", piece
        self._held += piece
        if self._state == "start" and not self._opened():
            return "", self._text()
        reasoning = self._reasoning() if self._state == "thinking" else ""
        return reasoning, self._after() if self._state == "after" else ""

    def end(self) -> tuple[str, str]:
        """What was held back for a tag that did not come."""
        held, self._held = self._held, ""
        return (held, "") if self._state == "thinking" else ("", held if self._state == "start" else "")

    def _opened(self) -> bool:
        """Decide by the beginning; as long as it could become the tag, it is held."""
        beginning = self._held.lstrip()
        if beginning.startswith(_OPEN):
            self._state = "thinking"
            self._held = beginning[len(_OPEN) :]
            return True
        if not _OPEN.startswith(beginning):
            self._state = "text"
        return False

    def _text(self) -> str:
        if self._state == "start":
            return ""
        held, self._held = self._held, ""
        return held

    def _reasoning(self) -> str:
        reasoning, closed, rest = self._held.partition(_CLOSE)
        if closed:
            self._state = "after"
            self._held = rest
            return reasoning
        kept = next((size for size in range(len(_CLOSE) - 1, 0, -1) if self._held.endswith(_CLOSE[:size])), 0)
        given = self._held[: len(self._held) - kept]
        self._held = self._held[len(given) :]
        return given

    def _after(self) -> str:
        """The blank lines between the tag and the answer belong to neither."""
        self._held = self._held.lstrip()
        if self._held:
            self._state = "text"
        return self._text() if self._state == "text" else ""
