"""What would leave something unguarded is refused at the start, not ignored (`spec/editor-api.md` O-22)."""

import pytest

from penstock.settings import SettingsError, load_settings


@pytest.mark.parametrize("variable", ["HOOKS", "GUARDRAILS"])
def test_what_should_guard_and_cannot_stops_the_start(variable: str, tmp_path: object) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings({variable: '{"enabled": ["turn.start"]}', "STATE_DIR": str(tmp_path)})
    report = str(refused.value)
    assert variable in report
    assert "unguarded" in report
    assert "turn.start" not in report  # it may hold a secret


def test_search_without_an_address_is_named_and_headers_may_be_json(tmp_path: object) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings({"WEBSEARCH_ENABLED": "true", "STATE_DIR": str(tmp_path)})
    assert "WEBSEARCH_ENDPOINT" in str(refused.value)
    given = {
        "WEBSEARCH_ENABLED": "true",
        "WEBSEARCH_ENDPOINT": "https://search.example.com/",
        "STATE_DIR": str(tmp_path),
    }
    for headers in ("X-Key: abc, Accept: application/json", '{"X-Key": "abc", "Accept": "application/json"}'):
        settings = load_settings({**given, "WEBSEARCH_HEADERS": headers})
        assert settings.web.search_headers == (("X-Key", "abc"), ("Accept", "application/json"))
