"""Moderation: what the screening services are asked, and what happens to whatever they say or do not say."""

import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from penstock.editor.moderation.errors import ContentModerated, ModerationUnavailable
from penstock.editor.moderation.options import CustomScreening, ModerationOptions, OpenAIScreening, described
from penstock.editor.moderation.service import Moderation
from penstock.http.faces import EDITOR
from penstock.kit.secret import Secret
from penstock.providers.base import ProviderConfig
from tests.fakes.web_server import answering, as_json, hanging_up, serving, silent
from tests.fakes.wire_server import Script, Wire, WireServer, ok

PNG = b"\x89PNG\r\n\x1a\n canary"
FINE = {"flagged": False, "categories": {"hate": False}}
BAD = {"flagged": True, "categories": {"violence/graphic": True, "self-harm/intent": True, "hate": False}}


def provider(port: int, *keys: str, kind: str = "openai") -> ProviderConfig:
    return ProviderConfig(
        key=kind,
        type=kind,
        name=kind,
        base_url=f"http://127.0.0.1:{port}/v1",
        api_keys=tuple(map(Secret, keys)),
        headers=(("openai-organization", Secret("org-1")),),
    )


def moderation(
    screening: OpenAIScreening | CustomScreening, *lenders: ProviderConfig, timeout_s: float = 10
) -> Moderation:
    return Moderation(ModerationOptions(screening=screening, timeout_s=timeout_s), lambda: lenders)


@asynccontextmanager
async def custom(script: Script, timeout_s: float = 10) -> AsyncIterator[tuple[Moderation, WireServer]]:
    async with serving(script) as server:
        screening = CustomScreening(url=f"http://127.0.0.1:{server.port}/s", headers=(("X-Key", Secret("canary")),))
        checked = moderation(screening, timeout_s=timeout_s)
        yield checked, server
        await checked.aclose()


@asynccontextmanager
async def openai(script: Script) -> AsyncIterator[tuple[Moderation, WireServer]]:
    async with serving(script) as server:
        screening = OpenAIScreening(key=Secret("sk-own"), base_url=f"http://127.0.0.1:{server.port}/v1")
        checked = moderation(screening)
        yield checked, server
        await checked.aclose()


async def screening_openai(wire: Wire) -> None:
    """Flags every text that has the word `poison` whole."""
    while True:
        body = json.loads((await wire.request()).body)
        verdicts = [BAD if "poison" in one else FINE for one in body["input"]]
        await wire.send(as_json({"id": "m", "results": verdicts}))


def bodies(server: WireServer) -> Sequence[Any]:
    return [json.loads(one.body) for one in server.requests]


# --- a service of the operator's own


async def test_a_custom_service_is_asked_as_the_contract_says() -> None:
    async with custom(answering(as_json(FINE))) as (checked, server):
        await checked.check_text("Hello, wörld")
        await checked.check_image("image/png", PNG)
        uri = "data:image/png;base64," + base64.b64encode(PNG).decode()
        assert bodies(server) == [{"type": "text", "content": "Hello, wörld"}, {"type": "image", "content": uri}]
        assert server.requests[0].header(b"x-key") == b"canary"


async def test_what_is_flagged_is_refused_with_the_editors_names_first() -> None:
    said = {"flagged": True, "categories": {"spam": True, "Self_Harm": True, "hate": True, "sexual": False}}
    async with custom(answering(as_json(said))) as (checked, _):
        with pytest.raises(ContentModerated) as caught:
            await checked.check_text("x")
    body = json.loads(EDITOR.body(caught.value, "r"))
    assert (body["statusCode"], body["code"]) == (422, "content-moderated")
    assert body["data"] == {"flaggedCategories": ["hate", "selfHarm", "spam"]}
    assert "hate, selfHarm, spam" in body["message"]


async def test_flagged_without_a_reason_is_flagged_all_the_same() -> None:
    async with custom(answering(as_json({"flagged": True}))) as (checked, _):
        with pytest.raises(ContentModerated) as caught:
            await checked.check_image("image/png", PNG)
    assert caught.value.data == {"flaggedCategories": []}


async def test_the_decision_is_the_services_and_not_that_of_its_categories() -> None:
    async with custom(answering(as_json({"flagged": False, "categories": {"hate": True}}))) as (checked, _):
        await checked.check_text("x")


async def test_names_from_outside_are_bounded_and_printable() -> None:
    said = {"flagged": True, "categories": {f"{number}\n" + "x" * 500: True for number in range(500)}}
    async with custom(answering(as_json(said))) as (checked, _):
        with pytest.raises(ContentModerated) as caught:
            await checked.check_text("x")
    assert caught.value.data is not None
    names = caught.value.data["flaggedCategories"]
    assert len(names) == 20
    assert all(name.isprintable() and len(name) <= 64 for name in names)


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (answering(as_json({"error": "canary"}, b"500 Oops")), "status 500"),
        (answering(as_json({}, b"302 Found")), "status 302"),
        (answering(ok(b"canary")), "no JSON"),
        *(
            (answering(as_json(odd)), "none to the question")
            for odd in ([], {}, None, {"flagged": "no"}, {"flagged": 0})
        ),
        (hanging_up, "broke off"),
        (silent, "did not answer within 0.3 s"),
    ],
)
async def test_what_cannot_be_screened_is_refused(script: Script, says: str) -> None:
    with capture_logs() as lines:
        async with custom(script, timeout_s=0.3 if script is silent else 10) as (checked, _):
            for check in (checked.check_text("canary"), checked.check_image("image/png", PNG)):
                with pytest.raises(ModerationUnavailable) as caught:
                    await check
                body = json.loads(EDITOR.body(caught.value, "r"))
                assert (body["statusCode"], body["code"]) == (502, "moderation-unavailable")
                assert "not sent on" in body["message"]
                assert says in body["explanation"]
    assert {(line["event"], line["log_level"]) for line in lines} == {("Moderation request failed", "error")}
    assert "canary" not in str(lines)


async def test_nothing_to_screen_asks_nobody() -> None:
    async with custom(silent, timeout_s=0.2) as (checked, server):
        await checked.check_text(" \n ")
        await checked.check_text("")
        assert server.requests == []


async def test_half_a_surrogate_pair_is_screened_like_any_text() -> None:
    async with custom(answering(as_json(FINE))) as (checked, server):
        await checked.check_text("a\ud83d b")
        assert bodies(server)[0]["content"] == "a? b"


# --- OpenAI


async def test_openai_is_asked_for_texts_and_pictures() -> None:
    async with openai(answering(as_json({"results": [FINE]}))) as (checked, server):
        await checked.check_text("Hello")
        await checked.check_image("image/jpeg", b"x")
        text, picture = bodies(server)
    assert text == {"model": "omni-moderation-latest", "input": ["Hello"]}
    assert picture["input"] == [{"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,eA=="}}]
    seen = server.requests[0]
    assert (seen.target, seen.header(b"authorization")) == (b"/v1/moderations", b"Bearer sk-own")


async def test_openais_names_become_the_editors() -> None:
    async with openai(answering(as_json({"results": [BAD]}))) as (checked, _):
        with pytest.raises(ContentModerated) as caught:
            await checked.check_text("x")
    assert caught.value.data == {"flaggedCategories": ["selfHarm", "violence"]}


@pytest.mark.parametrize("position", [0, 7_997, 8_000, 120_000, 299_990])
async def test_a_long_text_is_screened_in_pieces_and_a_cut_hides_nothing(position: int) -> None:
    text = ("a" * position + "poison").ljust(300_000, "b")
    async with openai(screening_openai) as (checked, server):
        with pytest.raises(ContentModerated):
            await checked.check_text(text)
        await checked.check_text(text.replace("poison", "nectar"))
        asked = bodies(server)
    assert max(len(piece) for one in asked for piece in one["input"]) == 8_000
    assert max(len(one["input"]) for one in asked) == 16


async def test_a_text_of_which_one_piece_has_no_verdict_is_refused() -> None:
    async with openai(answering(as_json({"results": [FINE]}))) as (checked, _):
        with pytest.raises(ModerationUnavailable):
            await checked.check_text("a" * 20_000)


async def test_the_key_is_lent_by_the_first_openai_entry_that_is_in_force() -> None:
    async with serving(answering(as_json({"results": [FINE]}))) as server:
        entries = [provider(1, "sk-other", kind="anthropic"), provider(server.port, "sk-lent"), provider(1, "sk-third")]
        checked = Moderation(ModerationOptions(screening=OpenAIScreening()), lambda: entries)
        await checked.check_text("x")
        entries[1] = provider(server.port, "sk-rotated")
        await checked.check_text("x")
        assert [one.header(b"authorization") for one in server.requests] == [b"Bearer sk-lent", b"Bearer sk-rotated"]
        assert server.requests[0].header(b"openai-organization") == b"org-1"
        entries.clear()
        with pytest.raises(ModerationUnavailable) as caught:
            await checked.check_text("x")
        assert "no entry of type `openai`" in (caught.value.explanation or "")
        await checked.aclose()


@pytest.mark.parametrize("status", [b"401 No", b"429 Slow"])
async def test_where_one_key_is_refused_the_next_one_is_tried(status: bytes) -> None:
    async with serving(answering(as_json({}, status), as_json({"results": [FINE]}))) as server:
        checked = moderation(OpenAIScreening(), provider(server.port, "sk-1", "sk-2"))
        await checked.check_text("x")
        await checked.aclose()
        assert [one.header(b"authorization") for one in server.requests] == [b"Bearer sk-1", b"Bearer sk-2"]


async def test_where_every_key_is_refused_nothing_goes_on() -> None:
    async with serving(answering(as_json({}, b"401 No"))) as server:
        checked = moderation(OpenAIScreening(), provider(server.port, "sk-canary-1", "sk-canary-2"))
        with pytest.raises(ModerationUnavailable) as caught:
            await checked.check_text("x")
        await checked.aclose()
        assert len(server.requests) == 2
    assert "status 401" in (caught.value.explanation or "")
    assert "canary" not in EDITOR.body(caught.value, "r").decode()


# --- the boot report


def test_w32_the_boot_line_says_whether_and_where() -> None:
    def line(screening: OpenAIScreening | CustomScreening, *lenders: ProviderConfig) -> str:
        return described(ModerationOptions(screening=screening), lenders)

    assert "off" in described(None, ())
    assert "omni-moderation-latest at https://api.openai.com" in line(OpenAIScreening(key=Secret("k")))
    assert "omni-moderation-latest at http://127.0.0.1 " in line(OpenAIScreening(), provider(1, "k"))
    own = line(CustomScreening(url="https://user:canary@screen.example/s?key=canary"))
    assert "https://screen.example" in own
    assert "canary" not in own
