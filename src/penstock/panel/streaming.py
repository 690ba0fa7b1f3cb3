"""The streaming self-test: do events arrive one by one, or does a proxy collect them (W-18)?"""

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse

from penstock.http.answers import STREAM_HEADERS, Event
from penstock.panel.desk import Desk
from penstock.panel.gate import Operator

EVENTS = 12
APART_S = 0.25


def streaming_routes(desk: Desk) -> APIRouter:
    router = desk.router()
    reading = Depends(desk.gate.signed_in)

    @router.get("/panel/streaming")
    async def page(request: Request, operator: Operator = reading) -> Response:
        return desk.show(request, operator, "streaming.html", events=EVENTS, apart_ms=int(APART_S * 1000))

    @router.get("/panel/streaming/events")
    async def events(request: Request, operator: Operator = reading) -> Response:
        answer = StreamingResponse(_ticks())
        answer.raw_headers = list(STREAM_HEADERS)  # exactly those of a chat
        return answer

    return router


async def _ticks() -> AsyncIterator[bytes]:
    for number in range(EVENTS):
        if number:
            await asyncio.sleep(APART_S)
        yield Event("tick", {"number": number}).encode()
    yield Event("done", {}).encode()
