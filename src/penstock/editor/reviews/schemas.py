"""The events that a review sends (`spec/editor-api.md` 7.4), for the API document."""

from typing import Literal

import msgspec


class ReviewMetadata(msgspec.Struct, rename="camel"):
    """`review-metadata`: the first event, and now and then again with a lower number, as progress."""

    pending_elements: int
    call_id: str


class ReviewDelta(msgspec.Struct, rename="camel", omit_defaults=True):
    """`review-delta`: the answer for one element, exactly one for each. `textDelta` is its complete new outer HTML."""

    data_id: str
    operation: Literal["edit", "unmodified"]
    text_delta: str = ""


class Failed(msgspec.Struct, rename="camel"):
    """`error`: the last event of a review that stopped; what was answered before holds."""

    message: str


class Done(msgspec.Struct):
    """`done`: the last event of a review that is complete."""
