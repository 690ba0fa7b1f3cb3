"""Signed thoughts on their way through an OpenAI client: `reasoning_details` of an assistant's message.

A client that sends the message back as it got it, as tool loops do, brings the provider's own blocks back unread
(`spec/providers.md` 2.5). They are sealed for the caller's tenant: a block goes into the provider's request as it is,
and one that a client had made up could ask for what only this installation's account may read.
"""

import base64
from typing import Any

import msgspec

from penstock.kit.crypto import SecretBox, Unsealable
from penstock.providers.base import Opaque
from penstock.providers.failures import shape_mismatch
from penstock.providers.json_text import encode_json

_TYPE = "reasoning.encrypted"
_FORMAT = "penstock/1"
_PURPOSE = "thoughts of models"

_opaque_of = msgspec.json.Decoder(Opaque).decode


def thoughts_box(masters: tuple[str, ...]) -> SecretBox:
    """Seals with the first of the installation's master secrets; each of them opens."""
    return SecretBox(tuple(master.encode() for master in masters), _PURPOSE)


class Thoughts:
    """The thoughts of one tenant's answers."""

    __slots__ = ("_box", "_tenant_id")

    def __init__(self, box: SecretBox, tenant_id: str) -> None:
        self._box = box
        self._tenant_id = tenant_id

    def packed(self, opaque: Opaque, index: int) -> dict[str, Any]:
        """One entry of `reasoning_details`. SDKs put streamed lists together by their entries' `index`.

        Raises ShapeMismatch for a block that cannot be written again.
        """
        try:
            sealed = self._box.seal(encode_json(opaque), self._tenant_id)
        except RecursionError as error:
            raise shape_mismatch("JSON that is nested too deeply") from error
        return {"type": _TYPE, "format": _FORMAT, "data": base64.b64encode(sealed).decode(), "index": index}

    def unpacked(self, details: Any) -> tuple[Opaque, ...]:
        """The blocks in what a client sent back. Entries that are not ours, or are broken, are left out."""
        entries = details if isinstance(details, list) else ()
        return tuple(opaque for entry in entries if (opaque := self._opened(entry)) is not None)

    def _opened(self, entry: Any) -> Opaque | None:
        if not isinstance(entry, dict) or entry.get("type") != _TYPE or entry.get("format") != _FORMAT:
            return None
        data = entry.get("data")
        if not isinstance(data, str):
            return None
        try:
            sealed = base64.b64decode(data.encode(), validate=True)
            return _opaque_of(self._box.open(sealed, self._tenant_id))
        except (ValueError, Unsealable, msgspec.DecodeError, RecursionError):
            return None
