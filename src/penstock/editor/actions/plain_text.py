"""What a model writes as plain text, without the wrapping that it may put around it."""

import re
from collections.abc import Sequence

_FENCE = re.compile(r"```[\w-]*\n")
_MAY_BE_FENCE = re.compile(r"`{0,3}|```[\w-]*")
_MAY_BE_END = re.compile(r"\s*(`{1,3})?\s*\Z")


class PlainTextStream:
    """Gives what may be sent: no blank space around it, no code fence around all of it."""

    repairs: Sequence[str] = ()

    def __init__(self) -> None:
        self.has_output = False
        self._held = ""
        self._has_begun = False
        self._is_fenced = False

    def feed(self, text: str) -> str:
        self._held += text
        if not self._has_begun and not self._begin():
            return ""
        end = _MAY_BE_END.search(self._held)
        assert end is not None
        return self._given(end.start())

    def end(self, *, cut_off: bool = False) -> str:
        if not self._has_begun and not self._begin():
            return ""
        if self._is_fenced:
            self._held = self._held.rstrip().removesuffix("```")
        return self._given(len(self._held.rstrip()))

    def complaint(self) -> str | None:
        """Any text will do."""
        return None

    def _begin(self) -> bool:
        self._held = self._held.lstrip()
        if _MAY_BE_FENCE.fullmatch(self._held):
            return False
        fence = _FENCE.match(self._held)
        if fence is not None:
            self._is_fenced = True
            self._held = self._held[fence.end() :].lstrip()
        self._has_begun = bool(self._held)
        return self._has_begun

    def _given(self, length: int) -> str:
        given, self._held = self._held[:length], self._held[length:]
        self.has_output = self.has_output or bool(given)
        return given
