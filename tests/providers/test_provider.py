"""One entry of PROVIDERS at work: what is tried, what is learnt, what is closed."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import UpstreamError
from penstock.kit.secret import Secret
from penstock.providers.answer import Answer
from penstock.providers.attempts import Attempts
from penstock.providers.base import Delta, ProviderConfig, TextDelta
from penstock.providers.failures import CredentialsRefused, TimedOut, UpstreamNotFound
from penstock.providers.provider import Provider, Providers
from tests.fakes.wire_server import CHUNKED_HEAD, Script, WireServer, chunk, chunked, ok
from tests.fakes.wire_server import Wire as Line
from tests.providers.calls import Neutral, call
from tests.providers.conftest import Serve

HELLO = Neutral(call("Hello"))
KEY = "sk-canary-of-the-key-0001"
HI = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
GOOD = chunked(HI + STOP + b"data: [DONE]\n\n")


def config(server: WireServer, path: str = "/v1", **more: Any) -> ProviderConfig:
    address = f"http://127.0.0.1:{server.port}{path}"
    fields = {"type": "openai-compatible", "api_keys": (Secret(KEY),), **more}
    return ProviderConfig(key="mine", name="mine", base_url=address, **fields)


def refusal(status: int, message: str, **more: Any) -> bytes:
    body = json.dumps({"error": {"message": message, **more}}).encode()
    return ok(body, b"content-type: application/json", status=b"%d X" % status)


def answering(answer: Callable[[Any], bytes]) -> Script:
    async def script(line: Line) -> None:
        while True:
            seen = await line.request()
            await asyncio.sleep(0.02)  # so that calls meet
            await line.send(answer(seen))

    return script


async def begin(provider: Provider, model: str = "m") -> Answer[Any]:
    return await provider.open(model, HELLO, Attempts())


async def deltas(answer: Answer[Any]) -> list[Delta]:
    found = [delta for piece in answer.ready for delta in piece]
    try:
        while (piece := await answer.next()) is not None:
            found += piece
    finally:
        answer.close()
    return found


async def text(provider: Provider, model: str = "m") -> str:
    return "".join(delta.text for delta in await deltas(await begin(provider, model)) if isinstance(delta, TextDelta))


async def test_s051_calls_that_meet_all_find_the_missing_v1(serve: Serve, providers: Providers) -> None:
    server = await serve(answering(lambda seen: GOOD if seen.target.startswith(b"/v1/") else refusal(404, "Not Found")))
    provider = providers.of(config(server, ""))
    assert await asyncio.gather(*(text(provider) for _ in range(5))) == ["Hi"] * 5
    before = len(server.requests)
    assert await text(provider) == "Hi"
    assert len(server.requests) == before + 1


async def test_calls_that_meet_all_get_past_a_refused_stream_option(serve: Serve, providers: Providers) -> None:
    server = await serve(
        answering(lambda seen: refusal(400, "Unknown: stream_options") if b"stream_options" in seen.body else GOOD)
    )
    provider = providers.of(config(server))
    assert await asyncio.gather(*(text(provider) for _ in range(5))) == ["Hi"] * 5


async def test_a_caller_cannot_switch_the_token_counts_off_with_a_word_that_is_repeated(
    serve: Serve, providers: Providers
) -> None:
    server = await serve(answering(lambda seen: refusal(400, "temperature: no number: 'stream_options'")))
    provider = providers.of(config(server))
    with pytest.raises(UpstreamError):
        await begin(provider)
    with pytest.raises(UpstreamError):
        await begin(provider)
    assert [b"stream_options" in seen.body for seen in server.requests] == [True, False, True, False]


async def test_s051_one_unknown_model_does_not_change_the_address(serve: Serve, providers: Providers) -> None:
    def answer(seen: Any) -> bytes:
        if not seen.target.startswith(b"/openai/chat"):
            return refusal(404, "Not Found")
        return refusal(404, "No such thing") if b"typo" in seen.body else GOOD

    provider = providers.of(config(await serve(answering(answer)), "/openai"))
    assert await text(provider) == "Hi"
    with pytest.raises(UpstreamNotFound):
        await begin(provider, "typo")
    assert await text(provider) == "Hi"


async def test_s040_a_refused_key_is_not_hidden_behind_the_missing_v1(serve: Serve, providers: Providers) -> None:
    def answer(seen: Any) -> bytes:
        wrong_key = refusal(401, "Incorrect API key provided")
        return wrong_key if seen.target.startswith(b"/v1/") else refusal(404, "Not Found")

    provider = providers.of(config(await serve(answering(answer)), ""))
    with pytest.raises(CredentialsRefused, match="Incorrect API key"):
        await begin(provider)


async def test_v1_goes_before_the_query_of_the_address_which_is_not_shown(serve: Serve, providers: Providers) -> None:
    server = await serve(answering(lambda seen: refusal(404, f"Not Found: {seen.target.decode()}")))
    provider = providers.of(config(server, "/x?code=canary-in-the-query"))
    with pytest.raises(UpstreamNotFound) as caught:
        await begin(provider)
    targets = [seen.target for seen in server.requests]
    query = b"?code=canary-in-the-query"
    assert targets == [b"/x/chat/completions" + query, b"/x/v1/chat/completions" + query]
    shown = f"{caught.value.message} {caught.value.explanation} {caught.value.action}"
    assert "canary" not in shown


async def test_a_configured_header_that_a_provider_repeats_is_masked(serve: Serve, providers: Providers) -> None:
    server = await serve(answering(lambda seen: refusal(400, f"bad: {seen.header(b'x-extra')!r}")))
    provider = providers.of(config(server, headers=(("x-extra", Secret("Token canary-in-a-header")),)))
    with pytest.raises(UpstreamError) as caught:
        await begin(provider)
    assert "canary" not in caught.value.message


async def test_an_answer_that_is_finished_but_never_ends_is_complete_after_a_while(
    serve: Serve, providers: Providers
) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(CHUNKED_HEAD + chunk(HI) + chunk(STOP))
        await line.gone()

    provider = providers.of(config(await serve(script), idle_s=30.0))
    answer = await begin(provider)
    await deltas(answer)
    assert answer.reader.complete
    assert answer.reader.usage is not None
    assert answer.reader.usage.estimated


async def test_s054_the_wait_for_the_first_token_begins_when_the_request_is_sent(
    serve: Serve, providers: Providers
) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await asyncio.sleep(0.7)
        await line.send(CHUNKED_HEAD)
        await asyncio.sleep(0.7)
        await line.send(chunk(HI))
        await line.gone()

    provider = providers.of(config(await serve(script), first_byte_s=1.0))
    with pytest.raises(TimedOut, match="1 s"):
        await begin(provider)


@pytest.mark.parametrize("proxied", [False, True])
async def test_a_provider_that_left_the_catalog_closes_its_connections_when_its_calls_end(
    serve: Serve, providers: Providers, proxied: bool
) -> None:
    closed = asyncio.Event()
    go_on = asyncio.Event()

    async def script(line: Line) -> None:
        await line.answer(GOOD)
        await line.request()
        await line.send(CHUNKED_HEAD + chunk(HI))
        await go_on.wait()
        await line.send(chunk(STOP + b"data: [DONE]\n\n") + b"0\r\n\r\n")
        await line.gone()
        closed.set()

    server = await serve(script)
    proxy = Secret(f"http://127.0.0.1:{server.port}") if proxied else None
    provider = providers.of(config(server, proxy=proxy))
    assert await text(provider) == "Hi"
    busy = await begin(provider)
    await providers.keep_only([])
    go_on.set()
    assert TextDelta("Hi") in await deltas(busy)
    async with asyncio.timeout(10):
        await closed.wait()


@pytest.mark.parametrize("proxied", [False, True])
async def test_a_provider_that_left_the_catalog_closes_idle_connections_at_once(
    serve: Serve, providers: Providers, proxied: bool
) -> None:
    closed = asyncio.Event()

    async def script(line: Line) -> None:
        await line.answer(GOOD)
        await line.gone()
        closed.set()

    server = await serve(script)
    proxy = Secret(f"http://127.0.0.1:{server.port}") if proxied else None
    assert await text(providers.of(config(server, proxy=proxy))) == "Hi"
    await providers.keep_only([])
    async with asyncio.timeout(10):
        await closed.wait()


async def test_an_authority_that_vanished_is_the_entrys_failure(
    serve: Serve, providers: Providers, tmp_path: Path
) -> None:
    server = await serve(answering(lambda seen: GOOD))
    with pytest.raises(UpstreamError, match="caFile") as caught:
        providers.of(config(server, ca_file=str(tmp_path / "gone.pem")))
    assert "`mine`" in str(caught.value.explanation)


def test_a_configuration_shows_no_secret() -> None:
    shown = repr(
        ProviderConfig(
            key="p",
            type="openai",
            name="p",
            base_url="https://example.com",
            api_keys=(Secret("canary-1"),),
            headers=(("x", Secret("canary-2")),),
            proxy=Secret("http://me:canary-3@proxy"),
        )
    )
    assert "canary" not in shown


async def test_a_key_that_may_not_use_a_model_is_not_asked_again_for_the_same_call(
    serve: Serve, providers: Providers
) -> None:
    page = ok(b"<html><title>Forbidden</title></html>", b"content-type: text/html", status=b"403 X")
    server = await serve(answering(lambda seen: page))
    provider = providers.of(config(server, api_keys=(Secret("sk-the-first-key"), Secret("sk-the-other-key"))))
    with pytest.raises(UpstreamError):
        await begin(provider)
    used = [seen.header(b"authorization") for seen in server.requests]
    assert len(used) == len(set(used)) == 2


@pytest.mark.parametrize(
    "api, asked",
    [
        ("auto", [b"/v1/chat/completions", b"/v1/responses"]),
        ("chat", [b"/v1/chat/completions"]),
        ("responses", [b"/v1/responses"]),
    ],
)
async def test_a_surface_that_the_entry_names_is_kept_whatever_is_refused(
    serve: Serve, providers: Providers, api: str, asked: list[bytes]
) -> None:
    sentence = (
        "Function tools with reasoning_effort are not supported for gpt-9 in /v1/chat/completions. "
        "To use function tools, use /v1/responses or set reasoning_effort to 'none'."
    )
    lost = refusal(404, "Not Found")
    said = refusal(400, sentence, param="reasoning_effort")
    server = await serve(answering(lambda seen: said if seen.target.endswith(b"/chat/completions") else lost))
    provider = providers.of(config(server, type="openai", details=(("api", api),)))
    with pytest.raises(UpstreamError):
        await provider.open("gpt-9", _OnChat(call()), Attempts())
    assert [seen.target for seen in server.requests] == asked


class _OnChat(Neutral):
    """A client of chat completions."""

    wire = "openai_chat"
