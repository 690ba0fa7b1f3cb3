"""The page of the API's documentation: there, offline, and in nobody's debt."""

import hashlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.service import Service

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "src/penstock/http/assets"
PATHS = ["/docs", "/docs/", "/v1/docs"]
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = "--no-sandbox --disable-gpu --disable-quic --disable-dev-shm-usage --disable-background-networking"


def linked(page: httpx.Response) -> list[str]:
    """Every address in the page, from where the page stands."""
    found = re.findall(r'(?:src|href|data-document)="([^"]*)"', page.text)
    return [urljoin(str(page.url), one) for one in found if not one.startswith("data:")]


@pytest.mark.parametrize("path", PATHS)
def test_the_page_is_served_without_a_credential_and_all_it_links_to_is_here(service: Service, path: str) -> None:
    with httpx.Client(base_url=service.url) as client:
        page = client.get(path)
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        addresses = linked(page)
        assert len(addresses) == 6
        for address in addresses:
            assert address.startswith(service.url + "/")
            answer = client.get(address)
            assert answer.status_code == 200, address
            if "/assets/" in address:
                assert "immutable" in answer.headers["cache-control"]
                assert answer.headers["content-encoding"] == "gzip"
                assert answer.content == (ASSETS / address.rpartition("/")[2]).read_bytes()


def test_behind_a_prefix_the_page_stays_behind_it(service: Service) -> None:
    page = httpx.get(service.url + "/docs/")
    for reference in re.findall(r'(?:src|href|data-document)="([^"]*)"', page.text):
        assert reference.startswith(("../", "data:,"))


@pytest.mark.parametrize("path", PATHS)
def test_the_policy_lets_nothing_in_from_elsewhere(service: Service, path: str) -> None:
    policy = httpx.get(service.url + path).headers["content-security-policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == directives["frame-ancestors"] == "'none'"
    assert {directives[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
    assert "unsafe" not in policy
    assert "http" not in policy


def test_no_page_and_no_style_of_ours_names_another_origin(service: Service) -> None:
    page = httpx.get(service.url + "/docs/").text
    ours = [page, *((ASSETS / name).read_text() for name in ("documentation.js", "documentation.css"))]
    assert [found for text in ours for found in re.findall(r"(?:https?:)?//\w[\w.-]*\.\w+", text)] == []
    style = (ASSETS / "swagger-ui.css").read_text()
    assert re.findall(r"@import|@font-face|url\((?![\"']?data:)", style) == []


def test_a_version_that_is_gone_is_answered_and_not_remembered_and_other_names_are_not_served(service: Service) -> None:
    old = httpx.get(service.url + "/docs/assets/0/documentation.js")
    assert (old.status_code, old.headers["cache-control"]) == (200, "no-store")
    for name in ("swagger-ui.LICENSE.txt", "..%2Fdocumentation.py", "x.js"):
        assert httpx.get(f"{service.url}/docs/assets/0/{name}").status_code == 404


def test_a_client_that_takes_no_gzip_is_given_none(service: Service) -> None:
    answer = httpx.get(service.url + "/docs/assets/0/swagger-ui.css", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in answer.headers
    assert answer.text.startswith(".swagger-ui")


def test_what_is_vendored_is_what_was_published_and_has_its_licence() -> None:
    page = (ROOT / "docs/dependencies.md").read_text()
    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert hashlib.sha256((ASSETS / name).read_bytes()).hexdigest() in page, name
    assert "Apache License" in (ASSETS / "swagger-ui.LICENSE.txt").read_text()


# --- in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip("no Chromium")
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=FLAGS.split(), env={"HOME": home, "PATH": "/usr/bin:/bin"}
        )
        yield opened
        opened.close()


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
@pytest.mark.parametrize("path", PATHS)
def test_a_browser_draws_the_document_and_asks_nobody_else(
    service: Service, browser: Browser, path: str, scheme: Any, is_dark: bool
) -> None:
    page = browser.new_page(color_scheme=scheme)
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(service.url + path)
    page.locator(".opblock-tag", has_text="Health").wait_for()
    page.locator("#operations-Health-health button.opblock-summary-control").click()
    page.locator("#operations-Health-health .opblock-body").wait_for()
    red, *_ = re.findall(r"\d+", page.locator("body").evaluate("one => getComputedStyle(one).backgroundColor"))
    assert (int(red) < 128) is is_dark
    assert [url for url in asked if not url.startswith((service.url + "/", "data:"))] == []
    assert complaints == []
    page.close()
