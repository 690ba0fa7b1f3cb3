"""An application that stops listening: the provider's answer is closed, whichever way the SDK was told."""

import time
from collections.abc import Callable
from typing import Any

import anyio
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam

from tests.fakes.openai_upstream import Stall, Text
from tests.service import Service

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not true():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.02)


async def eventually_async(true: Callable[[], bool]) -> None:
    with anyio.fail_after(15):
        while not true():
            await anyio.sleep(0.02)


def begun(client: OpenAI) -> Any:
    stream = client.chat.completions.create(model="mock/one", messages=HELLO, stream=True)
    assert next(iter(stream)).choices[0].delta.content == "one"
    return stream


def test_closing_a_stream_closes_the_upstream(service: Service, client: OpenAI) -> None:
    service.upstream.plays(Text("one"), Stall())
    begun(client).close()
    eventually(lambda: service.upstream.cancelled == 1)


def test_leaving_a_stream_closes_the_upstream(service: Service, client: OpenAI) -> None:
    service.upstream.plays(Text("one"), Stall())
    with begun(client):
        pass
    eventually(lambda: service.upstream.cancelled == 1)


def test_leaving_the_stream_helper_closes_the_upstream(service: Service, client: OpenAI) -> None:
    service.upstream.plays(Text("one"), Stall())
    with client.chat.completions.stream(model="mock/one", messages=HELLO) as stream:
        next(iter(stream))
    eventually(lambda: service.upstream.cancelled == 1)


@pytest.mark.parametrize("stream", [False, True])
def test_the_time_out_of_the_sdk_closes_the_upstream(service: Service, client: OpenAI, stream: bool) -> None:
    service.upstream.plays(Stall())
    with pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(model="mock/one", messages=HELLO, stream=stream, timeout=0.5)
    eventually(lambda: service.upstream.cancelled == 1)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cancelled_task_closes_the_upstream_before_the_answer_begins(
    service: Service, async_client: AsyncOpenAI, stream: bool
) -> None:
    service.upstream.plays(Stall())

    async def ask() -> None:
        await async_client.chat.completions.create(model="mock/one", messages=HELLO, stream=stream)

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await eventually_async(lambda: len(service.upstream.chats) == 1)
        group.cancel_scope.cancel()
    await eventually_async(lambda: service.upstream.cancelled == 1)


async def test_a_cancelled_task_closes_the_upstream_in_the_middle(service: Service, async_client: AsyncOpenAI) -> None:
    service.upstream.plays(Text("one"), Stall())
    begun = anyio.Event()

    async def listen() -> None:
        stream = await async_client.chat.completions.create(model="mock/one", messages=HELLO, stream=True)
        async with stream:
            async for _ in stream:
                begun.set()

    async with anyio.create_task_group() as group:
        group.start_soon(listen)
        await begun.wait()
        group.cancel_scope.cancel()
    await eventually_async(lambda: service.upstream.cancelled == 1)


async def test_one_that_hangs_up_does_not_disturb_the_others(service: Service, async_client: AsyncOpenAI) -> None:
    service.upstream.plays_when("stall", Text("one"), Stall())
    stalled = await async_client.chat.completions.create(
        model="mock/one", messages=[{"role": "user", "content": "stall"}], stream=True
    )
    other = await async_client.chat.completions.create(model="mock/one", messages=HELLO, stream=True)
    await stalled.close()
    texts = [piece.choices[0].delta.content or "" async for piece in other]
    assert "".join(texts) == "Hello from the upstream."
    await eventually_async(lambda: service.upstream.cancelled == 1)
