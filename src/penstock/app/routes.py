"""What is answered where: every route, and the calls that are found before the router is asked."""

import hmac
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI, Request

from penstock import __version__
from penstock.app.editor import Editor
from penstock.app.gateway import Gateway
from penstock.app.ground import Ground
from penstock.editor.actions.api import action_routes
from penstock.editor.conversations.api import conversation_routes
from penstock.editor.conversations.attachments_api import UPLOADS, attachment_routes
from penstock.editor.mcp.api import mcp_routes
from penstock.editor.models import model_routes as editor_model_routes
from penstock.editor.reviews.api import review_routes
from penstock.gateway.inference.media_api import media_calls
from penstock.gateway.inference.media_document import MEDIA_OPERATIONS
from penstock.gateway.inference.openai_api import CHAT_PATH, ChatCompletions, model_routes
from penstock.gateway.inference.openai_document import CHAT_OPERATION
from penstock.gateway.inference.provider_health import provider_health
from penstock.http.document import describe
from penstock.http.documentation import docs_routes
from penstock.http.door import Door, ModelCall, Uploads
from penstock.http.health import health_routes
from penstock.http.incoming import incoming_of
from penstock.http.metrics import metrics_routes
from penstock.http.origins import Origins
from penstock.http.routes import install_handlers
from penstock.panel.base import PanelServices, Part, Setting
from penstock.panel.gate import Gate
from penstock.panel.routes import panel_routes
from penstock.settings import Settings
from penstock.settings.variables import GROUPS, VARIABLES
from penstock.telemetry.requests import RequestLog, RequestMeters

if TYPE_CHECKING:
    from penstock.telemetry.prometheus import Prometheus


def door(settings: Settings, ground: Ground, gateway: Gateway, editor: Editor, metrics: "Prometheus | None") -> Door:
    """Without `metrics` nothing is counted, and there is no `/metrics`."""
    router = FastAPI(
        title="Penstock",
        version=__version__,
        openapi_url="/v1/api/doc.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    install_handlers(router)
    services = _panel(settings, ground, gateway)
    gate = Gate(services)
    router.include_router(_health_routes(ground, gateway, gate))
    router.include_router(docs_routes())
    if metrics is not None:
        router.include_router(_metrics_routes(settings, gate, metrics))
    for routes in _editor_routes(settings, gateway, editor):
        router.include_router(routes)
    router.include_router(model_routes(gateway.identity, gateway.catalog))
    router.include_router(panel_routes(gate, services))
    describe(router, {CHAT_PATH: CHAT_OPERATION, **MEDIA_OPERATIONS})
    return Door(
        calls=_calls(settings, gateway),
        router=router,
        origins=Origins(settings.allowed_origins),
        max_body_bytes=settings.server.max_body_bytes,
        uploads=Uploads(UPLOADS, settings.editor.max_upload_bytes),
        request_log=RequestLog(log_user_ids=settings.logs.user_ids) if settings.logs.metric_lines else None,
        request_meters=RequestMeters() if metrics is not None else None,
    )


def _editor_routes(settings: Settings, gateway: Gateway, editor: Editor) -> Iterator[APIRouter]:
    identity, options = gateway.identity, settings.editor
    keep_alive_s, max_s, done_event = options.keepalive_s, options.stream_max_s, options.done_event
    searches = settings.web.search_endpoint is not None
    yield editor_model_routes(identity, gateway.catalog, searches=searches)
    yield conversation_routes(
        identity, editor.conversations, keep_alive_s=keep_alive_s, max_s=max_s, done_event=done_event
    )
    yield attachment_routes(identity, editor.documents, editor.files, editor.web_resources)
    yield action_routes(identity, editor.actions, keep_alive_s=keep_alive_s, max_s=max_s, done_event=done_event)
    yield review_routes(identity, editor.reviews, keep_alive_s=keep_alive_s, max_s=max_s, done_event=done_event)
    if any(server.oauth is not None for server in settings.mcp_servers):
        yield mcp_routes(identity, editor.mcp)


def _health_routes(ground: Ground, gateway: Gateway, gate: Gate) -> APIRouter:
    async def detail(request: Request) -> dict[str, object]:
        await gate.admit(request, "health:detail")
        return {"providers": provider_health(gateway.catalog, gateway.providers)}

    needed = {
        "database": ground.database.ping,
        "coordination": ground.coordination.ping,
        "storage": ground.storage.ping,
    }
    return health_routes(needed, detail)


def _metrics_routes(settings: Settings, gate: Gate, metrics: "Prometheus") -> APIRouter:
    token = settings.logs.metrics_token

    async def allow(request: Request) -> None:
        given = incoming_of(request.scope).authorization
        if token is None or given is None or not hmac.compare_digest(given, b"Bearer " + token.reveal().encode()):
            await gate.admit(request, "metrics:read")

    return metrics_routes(metrics.page, allow)


def _panel(settings: Settings, ground: Ground, gateway: Gateway) -> PanelServices:
    redis, panel = settings.redis, settings.panel
    about = {one.name: (GROUPS[one.group], one.sentence) for one in VARIABLES}
    return PanelServices(
        identity=gateway.identity,
        catalog=gateway.catalog,
        providers=gateway.providers,
        coordination=ground.coordination,
        clock=ground.clock,
        management_secret=settings.management_secret,
        allowed=panel.allowed,
        trusted_proxies=panel.trusted_proxies,
        external_endpoint=panel.external_endpoint,
        parts=(
            Part("Database", settings.database.where(), ground.database.ping),
            Part("Coordination", redis.where() if redis else "in this process", ground.coordination.ping),
            Part("File storage", settings.storage.driver, ground.storage.ping),
        ),
        settings=tuple(Setting(one.name, one.value, one.source, *about[one.name]) for one in settings.entries),
        problems=settings.problems,
    )


def _calls(settings: Settings, gateway: Gateway) -> Mapping[str, ModelCall]:
    """The calls to models that are found by their exact path, before the router is asked."""
    most, keep_alive_s = settings.server.max_body_bytes, settings.editor.keepalive_s
    chat = ChatCompletions(
        gateway.identity, gateway.inference, max_body_bytes=most, keep_alive_s=keep_alive_s, thoughts=gateway.thoughts
    )
    media = media_calls(gateway.identity, gateway.inference, max_body_bytes=most, keep_alive_s=keep_alive_s)
    return {CHAT_PATH: chat, **media}
