"""Reviews over HTTP (`spec/editor-api.md` 6.11 and 7.4)."""

from typing import Any

from fastapi import APIRouter, Depends, Response

from penstock.editor.access import authentication
from penstock.editor.calls.answers import Begun, CallAnswer, StreamOptions, event_stream
from penstock.editor.calls.schemas import CustomCall, SystemCall
from penstock.editor.reviews.schemas import Done, Failed, ReviewDelta, ReviewMetadata
from penstock.editor.reviews.service import Reviews
from penstock.gateway.identity.caller import Caller
from penstock.gateway.identity.service import Identity
from penstock.http.answers import Event

_STREAM = event_stream(ReviewMetadata, ReviewDelta, Failed, Done)


def review_routes(
    identity: Identity, reviews: Reviews, *, keep_alive_s: float, max_s: float, done_event: bool
) -> APIRouter:
    """`keep_alive_s` and `max_s` bound the silence and the length of a stream; `done_event` ends a complete one."""
    router = APIRouter(prefix="/v1/reviews", tags=["Reviews"])
    authenticated = Depends(authentication(identity))
    options = StreamOptions(keep_alive_s=keep_alive_s, max_s=max_s, done_event=done_event)
    stream: Any = {"response_class": Response, "responses": _STREAM}

    def answered(begun: Begun) -> Response:
        return CallAnswer(begun, options, merged, cut_on_failure=False)

    @router.post("/system/{name}/calls", operation_id="call_system_review", **stream)
    async def system(name: str, body: SystemCall, caller: Caller = authenticated) -> Response:
        """Have content reviewed. Every element with a `data-id` is answered once: changed, or unmodified."""
        return answered(await reviews.system(caller, name, body))

    @router.post("/custom/calls", operation_id="call_custom_review", **stream)
    async def custom(body: CustomCall, caller: Caller = authenticated) -> Response:
        """Have content reviewed for what a prompt says."""
        return answered(await reviews.custom(caller, body))

    @router.post("/{name}", operation_id="call_review", **stream)
    async def short(name: str, body: SystemCall, caller: Caller = authenticated) -> Response:
        """A shorter path for the reviews of the catalog."""
        return answered(await reviews.system(caller, name, body))

    return router


def merged(one: Event, other: Event) -> Event | None:
    """Of two reports of progress the later one. Answers are never merged: each replaces a whole element."""
    return other if one.name == other.name == "review-metadata" else None
