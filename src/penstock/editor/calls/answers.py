"""How the answer to a call on editor content leaves (`spec/editor-api.md` 7.3 and 7.4)."""

from collections.abc import AsyncGenerator
from typing import Any

import msgspec

from penstock.editor.calls.records import CallRecords
from penstock.http.answers import Event, EventStream, Merge
from penstock.http.incoming import Receive, Scope, Send, incoming_of


class Begun(msgspec.Struct, frozen=True):
    """An answer on its way. `opening` is its first event; `events` may give that very object to begin the stream."""

    opening: Event
    events: AsyncGenerator[Event, None]
    records: CallRecords


class StreamOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of silence before a comment is sent, and of a whole stream; whether it ends with a `done` event."""

    keep_alive_s: float
    max_s: float
    done_event: bool


class CallAnswer(EventStream):
    """What became known of the model calls is put on the metric log line when the stream is over."""

    def __init__(self, begun: Begun, options: StreamOptions, merge: Merge, *, cut_on_failure: bool) -> None:
        super().__init__(
            begun.events,
            merge=merge,
            keep_alive_s=options.keep_alive_s,
            max_s=options.max_s,
            opening=begun.opening,
            cut_on_failure=cut_on_failure,
            done_event=options.done_event,
        )
        self._records = begun.records

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            incoming_of(scope).note(**self._records.log_fields())


def event_stream(*events: type[Any]) -> dict[int | str, dict[str, Any]]:
    """The successful answer for the API document. Each of `events` is a struct whose docstring tells of one event."""
    _, components = msgspec.json.schema_components(events, ref_template="#/{name}")
    return {
        200: {
            "description": "Server-sent events.",
            "content": {"text/event-stream": {"schema": {"anyOf": list(components.values())}}},
        }
    }
