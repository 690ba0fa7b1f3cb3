"""A real Chromium for tests of pages: headless, offline, and watched.

    def test_something(browser_page):               # a page in a context of its own
        browser_page.goto(service.url + "/panel/")

At the end of such a test nothing may have gone wrong unseen: no exception in a script, no console error, no request to
another origin. Answers with an error status are the test's own matter. Use locators to wait: `wait_for_function` needs
`eval`, which strict pages forbid.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_STATUS = "Failed to load resource: the server responded with a status"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for each file: no other event loop can run beside Playwright's, so asynchronous tests wait for its end."""
    if not CHROMIUM.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no {CHROMIUM}")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def browser_page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(20_000)
    page = context.new_page()
    troubles, origins = watch(page)
    yield page
    context.close()
    assert troubles == []
    assert len(origins) <= 1, origins


def watch(page: Page) -> tuple[list[str], set[str]]:
    """What goes wrong on a page from now on, and the origins that it asks."""
    troubles: list[str] = []
    origins: set[str] = set()

    def said(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(_STATUS):
            troubles.append(message.text)

    page.on("console", said)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: origins.update(_origin(request.url)))
    return troubles, origins


def _origin(url: str) -> set[str]:
    parts = urlsplit(url)
    return {f"{parts.scheme}://{parts.netloc}"} if parts.netloc else set()
