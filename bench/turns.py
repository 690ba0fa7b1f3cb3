"""`python -m bench.turns`: what an editor's turn and a review cost, and whether many at once come through.

The service runs with its embedded defaults (SQLite); the model is `bench/writer.py`. CPU is that of the service.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import aiohttp
import jwt
import typer
import uvloop

from bench.process import cpu_ns, plain_environment, running
from bench.service import _command, environment, free_port, service

PARAGRAPH = "The committee met in the spring and decided what had to be done before the summer came. "
TURN_MS, REVIEW_MS = 12.0, 200.0


def document(size: int) -> str:
    """About `size` characters of headings and paragraphs with ids, as an editor sends them."""
    parts = []
    while sum(map(len, parts)) < size:
        number = len(parts)
        tag = "h2" if number % 10 == 0 else "p"
        parts.append(f'<{tag} data-id="{_data_id(number)}">{PARAGRAPH * (1 if tag == "h2" else 4)}</{tag}>')
    return "".join(parts)


def _data_id(number: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return "".join(letters[number // 26**place % 26] for place in range(4))


class Turn(NamedTuple):
    """Seconds, and what the stream said."""

    first_s: float
    whole_s: float
    events: int
    is_good: bool


class Editor:
    def __init__(self, http: aiohttp.ClientSession, url: str, tenant: str, secret: str) -> None:
        self._http, self._url = http, url
        now = int(time.time())
        permissions = ["ai:conversations:*", "ai:models:*", "ai:actions:*", "ai:reviews:*"]
        claims = {
            "aud": tenant,
            "sub": "u",
            "iat": now,
            "exp": now + 3600,
            "auth": {"ai": {"permissions": permissions}},
        }
        self._headers = {"Authorization": f"Bearer {jwt.encode(claims, secret, algorithm='HS256')}"}

    async def turn(self, content: str, rate: int) -> Turn:
        """As the editor does it: a conversation, a document, a message."""
        conversation = (await self._post("/v1/conversations", {}))["id"]
        base = f"/v1/conversations/{conversation}"
        uploaded = (await self._post(f"{base}/documents", {"content": content}))["id"]
        item = {"type": "document", "id": uploaded, "selection": []}
        body = {
            "prompt": f"Make it clearer. bench rate={rate}",
            "content": [item],
            "model": "agent-1",
            "capabilities": {},
        }
        return await self._stream(f"{base}/messages", body, "modification-delta")

    async def review(self, content: str) -> Turn:
        body = {"content": [{"type": "text", "content": content}]}
        return await self._stream("/v1/reviews/system/clarity/calls", body, "review-delta")

    async def _post(self, path: str, body: Any) -> Any:
        async with self._http.post(self._url + path, json=body, headers=self._headers) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def _stream(self, path: str, body: Any, wanted: str) -> Turn:
        began = time.perf_counter()
        first_s, text = 0.0, b""
        async with self._http.post(self._url + path, json=body, headers=self._headers) as answer:
            async for piece in answer.content.iter_any():
                text += piece
                if not first_s and wanted.encode() in text:
                    first_s = time.perf_counter() - began
        good = answer.status == 200 and text.rstrip().endswith(b"event: done\ndata: {}") and wanted.encode() in text
        return Turn(first_s, time.perf_counter() - began, text.count(b"\n\n"), good)


async def _measure(turns: int, at_once: int) -> None:
    with tempfile.TemporaryDirectory(prefix="penstock-turns-") as name:
        folder = Path(name)
        async with running([sys.executable, "-m", "bench.writer"]) as child:
            assert child.stdout is not None
            upstream = int(await asyncio.to_thread(child.stdout.readline))
            env = plain_environment(**environment(folder / "state", free_port(), upstream))
            async with service(env, folder / "log") as started:
                tenant = await asyncio.to_thread(_command, env, "tenant", "create", "bench", "--json")
                key = await asyncio.to_thread(_command, env, "access-key", "create", "--tenant", tenant["id"], "--json")
                connector = aiohttp.TCPConnector(limit=0)
                timeout = aiohttp.ClientTimeout(total=300)
                async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
                    url = f"http://127.0.0.1:{env['PORT']}"
                    await _report(Editor(http, url, tenant["id"], key["secret"]), started.pid, turns, at_once)


async def _report(editor: Editor, pid: int, turns: int, at_once: int) -> None:
    content = document(20_000)
    for _ in range(5):
        await editor.turn(content, 0)
    for rate in (0, 200):
        before = cpu_ns(pid)
        done = [await editor.turn(content, rate) for _ in range(turns)]
        spent_ms = (cpu_ns(pid) - before) / turns / 1e6
        _say(
            f"editor turn, 20 KB document, 200 chunks, {rate or 'all at once'}/s: {spent_ms:.1f} ms of CPU "
            f"(target {TURN_MS:g}), {median(one.whole_s for one in done) * 1000:.0f} ms in all, "
            f"{median(one.events for one in done):g} events, {_bad(done)} failed"
        )
    long = document(300 * 360)
    reviews = [await editor.review(long) for _ in range(5)]
    _say(
        f"review of {long.count('data-id')} elements: first answer after "
        f"{median(one.first_s for one in reviews) * 1000:.0f} ms (target {REVIEW_MS:g}), {_bad(reviews)} failed"
    )
    before, began = cpu_ns(pid), time.perf_counter()
    many = await asyncio.gather(*(editor.turn(content, 20) for _ in range(at_once)))
    spent_ms = (cpu_ns(pid) - before) / at_once / 1e6
    _say(
        f"{at_once} editor turns at once: {_bad(many)} failed, {time.perf_counter() - began:.1f} s, "
        f"{spent_ms:.1f} ms of CPU each, first edit p50 {median(one.first_s for one in many):.2f} s"
    )


def _bad(turns: Sequence[Turn]) -> int:
    return sum(not turn.is_good for turn in turns)


def _say(text: str) -> None:
    print(text, flush=True)


def main(turns: int = 30, at_once: int = 300) -> None:
    uvloop.run(_measure(turns, at_once))


if __name__ == "__main__":
    typer.run(main)
