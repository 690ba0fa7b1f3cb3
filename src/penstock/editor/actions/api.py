"""Actions over HTTP (`spec/editor-api.md` 6.10 and 7.3)."""

from typing import Any

from fastapi import APIRouter, Depends, Response

from penstock.editor.access import authentication
from penstock.editor.actions.schemas import ActionMetadata, CustomAction, Done, Failed, ModificationDelta
from penstock.editor.actions.service import Actions
from penstock.editor.calls.answers import Begun, CallAnswer, StreamOptions, event_stream
from penstock.editor.calls.schemas import SystemCall
from penstock.gateway.identity.caller import Caller
from penstock.gateway.identity.service import Identity
from penstock.http.answers import Event

_STREAM = event_stream(ActionMetadata, ModificationDelta, Failed, Done)


def action_routes(
    identity: Identity, actions: Actions, *, keep_alive_s: float, max_s: float, done_event: bool
) -> APIRouter:
    """`keep_alive_s` and `max_s` bound the silence and the length of a stream; `done_event` ends a complete one."""
    router = APIRouter(prefix="/v1/actions", tags=["Actions"])
    authenticated = Depends(authentication(identity))
    options = StreamOptions(keep_alive_s=keep_alive_s, max_s=max_s, done_event=done_event)
    stream: Any = {"response_class": Response, "responses": _STREAM}

    def answered(begun: Begun) -> Response:
        # The editor ignores error events here: only a body that breaks off tells its user of a failure (W-30).
        return CallAnswer(begun, options, merged, cut_on_failure=True)

    @router.post("/system/{name}/calls", operation_id="call_system_action", **stream)
    async def system(name: str, body: SystemCall, caller: Caller = authenticated) -> Response:
        """Have an action of the catalog done to content. The joined deltas replace it, or continue it."""
        return answered(await actions.system(caller, name, body))

    @router.post("/custom/calls", operation_id="call_custom_action", **stream)
    async def custom(body: CustomAction, caller: Caller = authenticated) -> Response:
        """Have done to content what a prompt says."""
        return answered(await actions.custom(caller, body))

    @router.post("/{name}", operation_id="call_action", **stream)
    async def short(name: str, body: SystemCall, caller: Caller = authenticated) -> Response:
        """A shorter path for the actions of the catalog."""
        return answered(await actions.system(caller, name, body))

    return router


def merged(one: Event, other: Event) -> Event | None:
    """Two pieces of one modification as one."""
    if one.name == other.name == "modification-delta" and one.data["id"] == other.data["id"]:
        return Event(one.name, {"id": one.data["id"], "textDelta": one.data["textDelta"] + other.data["textDelta"]})
    return None
