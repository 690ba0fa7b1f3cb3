"""`GET /metrics`: what was counted, for Prometheus (`spec/editor-api.md` 16.4)."""

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request, Response

Page = Callable[[str], tuple[bytes, str]]
"""The text and its content type, for what `Accept` says. Safe in any thread."""


def metrics_routes(page: Page, allow: Callable[[Request], Awaitable[None]]) -> APIRouter:
    """`allow` raises PenstockError for whoever may not see them."""
    router = APIRouter(tags=["Health"])
    described = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}

    @router.get("/metrics", response_class=Response, responses=described, operation_id="metrics")  # type: ignore[arg-type]
    async def metrics(request: Request) -> Response:
        """What was counted, in the text format of Prometheus or, for who asks for it, of OpenMetrics.

        For `METRICS_TOKEN`, the management secret, or an API key that has `metrics:read`.
        """
        await allow(request)
        text, content_type = await asyncio.to_thread(page, request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    return router
