"""Reviews: a model goes through a document and proposes changes, element by element. Nothing is kept."""

from typing import TYPE_CHECKING, Final

from penstock.editor.calls.answers import Begun
from penstock.editor.calls.asking import Asking
from penstock.editor.calls.choosing import Chosen, chosen_by_caller, chosen_by_us
from penstock.editor.calls.content import html_of, screen
from penstock.editor.calls.errors import LanguageMissing
from penstock.editor.calls.records import CallRecords
from penstock.editor.calls.schemas import CustomCall, SystemCall
from penstock.editor.calls.stash import Stash
from penstock.editor.edits.document import SentDocument
from penstock.editor.framing import framed
from penstock.editor.reviews.catalog import FAMILY, review_named
from penstock.editor.reviews.messages import Instructions
from penstock.editor.reviews.plan import Piece, planned
from penstock.editor.reviews.running import Reviewing
from penstock.gateway.identity.caller import Caller
from penstock.gateway.inference.service import Inference

if TYPE_CHECKING:
    from penstock.editor.moderation.service import Moderation

CUSTOM: Final = "ai:reviews:custom"


def permission(name: str) -> str:
    return f"ai:reviews:system:{name}"


class Reviews:
    """Without `moderation` nothing is screened."""

    def __init__(self, *, inference: Inference, moderation: "Moderation | None" = None) -> None:
        self._inference = inference
        self._moderation = moderation

    async def system(self, caller: Caller, name: str, call: SystemCall) -> Begun:
        """The answers of a review of the catalog.

        What is wrong with the call is raised here; what goes wrong at the model is raised by the events. Raises
        UnknownName, MissingPermission, LanguageMissing, EmptyContent, NoModelFor, ContentTooLong, ContentModerated.
        """
        review = review_named(name)
        caller.require(*dict.fromkeys((permission(name), permission(review.name))))
        language = call.args.language
        if review.needs_language and not language:
            raise LanguageMissing
        html, stash = html_of(call), Stash()
        shown = stash.hidden(html)
        chosen = chosen_by_us(self._inference, caller, review.feature, len(shown))
        await screen(self._moderation, shown)
        given = [framed("language", language)] if review.needs_language and language else []
        return self._begun(chosen, Instructions(review.name, given), html, stash, reads_alt=review.reads_alt)

    async def custom(self, caller: Caller, call: CustomCall) -> Begun:
        """The same for a prompt of the user's own and a model of the user's choice.

        Raises ModelNotFound and ModelLacksFeature as well.
        """
        caller.require(CUSTOM)
        html, stash = html_of(call), Stash()
        shown = stash.hidden(html)
        chosen = chosen_by_caller(self._inference, caller, call.model, FAMILY, len(call.prompt) + len(shown))
        await screen(self._moderation, call.prompt, shown)
        given = [framed("task", call.prompt)]
        return self._begun(chosen, Instructions("custom", given), html, stash, reads_alt=True)

    def _begun(self, chosen: Chosen, instructions: Instructions, html: str, stash: Stash, *, reads_alt: bool) -> Begun:
        records = CallRecords()
        document = SentDocument(html)

        def ask(piece: Piece) -> Asking:
            return Asking(self._inference, chosen, instructions.messages(piece), stash, records.new())

        reviewing = Reviewing(document, planned(document, stash, reads_alt=reads_alt), ask)
        return Begun(reviewing.opening, reviewing.events(), records)
