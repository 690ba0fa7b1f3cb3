"""Files that mean harm, and readings that are ended from outside."""

import asyncio
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock.gateway.inference.attachments.extracted import Unreadable
from penstock.gateway.inference.attachments.extraction import Extraction, ReadingBusy, ReadingLimits
from tests.gateway.inference.files import docx, member_of, pdf, pptx, with_member, xlsx

SECRET = "canary of a file beside the service"
LAUGHS = b'<!ENTITY a0 "ha ha ha ">' + b"".join(
    b'<!ENTITY a%d "%s">' % (level, b"&a%d;" % (level - 1) * 10) for level in range(1, 10)
)
ENDLESS = b"<p>hello</p>" * 400_000

Places = list[tuple[bytes, str, bytes]]


def places() -> Places:
    """Each kind of file, a member of it, and a text there."""
    return [
        (docx(), "word/document.xml", "Grüße".encode()),
        (pptx(), "ppt/slides/slide1.xml", b"Quarter"),
        (xlsx(), "xl/worksheets/sheet1.xml", b"12.5"),
        (xlsx(), "xl/workbook.xml", b"Costs"),
    ]


def declaring(file: tuple[bytes, str, bytes], declarations: bytes) -> bytes:
    """The file with an entity `e` where the text stood."""
    data, member, text = file
    xml = member_of(data, member)
    assert text in xml
    head, declaration, rest = xml.replace(text, b"&e;", 1).rpartition(b"?>")
    return with_member(data, member, head + declaration + b"<!DOCTYPE x [" + declarations + b"]>" + rest)


async def read(data: bytes) -> str:
    try:
        return (await Extraction().extract(data)).text
    except Unreadable as error:
        return error.reason


@pytest.mark.parametrize("at", range(len(places())))
async def test_a_file_that_points_to_another_file_does_not_get_it(tmp_path: Path, at: int) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    hostile = declaring(places()[at], b'<!ENTITY e SYSTEM "file://%s">' % str(secret).encode())
    assert "canary" not in await read(hostile)


@pytest.mark.parametrize("at", range(len(places())))
async def test_entities_that_multiply_are_not_multiplied(at: int) -> None:
    text = await read(declaring(places()[at], LAUGHS + b'<!ENTITY e "&a9;">'))
    assert len(text) < 10_000


async def test_a_reading_that_was_ended_from_outside_may_be_tried_again() -> None:
    extraction = Extraction()
    for started in (1, 2):
        before = set(_children())
        reading = asyncio.create_task(extraction.extract(ENDLESS, mime="text/html"))
        os.kill(await _first_new(before), signal.SIGKILL)
        with pytest.raises(Unreadable):
            await reading
        assert extraction.processes_started == started


async def test_a_file_does_not_wait_for_ever_until_others_are_read() -> None:
    extraction = Extraction(ReadingLimits(at_a_time=1, place_within_s=0.05))
    before = set(_children())
    slow = asyncio.create_task(extraction.extract(ENDLESS, mime="text/html"))
    await _first_new(before)
    with pytest.raises(ReadingBusy):
        await extraction.extract(pdf("words"))
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    assert (await extraction.extract(pdf("words"))).pages == 1


async def test_a_machine_without_room_for_a_process_is_busy_and_recovers() -> None:
    extraction = Extraction()
    with no_more_open_files(), pytest.raises(ReadingBusy):
        await extraction.extract(pdf("words"))
    assert (await extraction.extract(pdf("words"))).pages == 1


@contextmanager
def no_more_open_files() -> Iterator[None]:
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)


def _children() -> Iterator[int]:
    for task in Path(f"/proc/{os.getpid()}/task").iterdir():
        yield from (int(one) for one in (task / "children").read_text().split())


async def _first_new(before: set[int]) -> int:
    while not (found := set(_children()) - before):
        await asyncio.sleep(0.002)
    return found.pop()
