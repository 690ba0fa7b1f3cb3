"""Web pages that users attach by their address: read once, and kept as the text that they had."""

from typing import Any, Protocol

from penstock.database.engine import Database, Transaction
from penstock.editor.conversations.attached import KINDS, AttachmentRepository
from penstock.editor.conversations.attachment_errors import AttachmentInUse, AttachmentNotFound, WebResourcesDisabled
from penstock.editor.conversations.attachment_schemas import NewWebResource
from penstock.editor.conversations.changes import changed
from penstock.editor.conversations.file_limits import check_text, check_web_resources, largest_limits, models_of
from penstock.editor.conversations.repository import ConversationRepository
from penstock.editor.conversations.tables import WebResourceRow
from penstock.gateway.catalog.service import Catalog
from penstock.gateway.catalog.snapshot import ContextLimits
from penstock.gateway.identity.caller import Caller
from penstock.kit.clock import Clock, SystemClock
from penstock.kit.ids import short_id
from penstock.telemetry.meters import ATTACHMENTS

ATTACH = "ai:conversations:context:urls"
_KIND = KINDS[WebResourceRow]


class Page(Protocol):
    @property
    def title(self) -> str | None: ...

    @property
    def text(self) -> str: ...


class Pages(Protocol):
    """`editor/web/pages.py`, as far as this room needs it."""

    async def read(self, url: str) -> Page: ...


class WebResources:
    """`pages` None: the feature is switched off."""

    def __init__(
        self, *, database: Database, catalog: Catalog, pages: Pages | None, clock: Clock | None = None
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._pages = pages
        self._clock = clock or SystemClock()

    async def add(self, caller: Caller, conversation_id: str, new: NewWebResource) -> str:
        """Read the page now and keep it; its id.

        Raises MissingPermission, ConversationNotFound, WebResourcesDisabled, OverLimit, and what `Pages.read` raises.
        """
        caller.require(ATTACH)
        limits = largest_limits(models_of(self._catalog.current, caller))
        await self._check_room(caller, conversation_id, limits)
        if self._pages is None:
            raise WebResourcesDisabled
        page = await self._pages.read(new.url)
        check_text(limits, len(page.text))

        async def step(tx: Transaction) -> str:
            conversation = await ConversationRepository(tx, caller).get(conversation_id, to_change=True)
            attached = AttachmentRepository(tx, conversation.row_id)
            check_web_resources(limits, await attached.count_web_resources() + 1)
            row = self._row(new, page)
            await attached.add_web_resource(row)
            return row.id

        stored = await changed(self._database, step)
        ATTACHMENTS.add("web-resource")
        return stored

    async def delete(self, caller: Caller, conversation_id: str, web_resource_id: str) -> None:
        """Raises MissingPermission, ConversationNotFound, AttachmentNotFound, AttachmentInUse."""
        caller.require(ATTACH)

        async def step(tx: Transaction) -> None:
            conversation = await ConversationRepository(tx, caller).get(conversation_id, to_change=True)
            attached = AttachmentRepository(tx, conversation.row_id)
            row = (await attached.web_resources((web_resource_id,))).get(web_resource_id)
            if row is None:
                raise AttachmentNotFound(_KIND, web_resource_id)
            if row.used_at is not None:
                raise AttachmentInUse(_KIND)
            await attached.delete_unused(WebResourceRow, (web_resource_id,))

        await changed(self._database, step)

    async def _check_room(self, caller: Caller, conversation_id: str, limits: ContextLimits) -> None:
        async with self._database.reading() as tx:
            conversation = await ConversationRepository(tx, caller).get(conversation_id)
            count = await AttachmentRepository(tx, conversation.row_id).count_web_resources()
        check_web_resources(limits, count + 1)

    def _row(self, new: NewWebResource, page: Page) -> WebResourceRow:
        fields: dict[str, Any] = {
            "url": new.url.strip(),
            "title": _plain(page.title or "") or None,
            "text": _plain(page.text),
        }
        return WebResourceRow(id=short_id(), attributes=new.attributes, created_at=self._clock.now(), **fields)


def _plain(text: str) -> str:
    """Without what no database can keep: the page is not the user's to mend."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
