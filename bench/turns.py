"""`python -m bench.turns`: what an editor's turn and a review cost, and whether many at once come through.

The service runs with its embedded defaults (SQLite); the model is `bench/writer.py`. CPU is that of the service.
"""

import asyncio
import os
import platform
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import aiohttp
import jwt
import typer
import uvloop

from bench.process import cpu_ns, running
from bench.service import command, environment, free_port, service, targets
from bench.writer import CHUNKS

PARAGRAPH = "The committee met in the spring and decided what had to be done before the summer came. "
TURN_MS, REVIEW_MS = 12.0, 200.0
_RESULTS = Path(__file__).with_name("EDITOR.md")


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


class Row(NamedTuple):
    name: str
    value: float
    target: float | None = None
    ratio: float | None = None
    failed: int = 0

    def shown(self) -> str:
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        verdict = (
            "" if self.target is None else f"≤ {self.target:g}: {'met' if self.value <= self.target else 'missed'}"
        )
        return f"| {self.name} | {self.value:.1f} | {ratio} | {verdict} |"


class Editor:
    def __init__(self, http: aiohttp.ClientSession, url: str, tenant: str, secret: str, key: str) -> None:
        self._http, self._url, self._key = http, url, key
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

    async def relayed(self, content: str, rate: int) -> Turn:
        """The same answer, to a client of the OpenAI surface."""
        system, text = "Answer in <edit>.", f"{content} bench rate={rate}"
        messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
        body = {"model": "mock/mock", "stream": True, "messages": messages}
        return await self._stream("/oai/v1/chat/completions", body, "delta", {"Authorization": f"Bearer {self._key}"})

    async def _post(self, path: str, body: Any) -> Any:
        async with self._http.post(self._url + path, json=body, headers=self._headers) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def _stream(self, path: str, body: Any, wanted: str, headers: Mapping[str, str] | None = None) -> Turn:
        began = time.perf_counter()
        first_s, text = 0.0, b""
        async with self._http.post(self._url + path, json=body, headers=headers or self._headers) as answer:
            async for piece in answer.content.iter_any():
                text += piece
                if not first_s and wanted.encode() in text:
                    first_s = time.perf_counter() - began
        is_whole = text.rstrip().endswith((b"event: done\ndata: {}", b"data: [DONE]"))
        good = answer.status == 200 and is_whole and wanted.encode() in text
        return Turn(first_s, time.perf_counter() - began, text.count(b"\n\n"), good)


async def _measure(turns: int, at_once: int) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="penstock-turns-") as name:
        folder = Path(name)
        async with running([sys.executable, "-m", "bench.writer"]) as child:
            assert child.stdout is not None
            upstream = int(await asyncio.to_thread(child.stdout.readline))
            env = environment(folder / "state", free_port(), upstream)
            async with service(env, folder / "log") as started:
                target, _ = await asyncio.to_thread(targets, env)
                tenant = await asyncio.to_thread(command, env, "tenant", "create", "editors", "--json")
                key = await asyncio.to_thread(command, env, "access-key", "create", "--tenant", tenant["id"], "--json")
                connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=300)
                async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
                    url = f"http://127.0.0.1:{env['PORT']}"
                    editor = Editor(http, url, tenant["id"], key["secret"], target.key)
                    return await _report(editor, started.pid, turns, at_once)


async def _report(editor: Editor, pid: int, turns: int, at_once: int) -> list[Row]:
    content = document(20_000)
    for _ in range(5):
        await editor.turn(content, 0)
        await editor.relayed(content, 0)
    rows = []
    for rate in (0, 200):
        name = f"{CHUNKS} chunks {f'at {rate} a second' if rate else 'at once'}"
        relay = await _spent(pid, turns, lambda rate=rate: editor.relayed(content, rate))  # type: ignore[misc]
        rows.append(
            Row(f"the same answer relayed to an OpenAI client, {name}: CPU, ms", relay.cpu_ms, failed=relay.failed)
        )
        turn = await _spent(pid, turns, lambda rate=rate: editor.turn(content, rate))  # type: ignore[misc]
        target = None if rate else TURN_MS
        ratio = turn.cpu_ms / relay.cpu_ms
        rows.append(Row(f"editor turn, 20 KB document, {name}: CPU, ms", turn.cpu_ms, target, ratio, turn.failed))
    rows += await _reviews(editor)
    many = await _spent(pid, at_once, lambda: editor.turn(content, 20), together=True)
    rows.append(Row(f"{at_once} editor turns at once: CPU each, ms", many.cpu_ms, failed=many.failed))
    rows.append(Row("… that failed", many.failed, 0, failed=many.failed))
    return rows


async def _reviews(editor: Editor) -> list[Row]:
    """The upstream's first token comes at once, so what is left of the time is ours."""
    long = document(300 * 345)
    reviews = [await editor.review(long) for _ in range(9)]
    first_ms = median(one.first_s for one in reviews) * 1000
    elements = long.count("data-id")
    return [Row(f"review of {elements} elements: to the first answer, ms", first_ms, REVIEW_MS, failed=_bad(reviews))]


class Spent(NamedTuple):
    cpu_ms: float
    failed: int


async def _spent(pid: int, count: int, make: Callable[[], Awaitable[Turn]], *, together: bool = False) -> Spent:
    """CPU of the service for each."""
    before = cpu_ns(pid)
    done = await asyncio.gather(*(make() for _ in range(count))) if together else [await make() for _ in range(count)]
    return Spent((cpu_ns(pid) - before) / count / 1e6, _bad(done))


def _rendered(rows: Sequence[Row], load: float) -> str:
    lines = [
        f"Python {platform.python_version()}, {os.cpu_count()} cores; load before the run {load:.1f}. One process with "
        "its embedded defaults (SQLite). An editor turn is three requests: a conversation, a document, a message. "
        "CPU is that of the service.",
        "",
        "| | value | ÷ relayed | target |",
        "|---|---:|---:|---|",
    ]
    return "\n".join(lines + [row.shown() for row in rows]) + "\n"


def _bad(turns: Sequence[Turn]) -> int:
    return sum(not turn.is_good for turn in turns)


def main(turns: int = 40, at_once: int = 300, write: bool = False) -> None:
    """Measure editor turns and reviews, and print a table; `--write` keeps it in bench/EDITOR.md."""
    load = os.getloadavg()[0]
    rows = uvloop.run(_measure(turns, at_once))
    report = _rendered(rows, load)
    print(report)
    if write:
        _RESULTS.write_text(f"# Results of `python -m bench.turns`, {datetime.now(UTC):%Y-%m-%d}\n\n{report}")
    if any(row.failed for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    typer.run(main)
