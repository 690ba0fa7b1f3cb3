"""Files to text: each read by a process of its own that may use little, and remembered for the next turn.

The service itself looks at a file's first bytes only; plain text needs no reader and is decoded here.
"""

import asyncio
import contextlib
import hashlib
import os
import re
import signal
import sys
from collections import OrderedDict
from pathlib import Path
from typing import ClassVar, Literal

import msgspec

import penstock
from penstock.errors import Unavailable
from penstock.gateway.inference.attachments.extracted import Extracted, Outcome, Reason, Refused, Unreadable
from penstock.gateway.inference.attachments.kinds import Kind, kind_of
from penstock.gateway.inference.attachments.plain_text import decoded

Reading = Kind | Literal["page", "whole page"]
_Key = tuple[bytes, str]
"""Digest of the content, and as what it was read."""

_CHILD = "penstock.gateway.inference.attachments.child"
_AT_ONCE_BYTES = 64 * 1024
_CHARSET = re.compile(r"[a-zA-Z0-9_.:-]{1,40}")
_outcome = msgspec.json.Decoder(Outcome)


class ReadingBusy(Unavailable):
    """Too many files are being read already."""

    code: ClassVar[str] = "reading_busy"


class ReadingLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one file may cost, and how many are read at a time."""

    file_bytes: int = 50 * 1024 * 1024
    text_chars: int = 2_000_000
    memory_bytes: int = 1024 * 1024 * 1024
    """Of the reading process, all of its address space."""
    cpu_s: int = 20
    page_cpu_s: int = 8
    """Of looking for the readable part of a web page; after it the page is read as a whole."""
    within_s: float = 30.0
    place_within_s: float = 30.0
    """How long a file waits for others to be read."""
    at_a_time: int = 2
    waiting: int = 32
    kept_chars: int = 20_000_000
    kept_files: int = 512


class Extraction:
    """Safe to use from many calls at a time. What was read is kept by content, so nobody learns of another's file."""

    def __init__(self, limits: ReadingLimits | None = None) -> None:
        self._limits = limits or ReadingLimits()
        self._places = asyncio.Semaphore(self._limits.at_a_time)
        self._waiting = 0
        self._kept: OrderedDict[_Key, Extracted | Refused] = OrderedDict()
        self._kept_chars = 0
        self.processes_started = 0

    async def extract(self, data: bytes, *, mime: str = "", name: str = "") -> Extracted:
        """The text of a file. `mime` and `name` count where its bytes do not tell. Raises Unreadable, ReadingBusy."""
        kind = kind_of(data, mime, name)
        direct = _without_reading(kind)
        if direct is not None:
            raise Unreadable(direct)
        if len(data) > self._limits.file_bytes:
            raise Unreadable("too_large")
        key = (await _digest(data), kind)
        found = self._remembered(key)
        if found is None:
            found = _plain(data, self._limits.text_chars) if kind == "text" else await self._in_process(kind, data)
            self._keep(key, found)
        return _given(found)

    async def extract_page(self, data: bytes, *, charset: str = "") -> Extracted:
        """What a reader of a web page wants, as Markdown, with its title. Raises Unreadable, ReadingBusy.

        `charset` is what came with the bytes, and counts before what the page says of itself. A page that resists is
        read as a whole, with its menus.
        """
        if len(data) > self._limits.file_bytes:
            raise Unreadable("too_large")
        stated = charset if _CHARSET.fullmatch(charset) else ""
        key = (await _digest(data), f"page {stated}")
        found = self._remembered(key)
        if found is None:
            found = await self._in_process("page", data, stated)
            if isinstance(found, Refused) and found.reason != "no_text":
                found = await self._in_process("whole page", data, stated)
            self._keep(key, found)
        return _given(found)

    def _remembered(self, key: _Key) -> Extracted | Refused | None:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def _keep(self, key: _Key, found: Extracted | Refused) -> None:
        if (isinstance(found, Refused) and found.is_for_now) or key in self._kept:
            return
        self._kept[key] = found
        self._kept_chars += _size(found)
        while self._kept_chars > self._limits.kept_chars or len(self._kept) > self._limits.kept_files:
            _, oldest = self._kept.popitem(last=False)
            self._kept_chars -= _size(oldest)

    async def _in_process(self, kind: Reading, data: bytes, charset: str = "") -> Extracted | Refused:
        if self._waiting >= self._limits.waiting:
            raise _busy()
        self._waiting += 1
        try:
            await self._take_place()
            try:
                return await self._read(kind, data, charset)
            finally:
                self._places.release()
        finally:
            self._waiting -= 1

    async def _take_place(self) -> None:
        try:
            async with asyncio.timeout(self._limits.place_within_s):
                await self._places.acquire()
        except TimeoutError as error:
            raise _busy() from error

    async def _read(self, kind: Reading, data: bytes, charset: str) -> Extracted | Refused:
        limits = self._limits
        self.processes_started += 1
        process = await _started(kind, limits, charset)
        try:
            async with asyncio.timeout(limits.within_s):
                answer = await _exchange(process, data, most_bytes=limits.text_chars * 6 + 4096)
                status = await process.wait()
        except TimeoutError:
            return Refused("too_slow", is_for_now=True)
        finally:
            await asyncio.shield(_ended(process))
        return _understood(answer, status)


async def _started(kind: Reading, limits: ReadingLimits, charset: str) -> asyncio.subprocess.Process:
    """Raises ReadingBusy when the machine has no room for another process."""
    try:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", _CHILD),
            *(kind, str(limits.text_chars), str(limits.memory_bytes), str(_cpu_s(kind, limits)), charset),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd="/",
            env=_environment(),
        )
    except OSError as error:
        raise _busy() from error


def _cpu_s(kind: Reading, limits: ReadingLimits) -> int:
    return min(limits.cpu_s, limits.page_cpu_s) if kind == "page" else limits.cpu_s


def _busy() -> ReadingBusy:
    return ReadingBusy("Too many files are being read at present.", action="Try again in a moment.", retry_after_s=5)


async def _exchange(process: asyncio.subprocess.Process, data: bytes, most_bytes: int) -> bytes:
    """Give the file, take the answer; no more of it than there can be."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its end without an answer says enough
        process.stdin.write(data)
        await process.stdin.drain()
        process.stdin.close()
        await process.stdin.wait_closed()
    answer = bytearray()
    while piece := await process.stdout.read(_AT_ONCE_BYTES):
        answer += piece
        if len(answer) > most_bytes:
            process.kill()
            return b""
    return bytes(answer)


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Nothing of the process is left."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    await process.wait()


def _understood(answer: bytes, status: int) -> Extracted | Refused:
    try:
        outcome = _outcome.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Refused(_reason_of(status), is_for_now=True)
    return outcome.extracted or outcome.refused or Refused("broken")


def _reason_of(status: int) -> Reason:
    """Why the process ended without a word."""
    if status == -signal.SIGXCPU:
        return "too_slow"
    return "too_large" if status == -signal.SIGKILL else "broken"


def _given(found: Extracted | Refused) -> Extracted:
    """Raises Unreadable."""
    if isinstance(found, Refused):
        raise Unreadable(found.reason, found.pages)
    return found


def _without_reading(kind: Kind) -> Reason | None:
    match kind:
        case "ole":
            return "old_office"
        case "rtf" | "image" | "unknown":
            return "unknown"
        case _:
            return None


def _plain(data: bytes, most_chars: int) -> Extracted | Refused:
    text = decoded(data)
    if not text.strip():
        return Refused("no_text")
    return Extracted(text=text[:most_chars], kind="text", is_cut=len(text) > most_chars)


async def _digest(data: bytes) -> bytes:
    if len(data) <= _AT_ONCE_BYTES:
        return hashlib.sha256(data).digest()
    return (await asyncio.to_thread(hashlib.sha256, data)).digest()


def _size(kept: Extracted | Refused) -> int:
    return len(kept.text) if isinstance(kept, Extracted) else 0


def _environment() -> dict[str, str]:
    """Where the code is, and nothing else: the service's own environment holds its secrets."""
    root = str(Path(penstock.__file__).parent.parent)
    return {"PYTHONPATH": root, "PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
