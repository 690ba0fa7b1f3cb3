"""OpenAI's own endpoints beside chat, as strict as OpenAI; and a relative that is not."""

import base64
import struct
import time
from typing import Any

from tests.fakes.media_server import Asked, Reply, as_json

PNG = base64.b64encode(b"\x89PNG of the fake").decode()
SOUND = [b"ID3" + bytes([number]) * 400 for number in range(5)]
EVENTS = [
    b'data: {"type":"transcript.text.delta","delta":"Good "}\n\n',
    b'data: {"type":"transcript.text.delta","delta":"morning."}\n\n',
    b'data: {"type":"transcript.text.done","text":"Good morning.",'
    b'"usage":{"type":"tokens","input_tokens":14,"output_tokens":4,"total_tokens":18}}\n\n',
]


def vector_of(text: Any) -> list[float]:
    """Three numbers that a 32-bit float holds exactly, another for each text."""
    seed = sum(map(ord, text)) if isinstance(text, str) else sum(text)
    return [seed / 4, -1.5, len(text) / 8]


def packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def openai(asked: Asked) -> Reply | None:
    assert asked.headers["authorization"] == "Bearer sk-media-key-00001", "key"
    match asked.path.removeprefix("/v1"):
        case "/embeddings":
            return embeddings(asked, most=2048, only_floats=False)
        case "/images/generations":
            return _images(asked)
        case "/images/edits":
            return _edits(asked)
        case "/audio/transcriptions" | "/audio/translations":
            return _transcript(asked)
        case "/audio/speech":
            body = asked.json
            assert set(body) >= {"model", "input", "voice"}, "fields"
            return Reply(SOUND, content_type="audio/mpeg")
    return None


def relative(asked: Asked) -> Reply | None:
    """A compatible server: it answers floats whatever is asked, and knows images of the old kind."""
    if asked.path.endswith("/embeddings"):
        return embeddings(asked, most=2048, only_floats=True)
    if asked.path.endswith("/images/generations"):
        wanted = asked.json.get("response_format", "url")
        return as_json({"created": 1, "data": [{"b64_json": PNG} if wanted == "b64_json" else {"url": "http://x/y"}]})
    return None


def qwen(asked: Asked) -> Reply | None:
    if asked.path.endswith("/embeddings"):
        assert "encoding_format" not in asked.json, "encoding_format"
        time.sleep(0.05)  # so that portions meet
        return embeddings(asked, most=10, only_floats=True)
    return None


def mistral(asked: Asked) -> Reply | None:
    if asked.path.endswith("/embeddings"):
        assert set(asked.json) <= {"model", "input", "output_dimension", "output_dtype"}, f"fields {set(asked.json)}"
        return embeddings(asked, most=2048, only_floats=True)
    return None


def embeddings(asked: Asked, *, most: int, only_floats: bool) -> Reply:
    body = asked.json
    given = body["input"]
    inputs = [given] if isinstance(given, str) or isinstance(given[0], int) else given
    assert len(inputs) <= most, f"{len(inputs)} inputs"
    as_base64 = body.get("encoding_format") == "base64" and not only_floats
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": packed(vector_of(text)) if as_base64 else vector_of(text),
        }
        for index, text in enumerate(inputs)
    ]
    tokens = 3 * len(inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    # Backwards: the order is in `index`.
    return as_json({"object": "list", "data": data[::-1], "model": body["model"] + "-0613", "usage": usage})


def _images(asked: Asked) -> Reply:
    body = asked.json
    assert "response_format" not in body, "Unknown parameter: 'response_format'."
    assert "style" not in body, "Unknown parameter: 'style'."
    assert body.get("quality") in (None, "auto", "low", "medium", "high"), "quality"
    usage = {"input_tokens": 9, "output_tokens": 272, "total_tokens": 281}
    if body.get("stream"):
        completed = (
            '{"type":"image_generation.completed","b64_json":"%s","usage":{"input_tokens":9,"output_tokens":272}}'
        )
        partial = '{"type":"image_generation.partial_image","partial_image_index":0,"b64_json":"%s"}'
        events = [
            f"event: image_generation.partial_image\ndata: {partial % PNG}\n\n".encode(),
            f"event: image_generation.completed\ndata: {completed % PNG}\n\n".encode(),
        ]
        return Reply(events, content_type="text/event-stream")
    return as_json({"created": 1, "data": [{"b64_json": PNG}] * body.get("n", 1), "usage": usage, "size": "1024x1024"})


def _edits(asked: Asked) -> Reply:
    files = [name for name, file_name, _ in asked.form if file_name is not None]
    assert files, "no image"
    assert set(files) <= {"image", "image[]", "mask"}, str(files)
    assert asked.fields["prompt"], "prompt"
    return as_json({"created": 1, "data": [{"b64_json": PNG}]})


def _transcript(asked: Asked) -> Reply:
    ((name, file_name, sound),) = [part for part in asked.form if part[1] is not None]
    assert (name, sound) == ("file", b"RIFF of the test \r\n--not-a-boundary\r\n"), "file"
    assert file_name == "speech.wav", "file name"
    fields = asked.fields
    assert set(fields) <= {
        "model", "language", "prompt", "response_format", "temperature", "timestamp_granularities[]", "stream",
    }, str(set(fields))  # fmt: skip
    if fields.get("stream") == "true":
        return Reply(EVENTS, content_type="text/event-stream; charset=utf-8")
    if fields.get("response_format") in ("text", "srt", "vtt"):
        return Reply(b"Good morning.\n", content_type="text/plain; charset=utf-8")
    usage = {"type": "duration", "seconds": 3}
    return as_json({"text": "Good morning.", "usage": usage})
