"""The OpenAI surface: `POST /oai/v1/chat/completions` and the list of models (`spec/providers.md` 15.1, 15.2, 15.5).

The chat call is plain ASGI: the door finds it by its exact path. Towards an upstream of the same wire the client's body
goes on as it came, but for the model's name, and the answer comes back byte for byte; for any other wire both are
translated (`openai_translation.py`).
"""

import asyncio
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from penstock.errors import UpstreamError
from penstock.gateway.catalog.service import Catalog
from penstock.gateway.catalog.snapshot import Model, Snapshot
from penstock.gateway.identity.caller import Caller
from penstock.gateway.identity.service import Identity
from penstock.gateway.inference.openai_choices import Choices
from penstock.gateway.inference.openai_thoughts import Thoughts
from penstock.gateway.inference.openai_translation import Relayed
from penstock.gateway.inference.service import CallRecord, Inference, Served
from penstock.gateway.routing.candidates import AGENT, AGENT_NAMES, ANY_MODEL_PERMISSION
from penstock.http.answers import JSON_HEADERS, STREAM_HEADERS, log_failure, send_body
from penstock.http.bodies import ClientGone, read_body
from penstock.http.incoming import LINE_KEY, Incoming, Line, Receive, Scope, Send, incoming_of
from penstock.kit.crypto import SecretBox
from penstock.providers.wires.openai.request import ChatRequest, read_request

CHAT_PATH = "/oai/v1/chat/completions"


class ChatCompletions:
    """`thoughts` seals the signed thoughts that clients keep; replicas that take turns need the same."""

    def __init__(
        self,
        identity: Identity,
        inference: Inference,
        *,
        max_body_bytes: int,
        keep_alive_s: float,
        thoughts: SecretBox,
    ) -> None:
        self._identity = identity
        self._inference = inference
        self._max_body_bytes = max_body_bytes
        self._keep_alive_s = keep_alive_s
        self._thoughts = thoughts

    async def __call__(self, incoming: Incoming, scope: Scope, receive: Receive, send: Send) -> None:
        caller = await self._caller(incoming)
        line: Line = scope[LINE_KEY]
        line.watch()
        record = CallRecord()
        try:
            request = read_request(await read_body(receive, limit_bytes=self._max_body_bytes))
            if request.stream:
                await self._stream(incoming, send, line, caller, request, record)
            else:
                await self._whole(incoming, send, caller, request, record)
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
        authorization = incoming.authorization
        caller = self._identity.known(authorization) if authorization is not None else None
        if caller is None:
            caller = await self._identity.authenticate(authorization, incoming.x_api_key)
        caller.require(ANY_MODEL_PERMISSION)
        return caller

    async def _begin(
        self, incoming: Incoming, caller: Caller, request: ChatRequest, record: CallRecord
    ) -> Served[bytes] | Choices:
        relayed = Relayed(request, Thoughts(self._thoughts, caller.tenant_id))
        try:
            served = await self._inference.begin(caller, request.model, relayed, record)
            if request.choices == 1 or (choices := Choices.wanted(served, relayed, record)) is None:
                return served
            await choices.begin(self._inference, caller, request.model)
            return choices
        finally:
            if record.attempts:
                incoming.headers.append((b"x-penstock-attempts", b"%d" % record.attempts))
            for name in relayed.left_out:
                incoming.headers.append((b"x-warning", f"`{name}` was left out: this model does not take it".encode()))

    async def _whole(
        self, incoming: Incoming, send: Send, caller: Caller, request: ChatRequest, record: CallRecord
    ) -> None:
        served = await self._begin(incoming, caller, request, record)
        try:
            body = await served.whole() if isinstance(served, Choices) else await _collected(served)
        finally:
            served.close()
        await send_body(incoming, send, 200, body, JSON_HEADERS)

    async def _stream(
        self, incoming: Incoming, send: Send, line: Line, caller: Caller, request: ChatRequest, record: CallRecord
    ) -> None:
        served = await self._begin(incoming, caller, request, record)
        outlet = _Outlet(incoming, send, line, self._keep_alive_s)
        try:
            await outlet.open()
            if isinstance(served, Choices):
                outlet.put(await served.stream(partial(_relay, outlet=outlet)))
            else:
                await _relay(served, outlet)
        except UpstreamError as error:
            # The status has gone out: the failure is a frame, and no `[DONE]` follows it.
            incoming.fail(error)
            log_failure(incoming, error)
            outlet.put(incoming.face.error_frame(error, incoming.id))
        finally:
            served.close()
            outlet.close()
        await outlet.finish()


def _log_fields(caller: Caller, record: CallRecord) -> dict[str, object]:
    return {
        "environmentId": caller.tenant_id,
        "sub": caller.subject,
        "credentialId": caller.credential_id,
        **record.log_fields(),
    }


def model_routes(identity: Identity, catalog: Catalog) -> APIRouter:
    """`GET /oai/v1/models` and one model by id."""
    router = APIRouter(prefix="/oai/v1", tags=["OpenAI"])

    async def permitted(request: Request) -> Caller:
        incoming = incoming_of(request.scope)
        caller = await identity.authenticate(incoming.authorization, incoming.x_api_key)
        incoming.note(environmentId=caller.tenant_id, sub=caller.subject, credentialId=caller.credential_id)
        caller.require("models:list", ANY_MODEL_PERMISSION)
        return caller

    @router.get("/models", operation_id="oai_list_models")
    async def list_models(_: Annotated[Caller, Depends(permitted)]) -> JSONResponse:
        """Every model that has a backend."""
        return JSONResponse({"object": "list", "data": _listed(catalog.current)})

    @router.get("/models/{model_id:path}", operation_id="oai_get_model")
    async def get_model(model_id: str, _: Annotated[Caller, Depends(permitted)]) -> JSONResponse:
        """One model, by slug or id; the slug may hold slashes."""
        if model_id in AGENT_NAMES:
            return JSONResponse(_agent_card())
        return JSONResponse(_card(catalog.current.find(model_id)[0]))

    return router


def _listed(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Whoever was let in may see all: `models:use` is good for every model, and `models:list` is for looking around."""
    cards = [_card(model) for model in snapshot.models if model.backends]
    return [_agent_card(), *cards] if cards else cards


def _card(model: Model) -> dict[str, Any]:
    return {
        "id": model.slug,
        "object": "model",
        "created": 0,
        "owned_by": model.provider_key,
        "display_name": model.name,
    }


def _agent_card() -> dict[str, Any]:
    return {"id": AGENT, "object": "model", "created": 0, "owned_by": "penstock", "display_name": "Agent"}


async def _collected(served: Served[bytes]) -> bytes:
    pieces = served.answer.ready
    while (piece := await served.answer.next()) is not None:
        pieces.append(piece)
    return b"".join(pieces)


async def _relay(served: Served[bytes], outlet: "_Outlet") -> None:
    outlet.put(b"".join(served.answer.ready))
    await outlet.drain()
    next_piece = served.answer.next
    while (piece := await next_piece()) is not None:
        if piece and outlet.put(piece):
            await outlet.drain()


class _Outlet:
    """The client's side of a stream: pieces that are whole events, and comments while there are none."""

    __slots__ = (
        "_incoming",
        "_is_full",
        "_keep_alive_s",
        "_line",
        "_loop",
        "_put",
        "_send",
        "_timer",
        "_written_at",
    )

    def __init__(self, incoming: Incoming, send: Send, line: Line, keep_alive_s: float) -> None:
        self._incoming = incoming
        self._send = send
        self._line = line
        self._put = line.put
        self._keep_alive_s = keep_alive_s
        self._loop = asyncio.get_running_loop()
        self._written_at = 0.0
        self._is_full = False
        self._timer: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        self._incoming.status = 200
        self._incoming.begin_stream()
        headers = [*STREAM_HEADERS, *self._incoming.headers]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        self._arm(self._keep_alive_s)

    def put(self, piece: bytes) -> bool:
        """True: wait for `drain` before the next."""
        self._written_at = self._loop.time()
        self._incoming.bytes_out += len(piece)
        self._is_full = is_full = self._put(piece)
        return is_full

    async def drain(self) -> None:
        await self._line.drain()
        self._is_full = False

    async def finish(self) -> None:
        self._incoming.complete = True
        await self._send({"type": "http.response.body"})

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, after_s: float) -> None:
        self._timer = self._loop.call_later(after_s, self._tick)

    def _tick(self) -> None:
        silent_s = self._loop.time() - self._written_at
        if silent_s >= self._keep_alive_s:
            if not self._is_full:  # a client that does not read needs no comments
                self.put(b": keep-alive\n\n")
            silent_s = 0.0
        self._arm(self._keep_alive_s - silent_s)
