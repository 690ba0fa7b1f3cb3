"""The reviews there are. A new one is a row here, a file in `prompts/` and a feature in the gateway's catalog."""

from collections.abc import Mapping
from typing import Final

import msgspec

from penstock.editor.calls.errors import UnknownName

FAMILY: Final = "reviews"


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is also the name of its prompt's file. `reads_alt`: the texts that stand for images are reviewed too."""

    name: str
    needs_language: bool = False
    reads_alt: bool = False

    @property
    def feature(self) -> str:
        return f"{FAMILY}.{self.name}"


REVIEWS: Final[Mapping[str, Review]] = {
    row.name: row
    for row in (
        Review(name="correctness"),
        Review(name="clarity"),
        Review(name="readability"),
        Review(name="make-longer"),
        Review(name="make-shorter"),
        Review(name="make-tone-casual"),
        Review(name="make-tone-direct"),
        Review(name="make-tone-friendly"),
        Review(name="make-tone-confident"),
        Review(name="make-tone-professional"),
        Review(name="translate", needs_language=True, reads_alt=True),
    )
}

ALIASES: Final[Mapping[str, str]] = {"make-tone-formal": "make-tone-professional"}
"""What CKEditor calls them (`spec/editor-api.md` C-19)."""


def review_named(name: str) -> Review:
    """Raises UnknownName."""
    review = REVIEWS.get(ALIASES.get(name, name))
    if review is None:
        raise UnknownName("review", name, (*REVIEWS, *ALIASES))
    return review
