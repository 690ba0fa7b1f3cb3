"""An upload as a form: one file, and what is said about it (`spec/editor-api.md` 6.6.1)."""

import logging
from typing import TYPE_CHECKING, Any, Final

from fastapi import HTTPException, Request
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from penstock.editor.conversations.attachment_errors import BadUpload
from penstock.editor.conversations.attachment_schemas import attributes_of_a_file
from penstock.editor.conversations.file_limits import check_any_size
from penstock.editor.conversations.files import Upload
from penstock.editor.conversations.tables import NAME_LENGTH
from penstock.gateway.catalog.snapshot import ContextLimits

if TYPE_CHECKING:
    from starlette.datastructures import FormData, UploadFile

_MOST_FIELDS: Final = 20
_MOST_FIELD_BYTES: Final = 256 * 1024
_NAMELESS: Final = "file"


async def read_upload(request: Request, limits: ContextLimits) -> Upload:
    """The file of a form. It waits on disk until all of it is there, and is read when it is not too large for any type.

    Raises BadUpload, OverLimit, what the body's bounds raise, and HTTPException when the client hung up.
    """
    form = await _form(request)
    try:
        file = _file(form)
        attributes = _attributes(form)
        name = _name(file.filename or "")
        check_any_size(limits, name, file.size or 0)
        content = await file.read()
    finally:
        await form.close()
    said = attributes.get("mimeType") if attributes else None
    declared = (file.content_type or "", said if isinstance(said, str) else "")
    return Upload(name, declared, content, attributes)


async def _form(request: Request) -> "FormData":
    from starlette.formparsers import MultiPartException, MultiPartParser

    # It logs every form that is broken as a warning: the answer says so already.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "multipart/form-data":
        raise BadUpload(
            "The file did not come as a form.",
            f"It came with `Content-Type: {kind[:80]}`." if kind else "It came without `Content-Type`.",
        )
    parser = MultiPartParser(
        request.headers, request.stream(), max_files=1, max_fields=_MOST_FIELDS, max_part_size=_MOST_FIELD_BYTES
    )
    try:
        return await parser.parse()
    except (MultiPartException, UnicodeError) as error:  # there are charsets that decode nothing
        raise BadUpload("The upload could not be read.", str(error) or "It is not what a form is.") from error
    except ClientDisconnect as error:
        raise HTTPException(400) from error  # which the router answers for every reader of a body


def _file(form: "FormData") -> "UploadFile":
    from starlette.datastructures import UploadFile

    files = [value for value in form.getlist("file") if isinstance(value, UploadFile)]
    if not files:
        raise BadUpload("The upload has no file.", "There is no part `file` with a file name in it, or it is cut off.")
    return files[0]


def _attributes(form: "FormData") -> dict[str, Any] | None:
    given = form.get("attributes")
    if given is None or given == "":
        return None
    try:
        return attributes_of_a_file.validate_json(given, strict=True)  # type: ignore[arg-type]
    except (ValidationError, TypeError) as error:
        raise BadUpload(
            "The attributes of the file are not a JSON object.",
            "The part `attributes` is the text of one JSON object of at most 64 KiB, without half characters.",
        ) from error


def _name(filename: str) -> str:
    """For sentences and for models: the last part of a path, on one line, with its ending however long it was."""
    last = filename.replace("\\", "/").rpartition("/")[2]
    plain = "".join(sign for sign in last if sign.isprintable()).strip()
    if len(plain) <= NAME_LENGTH:
        return plain or _NAMELESS
    stem, dot, ending = plain.rpartition(".")
    kept = dot + ending if 0 < len(ending) <= 16 else ""
    return (stem if kept else plain)[: NAME_LENGTH - len(kept)] + kept
