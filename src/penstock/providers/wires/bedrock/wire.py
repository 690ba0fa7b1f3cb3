"""The wire of Amazon Bedrock: ConverseStream, and Converse where a model cannot stream what is asked.

Requests follow `spec/providers.md` 9.4 (`request.py`), answers 9.5 and 9.6 (`reader.py`), errors 9.8
(`failures.py`). Signing is no business of a wire: the provider's authorizer does it.
"""

from collections.abc import Sequence

from penstock.errors import UpstreamError
from penstock.providers.base import Amendment, Call, Delta, Exchange, Quirks, Reader, Tool
from penstock.providers.json_text import encode_json
from penstock.providers.transport.base import Header
from penstock.providers.wires.bedrock.failures import failure_of
from penstock.providers.wires.bedrock.learning import WHOLE, amended
from penstock.providers.wires.bedrock.messages import WIRE_NAME
from penstock.providers.wires.bedrock.reader import ConverseReader
from penstock.providers.wires.bedrock.request import body_of

STREAM_PATH = "/model/{model}/converse-stream"
WHOLE_PATH = "/model/{model}/converse"
_STREAM_HEADERS: tuple[Header, ...] = ((b"accept", b"application/vnd.amazon.eventstream"),)
_WHOLE_HEADERS: tuple[Header, ...] = ((b"accept", b"application/json"),)


class Bedrock:
    name = WIRE_NAME
    lacks: frozenset[str] = frozenset({"seed", "presence_penalty", "frequency_penalty", "parallel_tool_calls"})

    def request(self, call: Call, model: str, quirks: Quirks) -> Exchange:
        body = encode_json(body_of(call, model, quirks))
        if WHOLE in quirks.dropped:
            return Exchange(WHOLE_PATH, body, _WHOLE_HEADERS)
        return Exchange(STREAM_PATH, body, _STREAM_HEADERS)

    def reader(
        self,
        *,
        model: str = "",
        content_type: str = "",
        quirks: Quirks | None = None,
        tools: Sequence[Tool] = (),
        sent_bytes: int = 0,
        stop: Sequence[str] = (),
        one_call: bool = False,
    ) -> Reader[Sequence[Delta]]:
        return ConverseReader(model=model, content_type=content_type, tools=tools, sent_bytes=sent_bytes)

    def failure(self, status: int, headers: Sequence[Header], body: bytes) -> UpstreamError:
        return failure_of(status, headers, body)

    def amended(self, error: UpstreamError, model: str, quirks: Quirks) -> Amendment | None:
        return amended(error, quirks)


WIRE = Bedrock()
