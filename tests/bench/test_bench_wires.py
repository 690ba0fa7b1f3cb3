"""The formats of the mock upstream, read by the providers' own SDKs and, through the service, by our wires."""

import asyncio
from array import array
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from anthropic import Anthropic
from bench.driver import Script, Target, many_streams
from bench.formats import ANTHROPIC, BEDROCK, CHAT, GEMINI, RESPONSES, Ending, Format, format_of
from bench.measure import QUICK
from bench.service import TRANSLATED, environment, free_port, service, targets
from bench.table import render
from bench.upstream import listen
from botocore.config import Config  # type: ignore[import-untyped]
from google import genai
from google.genai import types
from openai import OpenAI

from bench import frames
from penstock.providers.base import Delta, Finish, TextDelta, Usage
from penstock.providers.vendors import load_wire

CHUNKS = 12
ASKED = Script(chunks=CHUNKS, rate=0).text(3)
"""What the driver says; the text has to be found wherever a format puts it."""


@pytest.fixture(scope="module")
async def port() -> AsyncIterator[int]:
    server = await listen()
    async with server:
        yield server.sockets[0].getsockname()[1]


def in_order(text: str) -> bool:
    """Every token of stream 3, once and in order, and nothing else."""
    tokens = text.split(" ")
    return tokens.pop() == "" and [token[:12] for token in tokens] == [f"0003-{number:06}-" for number in range(CHUNKS)]


# --- read by the providers' SDKs -------------------------------------------------------------------------------------


async def test_openais_sdk_reads_the_stream_of_responses(port: int) -> None:
    def heard() -> list[Any]:
        with OpenAI(api_key="k", base_url=f"http://127.0.0.1:{port}/v1", max_retries=0) as client:
            return list(client.responses.create(model="mock", input=ASKED, stream=True))

    events = await asyncio.to_thread(heard)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert in_order("".join(event.delta for event in events if event.type == "response.output_text.delta"))
    done = next(event for event in events if event.type == "response.output_text.done")
    assert in_order(done.text)
    whole = events[-1].response
    assert (events[-1].type, whole.status, whole.output_text) == ("response.completed", "completed", done.text)
    assert (whole.usage.input_tokens, whole.usage.output_tokens, whole.usage.total_tokens) == (12, CHUNKS, CHUNKS + 12)


async def test_anthropics_sdk_reads_the_stream_of_messages(port: int) -> None:
    def heard() -> Any:
        with (
            Anthropic(api_key="k", base_url=f"http://127.0.0.1:{port}", max_retries=0) as client,
            client.messages.stream(
                model="mock", max_tokens=100, messages=[{"role": "user", "content": ASKED}]
            ) as stream,
        ):
            return stream.get_final_message()

    message = await asyncio.to_thread(heard)
    assert in_order(message.content[0].text)
    assert message.stop_reason == "end_turn"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (12, CHUNKS)


async def test_googles_sdk_reads_the_stream_of_gemini(port: int) -> None:
    def heard() -> list[Any]:
        http = types.HttpOptions(base_url=f"http://127.0.0.1:{port}", api_version="v1beta", timeout=30_000)
        client = genai.Client(api_key="k", vertexai=False, http_options=http)
        try:
            return list(client.models.generate_content_stream(model="mock", contents=ASKED))
        finally:
            client.close()

    answers = await asyncio.to_thread(heard)
    assert in_order("".join(answer.text or "" for answer in answers))
    assert answers[-1].candidates[0].finish_reason == types.FinishReason.STOP
    assert answers[-1].usage_metadata.candidates_token_count == CHUNKS


async def test_awss_sdk_reads_the_stream_of_bedrock_checksums_included(port: int) -> None:
    def heard() -> list[dict[str, Any]]:
        client = boto3.client(
            "bedrock-runtime",
            region_name="eu-central-1",
            endpoint_url=f"http://127.0.0.1:{port}",
            aws_access_key_id="AKIABENCHBENCHBENCH0",
            aws_secret_access_key="bench",
            config=Config(retries={"max_attempts": 1, "mode": "standard"}, proxies={}),
        )
        try:
            asked = [{"role": "user", "content": [{"text": ASKED}]}]
            return list(client.converse_stream(modelId="mock", messages=asked)["stream"])
        finally:
            client.close()

    events = await asyncio.to_thread(heard)
    assert in_order("".join(one["contentBlockDelta"]["delta"]["text"] for one in events if "contentBlockDelta" in one))
    assert [next(iter(one)) for one in events[-3:]] == ["contentBlockStop", "messageStop", "metadata"]
    assert events[-1]["metadata"]["usage"] == {"inputTokens": 12, "outputTokens": CHUNKS, "totalTokens": CHUNKS + 12}


# --- read by our wires -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spoken", [CHAT, RESPONSES, ANTHROPIC, GEMINI, BEDROCK], ids=lambda spoken: spoken.name)
@pytest.mark.parametrize("at_once", [1, 2, 5, CHUNKS], ids="{} at a time".format)
def test_our_readers_read_the_same_however_many_frames_come_at_a_time(spoken: Format, at_once: int) -> None:
    tokens = [frames.token(3, number, 0) for number in range(CHUNKS)]
    deltas = [spoken.delta(token, number) for number, token in enumerate(tokens)]
    reads = [*spoken.opening, *(b"".join(deltas[at : at + at_once]) for at in range(0, CHUNKS, at_once))]
    reader = load_wire(spoken.name).reader(model="mock", content_type=spoken.content_type.decode())
    heard: list[Delta] = []
    for read in [*reads, *spoken.ending(Ending(CHUNKS, b"".join(tokens), with_usage=True))]:
        heard.extend(reader.feed(read))
    heard.extend(reader.end())
    texts = [delta.text for delta in heard if isinstance(delta, TextDelta)]
    assert in_order("".join(texts))
    assert len(texts) == CHUNKS
    assert heard[-2:] == [Usage(input_tokens=12, output_tokens=CHUNKS), Finish("stop", heard[-1].raw_reason)]


# --- through the service ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def wires(port: int, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sequence[Target]]:
    folder: Path = tmp_path_factory.mktemp("bench")
    env = environment(folder / "state", free_port(), port)
    relay, translated = await asyncio.to_thread(targets, env)
    async with service(env, folder / "service.log"):
        yield [relay, *translated]


@pytest.mark.parametrize("rate", [0, 100], ids=["at once", "one by one"])
async def test_each_wire_brings_every_chunk_once_and_in_order(wires: Sequence[Target], rate: int) -> None:
    assert [target.name for target in wires[1:]] == list(TRANSLATED)
    for target in wires:
        streams = await many_streams(target, 5, Script(chunks=CHUNKS, rate=rate), ramp_s=0.02)
        assert (target.name, streams.whole, streams.failures) == (target.name, 5, [])
        assert (streams.received, streams.lost, streams.misplaced) == (5 * CHUNKS, 0, 0)
        assert {check.usage_tokens for check in streams.checks} == {CHUNKS}


@pytest.mark.parametrize("rate", [0, 100], ids=["at once", "one by one"])
@pytest.mark.parametrize(
    ("fault", "lost", "misplaced"), [("drop=7", 2, 0), ("swap=4", 0, 2), ("double=4", 0, 2), ("damage=4", 2, 2)]
)
async def test_what_goes_wrong_is_noticed_behind_a_translation_too(
    wires: Sequence[Target], fault: str, lost: int, misplaced: int, rate: int
) -> None:
    for target in wires[1:]:
        streams = await many_streams(target, 2, Script(CHUNKS, rate, fault), ramp_s=0.02)
        assert (target.name, streams.whole, streams.lost, streams.misplaced) == (target.name, 0, lost, misplaced)


async def test_a_stream_that_is_cut_behind_a_translation_is_a_failure(wires: Sequence[Target]) -> None:
    for target in wires[1:]:
        streams = await many_streams(target, 2, Script(CHUNKS, 100, "cut=4"), ramp_s=0.02)
        assert (target.name, streams.whole, streams.lost) == (target.name, 0, 2 * (CHUNKS - 4))
        assert all(check.error and not check.done for check in streams.checks)


# --- the check -------------------------------------------------------------------------------------------------------


def checked(*contents: bytes) -> frames.StreamCheck:
    """An orderly stream of 4 chunks whose content frames have these contents."""
    check = frames.StreamCheck(1, 4, array("q"))
    check.feed(frames.ROLE + b"".join(map(frames.around, contents)) + frames.FINISH + frames.DONE, 10)
    return check


def tokens(*numbers: int) -> bytes:
    return b"".join(frames.token(1, number, 4) for number in numbers)


def test_several_chunks_in_one_frame_are_all_counted() -> None:
    for contents in ([tokens(0, 1, 2, 3)], [tokens(0), tokens(1, 2), tokens(3)], [tokens(0, 1), tokens(2), tokens(3)]):
        check = checked(*contents)
        assert (check.received, check.lost, check.pieces, check.is_whole) == (4, 0, 1, True)
        assert list(check.lags_us) == [6] * 4


@pytest.mark.parametrize(
    ("contents", "wrong"),
    [
        ([tokens(0, 2, 3)], (1, 0, 0, 0)),
        ([tokens(0, 1), tokens(3)], (1, 0, 0, 0)),
        ([tokens(0, 2, 1, 3)], (0, 1, 0, 0)),
        ([tokens(0, 1, 1, 2, 3)], (0, 0, 1, 0)),
        ([tokens(0, 1, 2, 3)[:-1]], (4, 0, 0, 1)),
        ([tokens(0, 1)[:-3], tokens(2, 3)], (2, 0, 0, 1)),
        ([tokens(0), tokens(1) + b"more", tokens(2, 3)], (1, 0, 0, 1)),
        ([frames.token(2, 0, 4) + tokens(1, 2, 3)], (1, 0, 0, 1)),
    ],
    ids=["lost inside", "lost between", "swapped", "doubled", "cut", "cut inside", "more than tokens", "of another"],
)
def test_what_is_wrong_inside_a_frame_of_several_is_noticed(
    contents: list[bytes], wrong: tuple[int, int, int, int]
) -> None:
    check = checked(*contents)
    assert (check.lost, check.reordered, check.doubled, check.damaged) == wrong
    assert not check.is_whole


def test_the_path_alone_says_which_format_is_spoken() -> None:
    spoken = {
        b"/v1/responses": "openai_responses",
        b"/v1/messages": "anthropic",
        b"/v1beta/models/mock:streamGenerateContent?alt=sse": "gemini",
        b"/model/eu.mock-v1%3A0/converse-stream": "bedrock",
        b"/v1/chat/completions": "openai_chat",
        b"/v1/chat/completions?like=/v1/messages": "openai_chat",
    }
    assert {target: format_of(target).name for target in spoken} == spoken


# --- the table -------------------------------------------------------------------------------------------------------


def test_the_table_by_wire_has_the_ratio_to_the_relay_and_says_which_wires_miss() -> None:
    figures = {
        "busy_cpu_us": {"penstock": 20.0, "anthropic": 24.0, "bedrock": 30.0},
        "busy_together": {"penstock": 1.0, "anthropic": 1.5},
        "calm_cpu_us": {"penstock": 40.0, "anthropic": 44.0},
    }
    table = render(figures, [], QUICK, 0.1, only_wires=True)
    assert "| openai_chat, relayed | 20.0 | 1.00 | 1.00 | 40.0 | 1.00 | ≤ 25: met |" in table
    assert "| anthropic, translated | 24.0 | 1.20 | 1.50 | 44.0 | 1.10 | ≤ 25: met |" in table
    assert "| bedrock, translated | 30.0 | 1.50 |  |  |  | ≤ 25: missed |" in table
    assert "| gemini, translated |  |  |  |  |  | ≤ 25 |" in table
    assert "nginx" not in table
    assert "| anthropic, translated |" in render(figures, [], QUICK, 0.1)
