"""How much may be attached: what the most generous model that the caller may use takes. Pure.

`spec/editor-api.md` 9.2: when a message is sent, the limits of its own model are checked again.
"""

from collections.abc import Sequence

from penstock.editor.conversations.asking import FEATURE
from penstock.editor.conversations.attached import Totals
from penstock.editor.conversations.attachment_errors import OverLimit
from penstock.editor.conversations.file_formats import Format
from penstock.gateway.catalog.snapshot import ContextLimits, Model, Snapshot
from penstock.gateway.identity.caller import Caller
from penstock.gateway.routing.candidates import may_use, may_use_agent

_LIMIT_OF = "The limit is that of the models you may use."


def models_of(snapshot: Snapshot, caller: Caller) -> Sequence[Model]:
    """Those that may answer this caller's messages, the agent's included."""
    able = [model for model in snapshot.for_feature(FEATURE) if model.backends]
    return able if may_use_agent(caller) else [model for model in able if may_use(caller, model)]


def largest_limits(models: Sequence[Model]) -> ContextLimits:
    """Of each limit the largest. Without any model the usual ones: what is attached now may be read later."""
    found = [model.limits for model in models]
    if not found:
        return ContextLimits()
    return ContextLimits(**{name: max(getattr(one, name) for one in found) for name in ContextLimits.__struct_fields__})


def sees_pictures(models: Sequence[Model]) -> bool:
    return any(backend.facts.images is not False for model in models for backend in model.backends)


def reads_pdfs(models: Sequence[Model]) -> bool:
    """As they are, so that a scanned one is of use. What is not known of a model is tried."""
    return any(backend.facts.documents is not False for model in models for backend in model.backends)


def check_any_size(limits: ContextLimits, name: str, size_bytes: int) -> None:
    """Of a file that nobody has looked at. Raises OverLimit when it would be too large whatever it is."""
    is_picture = limits.max_image_size > limits.max_file_size
    _check_size(limits, name, size_bytes, is_picture=is_picture)


def check_size(limits: ContextLimits, found: Format, name: str, size_bytes: int) -> None:
    """Raises OverLimit."""
    _check_size(limits, name, size_bytes, is_picture=found.kind is None)


def _check_size(limits: ContextLimits, name: str, size_bytes: int, *, is_picture: bool) -> None:
    limit = limits.max_image_size if is_picture else limits.max_file_size
    if size_bytes > limit:
        raise OverLimit(
            f"“{name}” has {size_bytes} bytes; {limit} are allowed.",
            size_bytes,
            limit,
            explanation=f"`{'maxImageSize' if is_picture else 'maxFileSize'}` is {limit} bytes. {_LIMIT_OF}",
            action="Make it smaller, or attach the part that matters.",
        )


def check_totals(limits: ContextLimits, before: Totals, size_bytes: int, pages: int | None) -> None:
    """Whether one more file fits into its conversation. Raises OverLimit."""
    _check(before.files + 1, limits.max_files, "files", "maxFiles")
    _check(before.size_bytes + size_bytes, limits.max_total_file_size, "bytes of files", "maxTotalFileSize")
    if pages:
        _check(before.pages + pages, limits.max_total_pdf_file_pages, "pages of PDF", "maxTotalPdfFilePages")


def check_web_resources(limits: ContextLimits, count: int) -> None:
    """Raises OverLimit."""
    _check(count, limits.max_files, "web pages", "maxFiles")


def check_text(limits: ContextLimits, length: int) -> None:
    """Of a web page. Raises OverLimit."""
    limit = limits.max_context_length
    if length > limit:
        raise OverLimit(
            f"The text of the page has {length} characters; {limit} fit into a model.",
            length,
            limit,
            explanation=f"`maxContextLength` is {limit} characters. {_LIMIT_OF}",
            action="Attach a shorter page, or the part that matters as a file.",
        )


def _check(count: int, limit: int, what: str, name: str) -> None:
    if count > limit:
        raise OverLimit(
            f"The conversation would have {count} {what}; {limit} are allowed.",
            count,
            limit,
            explanation=f"`{name}` is {limit}. {_LIMIT_OF}",
            action="Remove something that no message has used yet, or begin a new conversation.",
        )
