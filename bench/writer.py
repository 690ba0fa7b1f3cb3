"""A mock model that edits: `python -m bench.writer` prints its port.

A chat about a document (its last text holds `data-id`s) is answered with a few words and an edit that rewrites every
fifth element, in 200 chunks; a review with every third element changed. The last text steers it: `bench rate=200`.
"""

import asyncio
import json
import re
import sys
from collections.abc import Iterator

CHUNKS = 200
_ELEMENT = re.compile(r'<(p|h2|li|td) data-id="(\w+)">(.*?)</\1>', re.DOTALL)
_RATE = re.compile(r"bench rate=(\d+)")
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: *(\d+)", head)
            body = json.loads(await reader.readexactly(int(length[1]) if length else 0) or b"{}")
            await _answer(body, writer)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _answer(body: dict[str, object], writer: asyncio.StreamWriter) -> None:
    messages = body["messages"]
    assert isinstance(messages, list)
    text = str(messages[-1]["content"])
    rate = _RATE.search(text)
    pause_s = 1 / int(rate[1]) if rate and int(rate[1]) else 0.0
    writer.write(_HEAD)
    for piece in _pieces(_reply(str(messages[0]["content"]), text), CHUNKS if "<edit" in str(messages[0]) else 10_000):
        writer.write(_chunk({"index": 0, "delta": {"content": piece}, "finish_reason": None}))
        await writer.drain()
        if pause_s:
            await asyncio.sleep(pause_s)
    writer.write(_chunk({"index": 0, "delta": {}, "finish_reason": "stop"}))
    done = b"data: [DONE]\n\n"
    writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(done), done))
    await writer.drain()


def _reply(system: str, text: str) -> str:
    elements = _ELEMENT.findall(text)
    if "You name conversations" in system:
        return "A plan"
    if "<edit" in system:
        changed = [_changed(*one) for number, one in enumerate(elements) if number % 5 == 0]
        return "Here is a clearer version.\n\n<edit>\n" + "\n<!-- existing document -->\n".join(changed) + "\n</edit>\n"
    return "\n".join(_changed(*one) for number, one in enumerate(elements) if number % 3 == 0)


def _changed(tag: str, data_id: str, content: str) -> str:
    return f'<{tag} data-id="{data_id}">{content} Now it is clearer.</{tag}>'


def _pieces(text: str, most: int) -> Iterator[str]:
    size = max(6, -(-len(text) // most))
    for start in range(0, len(text), size):
        yield text[start : start + size]


def _chunk(choice: dict[str, object]) -> bytes:
    frame = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "mock", "choices": [choice]}
    data = b"data: " + json.dumps(frame).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


async def _main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, limit=64 * 1024 * 1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await asyncio.to_thread(sys.stdin.read)  # until whoever started us is gone


if __name__ == "__main__":
    asyncio.run(_main())
