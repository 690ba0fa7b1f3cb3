"""Reads an answer that means something only as a whole."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from penstock.errors import UpstreamError
from penstock.providers.base import FinishReason, Usage
from penstock.providers.failures import from_event, shape_mismatch, truncated
from penstock.providers.json_text import NotJson, lenient_json
from penstock.providers.transport.base import MAX_BODY_BYTES
from penstock.providers.wires.estimates import CHARS_PER_TOKEN

T = TypeVar("T")


class WholeReader(Generic[T]):
    """A `Reader` whose one output comes at the end. `guess` is the usage where the provider gives none."""

    def __init__(
        self,
        read: Callable[[bytes], tuple[T, Usage | None]],
        *,
        content_type: str = "",
        sent_bytes: int = 0,
        guess: Usage | None = None,
    ) -> None:
        self.begun = False
        self.complete = False
        self.terminated = False
        self.usage: Usage | None = None
        self.finish: FinishReason | None = None
        self.failure: UpstreamError | None = None
        self._read = read
        self._content_type = content_type.lower()
        self._guess = guess or Usage(input_tokens=math.ceil(sent_bytes / CHARS_PER_TOKEN), estimated=True)
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Sequence[T]:
        if self.failure is not None:
            raise self.failure
        self._size += len(data)
        if self._size > MAX_BODY_BYTES:
            self._pieces.clear()
            self.failure = shape_mismatch("more than 64 MiB")
            raise self.failure
        self._pieces.append(data)
        return ()

    def end(self) -> Sequence[T]:
        if self.failure is not None:
            raise self.failure
        body = b"".join(self._pieces)
        self._pieces.clear()
        try:
            result, self.usage = self._read(body)
        except UpstreamError as error:
            self.failure = error
            raise
        except (NotJson, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self.failure = unreadable(body, self._content_type)
            raise self.failure from error
        self.finish = "stop"
        self.begun = self.complete = self.terminated = True
        return (result,)

    def estimate(self) -> Usage:
        return self.usage or self._guess


def unreadable(body: bytes, content_type: str) -> UpstreamError:
    """Why `body` is no answer: an error in the provider's words, or what it is instead."""
    document = body.strip()
    if not document:
        return truncated(empty=True)
    try:
        failure = from_event(lenient_json(document))
    except NotJson:
        if document[:1] == b"<" or "text/html" in content_type:
            return shape_mismatch("an HTML page", document)
        return shape_mismatch("a document that is not JSON", document)
    return failure or shape_mismatch("a document that is no answer to this call", document)


def json_object(body: bytes) -> dict[str, Any]:
    """Raises UpstreamError for anything else, and for an error inside a 200 answer."""
    try:
        answer = lenient_json(body.strip())
    except NotJson as error:
        raise unreadable(body, "") from error
    if not isinstance(answer, dict) or from_event(answer) is not None:
        raise unreadable(body, "")
    return answer
