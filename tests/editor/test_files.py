"""Files: recognised by their bytes, read at once, bounded, kept whole or not at all."""

import asyncio
import io
import json
import socket
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.editor.conversations.attachment_errors import (
    AttachmentInUse,
    FileTypeNotAccepted,
    FileUnreadable,
    NobodyReadsIt,
    OverLimit,
)
from penstock.editor.conversations.errors import ConversationNotFound
from penstock.editor.conversations.repository import ConversationRepository
from penstock.editor.conversations.tables import FileRow
from penstock.errors import Unprocessable
from penstock.storage.base import Storage, StorageUnreachable
from penstock.storage.tables import DoomedBlobRow
from tests.editor.attaching import ANN, SMALL, Attaching, jpeg, png
from tests.editor.attaching import attaching as attaching
from tests.editor.conftest import Editor, Tenant, caller, eventually
from tests.fakes.editor_client import EditorClient, Refused
from tests.fakes.openai_upstream import running_upstream
from tests.gateway.inference.files import DOCX, PDF, docx, encrypted_pdf, pdf, pptx, xlsx, zipped
from tests.service import Service, service_env, start_service, with_tenant

ACCEPTED = [
    ("plan.pdf", pdf("The plan"), PDF, "pdf", "The plan"),
    ("plan.docx", docx(), DOCX, "docx", "Grüße from the plan."),
    ("dot.png", png(), "image/png", "png", None),
    ("dot.jpg", jpeg(), "image/jpeg", "jpeg", None),
    ("notes.md", b"# Notes\n\n%PDF is a format", "text/markdown", "markdown", "# Notes"),
    ("page.html", b"<!doctype html><p>Hello<script>evil()</script>", "text/html", "html", "Hello"),
    ("page.htm", b"<p>Hello</p>", "text/html", "html", "Hello"),
    ("plain.txt", "Grüße".encode("cp1252"), "text/plain", "text", "Grüße"),
    ("plain.txt", "Grüße".encode("utf-16"), "text/plain", "text", "Grüße"),
]
DEFAULT_FILE_BYTES = 7_340_032


def files_of(editor: EditorClient, conversation: str) -> Any:
    return editor.ask("GET", "document", f"/v1/conversations/{conversation}/files")["items"]


def refused(editor: EditorClient, conversation: str, name: str, content: bytes, mime: str = "") -> Refused:
    with pytest.raises(Refused) as found:
        editor.add_file(conversation, name, content, mime)
    return found.value


# --- through the front door -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, content, mime, kind, _text", ACCEPTED, ids=[name for name, *_ in ACCEPTED])
@pytest.mark.parametrize("declared", [True, False])
def test_t_24_every_accepted_type_is_taken_declared_or_not(
    editor: EditorClient, name: str, content: bytes, mime: str, kind: str, _text: str | None, declared: bool
) -> None:
    conversation = editor.create()
    made = editor.add_file(conversation, name, content, mime if declared else "")
    (found,) = files_of(editor, conversation)
    assert (found["id"], found["name"], found["format"], found["sizeBytes"]) == (made, name, kind, len(content))
    assert (found["mimeType"], found["used"]) == (mime, False)
    assert editor.ask("GET", "document", f"/v1/conversations/{conversation}/files/{made}") == found
    assert found.get("pages") == (1 if kind == "pdf" else None)


def test_t_24_markdown_with_an_empty_type_is_markdown(service: Service, tenant: Tenant, editor: EditorClient) -> None:
    conversation = editor.create()
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="notes.md"\r\nContent-Type: \r\n\r\n# Notes\r\n'
        b'--b\r\nContent-Disposition: form-data; name="attributes"\r\n\r\n{"mimeType": ""}\r\n--b--\r\n'
    )
    answer = editor._http.post(
        f"/v1/conversations/{conversation}/files",
        content=body,
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    assert answer.status_code == 201, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert [one["format"] for one in files_of(editor, conversation)] == ["markdown"]


@pytest.mark.parametrize(
    "name, content, mime, kind",
    [
        ("picture.pdf", png(), PDF, "png"),
        ("picture.txt", jpeg(), "text/plain", "jpeg"),
        ("letter.png", pdf("Dear"), "image/png", "pdf"),
        ("letter.md", docx(), "text/markdown", "docx"),
        ("page.pdf", b"\xef\xbb\xbf \n<HTML><body>Not found</body></HTML>", PDF, "html"),
        ("noname", b"Hello", "text/plain; charset=utf-8", "text"),
    ],
)
def test_t_24_bytes_decide_and_not_what_is_said_of_them(
    editor: EditorClient, name: str, content: bytes, mime: str, kind: str
) -> None:
    conversation = editor.create()
    editor.add_file(conversation, name, content, mime)
    assert [one["format"] for one in files_of(editor, conversation)] == [kind]


@pytest.mark.parametrize(
    "name, content, mime",
    [
        ("costs.xlsx", xlsx(), ""),
        ("talk.pptx", pptx(), ""),
        ("all.zip", zipped(a=b"b"), "application/zip"),
        ("old.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "application/msword"),
        ("moving.gif", b"GIF89a" + b"\0" * 30, "image/gif"),
        ("song.mp3", b"ID3\x03\0\0\0", "audio/mpeg"),
        ("rich.rtf", b"{\\rtf1 Hello}", "application/rtf"),
        ("data.json", b"{}", "application/json"),
        ("noname", b"Hello", ""),
        ("run.exe", b"MZ\x90\0\x03", ""),
    ],
)
def test_t_24_other_types_are_not_accepted(editor: EditorClient, name: str, content: bytes, mime: str) -> None:
    conversation = editor.create()
    error = refused(editor, conversation, name, content, mime)
    assert (error.status, error.body["code"]) == (415, "unsupported-media-type")
    assert name in error.body["message"]
    assert files_of(editor, conversation) == []


def bomb() -> bytes:
    """A Word file whose text unpacks to half a gigabyte."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(docx())) as before, zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as after:
        for member in before.namelist():
            if member != "word/document.xml":
                after.writestr(member, before.read(member))
        with after.open("word/document.xml", "w") as document:
            for _ in range(512):
                document.write(b" " * 1024 * 1024)
    return written.getvalue()


def office_locked() -> bytes:
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 504 + "EncryptedPackage".encode("utf-16-le") + b"\0" * 99


@pytest.mark.parametrize(
    "name, content, why",
    [
        ("locked.pdf", encrypted_pdf(), "password"),
        ("cut.pdf", pdf("The plan")[:40], "damaged"),
        ("locked.docx", office_locked(), "password"),
        ("cut.docx", docx()[:4000], "damaged"),
        ("bomb.docx", bomb(), "too large once it is unpacked"),
        ("cut.png", png()[:-20], "damaged"),
        ("cut.jpg", jpeg()[:-6], "damaged"),
        ("web.png", b"\x89PNG\r\n\x1a\n<html><script>alert(1)</script></html>", "damaged"),
        ("two.html", b"<html><!--\n" + pdf("Hidden") + b"\n--></html>", "two kinds of file in one"),
        ("text.pdf", b"This is no PDF", "damaged"),
        ("noise.txt", b"\x01\0\x02\0\0\0", "damaged"),
        ("scan.pdf", pdf("", ""), "only pictures of it, and no model"),
        ("empty.txt", b"", "empty"),
        ("blank.md", b" \n\t", "no text"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words_and_not_kept(
    editor: EditorClient, name: str, content: bytes, why: str
) -> None:
    conversation = editor.create()
    error = refused(editor, conversation, name, content)
    assert (error.status, error.body["code"]) == (422, "file-unreadable")
    assert error.body["message"].startswith(f"“{name}” cannot be read: ")
    assert why in error.body["message"]
    assert files_of(editor, conversation) == []


def test_t_24_a_file_at_the_limit_is_taken_and_one_byte_more_is_not(editor: EditorClient) -> None:
    conversation = editor.create()
    editor.add_file(conversation, "large.txt", b"x" * DEFAULT_FILE_BYTES)
    error = refused(editor, conversation, "large.txt", b"x" * (DEFAULT_FILE_BYTES + 1))
    assert (error.status, error.body["code"]) == (413, "content-too-large")
    assert error.body["data"]["issues"] == [
        {
            "type": "too-long",
            "message": error.body["message"],
            "length": DEFAULT_FILE_BYTES + 1,
            "maxLength": DEFAULT_FILE_BYTES,
        }
    ]
    editor.add_file(conversation, "large.png", png(padding=5_000_000 - len(png())))
    error = refused(editor, conversation, "large.png", png(padding=5_000_001 - len(png())))
    assert error.body["data"]["issues"][0]["maxLength"] == 5_000_000


def test_t_24_the_101st_file_is_one_too_many(editor: EditorClient) -> None:
    conversation = editor.create()
    ids = [editor.add_file(conversation, f"{number}.txt", b"x") for number in range(100)]
    error = refused(editor, conversation, "last.txt", b"x")
    assert error.status == 413
    assert (error.body["data"]["issues"][0]["length"], error.body["data"]["issues"][0]["maxLength"]) == (101, 100)
    assert [one["id"] for one in files_of(editor, conversation)] == ids
    editor.remove_file(conversation, ids[0])
    editor.add_file(conversation, "last.txt", b"x")


def test_t_24_all_pdfs_have_a_hundred_pages_together(editor: EditorClient) -> None:
    conversation = editor.create()
    editor.add_file(conversation, "long.pdf", pdf(*["page"] * 60))
    error = refused(editor, conversation, "longer.pdf", pdf(*["page"] * 41))
    assert error.status == 413
    assert (error.body["data"]["issues"][0]["length"], error.body["data"]["issues"][0]["maxLength"]) == (101, 100)
    editor.add_file(conversation, "shorter.pdf", pdf(*["page"] * 39, ""))
    assert [one["pages"] for one in files_of(editor, conversation)] == [60, 40]


def test_t_24_an_unused_file_can_be_removed_once(editor: EditorClient) -> None:
    conversation = editor.create()
    made = editor.add_file(conversation, "a.txt", b"x")
    editor.remove_file(conversation, made)
    with pytest.raises(Refused, match="404"):
        editor.remove_file(conversation, made)
    with pytest.raises(Refused, match="404"):
        editor.remove_file(conversation, "never")


def test_t_24_a_used_file_cannot_be_removed(service: Service, editor: EditorClient) -> None:
    conversation = editor.create()
    made = editor.add_file(conversation, "plan.md", b"# The secret plan")
    reply = editor.said(conversation, "What is the plan?", content=[{"type": "file", "id": made}])
    assert reply.names[-1] == "done"
    assert b"The secret plan" in service.upstream.chats[0].body
    with pytest.raises(Refused, match="409: The file cannot be removed"):
        editor.remove_file(conversation, made)
    assert [one["used"] for one in files_of(editor, conversation)] == [True]


def test_a_deleted_conversation_is_gone_with_its_files(service: Service, editor: EditorClient) -> None:
    conversation = editor.create()
    made = editor.add_file(conversation, "a.txt", b"x")
    editor.delete(conversation)
    editor.create(conversation)
    assert files_of(editor, conversation) == []
    with pytest.raises(Refused, match="404: There is no file"):
        editor.remove_file(conversation, made)


def test_attributes_and_the_name_are_kept(editor: EditorClient) -> None:
    conversation = editor.create()
    attributes = {"mimeType": "text/markdown", "label": "😀", "predefinedSourceId": "x", "deep": [{"a": None}]}
    editor.add_file(conversation, "Übersicht.unknown", b"# Hi", attributes=attributes)
    editor.add_file(conversation, "../../etc/pass\u202ewd.txt", b"Hi")
    editor.add_file(conversation, "C:\\files\\" + "x" * 300 + ".txt", b"Hi")
    first, second, third = files_of(editor, conversation)
    assert (first["name"], first["attributes"], first["format"]) == ("Übersicht.unknown", attributes, "markdown")
    assert second["name"] == "passwd.txt"
    assert third["name"] == "x" * 251 + ".txt"


@pytest.mark.parametrize("attributes", ["[]", "{", "null", '"x"', '{"a": "\\ud83d"}', '{"a": "' + "x" * 70_000 + '"}'])
def test_wrong_attributes_are_refused(editor: EditorClient, attributes: str) -> None:
    conversation = editor.create()
    answer = editor._http.post(
        f"/v1/conversations/{conversation}/files", files={"file": ("a.txt", b"x")}, data={"attributes": attributes}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-request-data")
    assert files_of(editor, conversation) == []


_FORM = {"Content-Type": "multipart/form-data; boundary=b"}
_PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nHello'


@pytest.mark.parametrize(
    "headers, body",
    [
        (_FORM, b""),
        (_FORM, b"nonsense"),
        (_FORM, _PART),
        (_FORM, b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nHello\r\n--b--\r\n'),
        (_FORM, b"--b\r\n\r\nHello\r\n--b--\r\n"),
        (_FORM, (_PART + b"\r\n") * 2 + b"--b--\r\n"),
        ({"Content-Type": "multipart/form-data"}, _PART),
        ({"Content-Type": "multipart/form-data; boundary=b; charset=undefined"}, _PART + b"\r\n--b--\r\n"),
        ({"Content-Type": "multipart/form-data; boundary=" + "x" * 300}, _PART),
        ({"Content-Type": "application/json"}, b"{}"),
        ({}, b"Hello"),
    ],
)
def test_a_form_without_a_whole_file_is_refused(editor: EditorClient, headers: dict[str, str], body: bytes) -> None:
    conversation = editor.create()
    answer = editor._http.post(f"/v1/conversations/{conversation}/files", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-request-data"), answer.text
    assert "multipart/form-data" in answer.json()["action"]


def test_an_upload_that_the_user_takes_back_leaves_nothing(service: Service, editor: EditorClient) -> None:
    conversation = editor.create()
    path = f"/v1/conversations/{conversation}/files"
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Length: 1000000"]
    lines += [f"{name}: {value}" for name, value in {**editor._http.headers, **_FORM}.items() if ":" not in name]
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + _PART)
    eventually(lambda: any(one.get("path") == path and one.get("outcome") == "client-abort" for one in service.logs))
    assert files_of(editor, conversation) == []


def test_a_large_upload_that_is_refused_at_once_learns_why(editor: EditorClient) -> None:
    assert refused(editor, "none", "a.txt", b"x" * 5_000_000).status == 404
    assert refused(editor, editor.create(), "a.txt", b"x" * 53_000_000).status == 413


def test_t_34_files_of_others_are_not_there(editors: Editor, editor: EditorClient, other_tenant: Tenant) -> None:
    conversation = editor.create()
    made = editor.add_file(conversation, "a.txt", b"x")
    for stranger in (editors("somebody else"), editors("user-1", of=other_tenant)):
        for call in (
            lambda one: one.add_file(conversation, "a.txt", b"x"),
            lambda one: files_of(one, conversation),
            lambda one: one.ask("GET", "document", f"/v1/conversations/{conversation}/files/{made}"),
            lambda one: one.remove_file(conversation, made),
        ):
            with pytest.raises(Refused, match="404: conversation does not exist"):
                call(stranger)
    with pytest.raises(Refused, match="404: There is no file"):
        editor.remove_file(editor.create(), made)


def test_each_format_has_a_permission_of_its_own(editors: Editor) -> None:
    chats = ["ai:conversations:read", "ai:conversations:write"]
    owner = editors("formats")
    conversation = owner.create()
    png_id = owner.add_file(conversation, "dot.png", png())
    text = editors("formats", permissions=[*chats, "ai:conversations:context:files:text"])
    text_id = text.add_file(conversation, "a.txt", b"x")
    for name, content, _, kind, _ in ACCEPTED[:6]:
        error = refused(text, conversation, name, content)
        assert (error.status, error.body["code"]) == (403, "missing-permissions")
        assert f"ai:conversations:context:files:{kind}" in error.body["explanation"]
    with pytest.raises(Refused, match="403"):
        text.remove_file(conversation, png_id)
    text.remove_file(conversation, text_id)
    for granted in (
        "ai:conversations:context:files:*",
        "ai:conversations:context:*",
        "ai:conversations:context:files:TXT",
    ):
        editors("formats", permissions=[*chats, granted]).add_file(conversation, "a.txt", b"x")
    onprem = editors("formats", permissions=["ai:conversations:create", "ai:conversations:read"])
    onprem.add_file(conversation, "a.txt", b"x")
    none = editors("formats", permissions=chats)
    assert refused(none, conversation, "a.txt", b"x").status == 403
    with pytest.raises(Refused, match="403"):
        none.remove_file(conversation, png_id)


@pytest.fixture(scope="module")
def bounded_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Bodies of 100 kB, uploads of 300 kB; and a model that may read PDFs as they are."""
    folder = tmp_path_factory.mktemp("bounded")
    with running_upstream() as upstream:
        env = service_env(upstream, folder, MAX_BODY_BYTES="100000", MAX_UPLOAD_BYTES="300000")
        providers = {"mock": {"type": "openai", "baseUrl": upstream.url, "apiKeys": ["sk-upstream-key-1234"]}}
        models = [{"id": "gpt-5", "provider": "mock", "features": ["conversations"], "description": "d"}]
        env |= {"PROVIDERS": json.dumps(providers), "MODELS": json.dumps(models)}
        with start_service(env, upstream) as service:
            yield with_tenant(service)


def test_uploads_have_a_limit_of_their_own(bounded_service: Service) -> None:
    with EditorClient(bounded_service.url, bounded_service.token_headers(permissions=["ai:conversations:*"])) as editor:
        conversation = editor.create()
        editor.add_file(conversation, "a.txt", b"x" * 290_000)
        path = f"/v1/conversations/{conversation}"

        def pieces() -> Iterator[bytes]:
            yield _PART
            for _ in range(40):
                yield b"x" * 10_000

        for answer, variable in (
            (editor._http.post(f"{path}/files", files={"file": ("a.txt", b"x" * 300_000)}), "MAX_UPLOAD_BYTES"),
            (editor._http.post(f"{path}/files", content=pieces(), headers=_FORM), "MAX_UPLOAD_BYTES"),
            (editor._http.post(f"{path}/documents", json={"content": "x" * 100_000}), "MAX_BODY_BYTES"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (413, "content-too-large")
            assert variable in answer.json()["action"]
        assert len(files_of(editor, conversation)) == 1


def test_a_scanned_pdf_is_taken_where_a_model_reads_it_as_it_is(bounded_service: Service) -> None:
    headers = bounded_service.token_headers(permissions=["ai:conversations:*", "ai:models:*"])
    with EditorClient(bounded_service.url, headers) as editor:
        conversation = editor.create()
        editor.add_file(conversation, "scan.pdf", pdf("", "", ""))
        assert [one["pages"] for one in files_of(editor, conversation)] == [3]


def test_storage_that_is_away_is_said_to_be_and_nothing_is_kept(bounded_service: Service) -> None:
    """S012."""
    files = Path(bounded_service.env["STATE_DIR"]) / "files"
    with EditorClient(bounded_service.url, bounded_service.token_headers(permissions=["ai:conversations:*"])) as editor:
        conversation = editor.create()
        aside = files.rename(files.with_name("aside"))
        files.write_text("no directory")
        answer = editor._http.post(f"/v1/conversations/{conversation}/files", files={"file": ("a.txt", b"x")})
        assert (answer.status_code, answer.json()["code"]) == (503, "storage-unavailable")
        assert files_of(editor, conversation) == []
        files.unlink()
        aside.rename(files)
        editor.add_file(conversation, "a.txt", b"x")


# --- on every database ------------------------------------------------------------------------------------------------


async def test_the_text_is_read_at_once_and_the_bytes_are_kept(attaching: Attaching) -> None:
    for number, (name, content, _, kind, text) in enumerate(ACCEPTED):
        row_id = await attaching.conversation(f"c{number}")
        made = await attaching.add_file(content, name, to=f"c{number}")
        async with attaching.attached(row_id) as attached:
            (row,) = (await attached.files([made])).values()
        assert row.format == kind
        assert row.text is None if text is None else text in (row.text or "")
        assert "evil" not in (row.text or "")
        async with attaching.storage.open(row.blob_key) as pieces:
            assert b"".join([piece async for piece in pieces]) == content


async def test_a_file_is_kept_with_its_bytes_and_nothing_is_doomed(attaching: Attaching) -> None:
    row_id = await attaching.conversation()
    await attaching.add_file(b"Grusse \xf0\x9f\x98\x80")
    (key,) = await attaching.stored()
    async with attaching.attached(row_id) as attached:
        assert list(await attached.blob_keys()) == [key]
        (row,) = await attached.all_files()
        assert (await attached.files([row.id]))[row.id].text == "Grusse 😀"
    assert key.startswith(f"conversations/{row_id}/")
    assert await attaching.count(DoomedBlobRow) == 0


async def test_used_files_come_in_the_order_of_their_first_use_and_stay(attaching: Attaching) -> None:
    row_id = await attaching.conversation()
    first, second, third = [await attaching.add_file() for _ in range(3)]
    await attaching.use(row_id, files=[second])
    attaching.clock.later += attaching.clock.later.resolution * 5_000_000
    await attaching.use(row_id, files=[first, second])
    async with attaching.attached(row_id) as attached:
        assert [row.id for row in (await attached.used_files(1_000)).rows] == [second, first]
        assert (await attached.totals()).files == 3
    with pytest.raises(AttachmentInUse):
        await attaching.files.delete(ANN, "c", second)
    await attaching.files.delete(ANN, "c", third)
    assert await attaching.count(DoomedBlobRow) == 1
    await attaching.doomed.sweep()
    assert len(await attaching.stored()) == 2


@pytest.mark.parametrize(
    "content, name, most",
    [
        (b"x", "a.txt", SMALL["maxFiles"]),
        (b"x" * 40_000, "a.txt", SMALL["maxTotalFileSize"] // 40_000),
        (pdf("a", "b"), "a.pdf", SMALL["maxTotalPdfFilePages"] // 2),
    ],
    ids=["files", "bytes", "pages"],
)
async def test_uploads_at_the_same_time_stay_within_the_limits_together(
    attaching: Attaching, content: bytes, name: str, most: int
) -> None:
    row_id = await attaching.conversation()
    outcomes = await asyncio.gather(*(attaching.add_file(content, name) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(one, str) for one in outcomes) == most
    assert all(isinstance(one, str | OverLimit) for one in outcomes)
    async with attaching.attached(row_id) as attached:
        assert (await attached.totals()).files == most
    attaching.clock.later += attaching.clock.later.resolution * 3_700_000_000
    await attaching.doomed.sweep()
    assert len(await attaching.stored()) == most


class Dies:
    """A store whose process ends, before or after the bytes are there, as far as the upload can see."""

    def __init__(self, storage: Storage, *, after: bool) -> None:
        self._storage = storage
        self._after = after

    async def put(self, key: str, content: AsyncIterator[bytes]) -> int:
        if self._after:
            await self._storage.put(key, content)
        raise StorageUnreachable("The store is gone.")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)


@pytest.mark.parametrize("after", [True, False])
async def test_bytes_without_a_row_are_deleted_in_time(attaching: Attaching, after: bool) -> None:
    await attaching.conversation()
    dying = attaching.files_with(storage=Dies(attaching.storage, after=after))  # type: ignore[arg-type]
    attaching.files = dying
    with pytest.raises(StorageUnreachable):
        await attaching.add_file()
    assert await attaching.count(FileRow) == 0
    await attaching.doomed.sweep()
    assert len(await attaching.stored()) == after  # it may still be on its way
    attaching.clock.later += attaching.clock.later.resolution * 3_700_000_000
    await attaching.doomed.sweep()
    assert await attaching.stored() == []
    assert await attaching.count(DoomedBlobRow) == 0


class Deletes(Dies):
    """The conversation is deleted while its file is being stored."""

    def __init__(self, attaching: Attaching, row_id: str) -> None:
        super().__init__(attaching.storage, after=True)
        self._database, self._row_id = attaching.database, row_id

    async def put(self, key: str, content: AsyncIterator[bytes]) -> int:
        size_bytes = await self._storage.put(key, content)
        async with self._database.transaction() as tx:
            await ConversationRepository(tx, ANN).delete(self._row_id)
        return size_bytes


async def test_a_conversation_that_is_deleted_during_an_upload_takes_the_file_with_it(attaching: Attaching) -> None:
    row_id = await attaching.conversation()
    attaching.files = attaching.files_with(storage=Deletes(attaching, row_id))  # type: ignore[arg-type]
    with pytest.raises(ConversationNotFound):
        await attaching.add_file()
    attaching.clock.later += attaching.clock.later.resolution * 3_700_000_000
    await attaching.doomed.sweep()
    assert await attaching.stored() == []


class Strict:
    """Refuses every picture, and remembers what it saw."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def check_image(self, mime: str, content: bytes) -> None:
        self.seen.append(mime)
        raise Unprocessable("flagged")


async def test_pictures_are_screened_before_anything_is_kept(attaching: Attaching) -> None:
    await attaching.conversation()
    strict = Strict()
    attaching.files = attaching.files_with(moderation=strict)
    with pytest.raises(Unprocessable, match="flagged"):
        await attaching.add_file(png(), "a.png")
    await attaching.add_file(b"text")
    assert strict.seen == ["image/png"]
    assert len(await attaching.stored()) == 1


@pytest.mark.parametrize(
    "content, name, error",
    [
        (pdf(""), "scan.pdf", NobodyReadsIt),
        (pdf(*["a"] * 6), "long.pdf", OverLimit),
        (png(padding=2_000), "large.png", OverLimit),
        (b"x" * 40_001, "large.txt", OverLimit),
        (b"\0", "a.txt", FileUnreadable),
        (b"x", "a.exe", FileTypeNotAccepted),
    ],
)
async def test_nothing_of_a_refused_file_is_stored(
    attaching: Attaching, content: bytes, name: str, error: type[Exception]
) -> None:
    await attaching.conversation()
    with pytest.raises(error):
        await attaching.add_file(content, name)
    assert await attaching.count(FileRow) == 0
    assert await attaching.count(DoomedBlobRow) == 0
    assert await attaching.stored() == []


async def test_files_belong_to_one_user_of_one_tenant(attaching: Attaching) -> None:
    await attaching.conversation()
    made = await attaching.add_file()
    for stranger in (caller("bob"), caller("ann", "other")):
        with pytest.raises(ConversationNotFound):
            await attaching.files.delete(stranger, "c", made)
        with pytest.raises(ConversationNotFound):
            await attaching.add_file(of=stranger)


def test_of_earlier_files_the_newest_that_fit_are_read_and_the_others_named(
    service: Service, editor: EditorClient
) -> None:
    conversation = editor.create(title="t")
    for letter in "abcd":
        made = editor.add_file(conversation, f"{letter}.txt", letter.encode() * (200_000 if letter == "c" else 90_000))
        editor.said(conversation, "Read it", content=[{"type": "file", "id": made}], model="one")
    editor.said(conversation, "Compare them", model="one")
    sent = service.upstream.chats[-1].body.decode()
    assert [letter for letter in "abcd" if letter * 90_000 in sent] == ["b", "d"]
    assert "“a.txt” was attached earlier and is left out here" in sent
    assert "“c.txt” was attached earlier and is left out here" in sent
