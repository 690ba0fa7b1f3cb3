"""`make example` as a newcomer runs it: no settings, no keys, one command."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser

from tests.browsers import browser, browser_page, watch
from tests.examples.conftest import FOLDER, EditorPage
from tests.node_packages import install
from tests.service import free_port

__all__ = ["browser", "browser_page"]

ASKED = "Make the paragraph about reservations friendlier"


class Started:
    def __init__(self, process: "subprocess.Popen[str]", page_port: int, service_port: int) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{page_port}"
        self.service_url = f"http://127.0.0.1:{service_port}"

    def is_up(self, url: str) -> bool:
        try:
            return httpx.get(url, timeout=5).status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    install(FOLDER)
    ports = free_port(), free_port()
    arguments = ["--port", str(ports[0]), "--service-port", str(ports[1]), "--state-dir", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, str(FOLDER / "start.py"), *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if "The editor is ready" in line:
                break
        yield Started(process, *ports)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def test_one_command_brings_an_editor_with_an_edit_in_it_and_ctrl_c_ends_all_of_it(
    started: Started, browser: Browser
) -> None:
    context = browser.new_context()
    page = context.new_page()
    troubles, origins = watch(page)
    page.goto(started.url)
    editor = EditorPage(page)
    editor.text.locator("h1").wait_for()
    before = editor.content
    editor.say(ASKED)
    editor.accept()
    after = editor.content
    context.close()
    assert after == before.replace("only taken for inside.", "only taken for inside. (A suggestion of the demo model.)")
    assert troubles == []
    assert origins <= {started.url, started.service_url}
    started.process.send_signal(signal.SIGINT)
    assert started.process.wait(30) == 0
    assert not started.is_up(started.url)
    assert not started.is_up(f"{started.service_url}/health")
