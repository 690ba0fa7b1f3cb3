"""The wire of actions: what is accepted, and the events that are sent (`spec/editor-api.md` 6.10 and 7.3)."""

from typing import Literal

import msgspec
from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

from penstock.editor.calls.schemas import CustomCall


class CustomAction(CustomCall):
    """`html`: the result replaces the content. `plainText`: the result is text, for whatever the client makes of it."""

    model_config = ConfigDict(alias_generator=to_camel)

    output_format: Literal["html", "plainText"] = "html"


# --- events, for the API document ------------------------------------------------------------------------------------


class ActionMetadata(msgspec.Struct, rename="camel"):
    """`action-metadata`: the first event."""

    call_id: str


class ModificationDelta(msgspec.Struct, rename="camel"):
    """`modification-delta`: a piece of the result. All of one answer share one id; joined, they are the result."""

    id: str
    text_delta: str


class Failed(msgspec.Struct, rename="camel"):
    """`error`: the last event of an answer that failed; the body then ends without its last chunk."""

    message: str


class Done(msgspec.Struct):
    """`done`: the last event of an answer that is complete."""
