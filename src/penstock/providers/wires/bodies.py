"""What the body of an answer turns out to be, in every format: a document, a stream, a page, or neither."""

from penstock.errors import UpstreamError
from penstock.kit.sse import SseEvent
from penstock.providers.failures import from_event, shape_mismatch, truncated
from penstock.providers.json_text import NotJson, lenient_json, well_formed

DONE = b"[DONE]"


def is_json_body(data: bytes, content_type: str) -> bool | None:
    """Whether an answer is one JSON document and no event stream; None while only white space has come.

    The first sign decides: servers stream under `application/json`, and answer with a document under
    `text/event-stream`. Raises ShapeMismatch for a page.
    """
    start = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if not start:
        return None
    if start == b"<" or "text/html" in content_type:
        raise shape_mismatch("an HTML page", data)
    return start in (b"{", b"[")


def stray_failure(event: SseEvent) -> UpstreamError | None:
    """What lines outside of any field mean: a bare JSON error, a page of a proxy, or nothing."""
    stray = (event.stray or b"").strip()
    if stray[:1] == b"<":
        return shape_mismatch("an HTML page in the middle of a stream", stray)
    if stray[:1] not in (b"{", b"["):
        return None
    try:
        failure = from_event(lenient_json(stray))
    except NotJson:
        failure = None
    return failure or shape_mismatch("JSON that is no event", stray)


def unreadable(event: SseEvent, *, last: bool) -> UpstreamError:
    """What data that is not JSON means. `last`: the body ended inside this event."""
    data = event.data or b""
    if event.name == b"error":
        return from_event(well_formed(data.decode("utf-8", "replace")), name=b"error") or shape_mismatch(
            "an error", data
        )
    return truncated(empty=False) if last else shape_mismatch("an event that is not JSON", data)


def too_deep() -> UpstreamError:
    """For JSON that could just be decoded, but is too deep to be written again."""
    return shape_mismatch("JSON that is nested too deeply")
