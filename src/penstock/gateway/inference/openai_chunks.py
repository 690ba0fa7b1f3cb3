"""How an answer is written for an OpenAI client: chunks of a stream, or one completion (`spec/providers.md` 15.2)."""

import time
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from penstock.kit.ids import random_text
from penstock.providers.base import Source, Usage
from penstock.providers.json_text import encode_json

DONE_FRAME = b"data: [DONE]\n\n"


class Envelope(msgspec.Struct, frozen=True):
    """What all chunks of an answer have in common. `model` is the name that the caller used."""

    id: str
    created: int
    model: str

    @classmethod
    def fresh(cls, model: str) -> "Envelope":
        return cls(f"chatcmpl-{random_text(24)}", int(time.time()), model)

    def around(self, index: int, *, keep_usage: bool) -> tuple[bytes, bytes, bytes]:
        """What stands before a delta, between it and its finish reason, and after that."""
        chunk = self._chunk()
        before = encode_json(chunk)[:-1] + b',"choices":[{"index":%d,"delta":' % index
        # A client that asked for usage finds the field in each chunk, null but in the last.
        after = b'}],"usage":null}\n\n' if keep_usage else b"}]}\n\n"
        return b"data: " + before, b',"logprobs":null,"finish_reason":', after

    def usage_frame(self, usage: Usage) -> bytes:
        return b"data: " + encode_json(self._chunk() | {"choices": [], "usage": usage_fields(usage)}) + b"\n\n"

    def whole(self, choices: Sequence[Mapping[str, Any]], usage: Usage) -> bytes:
        head = {"id": self.id, "object": "chat.completion", "created": self.created, "model": self.model}
        return encode_json(head | {"choices": choices, "usage": usage_fields(usage)})

    def _chunk(self) -> dict[str, Any]:
        return {"id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model}


def usage_fields(usage: Usage) -> dict[str, Any]:
    """Details only where there is something to say."""
    fields: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
    if usage.cache_read_tokens or usage.cache_write_tokens:
        fields["prompt_tokens_details"] = {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        }
    if usage.reasoning_tokens:
        fields["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return fields


def summed(usages: Sequence[Usage]) -> Usage:
    """Of several answers to one request: each was a request of its own to the provider, and is paid for."""
    return Usage(
        input_tokens=sum(one.input_tokens for one in usages),
        output_tokens=sum(one.output_tokens for one in usages),
        cache_read_tokens=sum(one.cache_read_tokens for one in usages),
        cache_write_tokens=sum(one.cache_write_tokens for one in usages),
        reasoning_tokens=sum(one.reasoning_tokens for one in usages),
        cache_write_1h_tokens=sum(one.cache_write_1h_tokens for one in usages),
        estimated=any(one.estimated for one in usages),
        upstream_cost=_summed_costs([one.upstream_cost for one in usages]),
    )


def _summed_costs(costs: Sequence[str | None]) -> str | None:
    """None unless the provider named every one of them: part of a bill is no bill."""
    try:
        known = [Decimal(cost) for cost in costs if cost is not None]
    except InvalidOperation:
        return None
    return str(sum(known, Decimal())) if known and len(known) == len(costs) else None


def annotations(sources: Sequence[Source]) -> list[dict[str, Any]]:
    """Where in the text a source was used is not known here: the span is empty, because typed clients expect one."""
    return [
        {
            "type": "url_citation",
            "url_citation": {"start_index": 0, "end_index": 0, "url": one.url, "title": one.title or one.url},
        }
        for one in sources
    ]
