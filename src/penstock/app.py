"""Builds and wires everything, bottom up, on one exit stack. The only file that knows every room."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from fastapi import APIRouter, FastAPI

from penstock import __version__, migrations
from penstock.coordination.base import Coordination, CoordinationUnavailable
from penstock.coordination.drivers import open_coordination
from penstock.coordination.fallback import FallbackLeases
from penstock.coordination.leases_in_sql import SqlLeases
from penstock.database.engine import Database, open_database
from penstock.database.migrate import prepare
from penstock.editor.actions.api import action_routes
from penstock.editor.actions.service import Actions
from penstock.editor.conversations.api import conversation_routes
from penstock.editor.conversations.attachments_api import UPLOADS, attachment_routes
from penstock.editor.conversations.composing import Composing
from penstock.editor.conversations.documents import Documents
from penstock.editor.conversations.files import Files
from penstock.editor.conversations.janitor import Janitor
from penstock.editor.conversations.service import ConversationOptions, Conversations
from penstock.editor.conversations.web_resources import WebResources
from penstock.editor.mcp.service import Mcp
from penstock.editor.models import model_routes as editor_model_routes
from penstock.editor.moderation.service import Moderation
from penstock.editor.reviews.api import review_routes
from penstock.editor.reviews.service import Reviews
from penstock.editor.web.search import WebSearch
from penstock.errors import Conflict
from penstock.gateway.catalog.service import Catalog
from penstock.gateway.catalog.snapshot import Snapshot
from penstock.gateway.identity.declared import DeclaredTenant
from penstock.gateway.identity.secrets import MasterSecrets
from penstock.gateway.identity.service import Identity
from penstock.gateway.inference.attachments.extraction import Extraction
from penstock.gateway.inference.attachments.preparing import Attachments
from penstock.gateway.inference.discovery import Discovery
from penstock.gateway.inference.media_api import media_calls
from penstock.gateway.inference.media_document import MEDIA_OPERATIONS
from penstock.gateway.inference.openai_api import CHAT_PATH, ChatCompletions, model_routes
from penstock.gateway.inference.openai_document import CHAT_OPERATION
from penstock.gateway.inference.openai_thoughts import thoughts_box
from penstock.gateway.inference.provider_health import provider_health
from penstock.gateway.inference.service import Inference
from penstock.http.document import describe
from penstock.http.door import Door, ModelCall, Uploads
from penstock.http.health import health_routes
from penstock.http.incoming import Incoming
from penstock.http.origins import Origins
from penstock.http.outbound import Outbound
from penstock.http.routes import install_handlers
from penstock.kit.clock import SystemClock
from penstock.kit.crypto import SecretBox
from penstock.panel.base import PanelServices, Part, Setting
from penstock.panel.routes import panel_routes
from penstock.providers.opening import open_provider_transport
from penstock.providers.price_list import PriceList
from penstock.providers.provider import Providers
from penstock.settings import Settings
from penstock.settings.options import WebOptions
from penstock.settings.variables import GROUPS, VARIABLES
from penstock.storage.base import Storage
from penstock.storage.doomed import DoomedBlobs
from penstock.storage.drivers import open_storage
from penstock.telemetry.logs import log
from penstock.telemetry.requests import RequestLog

_AGAIN_AFTER_S = 1.0


@dataclass(frozen=True)
class House:
    """What stands behind the door, for those who start it."""

    door: Door
    identity: Identity
    catalog: Catalog
    database: Database
    coordination: Coordination


@dataclass(frozen=True)
class Rooms:
    """Every service, as the routes are given them."""

    identity: Identity
    catalog: Catalog
    providers: Providers
    inference: Inference
    thoughts: SecretBox
    conversations: Conversations
    documents: Documents
    files: Files
    web_resources: WebResources
    actions: Actions
    reviews: Reviews
    database: Database
    coordination: Coordination
    storage: Storage


@asynccontextmanager
async def open_house(settings: Settings) -> AsyncIterator[House]:
    """Connect, migrate and wire; everything is closed in reverse order.

    Raises CannotPrepare when the database cannot be used, StorageUnavailable when files cannot be kept, and
    CoordinationUnavailable when Redis stays out of reach for STARTUP_RETRY_SECONDS.
    """
    async with AsyncExitStack() as stack:
        clock = SystemClock()
        database = open_database(settings.database)
        stack.push_async_callback(database.aclose)
        await prepare(
            database,
            scripts=migrations.SCRIPTS,
            head=migrations.HEAD,
            retry_for_s=settings.server.startup_retry_s,
            say=log.warning,
        )
        coordination = await open_coordination(settings.redis)
        stack.push_async_callback(coordination.aclose)
        await _reach(coordination, settings.server.startup_retry_s)
        storage = await open_storage(settings.storage, database)
        stack.push_async_callback(storage.aclose)
        management = settings.management_secret.reveal() if settings.management_secret else None
        masters = settings.master_secrets()
        identity = Identity(database, coordination.broadcast, MasterSecrets(masters), management, clock)
        await identity.check_secrets()
        await _declare(identity, settings.bootstrap)
        catalog = Catalog(settings.catalog, settings.snapshot)
        providers = Providers(open_provider_transport, clock)
        stack.push_async_callback(providers.aclose)
        outbound = Outbound(allow=map(str, settings.outbound_allow))
        extraction = Extraction()
        attachments = Attachments(outbound, extraction)
        prices = PriceList()
        inference = Inference(catalog, providers, attachments, prices)

        async def load_prices(snapshot: Snapshot) -> None:
            if any(map(prices.covers, snapshot.providers.values())):
                await prices.load()

        catalog.on_change(lambda snapshot: providers.keep_only(snapshot.providers.values()))
        catalog.on_change(load_prices)
        leases = FallbackLeases(coordination.leases, SqlLeases(database))
        search = _web_search(settings.web)
        if search is not None:
            stack.push_async_callback(search.aclose)
        moderation = _moderation(settings, catalog, stack)
        mcp = Mcp(
            settings.mcp_servers,
            database=database,
            leases=leases,
            box=SecretBox(tuple(master.encode() for master in masters), "mcp connections"),
            outbound=outbound,
            clock=clock,
        )
        stack.push_async_callback(mcp.aclose)
        doomed = DoomedBlobs(database, storage, clock)
        conversations = Conversations(
            database=database,
            catalog=catalog,
            inference=inference,
            leases=leases,
            broadcast=coordination.broadcast,
            composing=Composing(inference, storage, search, mcp if settings.mcp_servers else None),
            doomed=doomed,
            moderation=moderation,
            options=ConversationOptions(
                lock_wait_s=settings.editor.lock_wait_s,
                searches=settings.web.search_endpoint is not None,
                legacy_tool_events=settings.editor.legacy_tool_events,
                error_as_text=settings.editor.error_as_text,
            ),
        )
        janitor = Janitor(
            database=database,
            doomed=doomed,
            leases=leases,
            retention_days=settings.editor.retention_days,
            tenants=identity,
            storage=storage,
            clock=clock,
        )
        rooms = Rooms(
            identity=identity,
            catalog=catalog,
            providers=providers,
            inference=inference,
            thoughts=thoughts_box(masters),
            conversations=conversations,
            documents=Documents(database, clock),
            files=Files(
                database=database,
                catalog=catalog,
                extraction=extraction,
                storage=storage,
                doomed=doomed,
                moderation=moderation,
                clock=clock,
            ),
            web_resources=WebResources(database=database, catalog=catalog, pages=None, clock=clock),
            actions=Actions(inference=inference, moderation=moderation),
            reviews=Reviews(inference=inference, moderation=moderation),
            database=database,
            coordination=coordination,
            storage=storage,
        )
        works = (
            identity.watch,
            catalog.watch,
            Discovery(catalog, providers).watch,
            conversations.watch,
            janitor.watch,
            mcp.watch,
            partial(load_prices, catalog.current),
        )
        await stack.enter_async_context(_background(*works))
        yield House(_door(settings, rooms), identity, catalog, database, coordination)


def _web_search(web: WebOptions) -> WebSearch | None:
    if web.search_endpoint is None:
        return None
    return WebSearch(web.search_endpoint, headers=web.search_headers, timeout_s=web.search_timeout_s)


def _moderation(settings: Settings, catalog: Catalog, stack: AsyncExitStack) -> Moderation | None:
    if settings.moderation is None:
        return None
    moderation = Moderation(settings.moderation, lambda: catalog.current.providers.values())
    stack.push_async_callback(moderation.aclose)
    return moderation


async def _declare(identity: Identity, tenants: Iterable[DeclaredTenant]) -> None:
    """Make what BOOTSTRAP_ENVIRONMENTS declares (W-07). One that cannot be made keeps no other from working."""
    for declared in tenants:
        try:
            await identity.declare_tenant(declared)
        except Conflict as error:
            log.error(error.message, variable="BOOTSTRAP_ENVIRONMENTS", reason=error.explanation, action=error.action)


async def _reach(coordination: Coordination, retry_for_s: float) -> None:
    """Wait for Redis, as `prepare` waits for the database: both may be starting beside us (S008)."""
    deadline = time.monotonic() + retry_for_s
    while True:
        try:
            return await coordination.ping()
        except CoordinationUnavailable as error:
            if time.monotonic() > deadline:
                raise
            log.warning("waiting for Redis", reason=error.message, explanation=error.explanation)
        await asyncio.sleep(1)


def _door(settings: Settings, rooms: Rooms) -> Door:
    limits, editor = settings.server, settings.editor
    identity = rooms.identity
    router = FastAPI(
        title="Penstock",
        version=__version__,
        openapi_url="/v1/api/doc.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    install_handlers(router)
    router.include_router(_health_routes(rooms))
    router.include_router(
        editor_model_routes(identity, rooms.catalog, searches=settings.web.search_endpoint is not None)
    )
    keep_alive_s, max_s, done_event = editor.keepalive_s, editor.stream_max_s, editor.done_event
    router.include_router(
        conversation_routes(
            identity, rooms.conversations, keep_alive_s=keep_alive_s, max_s=max_s, done_event=done_event
        )
    )
    router.include_router(attachment_routes(identity, rooms.documents, rooms.files, rooms.web_resources))
    router.include_router(
        action_routes(identity, rooms.actions, keep_alive_s=keep_alive_s, max_s=max_s, done_event=done_event)
    )
    router.include_router(
        review_routes(identity, rooms.reviews, keep_alive_s=keep_alive_s, max_s=max_s, done_event=done_event)
    )
    router.include_router(model_routes(identity, rooms.catalog))
    router.include_router(panel_routes(_panel(settings, rooms)))
    describe(router, {CHAT_PATH: CHAT_OPERATION, **MEDIA_OPERATIONS})
    return Door(
        calls=_calls(settings, rooms),
        router=router,
        origins=Origins(settings.allowed_origins),
        max_body_bytes=limits.max_body_bytes,
        uploads=Uploads(UPLOADS, editor.max_upload_bytes),
        request_log=RequestLog(log_user_ids=settings.logs.user_ids) if settings.logs.metric_lines else None,
    )


def _health_routes(rooms: Rooms) -> APIRouter:
    async def detail(incoming: Incoming) -> dict[str, object]:
        await rooms.identity.require_operator(incoming.authorization, incoming.x_api_key, "health:detail")
        return {"providers": provider_health(rooms.catalog, rooms.providers)}

    needed = {"database": rooms.database.ping, "coordination": rooms.coordination.ping, "storage": rooms.storage.ping}
    return health_routes(needed, detail)


def _panel(settings: Settings, rooms: Rooms) -> PanelServices:
    redis, panel = settings.redis, settings.panel
    about = {one.name: (GROUPS[one.group], one.sentence) for one in VARIABLES}
    return PanelServices(
        identity=rooms.identity,
        catalog=rooms.catalog,
        providers=rooms.providers,
        coordination=rooms.coordination,
        clock=SystemClock(),
        management_secret=settings.management_secret,
        allowed=panel.allowed,
        trusted_proxies=panel.trusted_proxies,
        external_endpoint=panel.external_endpoint,
        parts=(
            Part("Database", settings.database.where(), rooms.database.ping),
            Part("Coordination", redis.where() if redis else "in this process", rooms.coordination.ping),
            Part("File storage", settings.storage.driver, rooms.storage.ping),
        ),
        settings=tuple(Setting(one.name, one.value, one.source, *about[one.name]) for one in settings.entries),
        problems=settings.problems,
    )


def _calls(settings: Settings, rooms: Rooms) -> Mapping[str, ModelCall]:
    """The calls to models that are found by their exact path, before the router is asked."""
    most, keep_alive_s = settings.server.max_body_bytes, settings.editor.keepalive_s
    chat = ChatCompletions(
        rooms.identity, rooms.inference, max_body_bytes=most, keep_alive_s=keep_alive_s, thoughts=rooms.thoughts
    )
    media = media_calls(rooms.identity, rooms.inference, max_body_bytes=most, keep_alive_s=keep_alive_s)
    return {CHAT_PATH: chat, **media}


@asynccontextmanager
async def _background(*works: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run `works` beside the block, and end them with it."""
    tasks = [asyncio.create_task(_kept_running(work)) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _kept_running(work: Callable[[], Awaitable[None]]) -> None:
    """A watcher that fails has a bug; without it revoked keys would live on. So it is logged, and started again."""
    while True:
        try:
            return await work()
        except Exception as error:
            log.error("a background task failed and starts again", exc_info=error)
        await asyncio.sleep(_AGAIN_AFTER_S)
