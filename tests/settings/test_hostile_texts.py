"""Whatever an operator pastes, there is a report and never a traceback, and no secret is ever in it."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.settings import SettingsError, load_settings
from penstock.settings.variables import VARIABLES
from tests.settings.reports import NOWHERE

CANARY = "cAnArY"

_FIELDS = ["type", "apiKeys", "baseUrl", "headers", "timeouts", "tls", "credentials", "apiVersion", "proxy", "name"]
_MODEL_FIELDS = ["id", "provider", "features", "capabilities", "contextLimits", "recommended", "description"]
_TYPES = ["openai", "azure", "bedrock", "vertex", "openai-compatible", "demo", CANARY]

_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(CANARY)
_json = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_FIELDS) | st.text(max_size=4), inner),
    max_leaves=10,
)
_providers = st.dictionaries(
    st.sampled_from(["main", "a/b", ""]),
    st.fixed_dictionaries(
        {"type": st.sampled_from(_TYPES), "apiKeys": st.just([CANARY])},
        optional={name: _json for name in _FIELDS if name not in ("type", "apiKeys")},
    )
    | _json,
    max_size=3,
)
_models = st.lists(
    st.fixed_dictionaries(
        {"id": st.sampled_from(["m", "agent-1"]), "provider": st.sampled_from(["main", "mian"])},
        optional={name: _json for name in _MODEL_FIELDS if name not in ("id", "provider")},
    )
    | _json,
    max_size=3,
)


def report(**environ: str) -> str:
    """All that is ever shown of a configuration, whether it is refused or not."""
    try:
        loaded = load_settings({"STATE_DIR": "/tmp", **environ}, NOWHERE)
    except SettingsError as error:
        return str(error) + repr(error.problems)
    return repr((loaded.problems, loaded.snapshot.problems, loaded.entries, loaded, loaded.catalog))


@settings(deadline=None, max_examples=150)
@given(st.text(), st.text())
def test_any_text_gives_settings_or_a_report(providers: str, models: str) -> None:
    report(PROVIDERS=providers, MODELS=models)


@settings(deadline=None, max_examples=150)
@given(_providers | _json, _models | _json)
def test_any_json_gives_settings_or_a_report_without_secrets(providers: Any, models: Any) -> None:
    text = report(PROVIDERS=json.dumps(providers), MODELS="" if CANARY in json.dumps(models) else json.dumps(models))
    assert CANARY not in text


@settings(deadline=None, max_examples=100)
@given(_providers, st.integers(0, 300), st.sampled_from(["", '"', "}", ",", "\\", "\n", "'", "\ud800"]))
def test_json_that_was_broken_anywhere_keeps_its_secrets(providers: Any, place: int, damage: str) -> None:
    text = json.dumps({**providers, "last": {"type": "openai", "apiKeys": [CANARY]}})
    place %= len(text)
    broken = text[:place] + damage + text[place + 1 :]
    assert CANARY not in report(PROVIDERS=broken)


@settings(deadline=None, max_examples=100)
@given(st.sampled_from([variable.name for variable in VARIABLES]), st.text(min_size=1))
def test_any_text_in_any_variable_gives_settings_or_a_report(name: str, text: str) -> None:
    report(**{name: text})


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 100_000, "1" * 10_000, "NaN", '{"a": 1e999}', '"\\ud800"', " " * 5_000_000, "\ufeff{}"],
)
def test_texts_that_break_parsers_are_reported(text: str) -> None:
    assert "PROVIDERS" in report(PROVIDERS=text)


def test_secrets_are_in_no_report() -> None:
    secret_values = {variable.name: CANARY for variable in VARIABLES if variable.secret}
    providers = {
        "main": {"type": "openai-compatible", "baseUrl": "http://x", "apiKeys": [CANARY], "headers": {"x-key": CANARY}}
    }
    for providers_text in (json.dumps(providers), json.dumps(providers)[:-3]):
        text = report(**{**secret_values, "PROVIDERS": providers_text, "MODELS": "[]"})
        assert CANARY not in text
