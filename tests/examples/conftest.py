"""The example as a newcomer starts it: its page and token endpoint in a process, TinyMCE from npm, the real service."""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, FrameLocator, Locator, Page

from tests.browsers import watch
from tests.fakes.openai_upstream import running_upstream
from tests.node_packages import install
from tests.service import Service, free_port, service_env, start_service

FOLDER = Path(__file__).parents[2] / "examples" / "editor"
WITHIN_MS = 20_000

DOCUMENT = (
    "<h1>The mill</h1>"
    "<p>The wheel turns slow.</p>"
    '<p>The <strong>terrace</strong> has a <a href="https://river.example/view">view</a> of the river.</p>'
    "<ul><li>First item</li><li>Second item</li><li>Third item</li></ul>"
    "<table><tbody><tr><td>Monday</td><td>closed</td></tr><tr><td>Sunday</td><td>open</td></tr></tbody></table>"
    "<p>Good bye.</p>"
)


class Example:
    """Where it is. The service answers with what `upstream` plays."""

    def __init__(self, service: Service, url: str) -> None:
        self.service = service
        self.url = url

    @property
    def upstream(self) -> Any:
        return self.service.upstream


@contextmanager
def running_page(flavor: str = "auto", **more: str) -> Iterator[Example]:
    """The page in front of a service with these variables. `flavor`: how its provider wants to be asked to reason."""
    install(FOLDER)
    page_port = free_port()
    url = f"http://127.0.0.1:{page_port}"
    with tempfile.TemporaryDirectory() as directory, running_upstream() as upstream:
        env = service_env(upstream, Path(directory), ALLOWED_ORIGINS=url, **more)
        provider = json.loads(env["PROVIDERS"])["mock"] | {"flavor": flavor}
        env["PROVIDERS"] = json.dumps({"mock": provider})
        with start_service(env, upstream) as service:
            service.tenant_id = service.cli("tenant", "create", "Example")["id"]
            secret = service.cli("access-key", "create", "--tenant", service.tenant_id)["secret"]
            with _page_server(page_port, service, secret):
                yield Example(service, url)


@pytest.fixture(scope="session")
def running_example() -> Iterator[Example]:
    with running_page() as example:
        yield example


@contextmanager
def _page_server(port: int, service: Service, secret: str) -> Iterator[None]:
    env = {
        **service.env,
        "PORT": str(port),
        "PENSTOCK_URL": service.url,
        "PENSTOCK_ENVIRONMENT_ID": service.tenant_id,
        "PENSTOCK_ACCESS_KEY": secret,
    }
    process = subprocess.Popen([sys.executable, str(FOLDER / "server.py")], env=env)
    try:
        transport = httpx.HTTPTransport(retries=8)
        with httpx.Client(transport=transport) as client:
            assert client.get(f"http://127.0.0.1:{port}/token").json()["token"]
        yield
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def example(running_example: Example) -> Example:
    running_example.upstream.reset()
    return running_example


class EditorPage:
    """The page, with the words of its user."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def open(self, url: str, document: str = DOCUMENT) -> "EditorPage":
        self.page.goto(url)
        self.text.locator("h1").wait_for()
        self.page.get_by_label("Model").wait_for()
        self.page.evaluate("html => tinymce.activeEditor.setContent(html)", document)
        return self

    @property
    def text(self) -> FrameLocator:
        return self.page.frame_locator("iframe.tox-edit-area__iframe")

    @property
    def content(self) -> str:
        """What an application would save."""
        html: str = self.page.evaluate("tinymce.activeEditor.getContent({ indent: false })")
        return re.sub(r"\n\s*", "", html)

    def marked(self, mark: str) -> Locator:
        return self.text.locator(f'[data-penstock="{mark}"]')

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def select(self, selector: str) -> None:
        """A triple click, as people select a paragraph."""
        self.text.locator(selector).click(click_count=3, position={"x": 8, "y": 8})

    def act(self, *names: str) -> None:
        self.page.get_by_role("button", name="Improve").click()
        for name in names[:-1]:
            self.page.get_by_role("menuitem", name=name).hover()
        self.page.get_by_role("menuitem", name=names[-1]).click()

    def say(self, text: str) -> None:
        self.page.get_by_label("Message").fill(text)
        self.page.get_by_label("Message").press("Enter")

    def answer(self) -> Locator:
        return self.page.get_by_role("article", name="Assistant").last

    def accept(self) -> None:
        self.button("Accept").click()
        self.page.get_by_role("region", name="Proposed edit").wait_for(state="detached")


@contextmanager
def open_page(browser: Browser, example: Example, **context: Any) -> Iterator[EditorPage]:
    """At the end nothing may have gone wrong unseen, and nobody but the page and the service was asked."""
    made = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **context})
    made.set_default_timeout(WITHIN_MS)
    page = made.new_page()
    troubles, origins = watch(page)
    try:
        yield EditorPage(page).open(example.url)
        page.wait_for_load_state()
    finally:
        made.close()
    assert troubles == []
    assert origins <= {example.url, example.service.url}


@pytest.fixture
def editor(browser: Browser, example: Example) -> Iterator[EditorPage]:
    with open_page(browser, example) as page:
        yield page
