"""The editor's content: read back as it was uploaded, kept once, and only its owner's."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from penstock.editor.conversations.asking import MOST_CHARACTERS
from penstock.editor.conversations.attached import AttachmentRepository
from penstock.editor.conversations.attachment_errors import AttachmentInUse, AttachmentNotFound
from penstock.editor.conversations.attachment_schemas import NewDocument
from penstock.editor.conversations.documents import MAX_CONTENT_BYTES
from penstock.editor.conversations.tables import DocumentContentRow, DocumentRow
from tests.editor.attaching import ANN, Attaching
from tests.editor.attaching import attaching as attaching
from tests.editor.conftest import Editor, Tenant
from tests.fakes.editor_client import EditorClient, Refused
from tests.service import Service

HTML = '<p data-id="abcd">Grüße\r\n\t“quoted” 😀 \\ \' " &amp; \u2028</p>\n'


def document(content: str = HTML, **fields: Any) -> NewDocument:
    return NewDocument.model_validate({"content": content, **fields})


# --- through the front door -------------------------------------------------------------------------------------------


def test_a_document_is_read_back_as_it_was_uploaded(editor: EditorClient) -> None:
    conversation = editor.create()
    made = editor.add_document(conversation, HTML)
    assert len(made) == 21
    found = editor.document(conversation, made)
    assert (found["content"], found["conversationId"]) == (HTML, conversation)
    assert found.keys() == {"id", "content", "createdAt", "conversationId"}


def test_what_ckeditor_says_of_a_document_comes_back_as_its_attributes(editor: EditorClient) -> None:
    conversation = editor.create()
    selection = {"start": 0, "end": 3, "htmlFragment": "<p>"}
    made = editor.add_document(
        conversation,
        HTML,
        version=7,
        sessionId=None,
        channelId="ch",
        rootName="main",
        attributes={"mine": [1]},
        name="Main",
        description="The article",
        selections=[selection],
    )
    found = editor.document(conversation, made)
    said = {"version": 7, "sessionId": None, "channelId": "ch", "rootName": "main", "mine": [1]}
    assert found["attributes"] == said
    assert (found["name"], found["description"], found["selections"]) == ("Main", "The article", [selection])


@pytest.mark.parametrize("wrapped", [True, False])
def test_documents_come_in_batches_all_of_them_or_none(editor: EditorClient, wrapped: bool) -> None:
    conversation = editor.create()
    path = f"/v1/conversations/{conversation}/documents/batch"
    bodies = [{"content": f"<p>{number}</p>", "name": f"root {number}"} for number in range(3)]
    made = editor.ask("POST", "documents", path, {"documents": bodies} if wrapped else bodies)
    ids = [one["id"] for one in made]
    assert [editor.document(conversation, one)["content"] for one in ids] == ["<p>0</p>", "<p>1</p>", "<p>2</p>"]
    for wrong in ([], [{"content": "x"}] * 101, [*bodies, {"content": 1}], {"documents": {}}, "x"):
        with pytest.raises(Refused, match="400"):
            editor.ask("POST", "documents", path, wrong)


@pytest.mark.parametrize("query", ["ids={0}&ids={1}", "ids={0},{1}", "documentIds={0},{1}", "documentIds={0}&ids={1}"])
def test_documents_are_read_in_batches_in_the_order_asked_for(editor: EditorClient, query: str) -> None:
    conversation = editor.create()
    ids = [editor.add_document(conversation, f"<p>{number}</p>") for number in range(2)]
    path = f"/v1/conversations/{conversation}/documents/batch?"
    found = editor.ask("GET", "document", path + query.format(*ids))
    assert {one["id"] for one in found} == set(ids)
    if not query.startswith("documentIds={0}&"):
        assert [one["content"] for one in found] == ["<p>0</p>", "<p>1</p>"]
    with pytest.raises(Refused, match=r"404.*`nothing`"):
        editor.ask("GET", "document", f"{path}ids={ids[0]},nothing")
    with pytest.raises(Refused, match="400"):
        editor.ask("GET", "document", path)
    with pytest.raises(Refused, match="400"):
        editor.ask("GET", "document", path + "ids=" + ",".join(f"{number:021}" for number in range(101)))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"content": None},
        {"content": 5},
        {"content": "a\0b"},
        {"content": "", "attributes": []},
        [],
        "x",
    ],
)
def test_wrong_fields_of_a_document_are_refused(editor: EditorClient, body: Any) -> None:
    conversation = editor.create()
    with pytest.raises(Refused, match="400"):
        editor.ask("POST", "documents", f"/v1/conversations/{conversation}/documents", body)


@pytest.mark.parametrize("path", ["documents", "documents/batch"])
def test_half_a_character_is_refused(editor: EditorClient, path: str) -> None:
    body = b'{"content": "a\\ud83d"}' if path == "documents" else b'[{"content": "a\\ud83d"}]'
    url = f"/v1/conversations/{editor.create()}/{path}"
    answer = editor._http.post(url, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-request-data")
    assert "half of a character" in answer.json()["message"]


def test_a_document_has_ten_mebibytes_at_most(service: Service, tenant: Tenant, editor: EditorClient) -> None:
    conversation = editor.create()
    largest = '"é' * (MAX_CONTENT_BYTES // 3)
    largest += "x" * (MAX_CONTENT_BYTES - len(largest.encode()))
    assert editor.document(conversation, editor.add_document(conversation, largest))["content"] == largest
    path = f"/v1/conversations/{conversation}/documents"
    answer = editor._http.post(path, json={"content": largest + "x"})
    assert (answer.status_code, answer.json()["code"]) == (413, "content-too-large")
    (issue,) = answer.json()["data"]["issues"]
    assert (issue["type"], issue["length"], issue["maxLength"]) == (
        "too-long",
        MAX_CONTENT_BYTES + 1,
        MAX_CONTENT_BYTES,
    )
    assert issue["message"] == answer.json()["message"]


def test_what_a_message_brings_is_measured_before_it_is_read(editor: EditorClient) -> None:
    conversation = editor.create()
    content = "x" * MAX_CONTENT_BYTES
    items = [{"type": "document", "id": editor.add_document(conversation, content)} for _ in range(3)]
    with pytest.raises(Refused) as refused:
        editor.said(conversation, "Compare them", content=items)
    assert (refused.value.status, refused.value.body["code"]) == (413, "content-too-large")
    assert refused.value.body["data"]["issues"][0]["length"] == 3 * MAX_CONTENT_BYTES
    assert refused.value.body["data"]["issues"][0]["maxLength"] == MOST_CHARACTERS


def test_t_34_documents_of_others_are_not_there(
    service: Service, editors: Editor, editor: EditorClient, other_tenant: Tenant
) -> None:
    conversation = editor.create()
    made = editor.add_document(conversation, HTML)
    mine = editor.create()
    for stranger in (editors("somebody else"), editors("user-1", of=other_tenant)):
        for call in (
            lambda one: one.document(conversation, made),
            lambda one: one.add_document(conversation, HTML),
            lambda one: one.ask("DELETE", "document", f"/v1/conversations/{conversation}/documents/{made}"),
            lambda one: one.ask("GET", "document", f"/v1/conversations/{conversation}/documents/batch?ids={made}"),
        ):
            with pytest.raises(Refused, match="404: conversation does not exist"):
                call(stranger)
    with pytest.raises(Refused, match="404: There is no document"):
        editor.document(mine, made)
    for none in ("x", "%00", "x" * 400, "%ED%A0%BD"):
        with pytest.raises(Refused, match="404"):
            editor.document(conversation, none)


def test_reading_and_writing_documents_need_their_permissions(service: Service, editors: Editor) -> None:
    writer = editors("documents", permissions=["ai:conversations:create", "ai:conversations:webSearch"])
    reader = editors("documents", permissions=["ai:conversations:read"])
    conversation = writer.create()
    made = writer.add_document(conversation, HTML)
    assert reader.document(conversation, made)["content"] == HTML
    with pytest.raises(Refused, match="403"):
        writer.document(conversation, made)
    with pytest.raises(Refused, match="403"):
        reader.add_document(conversation, HTML)
    with pytest.raises(Refused, match="403"):
        reader.ask("DELETE", "document", f"/v1/conversations/{conversation}/documents/{made}")


def test_a_document_that_no_message_refers_to_can_be_deleted(editor: EditorClient) -> None:
    conversation = editor.create()
    made = editor.add_document(conversation, HTML)
    path = f"/v1/conversations/{conversation}/documents/{made}"
    assert editor.ask("DELETE", "document", path) is None
    for method in ("DELETE", "GET"):
        with pytest.raises(Refused, match="404"):
            editor.ask(method, "document", path)


def test_a_document_that_was_sent_with_a_message_cannot_be_deleted(service: Service, editor: EditorClient) -> None:
    conversation = editor.create()
    made = editor.add_document(conversation, HTML)
    editor.said(conversation, "Hi", content=[{"type": "document", "id": made, "selection": []}])
    with pytest.raises(Refused, match="409: The document cannot be removed"):
        editor.ask("DELETE", "document", f"/v1/conversations/{conversation}/documents/{made}")
    assert editor.document(conversation, made)["content"] == HTML


# --- on every database ------------------------------------------------------------------------------------------------


async def test_the_same_content_is_kept_once_in_a_conversation(attaching: Attaching) -> None:
    await attaching.conversation("c")
    await attaching.conversation("d")
    (first, second) = await attaching.documents.add(ANN, "c", [document(), document(name="again")])
    (third,) = await attaching.documents.add(ANN, "c", [document()])
    await attaching.documents.add(ANN, "d", [document()])
    assert await attaching.count(DocumentContentRow) == 2
    found = await attaching.documents.get(ANN, "c", [third, first, second])
    assert [(row.name, content) for row, content in found] == [(None, HTML), (None, HTML), ("again", HTML)]
    for one in (first, second):
        await attaching.documents.delete(ANN, "c", one)
    assert await attaching.count(DocumentContentRow) == 2
    await attaching.documents.delete(ANN, "c", third)
    assert await attaching.count(DocumentContentRow) == 1
    assert await attaching.count(DocumentRow) == 1


async def test_the_same_content_can_be_uploaded_and_deleted_by_many_at_once(attaching: Attaching) -> None:
    await attaching.conversation()
    (old,) = await attaching.documents.add(ANN, "c", [document()])
    uploads = [attaching.documents.add(ANN, "c", [document(), document("other"), document()]) for _ in range(8)]
    made, *_ = await asyncio.gather(asyncio.gather(*uploads), attaching.documents.delete(ANN, "c", old))
    ids = [one for some in made for one in some]
    found = await attaching.documents.get(ANN, "c", ids)
    assert [content for _, content in found] == [HTML, "other", HTML] * 8
    assert await attaching.count(DocumentContentRow) == 2


async def test_contents_that_look_alike_to_a_server_are_told_apart(attaching: Attaching) -> None:
    await attaching.conversation()
    contents = ["a", "A", "á", "a ", "", " ", "a\r\n", "a\n"]
    ids = await attaching.documents.add(ANN, "c", [document(one) for one in contents])
    assert [content for _, content in await attaching.documents.get(ANN, "c", ids)] == contents


async def test_the_largest_document_fits_every_database(attaching: Attaching) -> None:
    await attaching.conversation()
    largest = "'" * MAX_CONTENT_BYTES
    (made,) = await attaching.documents.add(ANN, "c", [document(largest)])
    ((_, content),) = await attaching.documents.get(ANN, "c", [made])
    assert content == largest


async def test_documents_that_are_too_much_together_are_not_read_at_once(attaching: Attaching) -> None:
    await attaching.conversation()
    half = "x" * (MAX_CONTENT_BYTES - 1)
    ids = await attaching.documents.add(ANN, "c", [document(half) for _ in range(3)])
    with pytest.raises(Exception, match="can be read at once"):
        await attaching.documents.get(ANN, "c", ids)
    assert len(await attaching.documents.get(ANN, "c", ids[:2])) == 2


async def test_a_document_that_a_message_refers_to_stays(attaching: Attaching) -> None:
    row_id = await attaching.conversation()
    (made,) = await attaching.documents.add(ANN, "c", [document()])
    await attaching.use(row_id, documents=[made])
    with pytest.raises(AttachmentInUse):
        await attaching.documents.delete(ANN, "c", made)
    async with attaching.attached(row_id) as attached:
        assert {one: content for one, (_, content) in (await attached.documents([made, "x", "\0"])).items()} == {
            made: HTML
        }
    with pytest.raises(AttachmentNotFound):
        await attaching.use(row_id, documents=["A" * 21])
    with pytest.raises(AttachmentNotFound):
        await attaching.use(row_id, documents=["\ud83d"])


async def test_the_first_use_of_a_document_is_kept(attaching: Attaching) -> None:
    row_id = await attaching.conversation()
    ids = await attaching.documents.add(ANN, "c", [document("a"), document("b")])
    await attaching.use(row_id, documents=[ids[0]])
    async with attaching.database.reading() as tx:
        first = await tx.scalar(select(DocumentRow.used_at).where(DocumentRow.id == ids[0]))
    await attaching.use(row_id, documents=ids)
    async with attaching.database.reading() as tx:
        found = await AttachmentRepository(tx, row_id).documents(ids)
    assert found[ids[0]][0].used_at == first
    assert found[ids[1]][0].used_at is not None
