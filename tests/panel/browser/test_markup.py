"""Edits land where the edit protocol says (`spec/editor-api.md` 8.2 and 8.3), and what models write is rebuilt."""

import re

import pytest
from playwright.sync_api import Page

from penstock.panel.assets import address_of
from tests.browsers import browser, browser_page
from tests.service import Service

__all__ = ["browser", "browser_page"]

BEFORE = '<p data-id="a">A</p><p data-id="b">B</p><ul data-id="l"><li data-id="c">C</li><li data-id="d">D</li></ul>'
GAP = "<!-- existing document -->"
NEW = '<p data-id="new-element">N</p>'
_APPLY = """
async ([module, before, edits]) => {
  const { applyEdits, rebuilt } = await import(module);
  const paper = document.createElement("div");
  paper.append(rebuilt(before));
  applyEdits(paper, edits);
  return paper.innerHTML;
}
"""


@pytest.fixture
def paper(browser_page: Page, panel_service: Service) -> Page:
    browser_page.goto(panel_service.url + "/panel/sign-in")
    return browser_page


def applied(page: Page, edits: str, before: str = BEFORE) -> str:
    html: str = page.evaluate(_APPLY, [address_of("markup.js"), before, edits])
    return re.sub(r' (data-id|class)="(?!removed|added|changed)[^"]*"', "", html)


LIST = "<ul><li>C</li><li>D</li></ul>"
ADDED = '<p class="added">N</p>'


@pytest.mark.parametrize(
    ("edits", "after"),
    [
        ('<p data-id="b">B2</p>', f'<p>A</p><p class="changed">B2</p>{LIST}'),
        ('<li data-id="d">D2</li>', '<p>A</p><p>B</p><ul><li>C</li><li class="changed">D2</li></ul>'),
        ('<p data-id="a">A</p>' + NEW, f"<p>A</p>{ADDED}<p>B</p>{LIST}"),
        (GAP + NEW + '<p data-id="b">B</p>', f"<p>A</p>{ADDED}<p>B</p>{LIST}"),
        (NEW + GAP, f"{ADDED}<p>A</p><p>B</p>{LIST}"),
        (GAP + NEW, f"<p>A</p><p>B</p>{LIST}{ADDED}"),
        ('<!-- removed data-id="b" -->', f'<p>A</p><del class="removed">B</del>{LIST}'),
        (
            f'<p data-id="a">A</p>{NEW}<!-- removed data-id="b" -->',
            f'<p>A</p>{ADDED}<del class="removed">B</del>{LIST}',
        ),
        (f'<p data-id="b">B2</p>{NEW}', f'<p>A</p><p class="changed">B2</p>{ADDED}{LIST}'),
        ('<p data-id="nobody">N</p>' + GAP, f"{ADDED}<p>A</p><p>B</p>{LIST}"),
        ("", f"<p>A</p><p>B</p>{LIST}"),
    ],
)
def test_edits_land_where_they_belong(paper: Page, edits: str, after: str) -> None:
    assert applied(paper, edits) == after


@pytest.mark.parametrize(
    ("markup", "kept"),
    [
        ('<p title="t" class="x" hidden>Text</p>', "<p>Text</p>"),
        ("<p>a<script>alert(1)</script><template>t</template><iframe src=x></iframe>b</p>", "<p>ab</p>"),
        ('<p>a<img src="https://evil.example.com/x"><svg><a href="javascript:x">b</a></svg></p>', "<p>ab</p>"),
        ('<a href="https://evil.example.com">link</a>', "<a>link</a>"),
        ("<blink>kept text</blink> & <b>bold</b>", "kept text &amp; <b>bold</b>"),
    ],
)
def test_only_harmless_elements_are_rebuilt(paper: Page, markup: str, kept: str) -> None:
    assert applied(paper, "", markup) == kept
