"""What a reader of the screen, a keyboard and weak eyes need of a page; a short list of what a machine can check."""

from pathlib import Path

from playwright.sync_api import Page

_CHECKS = Path(__file__).with_suffix(".js").read_text("utf-8").partition("\n")[2]


def faults_of(page: Page) -> list[str]:
    found: list[str] = page.evaluate(_CHECKS)
    return found
