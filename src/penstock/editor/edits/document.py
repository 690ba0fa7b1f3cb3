"""A document as the editor sent it."""

from collections.abc import Sequence


class SentDocument:
    """One document as the editor sent it, parsed once, when it is first asked."""

    def __init__(self, content: str) -> None:
        self.content = content

    @property
    def ids(self) -> Sequence[str]:
        """The ids of all elements that have one, in document order."""
        raise NotImplementedError

    @property
    def top_level_ids(self) -> Sequence[str | None]:
        raise NotImplementedError

    def outer(self, data_id: str) -> str | None:
        """The outer HTML of an element: the verbatim slice of `content`."""
        raise NotImplementedError
