"""What is particular to refusals of OpenAI and its relatives, on top of `providers/failures/`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from penstock.errors import UpstreamError
from penstock.providers.failures import ContentFiltered, Failure, ModelFailed, Overloaded, RequestRefused, classify
from penstock.providers.json_text import NotJson, lenient_json
from penstock.providers.transport.base import Header

_LOADING_S = 2.0

_BROKEN_IMAGES = (
    "invalid_image",
    "invalid_image_format",
    "invalid_base64_image",
    "invalid_image_url",
    "image_too_large",
    "image_too_small",
    "image_parse_error",
    "unsupported_image_media_type",
    "empty_image_file",
    "failed_to_download_image",
    "image_file_not_found",
)
# Codes of `response.error` that the words and codes of other providers do not cover (`spec/providers.md` 4.6).
_BY_CODE: Mapping[str, type[Failure]] = {
    "bio_policy": ContentFiltered,
    "misalignment_policy_violation": ContentFiltered,
    "image_content_policy_violation": ContentFiltered,
    "data_residency_mismatch": RequestRefused,
    **dict.fromkeys(_BROKEN_IMAGES, RequestRefused),
}


def failure_of(status: int, headers: Sequence[Header], body: bytes) -> UpstreamError:
    """What an answer other than 2xx means."""
    failure = classify(status, headers, body)
    should_retry = next((value.strip().lower() for name, value in headers if name == b"x-should-retry"), b"")
    if isinstance(failure, ContentFiltered):
        _name_filters(failure, body)
    elif isinstance(failure, Overloaded) and failure.message == "Loading model" and failure.retry_after_s is None:
        failure.retry_after_s = _LOADING_S
    if should_retry == b"true" and failure.key_effect != "bad":
        failure.same_key_once = True
    return failure if should_retry == b"false" else noted(failure)


def noted(failure: Failure) -> Failure:
    """A model that wrote a tool call badly may write it well the next time (Groq)."""
    if isinstance(failure, ModelFailed) and failure.upstream_code == "tool_use_failed":
        failure.same_key_once = True
    return failure


def told_by_code(failure: Failure) -> Failure:
    """The kind that a code of `response.error` stands for, where nothing else has said more."""
    kind = _BY_CODE.get(failure.upstream_code or "")
    if kind is None or not isinstance(failure, ModelFailed):
        return failure
    told = kind(failure.message)
    told.upstream_code, told.param, told.raw = failure.upstream_code, failure.param, failure.raw
    return told


def struck(results: Any) -> list[str]:
    """What Azure's filter found, in words: `violence (medium)`, `jailbreak`. Empty when nothing was filtered."""
    if not isinstance(results, dict):
        return []
    return [_in_words(name, found) for name, found in results.items() if _is_filtered(found)]


def _is_filtered(found: Any) -> bool:
    return isinstance(found, dict) and found.get("filtered") is True


def _in_words(name: str, found: Mapping[str, Any]) -> str:
    words = name.replace("_", " ")[:40]
    severity = found.get("severity")
    return f"{words} ({severity[:10]})" if isinstance(severity, str) else words


def _name_filters(failure: ContentFiltered, body: bytes) -> None:
    """Azure's reason stands in a heap of JSON beside its sentence; it is said in words (S050)."""
    try:
        payload = lenient_json(body.strip())
    except NotJson:
        return
    error = payload.get("error") if isinstance(payload, dict) else None
    inner = error.get("innererror") if isinstance(error, dict) else None
    found = struck(inner.get("content_filter_result")) if isinstance(inner, dict) else []
    if found:
        failure.message = f"{_first_sentence(failure.message)} The filter found: {', '.join(found)}."
        failure.cleaned()


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].rstrip(".") + "."


def filter_words(filters: Iterable[Any]) -> str | None:
    """The same for the list of filters beside an answer of the Responses surface; None when none of them blocked."""
    blocked = [one for one in filters if isinstance(one, dict) and one.get("blocked") is True]
    if not blocked:
        return None
    return ", ".join(word for one in blocked for word in struck(one.get("content_filter_results"))) or "blocked"
