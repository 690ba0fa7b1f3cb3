"""What moderation says to users."""

from collections.abc import Sequence
from typing import ClassVar

from penstock.errors import PenstockError, Unprocessable


class ContentModerated(Unprocessable):
    """`data.flaggedCategories` names why, as far as the screening service says (`spec/editor-api.md` 2.7)."""

    code: ClassVar[str] = "content_moderated"

    def __init__(self, what: str, categories: Sequence[str]) -> None:
        named = f" ({', '.join(categories)})" if categories else ""
        super().__init__(
            f"Moderation refused {what}{named}.",
            explanation="It was screened before any model was asked, and nothing of it was sent on.",
            action="Leave out or reword what was flagged.",
            data={"flaggedCategories": list(categories)},
        )


class ModerationUnavailable(PenstockError):
    """What cannot be screened goes nowhere. The editor knows 502 on every endpoint that is screened (2.4.1)."""

    status: ClassVar[int] = 502
    code: ClassVar[str] = "moderation_unavailable"
    retryable: ClassVar[bool] = True

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(
            f"Moderation could not check {what}, so it was not sent on.",
            explanation=f"Moderation is switched on, and its service {reason}.",
            action="Try again in a moment. If it stays so, the operator has to look at MODERATION.",
        )
