"""Screens what users write and the pictures they upload, before any model sees them; never what models answer.

It fails closed: whatever cannot be screened is refused (`spec/editor-api.md` 10.6).
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from penstock.editor.moderation.categories import named
from penstock.editor.moderation.errors import ContentModerated, ModerationUnavailable
from penstock.editor.moderation.options import ModerationOptions
from penstock.editor.moderation.screens import Flagged, Providers, open_screen
from penstock.http.endpoint import EndpointFailed
from penstock.telemetry.logs import log
from penstock.telemetry.meters import MODERATION_FAILURES, MODERATION_REFUSALS

_PIECE_CHARS: Final = 8_000
_OVERLAP_CHARS: Final = 400
_AT_A_TIME: Final = 4


class Moderation:
    """Safe to use from many calls at a time. `providers` lends a key where MODERATION has none."""

    def __init__(self, options: ModerationOptions, providers: Providers) -> None:
        self._screen = open_screen(options, providers)

    async def check_text(self, text: str) -> None:
        """Long texts are screened piece by piece. Raises ContentModerated, ModerationUnavailable."""
        pieces = [piece for piece in _pieces(text) if piece.strip()]
        size = self._screen.texts_at_once
        portions = [pieces[start : start + size] for start in range(0, len(pieces), size)]
        for start in range(0, len(portions), _AT_A_TIME):
            questions = [self._screen.texts(portion) for portion in portions[start : start + _AT_A_TIME]]
            await self._judge("the text", questions)

    async def check_image(self, mime: str, content: bytes) -> None:
        """Raises ContentModerated, ModerationUnavailable."""
        await self._judge("the picture", [self._screen.image(mime, content)])

    async def aclose(self) -> None:
        await self._screen.aclose()

    async def _judge(self, what: str, questions: Sequence[Coroutine[Any, Any, Flagged]]) -> None:
        """What is flagged in one place is refused, even where another place could not be screened."""
        answers = await asyncio.gather(*questions, return_exceptions=True)
        flagged = [one for one in answers if not isinstance(one, BaseException) and one is not None]
        if flagged:
            MODERATION_REFUSALS.add()
            raise ContentModerated(what, named(name for names in flagged for name in names))
        for answer in answers:
            if isinstance(answer, EndpointFailed):
                MODERATION_FAILURES.add()
                log.error("Moderation request failed", reason=answer.reason, status=answer.status)
                raise ModerationUnavailable(what, answer.reason) from answer
            if isinstance(answer, BaseException):
                raise answer


def _pieces(text: str) -> Sequence[str]:
    """They overlap: what stands across a cut is seen whole once."""
    clean = text.encode("utf-8", "replace").decode()
    if len(clean) <= _PIECE_CHARS:
        return [clean]
    step = _PIECE_CHARS - _OVERLAP_CHARS
    return [clean[start : start + _PIECE_CHARS] for start in range(0, len(clean) - _OVERLAP_CHARS, step)]
