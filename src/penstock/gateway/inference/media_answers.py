"""How the answers of media calls leave: whole, as sound, or as events."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from penstock.errors import UpstreamError
from penstock.gateway.identity.caller import Caller
from penstock.gateway.inference.service import CallRecord, Inference, Served
from penstock.http.answers import STREAM_HEADERS, log_failure, send_body
from penstock.http.faces import Header
from penstock.http.incoming import Incoming, Line, Send
from penstock.providers.media.plans import Direct

_COMMENT = b": keep-alive\n\n"
_EVENTS = "text/event-stream"


@dataclass(frozen=True)
class Turn:
    """One request, read whole."""

    incoming: Incoming
    send: Send
    line: Line
    inference: Inference
    keep_alive_s: float
    caller: Caller
    record: CallRecord
    content_type: bytes | None
    body: bytes


async def answer_whole(turn: Turn, body: bytes, headers: Sequence[Header], warnings: Sequence[str]) -> None:
    await send_body(turn.incoming, turn.send, 200, body, [*headers, *_warned(warnings)])


def _warned(warnings: Sequence[str]) -> list[Header]:
    return [(b"x-warning", warning.encode("latin-1", "replace")) for warning in warnings]


async def relay(turn: Turn, model: str, direct: Direct, feature: str | None, *, streams: bool = False) -> None:
    """Give the one answer on: as it comes where it is a stream, or is to be one, else whole."""
    served = await turn.inference.begin(turn.caller, model, direct, turn.record, feature=feature)
    try:
        if direct.content_type == _EVENTS:
            await _stream(turn, served, STREAM_HEADERS + _warned(direct.warnings), events=True)
        elif streams:
            headers = [(b"content-type", direct.content_type.encode("latin-1", "replace"))]
            await _stream(turn, served, headers + _warned(direct.warnings), events=False)
        else:
            pieces = [piece for pieces in served.answer.ready for piece in pieces]
            while (more := await served.answer.next()) is not None:
                pieces += more
            headers = [(b"content-type", direct.content_type.encode())]
            await answer_whole(turn, b"".join(pieces), headers, direct.warnings)
    finally:
        served.close()


async def _stream(turn: Turn, served: Served[Sequence[bytes]], headers: list[Header], *, events: bool) -> None:
    """Sound that breaks off is cut, so that it cannot look whole; events end with one that says what happened."""
    incoming, line = turn.incoming, turn.line
    incoming.status = 200
    incoming.begin_stream()
    await turn.send({"type": "http.response.start", "status": 200, "headers": [*headers, *incoming.headers]})
    comments = _Comments(line, turn.keep_alive_s) if events else None

    async def put(piece: bytes) -> None:
        incoming.bytes_out += len(piece)
        if piece and line.put(piece):
            await line.drain()
        if comments is not None:
            comments.postpone()

    try:
        await put(b"".join(piece for pieces in served.answer.ready for piece in pieces))
        while (more := await served.answer.next()) is not None:
            await put(b"".join(more))
    except UpstreamError as error:
        if not events:
            raise
        incoming.fail(error)
        log_failure(incoming, error)
        await put(incoming.face.error_frame(error, incoming.id))
    finally:
        if comments is not None:
            comments.stop()
    incoming.complete = True
    await turn.send({"type": "http.response.body"})


class _Comments:
    """Comments between events while there are none, so that nothing on the way gives the connection up."""

    def __init__(self, line: Line, every_s: float) -> None:
        self._line = line
        self._every_s = every_s
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(every_s, self._write)

    def postpone(self) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_later(self._every_s, self._write)

    def stop(self) -> None:
        self._timer.cancel()

    def _write(self) -> None:
        self._line.put(_COMMENT)
        self._timer = self._loop.call_later(self._every_s, self._write)
