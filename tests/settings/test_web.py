"""Headers of the services that search and read the web, as operators write them."""

from pathlib import Path

import pytest

from penstock.settings import SettingsError, load_settings

URL = "https://search.example.com/"


@pytest.mark.parametrize("name", ["WEBSEARCH", "WEBRESOURCES"])
@pytest.mark.parametrize(
    "text",
    ["Authorization: Bearer canary, X-Team: docs", '{"Authorization": "Bearer canary", "X-Team": "docs"}'],
)
def test_w23_headers_are_a_list_or_a_json_object(name: str, text: str, tmp_path: Path) -> None:
    values = {f"{name}_ENABLED": "true", f"{name}_ENDPOINT": URL, f"{name}_HEADERS": text}
    settings = load_settings({"STATE_DIR": str(tmp_path), **values}, tmp_path)
    headers = settings.web.search_headers if name == "WEBSEARCH" else settings.web.pages_headers
    assert headers == (("Authorization", "Bearer canary"), ("X-Team", "docs"))
    assert [(one.severity, one.variable) for one in settings.problems] == (
        [("info", f"{name}_HEADERS")] if text.startswith("{") else []
    )


@pytest.mark.parametrize("text", ["Bearer canary", '{"Authorization": 7}', "{canary", "X-A: b\nX-C: canary"])
def test_w23_what_is_no_header_stops_the_start_and_is_not_shown(text: str, tmp_path: Path) -> None:
    values = {"WEBSEARCH_ENABLED": "true", "WEBSEARCH_ENDPOINT": URL, "WEBSEARCH_HEADERS": text}
    with pytest.raises(SettingsError) as caught:
        load_settings({"STATE_DIR": str(tmp_path), **values}, tmp_path)
    assert "WEBSEARCH_HEADERS" in str(caught.value)
    assert "canary" not in str(caught.value)
