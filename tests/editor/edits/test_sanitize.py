"""What models may not bring into a document is taken out, whatever it is disguised as (`spec/editor-api.md` 8.6)."""

import pytest

from penstock.editor.edits.sanitize import is_harmless, sanitized
from penstock.editor.edits.tree import Element, parsed, written
from tests.fakes import hostile_markup


def cleaned(markup: str, original: str = "") -> str:
    nodes = [sanitized(one) if isinstance(one, Element) else one for one in parsed(markup)]
    if original:
        (before,) = (one for one in parsed(original) if isinstance(one, Element))
        nodes = [sanitized(one, before) if isinstance(one, Element) else one for one in parsed(markup)]
    return "".join(written(one) for one in nodes if one is not None)


@pytest.mark.parametrize("attack", hostile_markup.IN_TEXT)
def test_nothing_that_runs_is_left_of_an_attack(attack: str) -> None:
    assert not hostile_markup.active(cleaned(f"<p>before {attack} after</p>"))


@pytest.mark.parametrize("attack", hostile_markup.IN_A_TAG)
@pytest.mark.parametrize("tag", ["a", "img", "p", "button", "form"])
def test_nothing_that_runs_is_left_of_a_tag(tag: str, attack: str) -> None:
    assert not hostile_markup.active(cleaned(f"<{tag}{attack}>x"))


@pytest.mark.parametrize(
    "markup",
    [
        '<p class="x" style="color: red" id="y" lang="de" dir="ltr" title="&lt;script&gt;" data-x="on">x</p>',
        '<a href="https://example.org/?a=1&amp;b=ü#x" target="_blank" rel="noopener">x</a>',
        '<a href="/relative">x</a><a href="mailto:a@example.org">y</a><a href="#top">z</a><a href="tel:1">t</a>',
        '<img src="data:image/png;base64,AAAA" alt="x" srcset="/a.png 1x, /b.png 2x">',
        "<math><mfrac><mi>x</mi><mn>2</mn></mfrac></math>",
        '<video src="/a.mp4" controls=""></video>',
        "<pre>\n\n two  lines\n</pre>",
    ],
)
def test_what_is_harmless_stays_as_it_is(markup: str) -> None:
    assert cleaned(markup) == markup


@pytest.mark.parametrize("name", ["href", "src", "action", "formaction", "xlink:href", "poster", "background"])
@pytest.mark.parametrize(
    "address",
    ["javascript:x()", " JaVaScRiPt:x()", "java\nscript:x()", "\x01javascript:x()", "vbscript:x", "data:text/html,x"],
)
def test_addresses_that_run_are_no_addresses(name: str, address: str) -> None:
    assert not is_harmless(name, address)


def test_what_the_users_element_has_is_the_users() -> None:
    own = '<p data-id="a" onclick="mine()" style="behavior:url(x)">one <a href="javascript:mine()">two</a></p>'
    assert cleaned(own.replace("one", "1"), own) == own.replace("one", "1")
    assert "theirs" not in cleaned(own.replace("mine", "theirs"), own)
