"""What a caller asks of a model that does not chat, as far as we read it. Unknown fields are kept for a relay."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from penstock.providers.media.forms import Form

VectorFormat = Literal["float", "base64"]

Fields = Mapping[str, msgspec.Raw]
"""The body of a JSON request, each field in the bytes in which it came."""


class Embeddings(msgspec.Struct, frozen=True, kw_only=True):
    """`inputs` are texts or lists of token numbers, each as it was written; `texts` is None when they are tokens."""

    fields: Fields
    inputs: Sequence[msgspec.Raw]
    texts: Sequence[str] | None
    format: VectorFormat = "float"
    dimensions: int | None = None
    task: str | None = None
    """What the vectors are for, in the provider's own words (`input_type`, `task_type`)."""


class Pictures(msgspec.Struct, frozen=True, kw_only=True):
    """`form` is there for an edit that came as multipart; `fields` is empty then."""

    prompt: str
    count: int = 1
    size: tuple[int, int] | None = None
    quality: str | None = None
    fields: Fields = {}
    form: Form | None = None
    is_edit: bool = False
    stream: bool = False


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """Speech to be written down, and to be put into English with `translate`."""

    form: Form
    data: bytes
    file_name: str
    language: str | None = None
    """ISO 639-1."""
    prompt: str | None = None
    format: str = "json"
    translate: bool = False
    stream: bool = False


class Speech(msgspec.Struct, frozen=True, kw_only=True):
    """Text to be spoken. `format` is None when the caller leaves it to the provider."""

    fields: Fields
    text: str
    voice: str | None = None
    instructions: str | None = None
    format: str | None = None
    events: bool = False
    """Server-sent events were asked for instead of the bare sound."""
