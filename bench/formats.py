"""The formats in which the mock upstream streams: what stands around a token, before the first and after the last.

Each is written as its provider writes it, with the fields that carry nothing here, because reading past them is part of
what a chunk costs (`spec/providers.md` 4.6, 6.6, 7.4, 9.6 and 3.3).
"""

import struct
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bench import frames


class Ending(NamedTuple):
    """What the end of a stream may repeat. `text` is what was sent, and empty unless the format repeats it."""

    chunks: int
    text: bytes
    with_usage: bool


class Format(NamedTuple):
    """`delta` makes one frame of a token and its number; `opening` and `ending` are whole frames too."""

    name: str
    content_type: bytes
    opening: Sequence[bytes]
    delta: Callable[[bytes, int], bytes]
    ending: Callable[[Ending], Sequence[bytes]]
    repeats_text: bool = False
    """The end of a stream has the whole answer once more."""
    always_streams: bool = False
    """The path says so, not the body."""


_SSE = b"text/event-stream"


# --- OpenAI, chat completions ----------------------------------------------------------------------------------------


def _chat_delta(token: bytes, number: int) -> bytes:
    return frames.around(token)


def _chat_ending(end: Ending) -> Sequence[bytes]:
    usage = [frames.usage(end.chunks)] if end.with_usage else []
    return [frames.FINISH, *usage, frames.DONE]


CHAT = Format("openai_chat", _SSE, [frames.ROLE], _chat_delta, _chat_ending)


# --- OpenAI, responses -----------------------------------------------------------------------------------------------

_ITEM = b'"item_id":"msg_BenchBenchBenchBenchBenchBenchBench01","output_index":0,"content_index":0'
_PART = b'{"type":"output_text","annotations":[],"logprobs":[],"text":"%b"}'
_MESSAGE = (
    b'{"id":"msg_BenchBenchBenchBenchBenchBenchBench01","type":"message","status":"%b","content":[%b],'
    b'"role":"assistant"}'
)
_RESPONSE = (
    b'{"id":"resp_BenchBenchBenchBenchBenchBench01","object":"response","created_at":1770000000,"status":"%b",'
    b'"background":false,"error":null,"incomplete_details":null,"instructions":null,"max_output_tokens":null,'
    b'"model":"mock","output":[%b],"parallel_tool_calls":true,"previous_response_id":null,'
    b'"reasoning":{"effort":null,"summary":null},"store":false,"temperature":1.0,"text":{"format":{"type":"text"}},'
    b'"tool_choice":"auto","tools":[],"top_p":1.0,"truncation":"disabled","usage":%b,"user":null,"metadata":{}}'
)
_FIRST_DELTA = 4
"""The `sequence_number` of the first: four events open the stream."""


def _response_event(kind: bytes, number: int, fields: bytes) -> bytes:
    return b'event: %b\ndata: {"type":"%b","sequence_number":%d,%b}\n\n' % (kind, kind, number, fields)


def _response_delta(token: bytes, number: int) -> bytes:
    fields = b'%b,"delta":"%b","logprobs":[]' % (_ITEM, token)
    return _response_event(b"response.output_text.delta", number + _FIRST_DELTA, fields)


def _response_opening() -> Sequence[bytes]:
    response = b'"response":' + _RESPONSE % (b"in_progress", b"", b"null")
    item = b'"output_index":0,"item":' + _MESSAGE % (b"in_progress", b"")
    part = b'%b,"part":%b' % (_ITEM, _PART % b"")
    return [
        _response_event(b"response.created", 0, response),
        _response_event(b"response.in_progress", 1, response),
        _response_event(b"response.output_item.added", 2, item),
        _response_event(b"response.content_part.added", 3, part),
    ]


def _response_ending(end: Ending) -> Sequence[bytes]:
    number, part = end.chunks + _FIRST_DELTA, _PART % end.text
    message = _MESSAGE % (b"completed", part)
    usage = (
        b'{"input_tokens":12,"input_tokens_details":{"cached_tokens":0},"output_tokens":%d,'
        b'"output_tokens_details":{"reasoning_tokens":0},"total_tokens":%d}' % (end.chunks, end.chunks + 12)
    )
    response = b'"response":' + _RESPONSE % (b"completed", message, usage)
    return [
        _response_event(b"response.output_text.done", number, b'%b,"text":"%b","logprobs":[]' % (_ITEM, end.text)),
        _response_event(b"response.content_part.done", number + 1, b'%b,"part":%b' % (_ITEM, part)),
        _response_event(b"response.output_item.done", number + 2, b'"output_index":0,"item":' + message),
        _response_event(b"response.completed", number + 3, response),
    ]


RESPONSES = Format("openai_responses", _SSE, _response_opening(), _response_delta, _response_ending, repeats_text=True)


# --- Anthropic, messages ---------------------------------------------------------------------------------------------


def _message_event(kind: bytes, fields: bytes = b"") -> bytes:
    return b'event: %b\ndata: {"type":"%b"%b}\n\n' % (kind, kind, fields)


def _message_delta(token: bytes, number: int) -> bytes:
    # The spaces are the provider's own.
    return _message_event(
        b"content_block_delta", b',"index":0,"delta":{"type":"text_delta","text":"%b"}           ' % token
    )


def _message_ending(end: Ending) -> Sequence[bytes]:
    fields = b',"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"input_tokens":12,"output_tokens":%d}'
    return [
        _message_event(b"content_block_stop", b',"index":0     '),
        _message_event(b"message_delta", fields % end.chunks),
        _message_event(b"message_stop"),
    ]


_MESSAGE_OPENING = [
    _message_event(
        b"message_start",
        b',"message":{"id":"msg_BenchBenchBenchBench01","type":"message","role":"assistant","model":"mock","content":[],'
        b'"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":12,"cache_creation_input_tokens":0,'
        b'"cache_read_input_tokens":0,"output_tokens":1,"service_tier":"standard"}}',
    ),
    _message_event(b"content_block_start", b',"index":0,"content_block":{"type":"text","text":""}'),
    _message_event(b"ping"),
]
ANTHROPIC = Format("anthropic", _SSE, _MESSAGE_OPENING, _message_delta, _message_ending)


# --- Google, generateContent -----------------------------------------------------------------------------------------

_GEMINI = (
    b'data: {"candidates":[{"content":{"parts":[{"text":"%b"}],"role":"model"}%b,"index":0}],"usageMetadata":'
    b'{"promptTokenCount":12,"candidatesTokenCount":%d,"totalTokenCount":%d,"promptTokensDetails":'
    b'[{"modality":"TEXT","tokenCount":12}]},"modelVersion":"mock","responseId":"BenchBenchBenchBench01"}\r\n\r\n'
)


def _gemini_delta(token: bytes, number: int) -> bytes:
    return _GEMINI % (token, b"", number + 1, number + 13)


def _gemini_ending(end: Ending) -> Sequence[bytes]:
    return [_GEMINI % (b"", b',"finishReason":"STOP"', end.chunks, end.chunks + 12)]


GEMINI = Format("gemini", _SSE, [], _gemini_delta, _gemini_ending, always_streams=True)


# --- Bedrock, ConverseStream -----------------------------------------------------------------------------------------

_CRC = struct.Struct(">I")


def _aws_head(name: bytes, payload_bytes: int) -> bytes:
    """Prelude and headers of an event: the same for all of one name and size."""
    values = ((b":event-type", name), (b":content-type", b"application/json"), (b":message-type", b"event"))
    headers = b"".join(
        struct.pack(">B%dsBH" % len(key), len(key), key, 7, len(value)) + value  # noqa: UP031
        for key, value in values
    )
    prelude = struct.pack(">II", len(headers) + payload_bytes + 16, len(headers))
    return prelude + _CRC.pack(zlib.crc32(prelude)) + headers


def _aws_event(name: bytes, payload: bytes) -> bytes:
    message = _aws_head(name, len(payload)) + payload
    return message + _CRC.pack(zlib.crc32(message))


_CONVERSE = b'{"contentBlockIndex":0,"delta":{"text":"%b"},"p":"abcdefghijklm"}'
_CONVERSE_HEAD = _aws_head(b"contentBlockDelta", len(_CONVERSE % frames.token(0, 0, 0)))
_CONVERSE_CRC = zlib.crc32(_CONVERSE_HEAD)


def _converse_delta(token: bytes, number: int) -> bytes:
    payload = _CONVERSE % token
    return _CONVERSE_HEAD + payload + _CRC.pack(zlib.crc32(payload, _CONVERSE_CRC))


def _converse_ending(end: Ending) -> Sequence[bytes]:
    counts = b'{"inputTokens":12,"outputTokens":%d,"totalTokens":%d}' % (end.chunks, end.chunks + 12)
    return [
        _aws_event(b"contentBlockStop", b'{"contentBlockIndex":0,"p":"abcdefghijklmnop"}'),
        _aws_event(b"messageStop", b'{"p":"abcdefghij","stopReason":"end_turn"}'),
        _aws_event(b"metadata", b'{"metrics":{"latencyMs":911},"p":"abcdef","usage":%b}' % counts),
    ]


BEDROCK = Format(
    "bedrock",
    b"application/vnd.amazon.eventstream",
    [_aws_event(b"messageStart", b'{"p":"abcdefghijkl","role":"assistant"}')],
    _converse_delta,
    _converse_ending,
    always_streams=True,
)

_BY_PATH = (
    (b"/responses", RESPONSES),
    (b"/messages", ANTHROPIC),
    (b":streamGenerateContent", GEMINI),
    (b"/converse-stream", BEDROCK),
)


def format_of(target: bytes) -> Format:
    """The format that is spoken at a request's target; chat completions where nothing says otherwise."""
    path = target.partition(b"?")[0]
    return next((found for ending, found in _BY_PATH if path.endswith(ending)), CHAT)
