"""The benchmark's tools against each other: a driver that could not notice a loss would prove nothing."""

import asyncio
import os
import subprocess
import sys
import time
from array import array
from collections.abc import AsyncIterator

import pytest
from bench.driver import Script, Streams, Target, alternate, closed_loop, many_streams, percentile
from bench.measure import QUICK
from bench.process import cpu_ns, memory, running, tree, until_ready
from bench.table import render
from bench.upstream import listen

from bench import frames


@pytest.fixture
async def mock() -> AsyncIterator[Target]:
    server = await listen()
    async with server:
        yield Target("direct", server.sockets[0].getsockname()[1])


async def streams_of(mock: Target, faults: str = "", *, rate: int = 200) -> Streams:
    return await many_streams(mock, 5, Script(chunks=12, rate=rate, faults=faults), ramp_s=0.02)


@pytest.mark.parametrize("rate", [0, 200])
async def test_streams_that_bring_everything_are_whole(mock: Target, rate: int) -> None:
    streams = await streams_of(mock, rate=rate)
    assert streams.whole == 5
    assert (streams.received, streams.lost, streams.misplaced) == (60, 0, 0)
    assert len(streams.lags_us) == 60
    assert len(streams.first_us) == 5
    assert {check.usage_tokens for check in streams.checks} == {12}


async def test_a_lost_chunk_is_noticed(mock: Target) -> None:
    streams = await streams_of(mock, "drop=7")
    assert (streams.whole, streams.lost, streams.misplaced) == (0, 5, 0)


async def test_a_lost_last_chunk_is_noticed(mock: Target) -> None:
    assert (await streams_of(mock, "drop=11")).lost == 5


@pytest.mark.parametrize("rate", [0, 200])
async def test_two_chunks_out_of_order_are_noticed(mock: Target, rate: int) -> None:
    streams = await streams_of(mock, "swap=4", rate=rate)
    assert (streams.whole, streams.lost) == (0, 0)
    assert [check.reordered for check in streams.checks] == [1] * 5


async def test_a_chunk_sent_twice_is_noticed(mock: Target) -> None:
    streams = await streams_of(mock, "double=4")
    assert (streams.whole, streams.lost) == (0, 0)
    assert [check.doubled for check in streams.checks] == [1] * 5


async def test_a_damaged_chunk_is_noticed_and_counts_as_lost_too(mock: Target) -> None:
    streams = await streams_of(mock, "damage=4")
    assert [(check.damaged, check.lost) for check in streams.checks] == [(1, 1)] * 5


async def test_a_stream_that_is_cut_is_a_failure_and_not_an_end(mock: Target) -> None:
    streams = await streams_of(mock, "cut=4")
    assert (streams.whole, streams.lost, len(streams.failures)) == (0, 40, 5)


async def test_a_chunk_that_strayed_into_another_stream_is_damage(mock: Target) -> None:
    check = checked(frames.chunk(2, 0, 0), frames.FINISH, frames.DONE, stream=1, chunks=1)
    assert (check.damaged, check.lost, check.is_whole) == (1, 1, False)


@pytest.mark.parametrize(
    "pieces",
    [
        (frames.chunk(1, 0, 0), frames.DONE),
        (frames.chunk(1, 0, 0), frames.FINISH),
        (frames.chunk(1, 0, 0), frames.FINISH, frames.DONE, frames.chunk(1, 0, 0)),
        (frames.chunk(1, 0, 0), frames.FINISH, b'data: {"error":{"message":"no"}}\n\n', frames.DONE),
        (frames.chunk(1, 0, 0), frames.FINISH, frames.DONE, b"data: half a fra"),
        (frames.chunk(1, 0, 0), b"data: {}\n\n", frames.FINISH, frames.DONE),
    ],
    ids=["no finish", "no terminator", "after the terminator", "error", "half a frame", "empty event"],
)
def test_an_end_that_is_not_orderly_is_not_whole(pieces: tuple[bytes, ...]) -> None:
    assert not checked(*pieces, stream=1, chunks=1).is_whole


def test_the_size_of_the_pieces_does_not_matter() -> None:
    body = b": comment\n\n" + frames.ROLE + b"".join(frames.chunk(1, number, 0) for number in range(3))
    body += frames.FINISH + frames.usage(3) + frames.DONE
    for size in (1, 7, 233, len(body)):
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        assert checked(*pieces, stream=1, chunks=3).is_whole


def test_chunks_that_were_written_again_are_understood() -> None:
    again = frames.chunk(1, 0, 5).replace(b'":', b'": ')
    check = checked(again, frames.FINISH, frames.DONE, stream=1, chunks=1)
    assert check.is_whole
    assert list(check.lags_us) == [5]


def checked(*pieces: bytes, stream: int, chunks: int) -> frames.StreamCheck:
    check = frames.StreamCheck(stream, chunks, array("q"))
    for piece in pieces:
        check.feed(piece, 10)
    return check


async def test_the_closed_loop_counts_good_answers_and_errors_apart(mock: Target) -> None:
    answers = await closed_loop(mock, 4, 0.2)
    assert len(answers.latencies_ns) > 0
    assert answers.errors == 0
    assert answers.per_second > 0


async def test_the_closed_loop_gives_up_on_a_service_that_only_refuses() -> None:
    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        answers = await closed_loop(Target("refusing", server.sockets[0].getsockname()[1]), 2, 60.0)
    assert len(answers.latencies_ns) == 0
    assert 100 <= answers.errors <= 102
    assert answers.first_error.startswith("503")


async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(65536):
        writer.write(b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy")
    writer.close()


async def test_a_refused_stream_is_a_failure_with_its_status() -> None:
    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        streams = await many_streams(Target("refusing", server.sockets[0].getsockname()[1]), 2, Script(3, 0), ramp_s=0)
    assert (streams.whole, streams.lost) == (0, 6)
    assert all(failure.startswith("503") for failure in streams.failures)


async def test_calls_in_turn_time_every_target_alike(mock: Target) -> None:
    other = mock._replace(name="other")
    for script in (None, Script(chunks=2, rate=0)):
        timings = await alternate([mock, other], 10, script)
        assert [len(own) for own in timings.values()] == [9, 9]
        assert all(0 < one.first_ns <= one.total_ns for own in timings.values() for one in own)


async def test_a_child_is_measured_while_it_runs_and_ended_with_the_block() -> None:
    async with running([sys.executable, "-m", "bench.upstream"]) as child:
        assert child.stdout is not None
        target = Target("direct", int(await asyncio.to_thread(child.stdout.readline)))
        before = cpu_ns(child.pid)
        assert (await closed_loop(target, 2, 0.1)).errors == 0
        assert cpu_ns(child.pid) > before
        assert child.pid in tree(os.getpid())
        sizes = memory(child.pid)
        assert 0 < sizes.pss <= sizes.rss
    assert child.returncode is not None


async def test_a_child_that_ends_before_it_is_ready_is_an_error() -> None:
    async with running([sys.executable, "-c", "raise SystemExit(3)"]) as child:
        with pytest.raises(RuntimeError, match="status 3"):
            await until_ready(child, 1, "/health", started_s=time.monotonic())


def test_the_upstream_ends_when_nobody_holds_its_input() -> None:
    argv = [sys.executable, "-m", "bench.upstream"]
    assert subprocess.run(argv, input=b"", capture_output=True, timeout=30).returncode == 0


def test_the_table_gives_ratios_and_says_which_targets_are_missed() -> None:
    figures = {
        "c32_cpu_us": {"nginx": 16.0, "penstock": 40.0},
        "busy_cpu_us": {"nginx": 10.0, "penstock": 30.0},
    }
    table = render(figures, ["penstock lost something"], QUICK, 0.1)
    assert "| … CPU per request, µs |  | 16.0 | 40.0 | 2.50 | ≤ 60: met |" in table
    assert "| 30.0 | 3.00 | ≤ 25: missed |" in table
    assert "* penstock lost something" in table
    assert "do not quote" not in table
    assert "do not quote" in render(figures, [], QUICK, 4.0)


def test_a_percentile_of_nothing_is_not_a_number() -> None:
    assert percentile([], 0.5) != percentile([], 0.5)
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile(list(range(100)), 0.99) == 99
