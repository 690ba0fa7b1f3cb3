"""What nobody needs any more goes away by itself, and nothing else does. On every database."""

import asyncio
import os
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from penstock.coordination.base import CoordinationUnavailable, Lease
from penstock.editor.conversations.attached import AttachmentRepository, doom_files
from penstock.editor.conversations.attachment_errors import AttachmentNotFound
from penstock.editor.conversations.attachment_schemas import NewDocument, NewWebResource
from penstock.editor.conversations.repository import ConversationRepository
from penstock.editor.conversations.tables import (
    ConversationRow,
    DocumentContentRow,
    DocumentRow,
    FileRow,
    WebResourceRow,
)
from penstock.editor.mcp.tables import McpConnectionRow
from penstock.gateway.identity.secrets import MasterSecrets
from penstock.gateway.identity.service import Identity
from penstock.gateway.identity.tables import TenantRow
from penstock.storage.tables import DoomedBlobRow
from tests.editor.attaching import ANN, Attaching, Page
from tests.editor.attaching import attaching as attaching
from tests.editor.conftest import caller

DAY = timedelta(days=1)
ZOE = caller("zoe", "other")


def document(content: str) -> NewDocument:
    return NewDocument(content=content)


async def with_everything(attaching: Attaching) -> tuple[str, str, str, str]:
    """A conversation with one of each; its row and their ids."""
    row_id = await attaching.conversation()
    attaching.shelf.pages["http://a/"] = Page("text")
    (made,) = await attaching.documents.add(ANN, "c", [document("<p>")])
    file = await attaching.add_file()
    page = await attaching.web.add(ANN, "c", NewWebResource(url="http://a/"))
    return row_id, made, file, page


async def counts(attaching: Attaching) -> list[int]:
    return [await attaching.count(one) for one in (DocumentRow, DocumentContentRow, FileRow, WebResourceRow)]


async def test_what_no_message_refers_to_goes_after_a_day(attaching: Attaching) -> None:
    await with_everything(attaching)
    janitor = attaching.janitor()
    attaching.clock.later = DAY - timedelta(minutes=1)
    assert await janitor.turn()
    assert await counts(attaching) == [1, 1, 1, 1]
    attaching.clock.later = DAY + timedelta(minutes=1)
    assert await janitor.turn()
    assert await counts(attaching) == [0, 0, 0, 0]
    assert await attaching.stored() == []
    assert await attaching.count(DoomedBlobRow) == 0
    assert await attaching.count(ConversationRow) == 1


async def test_what_a_message_refers_to_stays_with_its_content(attaching: Attaching) -> None:
    row_id, made, file, page = await with_everything(attaching)
    await attaching.documents.add(ANN, "c", [document("<p>"), document("<div>")])
    await attaching.use(row_id, documents=[made], files=[file], web_resources=[page])
    attaching.clock.later = 2 * DAY
    await attaching.janitor().turn()
    assert await counts(attaching) == [1, 1, 1, 1]
    assert len(await attaching.stored()) == 1
    ((_, content),) = await attaching.documents.get(ANN, "c", [made])
    assert content == "<p>"


async def test_many_unused_things_go_in_one_turn(attaching: Attaching) -> None:
    for number in range(3):
        await attaching.conversation(f"c{number}")
        await attaching.documents.add(ANN, f"c{number}", [document(str(one)) for one in range(90)])
    attaching.clock.later = 2 * DAY
    await attaching.janitor().turn()
    assert await counts(attaching) == [0, 0, 0, 0]


async def test_conversations_go_when_nobody_has_touched_them_for_so_long(attaching: Attaching) -> None:
    row_id, made, file, page = await with_everything(attaching)
    await attaching.use(row_id, documents=[made], files=[file], web_resources=[page])
    visited = await attaching.conversation("visited")
    janitor = attaching.janitor(retention_days=30)
    attaching.clock.later = 31 * DAY
    async with attaching.database.transaction() as tx:
        now = attaching.clock.now()
        await tx.execute(
            update(ConversationRow).where(ConversationRow.row_id == visited).values(last_visited_at=now - DAY)
        )
    await attaching.janitor().turn()
    assert await attaching.count(ConversationRow) == 2
    await janitor.turn()
    async with attaching.database.reading() as tx:
        assert list(await tx.scalars(select(ConversationRow.id))) == ["visited"]
    assert await counts(attaching) == [0, 0, 0, 0]
    assert await attaching.stored() == []


async def test_deleting_a_conversation_dooms_its_files_or_nothing_happens(attaching: Attaching) -> None:
    row_id, *_ = await with_everything(attaching)

    async def remove() -> None:
        async with attaching.database.transaction() as tx:
            await doom_files(tx, attaching.doomed, row_id, attaching.clock.now())
            await ConversationRepository(tx, ANN).delete(row_id)
            if await tx.scalar(select(ConversationRow.row_id)) is not None or is_failing:
                raise RuntimeError("the process ends")

    is_failing = True
    with pytest.raises(RuntimeError):
        await remove()
    assert await counts(attaching) == [1, 1, 1, 1]
    assert await attaching.count(DoomedBlobRow) == 0
    is_failing = False
    await remove()
    assert await counts(attaching) == [0, 0, 0, 0]
    assert await attaching.count(DoomedBlobRow) == 1
    await attaching.janitor().turn()
    assert await attaching.stored() == []


def identity_of(attaching: Attaching) -> Identity:
    return Identity(attaching.database, attaching.coordination.broadcast, MasterSecrets(("secret" * 6,)))


async def test_a_deleted_tenant_leaves_nothing_behind(attaching: Attaching) -> None:
    await with_everything(attaching)
    for number in range(3):
        await attaching.conversation(f"z{number}", ZOE)
        await attaching.add_file(to=f"z{number}", of=ZOE)
    identity = identity_of(attaching)
    await attaching.janitor(tenants=identity).turn()
    assert await attaching.count(ConversationRow) == 4
    await identity.delete_tenant("other")
    await attaching.janitor(tenants=identity).turn()
    assert await identity.deleted_tenants() == []
    assert await attaching.count(TenantRow) == 1
    assert await counts(attaching) == [1, 1, 1, 1]
    assert await attaching.count(ConversationRow) == 1
    assert len(await attaching.stored()) == 1


async def test_a_tenant_that_another_room_still_knows_is_forgotten_when_that_room_has(attaching: Attaching) -> None:
    await attaching.conversation("z", ZOE)
    await attaching.add_file(to="z", of=ZOE)
    now = attaching.clock.now()
    async with attaching.database.transaction() as tx:
        tx.add(McpConnectionRow(tenant_id="other", user_id="zoe", server="s", sealed=b"x", connected_at=now))
    identity = identity_of(attaching)
    await identity.delete_tenant("other")
    assert await attaching.janitor(tenants=identity).turn()
    assert await attaching.count(ConversationRow) == 0
    assert await attaching.stored() == []
    assert await identity.deleted_tenants() == ["other"]

    async def forget(tenant_id: str) -> None:
        async with attaching.database.transaction() as tx:
            await tx.execute(delete(McpConnectionRow).where(McpConnectionRow.tenant_id == tenant_id))

    assert await attaching.janitor(tenants=identity, others=[forget]).turn()
    assert await identity.deleted_tenants() == []


async def test_one_replica_cleans_at_a_time(attaching: Attaching) -> None:
    await with_everything(attaching)
    attaching.clock.later = 2 * DAY
    lease = await attaching.coordination.leases.acquire("janitor", 60)
    assert lease is not None
    assert not await attaching.janitor().turn()
    assert await counts(attaching) == [1, 1, 1, 1]
    await attaching.coordination.leases.release(lease)
    assert await attaching.janitor().turn()
    assert await attaching.janitor().turn()
    assert await counts(attaching) == [0, 0, 0, 0]


async def test_storage_is_asked_to_tidy_up_but_not_every_time(attaching: Attaching, tmp_path: Path) -> None:
    draft = tmp_path / "files" / "conversations" / "key#1"
    janitor = attaching.janitor(storage=attaching.storage)
    for is_left in (False, True):
        draft.parent.mkdir(exist_ok=True)
        draft.write_bytes(b"half of an upload")
        os.utime(draft, (0, 0))
        await janitor.turn()
        assert draft.exists() is is_left


class Away:
    """Coordination that cannot be reached, or is lost at the first renewal."""

    def __init__(self, *, at_once: bool) -> None:
        self._at_once = at_once

    async def acquire(self, key: str, ttl_s: float, holder: bytes = b"") -> Lease | None:
        if self._at_once:
            raise CoordinationUnavailable("away")
        return Lease(key, "token", 1)

    async def renew(self, lease: Lease, ttl_s: float) -> bool:
        return False

    async def release(self, lease: Lease) -> bool:
        raise CoordinationUnavailable("away")


@pytest.mark.parametrize("at_once", [True, False])
async def test_without_a_lease_nothing_is_cleaned_and_nothing_fails(attaching: Attaching, at_once: bool) -> None:
    await with_everything(attaching)
    attaching.clock.later = 2 * DAY
    assert await attaching.janitor(leases=Away(at_once=at_once)).turn() is not at_once
    assert await counts(attaching) == [1, 1, 1, 1]


async def test_cleaning_and_using_meet_without_harm(attaching: Attaching) -> None:
    """What is used while it is being collected is either there for the message, or said not to be."""
    row_id = await attaching.conversation()
    ids = await attaching.documents.add(ANN, "c", [document(str(number % 5)) for number in range(40)])
    attaching.clock.later = 2 * DAY

    async def use(document_id: str) -> bool:
        try:
            async with attaching.database.transaction() as tx:
                await ConversationRepository(tx, ANN).get("c", to_change=True)
                await AttachmentRepository(tx, row_id).mark_used(attaching.clock.now(), documents=[document_id])
        except AttachmentNotFound:
            return False
        return True

    *used, _ = await asyncio.gather(*map(use, ids), attaching.janitor().turn())
    left = [one for one, was_used in zip(ids, used, strict=True) if was_used]
    found = await attaching.documents.get(ANN, "c", left) if left else []
    assert len(found) == len(left) == await attaching.count(DocumentRow)
