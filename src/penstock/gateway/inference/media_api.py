"""The OpenAI surface beside chat: embeddings, images, transcription and speech (`spec/providers.md` 15.6–15.8).

Plain ASGI calls, found by the door by their exact paths. Every one of them goes through `Inference.begin`, so keys,
retries, failover and errors are those of a chat.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from penstock.gateway.identity.caller import Caller
from penstock.gateway.identity.service import Identity
from penstock.gateway.inference import media_requests as requests
from penstock.gateway.inference.media_answers import Turn, answer_whole, relay
from penstock.gateway.inference.media_portions import gather
from penstock.gateway.inference.service import CallRecord, Inference
from penstock.gateway.routing.candidates import AGENT_NAMES
from penstock.http.answers import JSON_HEADERS
from penstock.http.bodies import ClientGone, read_body
from penstock.http.door import ModelCall
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

_encode = msgspec.json.Encoder().encode


def media_calls(
    identity: Identity, inference: Inference, *, max_body_bytes: int, keep_alive_s: float
) -> Mapping[str, ModelCall]:
    """The calls by their paths, for the door."""
    works: Mapping[str, Callable[[Turn], Awaitable[None]]] = {
        EMBEDDINGS: _embed,
        GENERATIONS: partial(_draw, read=lambda turn: requests.read_pictures(turn.body)),
        EDITS: partial(_draw, read=lambda turn: requests.read_edit(turn.content_type, turn.body)),
        TRANSCRIPTIONS: partial(_transcribe, translate=False),
        TRANSLATIONS: partial(_transcribe, translate=True),
        SPEECH: _speak,
    }
    return {path: _Call(identity, inference, work, max_body_bytes, keep_alive_s) for path, work in works.items()}


class _Call:
    def __init__(
        self,
        identity: Identity,
        inference: Inference,
        work: Callable[[Turn], Awaitable[None]],
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
                Turn(incoming, send, line, self._inference, self._keep_alive_s, caller, record, content_type, body)
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


async def _embed(turn: Turn) -> None:
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
    await answer_whole(turn, only, JSON_HEADERS, warnings)


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


async def _draw(turn: Turn, *, read: Callable[[Turn], requests.PicturesRequest]) -> None:
    request = read(turn)
    asked = request.asked
    if asked.stream:
        await relay(turn, request.model, Direct(drawing_live(asked)), _feature(request.model, "images"))
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
    await answer_whole(turn, only or _images(parts, turn.record.usage), JSON_HEADERS, warnings)


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


async def _transcribe(turn: Turn, *, translate: bool) -> None:
    request = requests.read_recording(turn.content_type, turn.body, translate=translate)
    await relay(turn, request.model, Direct(transcribing(request.asked)), _feature(request.model, "audio"))


async def _speak(turn: Turn) -> None:
    request = requests.read_speech(turn.body)
    await relay(turn, request.model, Direct(speaking(request.asked)), _feature(request.model, "audio"), streams=True)
