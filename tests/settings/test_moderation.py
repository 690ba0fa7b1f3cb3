"""MODERATION: what is read, and what a start is refused for."""

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.editor.moderation.options import OMNI, CustomScreening, OpenAIScreening
from penstock.kit.secret import Secret
from tests.settings.reports import errors, load, refusal, warnings

OPENAI = {"main": {"type": "openai", "apiKeys": ["sk-canary-of-the-provider"]}}
MODELS = [{"id": "gpt-5", "provider": "main", "description": "x", "features": ["conversations"]}]


def moderation(provider: Any = None, **more: Any) -> str:
    return json.dumps({"enabled": True, "provider": provider, **more})


def catalog(providers: Any = None) -> dict[str, str]:
    return {"PROVIDERS": json.dumps(providers or OPENAI), "MODELS": json.dumps(MODELS)}


def test_w32_nothing_is_screened_unless_it_is_asked_for() -> None:
    assert load(**catalog()).moderation is None
    assert load(MODERATION='{"enabled": false}', **catalog()).moderation is None
    assert load(MODERATION='{"enabled": false, "provider": {"type": "openai"}}', **catalog()).moderation is None


def test_openai_screens_with_a_key_of_its_own_or_with_that_of_the_provider() -> None:
    lent = load(MODERATION=moderation({"type": "openai"}), **catalog()).moderation
    assert lent is not None
    assert lent.screening == OpenAIScreening(key=None, model=OMNI)
    own = load(MODERATION=moderation({"type": "openai", "apiKey": "sk-own", "model": "omni-2"})).moderation
    assert own is not None
    assert own.screening == OpenAIScreening(key=Secret("sk-own"), model="omni-2")


def test_a_service_of_the_operators_own_has_an_address_headers_and_a_time_limit() -> None:
    provider = {"type": "custom", "url": "http://screen.internal:9000/check", "headers": {"X-Key": "canary"}}
    settings = load(MODERATION=moderation(provider, timeoutMs=2500), **catalog())
    assert settings.moderation is not None
    assert settings.moderation.timeout_s == 2.5
    assert settings.moderation.screening == CustomScreening(
        url="http://screen.internal:9000/check", headers=(("X-Key", Secret("canary")),)
    )
    assert "canary" not in repr(settings.moderation)


def test_a_configuration_file_holds_it_as_real_json(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    options = {"moderation": {"enabled": True, "provider": {"type": "custom", "url": "https://screen.example"}}}
    path.write_text(json.dumps(options))
    settings = load(CS_CONFIG_PATH=str(path))
    assert settings.moderation is not None
    assert settings.moderation.screening == CustomScreening(url="https://screen.example")
    assert next(one for one in settings.entries if one.name == "MODERATION").value == "***"


def test_a_mounted_secret_holds_it_too(tmp_path: Path) -> None:
    (tmp_path / "moderation").write_text(moderation({"type": "openai", "apiKey": "sk-own"}))
    settings = load(MODERATION_FILE=str(tmp_path / "moderation"))
    assert settings.moderation is not None
    assert settings.moderation.screening == OpenAIScreening(key=Secret("sk-own"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ('"canary"', "is not a JSON object"),
        ("{}", "is missing"),
        ('{"enabled": "true"}', "neither true nor false"),
        ('{"enabled": true}', "is missing"),
        (moderation("canary"), "is not an object"),
        (moderation({}), "is missing"),
        (moderation({"type": "canary"}), "is not a type that exists"),
        (moderation({"type": "custom"}), "is missing"),
        (moderation({"type": "custom", "url": "file:///canary"}), "is not an address"),
        (moderation({"type": "custom", "url": "https://"}), "is not an address"),
        (moderation({"type": "custom", "url": "https://a.b", "headers": {"a b": "canary"}}), "sent as a header"),
        (moderation({"type": "custom", "url": "https://a.b", "headers": {"a": "x\ncanary"}}), "sent as a header"),
        (moderation({"type": "openai", "apiKey": "sk canary"}), "has blanks"),
        (moderation({"type": "openai", "baseUrl": "https://eu.example/v1"}), "is missing"),
        (moderation({"type": "openai"}, timeoutMs=0), "not a number in range"),
    ],
)
def test_what_cannot_screen_stops_the_start(text: str, says: str) -> None:
    report = refusal(MODERATION=text, **catalog())
    assert says in errors(MODERATION=text, **catalog())["MODERATION"]
    assert "canary" not in str(report)


def test_without_any_key_of_openai_the_start_is_refused_with_the_reason() -> None:
    providers = {"main": {"type": "openai-compatible", "baseUrl": "http://127.0.0.1:1/v1"}}
    report = refusal(MODERATION=moderation({"type": "openai"}), **catalog(providers))
    assert "PROVIDERS has no entry of type `openai`" in str(report)


def test_a_broken_catalog_is_not_blamed_on_moderation() -> None:
    found = errors(MODERATION=moderation({"type": "openai"}), PROVIDERS="{")
    assert "MODERATION" not in found


def test_fields_that_mean_nothing_are_named() -> None:
    settings = load(MODERATION=moderation({"type": "openai", "apiKey": "sk-own", "modle": "x"}), **catalog())
    assert "is not a field" in warnings(settings)["MODERATION"].message
