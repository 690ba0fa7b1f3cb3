"""What can be wrong with something that is attached to a conversation. Users read these messages as they are."""

from typing import Any

from penstock.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    PenstockError,
    Unprocessable,
    UnsupportedMediaType,
)

ACCEPTED = "PDF, Word (DOCX), PNG, JPEG, Markdown, HTML and plain text"


class AttachmentNotFound(NotFound):
    """Never uploaded, deleted, collected, or of another conversation: the four are not told apart."""

    def __init__(self, kind: str, attachment_id: str) -> None:
        super().__init__(
            f"There is no {kind} `{attachment_id[:80]}` in this conversation.",
            explanation="It was never added to this conversation, or was deleted. "
            "What no message refers to is deleted after a day.",
            action=f"Add the {kind} again.",
        )


class AttachmentInUse(Conflict):
    def __init__(self, kind: str) -> None:
        super().__init__(
            f"The {kind} cannot be removed: a message of this conversation refers to it.",
            explanation="The history would no longer say what its answers were about.",
            action="Delete the conversation to remove it with everything else.",
        )


class WebResourcesDisabled(NotFound):
    def __init__(self) -> None:
        super().__init__(
            "Web pages cannot be attached here.",
            explanation="The feature is switched off: WEBRESOURCES_ENABLED is not `true`.",
            action="Ask your administrator to set WEBRESOURCES_ENABLED=true, or attach the page as a file.",
        )


class OverLimit(PayloadTooLarge):
    """`length` and `limit` are in the unit of what is counted: bytes, characters, files or pages."""

    def __init__(self, message: str, length: int, limit: int, *, explanation: str, action: str) -> None:
        issue: dict[str, Any] = {"type": "too-long", "message": message, "length": length, "maxLength": limit}
        super().__init__(message, explanation=explanation, action=action, data={"issues": [issue]})


class BadUpload(InvalidRequest):
    """The form itself is wrong, whatever file is in it."""

    def __init__(self, message: str, explanation: str) -> None:
        super().__init__(
            message,
            explanation=explanation,
            action="Send `multipart/form-data` with the part `file`, which has a file name, and perhaps the part "
            "`attributes`, a JSON object.",
        )


class FileTypeNotAccepted(UnsupportedMediaType):
    def __init__(self, name: str) -> None:
        super().__init__(
            f"“{name}” is of a type that cannot be attached.",
            explanation=f"Accepted are {ACCEPTED}; a file's own bytes decide, then its declared type, then its name.",
            action="Save it in one of these formats and add it again.",
        )


class FileUnreadable(Unprocessable):
    """`why` ends a sentence about the file."""

    code = "file_unreadable"

    def __init__(self, name: str, why: str, action: str) -> None:
        super().__init__(f"“{name}” cannot be read: {why}.", explanation="Nothing of the file was kept.", action=action)


class NobodyReadsIt(Unprocessable):
    """No model that the caller may use takes this file as it is, and there is no text to send in its place."""

    code = "file_unreadable"

    def __init__(self, message: str, action: str) -> None:
        super().__init__(message, explanation="Nothing of the file was kept.", action=action)


class ReadingTookTooLong(PenstockError):
    """The editor takes 503 for a defect (`spec/editor-api.md` 2.4.1)."""

    status, code, retryable = 504, "file_reading_busy", True

    def __init__(self, retry_after_s: float | None) -> None:
        super().__init__(
            "The file could not be read in time, because many others are being read.",
            explanation="Only so many files are read at a time. Nothing of this one was kept.",
            action="Add it again in a moment.",
            retry_after_s=retry_after_s,
        )


class TooManyAsked(InvalidRequest):
    def __init__(self, count: int, limit: int) -> None:
        super().__init__(
            f"ids: {count} documents were asked for; 1 to {limit} can be read at once.",
            action="Name the documents as `ids`, repeated or separated by commas.",
            param="ids",
        )
