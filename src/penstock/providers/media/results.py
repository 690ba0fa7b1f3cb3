"""What comes back of one exchange, in no provider's format."""

from collections.abc import Sequence

import msgspec


class Embedded(msgspec.Struct, frozen=True):
    """Vectors in the order of their inputs, as JSON text. `body` is the answer itself where it is OpenAI's."""

    vectors: Sequence[msgspec.Raw]
    body: bytes | None = None


class Picture(msgspec.Struct, frozen=True, omit_defaults=True):
    b64_json: str
    revised_prompt: str | None = None


class Drawn(msgspec.Struct, frozen=True):
    """At least one image. `body` as above."""

    pictures: Sequence[Picture]
    body: bytes | None = None
