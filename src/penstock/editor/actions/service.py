"""Actions: a model rewrites, continues or translates content, of which nothing is kept."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Final

from penstock.editor.actions.catalog import FAMILY, action_named
from penstock.editor.actions.messages import custom_messages, system_messages
from penstock.editor.actions.plain_text import PlainTextStream
from penstock.editor.actions.schemas import CustomAction
from penstock.editor.actions.writing import OutputStream, Writing
from penstock.editor.calls.answers import Begun
from penstock.editor.calls.choosing import Chosen, chosen_by_caller, chosen_by_us
from penstock.editor.calls.content import html_of, screen
from penstock.editor.calls.errors import LanguageMissing
from penstock.editor.calls.records import CallRecords
from penstock.editor.calls.schemas import SystemCall
from penstock.editor.calls.stash import Stash
from penstock.editor.edits.document import SentDocument
from penstock.editor.edits.stream import EditStream, Grammar
from penstock.gateway.identity.caller import Caller
from penstock.gateway.inference.service import Inference
from penstock.http.answers import Event
from penstock.kit.ids import short_id
from penstock.providers.base import Message

if TYPE_CHECKING:
    from penstock.editor.moderation.service import Moderation

CUSTOM: Final = "ai:actions:custom"


def permission(name: str) -> str:
    return f"ai:actions:system:{name}"


class Actions:
    """Without `moderation` nothing is screened."""

    def __init__(self, *, inference: Inference, moderation: "Moderation | None" = None) -> None:
        self._inference = inference
        self._moderation = moderation

    async def system(self, caller: Caller, name: str, call: SystemCall) -> Begun:
        """The answer of an action of the catalog.

        What is wrong with the call is raised here; what goes wrong at the model is raised by the events. Raises
        UnknownName, MissingPermission, LanguageMissing, EmptyContent, NoModelFor, ContentTooLong, ContentModerated.
        """
        action = action_named(name)
        caller.require(*dict.fromkeys((permission(name), permission(action.name))))
        language = call.args.language
        if action.needs_language and not language:
            raise LanguageMissing
        html, stash = html_of(call), Stash()
        shown = stash.hidden(html)
        chosen = chosen_by_us(self._inference, caller, action.feature, len(shown))
        await screen(self._moderation, shown)
        edits = partial(EditStream, SentDocument(html), action.grammar)
        return self._begun(chosen, system_messages(action, shown, language), edits, stash)

    async def custom(self, caller: Caller, call: CustomAction) -> Begun:
        """The same for a prompt of the user's own and a model of the user's choice.

        Raises ModelNotFound and ModelLacksFeature as well.
        """
        caller.require(CUSTOM)
        html, stash = html_of(call), Stash()
        shown = stash.hidden(html)
        chosen = chosen_by_caller(self._inference, caller, call.model, FAMILY, len(call.prompt) + len(shown))
        await screen(self._moderation, call.prompt, shown)
        is_text = call.output_format == "plainText"
        output = PlainTextStream if is_text else partial(EditStream, SentDocument(html), Grammar.REPLACEMENT)
        return self._begun(chosen, custom_messages(call, shown), output, stash)

    def _begun(
        self, chosen: Chosen, messages: Sequence[Message], output: Callable[[], OutputStream], stash: Stash
    ) -> Begun:
        records = CallRecords()
        writing = Writing(self._inference, chosen, messages, output, stash, records)
        return Begun(Event("action-metadata", {"callId": short_id()}), _events(writing), records)


async def _events(writing: Writing) -> AsyncGenerator[Event, None]:
    modification_id = short_id()
    async with aclosing(writing.pieces()) as pieces:
        async for piece in pieces:
            yield Event("modification-delta", {"id": modification_id, "textDelta": piece})
    yield Event("done", {})
