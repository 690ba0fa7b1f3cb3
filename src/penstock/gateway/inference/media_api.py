"""The OpenAI surface beside chat: embeddings, images, transcription and speech (`spec/providers.md` 15.6–15.8).

Plain ASGI calls, found by the door by their exact paths. Every one of them goes through `Inference.begin`, so keys,
retries, failover and errors are those of a chat.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from penstock.errors import UpstreamError
from penstock.gateway.identity.caller import Caller
from penstock.gateway.identity.service import Identity
from penstock.gateway.inference import media_requests as requests
from penstock.gateway.inference.media_portions import gather
from penstock.gateway.inference.service import CallRecord, Inference, Served
from penstock.gateway.routing.candidates import AGENT_NAMES
from penstock.http.answers import JSON_HEADERS, STREAM_HEADERS, log_failure, send_body
from penstock.http.bodies import ClientGone, read_body
from penstock.http.door import ModelCall
from penstock.http.faces import Header
from penstock.http.incoming import LINE_KEY, Incoming, Line, Receive, Scope, Send
from penstock.providers.base import Usage
from penstock.providers.media.plans import Direct, drawing, drawing_live, embedding, speaking, transcribing
from penstock.providers.media.results import Drawn, Embedded
from penstock.providers.media.vectors import written_as

EMBEDDINGS = "/oai/v1/embeddings"
GENERATIONS = "/oai/v1/images/generations"
EDITS = "/oai/v1/images/edits"
TRANSCRIPTIONS = "/oai/v1/audio/transcriptions"
TRANSLATIONS = "/oai/v1/audio/translations"
SPEECH = "/oai/v1/audio/speech"

_COMMENT = b": keep-alive\n\n"
_EVENTS = "text/event-stream"

_encode = msgspec.json.Encoder().encode


def media_calls(
    identity: Identity, inference: Inference, *, max_body_bytes: int, keep_alive_s: float
) -> Mapping[str, ModelCall]:
    """The calls by their paths, for the door."""
    works: Mapping[str, Callable[[_Turn], Awaitable[None]]] = {
        EMBEDDINGS: _embed,
        GENERATIONS: partial(_draw, read=lambda turn: requests.read_pictures(turn.body)),
        EDITS: partial(_draw, read=lambda turn: requests.read_edit(turn.content_type, turn.body)),
        TRANSCRIPTIONS: partial(_transcribe, translate=False),
        TRANSLATIONS: partial(_transcribe, translate=True),
        SPEECH: _speak,
    }
    return {path: _Call(identity, inference, work, max_body_bytes, keep_alive_s) for path, work in works.items()}


@dataclass(frozen=True)
class _Turn:
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


class _Call:
    def __init__(
        self,
        identity: Identity,
        inference: Inference,
        work: Callable[[_Turn], Awaitable[None]],
        max_body_bytes: int,
        keep_alive_s: float,
    ) -> None:
        self._identity = identity
        self._inference = inference
        self._work = work
        self._max_body_bytes = max_body_bytes
        self._keep_alive_s = keep_alive_s

    async def __call__(self, incoming: Incoming, scope: Scope, receive: Receive, send: Send) -> None:
        caller = await self._caller(incoming)
        line: Line = scope[LINE_KEY]
        line.watch()
        record = CallRecord()
        content_type = next((value for name, value in scope["headers"] if name == b"content-type"), None)
        try:
            body = await read_body(receive, limit_bytes=self._max_body_bytes)
            await self._work(
                _Turn(incoming, send, line, self._inference, self._keep_alive_s, caller, record, content_type, body)
            )
        except ClientGone:
            incoming.outcome = "client-abort"
        except asyncio.CancelledError:
            if not line.gone:
                raise
            incoming.outcome = "client-abort"
        finally:
            line.unwatch()
            incoming.explain = partial(_log_fields, caller, record)

    async def _caller(self, incoming: Incoming) -> Caller:
        """Who may use the model is asked when it is known which one that is."""
        authorization = incoming.authorization
        caller = self._identity.known(authorization) if authorization is not None else None
        return caller or await self._identity.authenticate(authorization, incoming.x_api_key)


def _log_fields(caller: Caller, record: CallRecord) -> dict[str, object]:
    return {
        "environmentId": caller.tenant_id,
        "sub": caller.subject,
        "credentialId": caller.credential_id,
        **record.log_fields(),
    }


def _feature(model: str, feature: str) -> str | None:
    """Any model may be asked for by its name; the agent chooses among those that have the feature."""
    return feature if model in AGENT_NAMES else None


# --- embeddings -------------------------------------------------------------------------------------------------------


async def _embed(turn: _Turn) -> None:
    request = requests.read_embeddings(turn.body)
    asked = request.asked
    parts, warnings = await gather(
        turn.inference,
        turn.caller,
        request.model,
        embedding(asked),
        len(asked.inputs),
        turn.record,
        feature=_feature(request.model, "embeddings"),
    )
    only = parts[0].body if len(parts) == 1 else None
    if only is None:
        # A big answer that has to be converted takes a while: others go on meanwhile.
        only = await asyncio.to_thread(_vectors, request, parts, turn.record.usage)
    await _answer(turn, only, JSON_HEADERS, warnings)


def _vectors(request: requests.EmbeddingsRequest, parts: Sequence[Embedded], usage: Usage | None) -> bytes:
    vectors = (vector for part in parts for vector in part.vectors)
    tokens = usage.input_tokens if usage is not None else 0
    return _encode(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": written_as(request.asked.format, vector)}
                for index, vector in enumerate(vectors)
            ],
            "model": request.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


# --- images -----------------------------------------------------------------------------------------------------------


async def _draw(turn: _Turn, *, read: Callable[[_Turn], requests.PicturesRequest]) -> None:
    request = read(turn)
    asked = request.asked
    if asked.stream:
        await _relay(turn, request.model, Direct(drawing_live(asked)), "images")
        return
    parts, warnings = await gather(
        turn.inference,
        turn.caller,
        request.model,
        drawing(asked),
        asked.count,
        turn.record,
        feature=_feature(request.model, "images"),
    )
    only = parts[0].body if len(parts) == 1 else None
    await _answer(turn, only or _images(parts, turn.record.usage), JSON_HEADERS, warnings)


def _images(parts: Sequence[Drawn], usage: Usage | None) -> bytes:
    answer: dict[str, Any] = {
        "created": int(time.time()),
        "data": [picture for part in parts for picture in part.pictures],
    }
    if usage is not None and not usage.estimated:
        answer["usage"] = {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
            "input_tokens_details": {"text_tokens": usage.input_tokens, "image_tokens": 0},
        }
    return _encode(answer)


# --- transcription and speech -----------------------------------------------------------------------------------------


async def _transcribe(turn: _Turn, *, translate: bool) -> None:
    request = requests.read_recording(turn.content_type, turn.body, translate=translate)
    await _relay(turn, request.model, Direct(transcribing(request.asked)), "audio")


async def _speak(turn: _Turn) -> None:
    request = requests.read_speech(turn.body)
    await _relay(turn, request.model, Direct(speaking(request.asked)), "audio", streams=True)


# --- how answers leave ------------------------------------------------------------------------------------------------


async def _answer(turn: _Turn, body: bytes, headers: Sequence[Header], warnings: Sequence[str]) -> None:
    await send_body(turn.incoming, turn.send, 200, body, [*headers, *_warned(warnings)])


def _warned(warnings: Sequence[str]) -> list[Header]:
    return [(b"x-warning", warning.encode("latin-1", "replace")) for warning in warnings]


async def _relay(turn: _Turn, model: str, direct: Direct, feature: str, *, streams: bool = False) -> None:
    """Give the one answer on: as it comes where it is a stream, or is to be one, else whole."""
    served = await turn.inference.begin(turn.caller, model, direct, turn.record, feature=_feature(model, feature))
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
            await _answer(turn, b"".join(pieces), headers, direct.warnings)
    finally:
        served.close()


async def _stream(turn: _Turn, served: Served[Sequence[bytes]], headers: list[Header], *, events: bool) -> None:
    """Sound that breaks off is cut, so that it cannot look whole; events end with one that says what happened."""
    incoming, line = turn.incoming, turn.line
    incoming.status = 200
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
        incoming.outcome = "error"
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
