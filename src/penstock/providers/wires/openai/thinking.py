"""Reasoning that a server left inside the answer, between `<think>` and `</think>`."""

import re
from typing import Literal

_OPEN = "<think>"
_CLOSE = "</think>"

# Their chat templates open the tag in the prompt, so that the answer has the closing one only.
_OPENED = re.compile(r"(?:.*/)?(?:deepseek-r1|qwq|qwen[^/]*-thinking)", re.IGNORECASE)


def begins_thinking(model: str) -> bool:
    """Models whose answers begin inside the tag, unless a server has taken their thoughts out."""
    return _OPENED.match(model) is not None


class ThinkSplitter:
    """Tells reasoning and text apart when the answer starts with the tag. Tags may be cut anywhere.

    `opened` says that the tag may have been left out. Then everything is reasoning up to the closing tag; if that
    never comes it was the answer, and is given once more as such.
    """

    __slots__ = ("_doubtful", "_held", "_state")

    def __init__(self, *, opened: bool = False) -> None:
        self._state: Literal["start", "thinking", "after", "text"] = "start"
        self._held = ""
        self._doubtful: list[str] | None = [] if opened else None

    def feed(self, piece: str) -> tuple[str, str]:
        """Return `(reasoning, text)`, either may be empty."""
        if self._state == "text":
            return "", piece
        self._held += piece
        if self._state == "start" and not self._opened():
            return "", self._text()
        reasoning = self._reasoning() if self._state == "thinking" else ""
        if self._doubtful is not None:
            self._doubtful.append(reasoning)
            if self._state != "thinking":
                self._doubtful = None
        return reasoning, self._after() if self._state == "after" else ""

    def end(self) -> tuple[str, str]:
        """What was held back for a tag that did not come."""
        held, self._held = self._held, ""
        if self._doubtful and self._state == "thinking":
            return held, "".join(self._doubtful) + held
        return (held, "") if self._state == "thinking" else ("", held if self._state == "start" else "")

    def _opened(self) -> bool:
        """Decide by the beginning; as long as it could become the tag, it is held."""
        beginning = self._held.lstrip()
        if beginning.startswith(_OPEN):
            self._state = "thinking"
            self._held = beginning[len(_OPEN) :]
            self._doubtful = None
            return True
        if not _OPEN.startswith(beginning):
            self._state = "text" if self._doubtful is None else "thinking"
        return self._state == "thinking"

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
