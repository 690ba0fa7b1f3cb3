"""Stop sequences for models that know none: the text is cut here (`spec/providers.md` 13.1)."""

from collections.abc import Sequence


class StopCutter:
    """Ends a text before the first stop sequence that is completed in it, however the text is cut into pieces.

    What may be the beginning of one is held back, so that no part of a stop sequence is ever given.
    """

    __slots__ = ("_held", "_stops", "hit")

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.hit = False
        """A stop sequence has come; everything after it is dropped."""

    def feed(self, piece: str) -> str:
        if self.hit:
            return ""
        text = self._held + piece
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) != -1]
        if found:
            self.hit = True
            self._held = ""
            return text[: min(found)[1]]
        kept = max((_begun(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]

    def end(self) -> str:
        """What was held back for a stop sequence that did not come."""
        held, self._held = self._held, ""
        return held


def _begun(text: str, stop: str) -> int:
    """How many of the last characters of `text` may begin `stop`."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)
