"""Documents, files and web resources of conversations over HTTP (`spec/editor-api.md` 6.5 to 6.7)."""

import re
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from penstock.editor.access import authentication
from penstock.editor.conversations.attachment_errors import TooManyAsked
from penstock.editor.conversations.attachment_schemas import (
    MAX_DOCUMENTS,
    Created,
    Document,
    File,
    FileList,
    NewDocument,
    NewDocuments,
    NewWebResource,
    document_shown,
    file_shown,
)
from penstock.editor.conversations.documents import Documents
from penstock.editor.conversations.files import Files
from penstock.editor.conversations.uploads import read_upload
from penstock.editor.conversations.web_resources import WebResources
from penstock.gateway.identity.caller import Caller
from penstock.gateway.identity.service import Identity

UPLOADS: Final = re.compile(r"/v1/conversations/[^/]+/files")
"""Paths whose bodies are files; `MAX_UPLOAD_BYTES` bounds them."""

_CONVERSATION = "/{conversation_id}"
_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "The bytes, with a file name."},
                        "attributes": {"type": "string", "description": "A JSON object of the client's own."},
                    },
                }
            }
        },
    }
}

Ids = Annotated[list[str], Query(default_factory=list, max_length=MAX_DOCUMENTS)]


def attachment_routes(identity: Identity, documents: Documents, files: Files, web_resources: WebResources) -> APIRouter:
    router = APIRouter(prefix="/v1/conversations")
    authenticated = Depends(authentication(identity))
    _add_documents(router, documents, authenticated)
    _add_files(router, files, authenticated)
    _add_web_resources(router, web_resources, authenticated)
    return router


def _add_documents(router: APIRouter, documents: Documents, authenticated: Any) -> None:
    tags: list[Any] = ["Conversation Documents"]
    path = _CONVERSATION + "/documents"

    @router.post(path, status_code=201, response_model=Created, tags=tags, operation_id="add_document")
    async def add(conversation_id: str, body: NewDocument, caller: Caller = authenticated) -> Response:
        """Upload the editor's content. Up to 10 MiB of text; it is read back byte for byte."""
        (made,) = await documents.add(caller, conversation_id, [body])
        return _json({"id": made}, 201)

    @router.post(
        path + "/batch", status_code=201, response_model=list[Created], tags=tags, operation_id="add_documents"
    )
    async def add_all(conversation_id: str, body: NewDocuments, caller: Caller = authenticated) -> Response:
        """Upload several documents, all of them or none: an array, or an object with it as `documents`."""
        made = await documents.add(caller, conversation_id, body.documents)
        return _json([{"id": one} for one in made], 201)

    @router.get(path + "/batch", response_model=list[Document], tags=tags, operation_id="get_documents")
    async def get_all(
        conversation_id: str,
        ids: Ids,
        document_ids: Annotated[list[str], Query(default_factory=list, alias="documentIds")],
        caller: Caller = authenticated,
    ) -> Response:
        """Several documents in the order of `ids` (or `documentIds`), which may be repeated or comma-separated."""
        found = await documents.get(caller, conversation_id, _listed([*ids, *document_ids]))
        return _json([document_shown(row, content, conversation_id) for row, content in found])

    @router.get(path + "/{document_id}", response_model=Document, tags=tags, operation_id="get_document")
    async def get(conversation_id: str, document_id: str, caller: Caller = authenticated) -> Response:
        ((row, content),) = await documents.get(caller, conversation_id, [document_id])
        return _json(document_shown(row, content, conversation_id))

    @router.delete(path + "/{document_id}", status_code=204, tags=tags, operation_id="delete_document")
    async def delete(conversation_id: str, document_id: str, caller: Caller = authenticated) -> Response:
        """Only while no message refers to it."""
        await documents.delete(caller, conversation_id, document_id)
        return Response(status_code=204)


def _add_files(router: APIRouter, files: Files, authenticated: Any) -> None:
    tags: list[Any] = ["Conversation Files"]
    path = _CONVERSATION + "/files"

    @router.post(path, status_code=201, response_model=Created, tags=tags, operation_id="add_file", openapi_extra=_FORM)
    async def add(conversation_id: str, request: Request, caller: Caller = authenticated) -> Response:
        """Attach a PDF, DOCX, PNG, JPEG, Markdown, HTML or plain text file."""
        limits = await files.expect(caller, conversation_id)
        made = await files.add(caller, conversation_id, await read_upload(request, limits))
        return _json({"id": made}, 201)

    @router.get(path, response_model=FileList, tags=tags, operation_id="list_files")
    async def all_files(conversation_id: str, caller: Caller = authenticated) -> Response:
        """What is known of every file, oldest first."""
        rows = await files.all(caller, conversation_id)
        return _json({"items": [file_shown(row, conversation_id) for row in rows]})

    @router.get(path + "/{file_id}", response_model=File, tags=tags, operation_id="get_file")
    async def get(conversation_id: str, file_id: str, caller: Caller = authenticated) -> Response:
        """What is known of one file. Its bytes are not given out."""
        return _json(file_shown(await files.get(caller, conversation_id, file_id), conversation_id))

    @router.delete(path + "/{file_id}", status_code=204, tags=tags, operation_id="delete_file")
    async def delete(conversation_id: str, file_id: str, caller: Caller = authenticated) -> Response:
        """Only while no message refers to it."""
        await files.delete(caller, conversation_id, file_id)
        return Response(status_code=204)


def _add_web_resources(router: APIRouter, web_resources: WebResources, authenticated: Any) -> None:
    tags: list[Any] = ["Conversation Web Resources"]
    path = _CONVERSATION + "/web-resources"

    @router.post(path, status_code=201, response_model=Created, tags=tags, operation_id="add_web_resource")
    async def add(conversation_id: str, body: NewWebResource, caller: Caller = authenticated) -> Response:
        """Attach a web page, which is read now. Needs WEBRESOURCES_ENABLED=true."""
        return _json({"id": await web_resources.add(caller, conversation_id, body)}, 201)

    @router.delete(path + "/{web_resource_id}", status_code=204, tags=tags, operation_id="delete_web_resource")
    async def delete(conversation_id: str, web_resource_id: str, caller: Caller = authenticated) -> Response:
        """Only while no message refers to it."""
        await web_resources.delete(caller, conversation_id, web_resource_id)
        return Response(status_code=204)


def _listed(given: list[str]) -> list[str]:
    """Every id once. Raises TooManyAsked."""
    ids = list(dict.fromkeys(one for part in given for one in part.split(",") if one))
    if not 1 <= len(ids) <= MAX_DOCUMENTS:
        raise TooManyAsked(len(ids), MAX_DOCUMENTS)
    return ids


def _json(value: Any, status: int = 200) -> Response:
    # The editor compares the content type for equality, and some answers hold what users chose to store.
    return Response(msgspec.json.encode(value), status, media_type="application/json")
