"""The editor's rooms: conversations and what is attached to them, actions, reviews, tools."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from penstock.app.background import Work
from penstock.app.gateway import Gateway
from penstock.app.ground import Ground
from penstock.editor.actions.service import Actions
from penstock.editor.conversations.composing import Composing
from penstock.editor.conversations.documents import Documents
from penstock.editor.conversations.files import Files
from penstock.editor.conversations.janitor import Janitor
from penstock.editor.conversations.service import ConversationOptions, Conversations
from penstock.editor.conversations.web_resources import WebResources
from penstock.editor.mcp.repository import mcp_box
from penstock.editor.mcp.service import Mcp
from penstock.editor.moderation.service import Moderation
from penstock.editor.reviews.service import Reviews
from penstock.editor.web.pages import WebPages
from penstock.editor.web.search import WebSearch
from penstock.settings import Settings
from penstock.settings.options import EditorOptions, WebOptions
from penstock.storage.doomed import DoomedBlobs


@dataclass(frozen=True)
class Editor:
    """`works` run beside it."""

    conversations: Conversations
    documents: Documents
    files: Files
    web_resources: WebResources
    actions: Actions
    reviews: Reviews
    mcp: Mcp
    works: tuple[Work, ...]


def open_editor(settings: Settings, ground: Ground, gateway: Gateway, stack: AsyncExitStack) -> Editor:
    database, clock, inference = ground.database, ground.clock, gateway.inference
    search = _web_search(settings.web, stack)
    moderation = _moderation(settings, gateway, stack)
    mcp = _mcp(settings, ground, gateway, stack)
    doomed = DoomedBlobs(database, ground.storage, clock)
    conversations = Conversations(
        database=database,
        catalog=gateway.catalog,
        inference=inference,
        leases=ground.leases,
        broadcast=ground.coordination.broadcast,
        composing=Composing(inference, ground.storage, search, mcp if settings.mcp_servers else None),
        doomed=doomed,
        moderation=moderation,
        options=_conversation_options(settings.editor, searches=search is not None),
    )
    janitor = Janitor(
        database=database,
        doomed=doomed,
        leases=ground.leases,
        retention_days=settings.editor.retention_days,
        tenants=gateway.identity,
        others=(mcp.forget_tenant,),
        storage=ground.storage,
        clock=clock,
    )
    files = Files(
        database=database,
        catalog=gateway.catalog,
        extraction=gateway.extraction,
        storage=ground.storage,
        doomed=doomed,
        moderation=moderation,
        clock=clock,
    )
    return Editor(
        conversations=conversations,
        documents=Documents(database, clock),
        files=files,
        web_resources=WebResources(
            database=database, catalog=gateway.catalog, pages=_web_pages(settings, gateway, stack), clock=clock
        ),
        actions=Actions(inference=inference, moderation=moderation),
        reviews=Reviews(inference=inference, moderation=moderation),
        mcp=mcp,
        works=(conversations.watch, janitor.watch, mcp.watch),
    )


def _conversation_options(editor: EditorOptions, *, searches: bool) -> ConversationOptions:
    return ConversationOptions(
        lock_wait_s=editor.lock_wait_s,
        searches=searches,
        legacy_tool_events=editor.legacy_tool_events,
        error_as_text=editor.error_as_text,
    )


def _web_search(web: WebOptions, stack: AsyncExitStack) -> WebSearch | None:
    if web.search_endpoint is None:
        return None
    search = WebSearch(web.search_endpoint, headers=web.search_headers, timeout_s=web.search_timeout_s)
    stack.push_async_callback(search.aclose)
    return search


def _web_pages(settings: Settings, gateway: Gateway, stack: AsyncExitStack) -> WebPages | None:
    web = settings.web
    if not web.pages_enabled:
        return None
    pages = WebPages(
        extraction=gateway.extraction,
        allow=map(str, settings.outbound_allow),
        allow_private=web.pages_allow_private,
        endpoint=web.pages_endpoint,
        headers=web.pages_headers,
        timeout_s=web.pages_timeout_s,
    )
    stack.push_async_callback(pages.aclose)
    return pages


def _moderation(settings: Settings, gateway: Gateway, stack: AsyncExitStack) -> Moderation | None:
    if settings.moderation is None:
        return None
    moderation = Moderation(settings.moderation, lambda: gateway.catalog.current.providers.values())
    stack.push_async_callback(moderation.aclose)
    return moderation


def _mcp(settings: Settings, ground: Ground, gateway: Gateway, stack: AsyncExitStack) -> Mcp:
    mcp = Mcp(
        settings.mcp_servers,
        database=ground.database,
        leases=ground.leases,
        box=mcp_box(ground.masters),
        outbound=gateway.outbound,
        clock=ground.clock,
    )
    stack.push_async_callback(mcp.aclose)
    return mcp
