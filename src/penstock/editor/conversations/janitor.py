"""What nobody needs any more is removed in the background, on one replica at a time.

Everything happens in small transactions that lock one conversation each, so users never wait for it, and doing a thing
twice does no harm: the lease only saves work. Bytes in storage go after the rows that knew them (`DoomedBlobRow`).
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Protocol

from sqlalchemy import Select, delete, select

from penstock.coordination.base import Lease, Leases
from penstock.database.engine import Database, Transaction
from penstock.database.failures import BrokenReference
from penstock.editor.conversations.attached import UNUSED_FOR, AttachmentRepository, Row, doom_files
from penstock.editor.conversations.changes import changed
from penstock.editor.conversations.tables import ConversationRow, DocumentRow, FileRow, WebResourceRow
from penstock.errors import PenstockError
from penstock.gateway.identity.caller import TenantId
from penstock.kit.clock import Clock, SystemClock
from penstock.storage.base import Storage
from penstock.storage.doomed import DoomedBlobs
from penstock.telemetry.logs import log

EVERY_S: Final = 300.0

_LEASE: Final = "janitor"
_LEASE_S: Final = 600.0
_BATCH: Final = 100
_DRAFTS_EVERY_S: Final = 6 * 60 * 60.0  # it looks at every file there is

Forget = Callable[[TenantId], Awaitable[None]]


class DeletedTenants(Protocol):
    """`gateway/identity/management.py`, as far as this room needs it."""

    async def deleted_tenants(self) -> Sequence[TenantId]:
        """Those whose rows are still there."""

    async def forget_tenant(self, tenant_id: str) -> None:
        """Raises BrokenReference while a room has rows of it."""


class Janitor:
    """`retention_days` None: conversations are kept for ever. `tenants` None: nobody deletes tenants.

    `others` remove what other rooms have of a deleted tenant. `storage` is asked to tidy up after itself.
    """

    def __init__(
        self,
        *,
        database: Database,
        doomed: DoomedBlobs,
        leases: Leases,
        retention_days: int | None,
        tenants: DeletedTenants | None = None,
        others: Sequence[Forget] = (),
        storage: Storage | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._database = database
        self._doomed = doomed
        self._leases = leases
        self._retention = None if retention_days is None else timedelta(days=retention_days)
        self._tenants = tenants
        self._others = others
        self._storage = storage
        self._clock = clock or SystemClock()
        self._drafts_due = float("-inf")

    async def watch(self) -> None:
        """Clean every few minutes, for ever. Replicas that start together do not come together."""
        while True:
            await asyncio.sleep(EVERY_S * random.uniform(0.5, 1.5))
            await self.turn()

    async def turn(self) -> bool:
        """Clean once, unless another replica is at it. What fails is logged, and tried again next time."""
        try:
            lease = await self._leases.acquire(_LEASE, _LEASE_S)
        except PenstockError as error:
            log.warning("cleaning is put off", reason=error.message, explanation=error.explanation)
            return False
        if lease is None:
            return False
        try:
            await self._clean(lease)
        finally:
            await self._release(lease)
        return True

    async def _clean(self, lease: Lease) -> None:
        for what, work in (
            ("unused attachments", self.remove_unused),
            ("old conversations", self.remove_old),
            ("deleted tenants", self.remove_tenants),
            ("deleted files", self.remove_blobs),
        ):
            try:
                if not await self._leases.renew(lease, _LEASE_S):
                    return
                await work()
            except PenstockError as error:
                log.warning(f"removing {what} failed", reason=error.message, explanation=error.explanation)

    async def _release(self, lease: Lease) -> None:
        try:
            await self._leases.release(lease)
        except PenstockError as error:
            log.warning("the janitor's lease is left to run out", reason=error.message)

    # --- what is removed ---------------------------------------------------------------------------------------------

    async def remove_unused(self) -> None:
        """What was attached and no message refers to, after a day (`spec/editor-api.md` 17.6)."""
        before = self._clock.now() - UNUSED_FOR
        async for row_id, ids in self._unused(DocumentRow, before):
            await self._in_conversation(row_id, partial(_remove_documents, ids))
        async for row_id, ids in self._unused(FileRow, before):
            await self._in_conversation(row_id, partial(self._remove_files, ids))
        async for row_id, ids in self._unused(WebResourceRow, before):
            await self._in_conversation(row_id, partial(_remove_web_resources, ids))

    async def remove_old(self) -> None:
        """Conversations that nobody has written or opened for so long."""
        if self._retention is None:
            return
        before = self._clock.now() - self._retention
        old = select(ConversationRow.row_id).where(
            ConversationRow.updated_at < before, ConversationRow.last_visited_at < before
        )
        await self._remove_conversations(old.order_by(ConversationRow.updated_at))

    async def remove_tenants(self) -> None:
        """All that deleted tenants have left; then the tenants themselves."""
        if self._tenants is None:
            return
        for tenant_id in await self._tenants.deleted_tenants():
            await self._remove_conversations(
                select(ConversationRow.row_id).where(ConversationRow.tenant_id == tenant_id)
            )
            for forget in self._others:
                await forget(tenant_id)
            try:
                await self._tenants.forget_tenant(tenant_id)
            except BrokenReference as error:
                log.warning("a deleted tenant has rows left", tenant=tenant_id, reason=error.message)

    async def remove_blobs(self) -> None:
        """Bytes that are due, and now and then what uploads left that died with their process."""
        await self._doomed.sweep()
        now = self._clock.monotonic()
        if self._storage is not None and now >= self._drafts_due:
            self._drafts_due = now + _DRAFTS_EVERY_S
            await self._storage.sweep()

    # --- how ---------------------------------------------------------------------------------------------------------

    async def _unused(self, kind: type[Row], before: datetime) -> AsyncIterator[tuple[str, list[str]]]:
        """Ids, conversation by conversation. Whoever takes them removes them before taking more."""
        query = select(kind.id, kind.conversation_row_id).where(kind.used_at.is_(None), kind.created_at < before)
        while True:
            async with self._database.reading() as tx:
                found = (await tx.execute(query.order_by(kind.created_at).limit(_BATCH))).all()
            by_conversation: dict[str, list[str]] = defaultdict(list)
            for attachment_id, row_id in found:
                by_conversation[row_id].append(attachment_id)
            for row_id, ids in by_conversation.items():
                yield row_id, ids
            if len(found) < _BATCH:
                return

    async def _in_conversation(self, row_id: str, remove: Callable[[Transaction, str], Awaitable[None]]) -> None:
        """Nothing happens when the conversation is gone."""

        async def step(tx: Transaction) -> None:
            if await _lock(tx, row_id):
                await remove(tx, row_id)

        await changed(self._database, step)

    async def _remove_files(self, ids: Sequence[str], tx: Transaction, row_id: str) -> None:
        attached = AttachmentRepository(tx, row_id)
        await self._doomed.doom(tx, await attached.unused_blob_keys(ids), self._clock.now())
        await attached.delete_unused(FileRow, ids)

    async def _remove_conversations(self, wanted: Select[Any]) -> None:
        """Those that `wanted` selects, and still selects when they are locked."""
        while True:
            async with self._database.reading() as tx:
                row_ids = list(await tx.scalars(wanted.limit(_BATCH)))
            for row_id in row_ids:
                await self._in_conversation(row_id, partial(self._remove_conversation, wanted))
            if len(row_ids) < _BATCH:
                return

    async def _remove_conversation(self, wanted: Select[Any], tx: Transaction, row_id: str) -> None:
        if await tx.scalar(wanted.where(ConversationRow.row_id == row_id)) is None:
            return
        await doom_files(tx, self._doomed, row_id, self._clock.now())
        await tx.execute(
            delete(ConversationRow).where(ConversationRow.row_id == row_id),
            execution_options={"synchronize_session": False},
        )


async def _remove_documents(ids: Sequence[str], tx: Transaction, row_id: str) -> None:
    attached = AttachmentRepository(tx, row_id)
    await attached.delete_unused(DocumentRow, ids)
    await attached.forget_contents()


async def _remove_web_resources(ids: Sequence[str], tx: Transaction, row_id: str) -> None:
    await AttachmentRepository(tx, row_id).delete_unused(WebResourceRow, ids)


async def _lock(tx: Transaction, row_id: str) -> bool:
    """Whether the conversation is still there; then nobody else changes it until the transaction ends."""
    query = select(ConversationRow.row_id).where(ConversationRow.row_id == row_id)
    return await tx.scalar(query.with_for_update()) is not None
