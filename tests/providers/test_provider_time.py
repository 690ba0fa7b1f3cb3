"""How long one call may take, over all of its attempts; and what is known of it when its caller goes away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from penstock.errors import UpstreamError
from penstock.kit.clock import SystemClock
from penstock.kit.secret import Secret
from penstock.providers.attempts import Attempts
from penstock.providers.base import Amendment, Quirks
from penstock.providers.failures import CredentialsRefused, Overloaded, RateLimited, TimedOut
from penstock.providers.manners import Address, Manner
from penstock.providers.opening import open_provider_transport
from penstock.providers.provider import Provider, Providers
from penstock.providers.sent import text_bytes
from penstock.providers.vendors import VENDORS
from tests.fakes.wire_server import CHUNKED_HEAD, Script, Wire, WireServer, chunk
from tests.providers.calls import Neutral, call
from tests.providers.test_provider import GOOD, HELLO, answering, config, refusal

THREE_KEYS = tuple(Secret(f"sk-canary-of-the-key-{number:04}") for number in range(3))


@asynccontextmanager
async def serving(script: Script, **more: Any) -> AsyncIterator[tuple[WireServer, Provider]]:
    server = await WireServer(script).start()
    providers = Providers(open_provider_transport, SystemClock())
    try:
        yield server, providers.of(config(server, **more))
    finally:
        await providers.aclose()
        await server.close()


async def failure_of(provider: Provider, attempts: Attempts | None = None) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await provider.open("m", HELLO, attempts or Attempts())
    return caught.value


def after(pause_s: float, answer: bytes) -> Script:
    async def script(line: Wire) -> None:
        while True:
            await line.request()
            await asyncio.sleep(pause_s)
            await line.send(answer)

    return script


# --- the total -------------------------------------------------------------------------------------------------------


async def test_s054_all_attempts_together_have_the_time_of_one() -> None:
    refused = refusal(401, "Incorrect API key provided")
    async with serving(after(0.6, refused), api_keys=THREE_KEYS, total_s=1.0) as (server, provider):
        failure = await failure_of(provider)
        assert type(failure) is TimedOut
        assert "1 s (timeouts.totalMs=1000)" in failure.message
        assert len(server.requests) == 2


async def test_a_key_is_not_tried_when_the_time_is_over() -> None:
    refused = refusal(401, "Incorrect API key provided")
    async with serving(answering(lambda seen: refused), api_keys=THREE_KEYS) as (server, provider):
        attempts = Attempts()
        attempts.start(0.0)
        assert type(await failure_of(provider, attempts)) is CredentialsRefused
        assert len(server.requests) == 1


async def test_an_overloaded_provider_is_not_waited_for_longer_than_there_is_time() -> None:
    busy = refusal(503, "overloaded").replace(b"content-type", b"retry-after: 4\r\ncontent-type", 1)
    async with serving(answering(lambda seen: busy), total_s=3.0) as (server, provider):
        failure = await failure_of(provider)
        assert type(failure) is Overloaded
        assert failure.retry_after_s == 4
        assert len(server.requests) == 1


async def test_a_call_is_sent_four_times_at_most() -> None:
    keys = tuple(Secret(f"sk-canary-of-the-key-{number:04}") for number in range(9))
    async with serving(answering(lambda seen: refusal(401, "no")), api_keys=keys) as (server, provider):
        attempts = Attempts()
        await failure_of(provider, attempts)
        assert len(server.requests) == attempts.made == 4


# --- a refusal that does not come to its end -------------------------------------------------------------------------


async def test_a_refusal_that_stalls_is_known_by_its_status() -> None:
    async def script(line: Wire) -> None:
        await line.request()
        await line.send(b'HTTP/1.1 429 X\r\ncontent-length: 500\r\nretry-after: 7\r\n\r\n{"error": {"mess')
        await line.gone()

    async with serving(script, idle_s=60.0) as (_, provider):
        failure = await failure_of(provider)
        assert type(failure) is RateLimited
        assert failure.retry_after_s == 7


async def test_of_a_refusal_without_end_the_beginning_counts() -> None:
    said = b"the prompt is too long, and this is it: " + b"word " * 100_000

    async with serving(answering(lambda seen: b"HTTP/1.1 400 X\r\ncontent-length: %d\r\n\r\n" % len(said) + said)) as (
        _,
        provider,
    ):
        failure = await failure_of(provider)
        assert failure.message.startswith("the prompt is too long")
        assert failure.code == "upstream_context_too_long"


# --- a caller who goes away ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begun", [b"", CHUNKED_HEAD + chunk(b": thinking\n\n")])
async def test_a_call_that_was_given_up_is_counted_with_a_guess_of_what_was_read(begun: bytes) -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def script(line: Wire) -> None:
        await line.request()
        await line.send(begun)
        asked.set()
        await line.gone()
        gone.set()

    async with serving(script) as (server, provider):
        attempts = Attempts()
        waiting = asyncio.create_task(provider.open("m", HELLO, attempts))
        async with asyncio.timeout(10):
            await asked.wait()
            await asyncio.sleep(0.05)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await gone.wait()
        assert [one.outcome for one in attempts.log] == ["cancelled"]
        assert attempts.abandoned is not None
        assert attempts.abandoned.estimated
        assert 0 < attempts.abandoned.input_tokens <= len(server.requests[0].body)


async def test_a_caller_who_goes_away_in_a_pause_between_two_attempts_leaves_nothing_behind() -> None:
    async with serving(answering(lambda seen: refusal(503, "overloaded"))) as (server, provider):
        attempts = Attempts()
        waiting = asyncio.create_task(provider.open("m", HELLO, attempts))
        async with asyncio.timeout(10):
            while not attempts.made:
                await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert [one.outcome for one in attempts.log] == ["overloaded"]
        assert attempts.abandoned is None
        assert len(server.requests) == 1


# --- what is learnt, and what is guessed -----------------------------------------------------------------------------


def test_what_was_learnt_for_one_call_or_for_a_day_stays_so_at_another_address() -> None:
    vendor = VENDORS["openai-compatible"]
    usual = Manner.of(vendor.ways[0], "m", Address.of("http://x"))
    for lasts_s, is_lasting in ((0.0, False), (60.0, True)):
        other = usual.amended(Amendment(quirks=Quirks(), lasts_s=lasts_s), vendor, 1000.0)
        assert other is not None
        elsewhere = other.at(other.address.with_v1())
        assert (elsewhere.is_lasting, elsewhere.until) == (is_lasting, 1000.0 + lasts_s)


async def test_many_calls_that_meet_two_refusals_at_once_all_get_past_them() -> None:
    def answer(seen: Any) -> bytes:
        for field in (b"stream_options", b"temperature"):
            if b'"%b"' % field in seen.body:
                return refusal(400, f"Unsupported parameter: '{field.decode()}'", param=field.decode())
        return GOOD

    warm = Neutral(call(temperature=0.5))
    async with serving(answering(answer)) as (server, provider):
        answers = await asyncio.gather(*(provider.open("m", warm, Attempts()) for _ in range(8)))
        for one in answers:
            one.close()
        before = len(server.requests)
        (await provider.open("m", warm, Attempts())).close()
        assert len(server.requests) == before + 1
        assert len(provider.learnt()) == 1


def test_a_file_in_a_request_is_no_text() -> None:
    text = b'{"messages":[{"content":"' + b"some words of a text " * 5_000
    picture = b'"},{"url":"data:image/png;base64,' + b"iVBORw0K" * 500_000 + b'"}]}'
    assert text_bytes(text) == len(text)
    assert len(text) < text_bytes(text + picture) < len(text) + 5_000
    paper = b'"},{"data":"JVBERi0x' + b"Ab/+" * 250_000 + b'"}]}'
    assert 50_000 < text_bytes(text + paper) - len(text) < 150_000
    assert text_bytes(b'["a"' + b',"a"' * 100_000 + b"]") == 400_005
