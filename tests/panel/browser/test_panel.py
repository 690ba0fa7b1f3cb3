"""The panel in a real browser: keys made, copied and revoked, tokens explained, answers streamed; for everybody."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browsers import browser, browser_page, watch
from tests.fakes.openai_upstream import Finish, Hold, Text
from tests.panel.browser.accessibility import faults_of
from tests.service import MANAGEMENT_SECRET, Service

__all__ = ["browser", "browser_page"]

SHOTS = os.environ.get("PANEL_SHOTS")
"""A folder for a picture of every page, for people to look at."""
SIZES = {"desk": (1280, 900), "phone": (390, 844)}


@pytest.fixture
def page(browser_page: Page, panel_service: Service) -> Page:
    """Signed in, on the overview."""
    sign_in(browser_page, panel_service)
    return browser_page


def sign_in(page: Page, service: Service) -> None:
    page.goto(service.url + "/panel/")
    page.get_by_label("Management secret").fill(MANAGEMENT_SECRET)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


@pytest.fixture
def environment(page: Page, panel_service: Service) -> str:
    """The id of a new environment; the page is on it."""
    page.get_by_role("link", name="Environments", exact=True).click()
    page.get_by_label("Name", exact=True).fill("Browser")
    page.get_by_role("button", name="Create environment").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Browser")
    return page.url.rpartition("/")[2]


def new_key(page: Page, name: str = "first") -> str:
    """Its secret."""
    page.get_by_label("Name of a new key").fill(name)
    page.get_by_role("button", name="Create access key").click()
    secret = page.get_by_label("API secret", exact=True)
    expect(page.get_by_role("status").filter(has_text=name)).to_be_visible()
    return secret.input_value()


def token(environment: str, secret: str, algorithm: str = "HS256", **changes: Any) -> str:
    now = int(time.time())
    claims = {"aud": environment, "sub": "joe", "iat": now, "exp": now + 600}
    granted = {"auth": {"ai": {"permissions": ["ai:conversations:*"]}}}
    return jwt.encode({**claims, **granted, **changes}, secret, algorithm)


# Signing in


def test_a_wrong_secret_is_answered_in_words_and_the_right_one_opens_the_panel(
    browser_page: Page, panel_service: Service
) -> None:
    page = browser_page
    page.goto(panel_service.url + "/panel/models")
    expect(page.get_by_label("Management secret")).to_be_focused()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("That is not the management secret.")
    sign_in(page, panel_service)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    page.goto(panel_service.url + "/panel/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_the_keyboard_reaches_the_content_first(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_a_chosen_theme_stays(page: Page) -> None:
    switch = page.get_by_role("button", name="Theme")
    for theme in ("light", "dark"):
        switch.click()
        expect(switch).to_have_text(f"Theme: {theme}")
    page.get_by_role("link", name="Models", exact=True).click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 20, 23)"


# Environments and keys


def test_a_secret_is_shown_once_copied_and_never_again(page: Page, environment: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    secret = new_key(page)
    assert re.fullmatch(r"[0-9A-Za-z]{60}", secret)
    expect(page.get_by_label("API secret", exact=True)).to_be_focused()
    page.get_by_role("button", name="Copy the API secret").click()
    expect(page.get_by_role("button", name="Copy the API secret")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == secret
    page.get_by_role("button", name="Copy the environment id").click()
    expect(page.get_by_role("button", name="Copy the environment id")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == environment
    page.reload()
    expect(page.get_by_text(f"…{secret[-4:]}")).to_be_visible()
    assert secret not in page.content()


def test_a_revoked_key_leaves_the_list_after_a_confirmation(page: Page, environment: str) -> None:
    new_key(page, "stays")
    new_key(page, "goes")
    page.get_by_label("Revoke goes").click()
    expect(page.get_by_text("Tokens signed with “goes” stop working at once.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_text("Tokens signed with “goes” stop working at once.")).to_be_hidden()
    page.get_by_label("Revoke goes").click()
    page.get_by_role("button", name="Revoke the key").click()
    expect(page.get_by_role("status").filter(has_text="“goes” is revoked")).to_be_visible()
    expect(page.get_by_role("rowheader").filter(has_text="stays")).to_be_visible()
    expect(page.get_by_role("rowheader").filter(has_text="goes")).to_have_count(0)


def test_an_environment_is_deleted_when_its_id_is_typed(page: Page, environment: str) -> None:
    button = page.get_by_role("button", name="Delete environment")
    expect(button).to_be_disabled()
    field = page.get_by_label("Type the environment id to confirm")
    field.fill("something else")
    expect(button).to_be_disabled()
    field.fill(environment)
    button.click()
    expect(page.get_by_role("status").filter(has_text="is deleted")).to_be_visible()
    expect(page.get_by_text(environment)).to_have_count(0)


def test_everything_of_an_environment_works_without_scripts(browser: Browser, panel_service: Service) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    _, origins = watch(page)
    sign_in(page, panel_service)
    page.goto(panel_service.url + "/panel/environments")
    page.get_by_label("Name", exact=True).fill("Plain")
    page.get_by_role("button", name="Create environment").click()
    secret = new_key(page, "plain key")
    page.get_by_label("Name of the environment").fill("Plainer")
    page.get_by_role("button", name="Rename").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Plainer")
    environment = page.url.rpartition("/")[2]
    page.goto(panel_service.url + "/panel/token")
    page.get_by_role("textbox", name="Token").fill(token(environment, secret))
    page.get_by_role("button", name="Explain").click()
    expect(page.get_by_role("heading", name="This is accepted.")).to_be_visible()
    page.goto(panel_service.url + f"/panel/environments/{environment}")
    page.get_by_label("Revoke plain key").click()
    page.get_by_role("button", name="Revoke the key").click()
    expect(page.get_by_text("“plain key” is revoked")).to_be_visible()
    page.get_by_label("Type the environment id to confirm").fill(environment)
    page.get_by_role("button", name="Delete environment").click()
    expect(page.get_by_text("The environment “Plainer” is deleted.")).to_be_visible()
    context.close()
    assert origins == {panel_service.url}


# The token inspector


def test_tokens_are_explained_one_after_the_other(page: Page, environment: str) -> None:
    secret = new_key(page)
    page.get_by_role("link", name="Token inspector").click()
    now = int(time.time())
    wrong_shape = {"ai": {"permissions": "ai:conversations:*"}}
    for text, says in (
        (token(environment, secret), "This is accepted."),
        (token(environment, MANAGEMENT_SECRET), "signed with the management secret"),  # S020
        (token(environment, "x" * 40), "Tried 1 active access key"),  # S021
        (token(environment, "x" * 48, "HS384"), "names HS384; expected HS256"),  # S022
        (token("nobody", secret), "there is no environment of that id here"),  # S023
        (token(environment, secret, iat=now - 900, exp=now - 300), "The server's clock says"),  # S024
        (token(environment, secret, auth=wrong_shape), "But it allows nothing"),  # S026
        ("nonsense", "neither an API key"),  # S027
    ):
        page.get_by_role("textbox", name="Token").fill(text)
        page.get_by_role("button", name="Explain").click()
        expect(page.locator("#findings")).to_contain_text(says)
    assert faults_of(page) == []


# The playground and the streaming test


@pytest.fixture
def playground(page: Page, panel_service: Service, environment: str) -> Iterator[Page]:
    new_key(page)
    panel_service.upstream.reset()
    page.goto(f"{panel_service.url}/panel/playground?environment={environment}")
    page.get_by_label("Model").select_option("mock/one")
    yield page
    panel_service.upstream.reset()


def test_a_chat_about_a_document_streams_and_shows_what_it_changed(playground: Page, panel_service: Service) -> None:
    edit = '<edit>\n<p data-id="dddd">Nobody carries sacks.</p>\n</edit>'
    panel_service.upstream.plays_what(lambda _: [Text("I shortened the end.\n\n" + edit), Finish()])
    playground.get_by_role("button", name="Send").click()
    log = playground.get_by_role("log", name="Conversation")
    expect(log).to_contain_text("make the second paragraph shorter")
    expect(playground.locator("[data-chat] [data-timing]")).to_contain_text("done after")
    expect(log).to_contain_text("I shortened the end.")
    expect(log).to_contain_text("The document was changed")
    expect(playground.locator("[data-document] .changed")).to_have_text("Nobody carries sacks.")
    expect(playground.locator("[data-document]")).to_contain_text("Spring at the mill")
    assert any("Spring at the mill" in str(request.body) for request in panel_service.upstream.requests)
    assert faults_of(playground) == []


def test_a_chat_can_be_stopped(playground: Page, panel_service: Service) -> None:
    panel_service.upstream.plays_what(lambda _: [Text("One moment"), Hold(), Text("too late"), Finish()])
    playground.get_by_role("button", name="Send").click()
    expect(playground.get_by_role("log")).to_contain_text("One moment")
    playground.get_by_role("button", name="Stop").click()
    expect(playground.get_by_role("log")).to_contain_text("Stopped.")
    expect(playground.get_by_role("button", name="Send")).to_be_enabled()
    panel_service.upstream.go_on()


def test_an_action_shows_its_result(playground: Page, panel_service: Service) -> None:
    panel_service.upstream.plays_what(lambda _: [Text('<p data-id="rowa">It could be written better.</p>'), Finish()])
    playground.get_by_role("button", name="Run the action").click()
    expect(playground.get_by_role("region", name="Result of the action")).to_contain_text("It could be written better.")


def test_markup_of_a_model_does_no_harm(playground: Page, panel_service: Service) -> None:
    image = '<img src="https://evil.example.com/x.png" onerror="alert(1)">'
    evil = f'<p data-id="rowa">Fine{image}<script>alert(2)</script></p>'
    panel_service.upstream.plays_what(lambda _: [Text(evil), Finish()])
    playground.get_by_role("button", name="Run the action").click()
    result = playground.get_by_role("region", name="Result of the action")
    expect(result).to_contain_text("Fine")
    expect(result.locator("img, script")).to_have_count(0)


def test_a_review_marks_what_it_suggests(playground: Page, panel_service: Service) -> None:
    def correct(received: Any) -> list[Any]:
        found = '<p data-id="rowa">He goes to the mill every day.</p>' if "He go to" in str(received.body) else ""
        return [Text(found), Finish()]

    panel_service.upstream.plays_what(correct)
    playground.get_by_role("button", name="Run the review").click()
    result = playground.get_by_role("region", name="Result of the review")
    expect(result.locator(".changed")).to_contain_text("He goes to the mill every day.")
    expect(result.locator("del").first).to_contain_text("He go to the mill every day.")


def test_a_refusal_of_the_public_api_is_shown_in_its_words(playground: Page, panel_service: Service) -> None:
    playground.get_by_role("combobox", name="Action").select_option("translate")
    playground.get_by_label("Language").first.fill("")
    playground.get_by_role("button", name="Run the action").click()
    expect(playground.get_by_role("region", name="Result of the action").locator(".notice")).to_contain_text("anguage")


def test_events_that_arrive_one_by_one_pass_the_streaming_test(page: Page) -> None:
    page.get_by_role("link", name="Streaming test").click()
    page.get_by_role("button", name="Start the test").click()
    expect(page.get_by_text("The events arrived one by one.")).to_be_visible()


def test_events_that_are_held_back_are_found_out_with_the_advice(page: Page, panel_service: Service) -> None:
    def buffering_proxy(route: Any) -> None:
        route.fulfill(response=route.fetch())  # whole, when it is complete

    page.route("**/panel/streaming/events", buffering_proxy)
    page.goto(panel_service.url + "/panel/streaming")
    page.get_by_role("button", name="Start the test").click()
    expect(page.get_by_text("The events arrived all at once: something buffers them.")).to_be_visible()
    expect(page.get_by_text("Set proxy_buffering off in your proxy")).to_be_visible()


# The configuration


def test_the_configuration_is_filtered_as_one_types(page: Page) -> None:
    page.get_by_role("link", name="Configuration").click()
    page.get_by_role("searchbox", name="Filter").fill("redis_sentinel")
    names = page.locator(".setting-name")
    expect(names.filter(has_text="REDIS_SENTINEL_MASTER")).to_be_visible()
    expect(names.filter(has_text="STATE_DIR")).to_be_hidden()
    page.get_by_role("searchbox", name="Filter").fill("")
    expect(names.filter(has_text="STATE_DIR")).to_be_visible()


# For everybody


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_every_page_can_be_read_by_everybody(browser: Browser, panel_service: Service, scheme: Any, size: str) -> None:
    width, height = SIZES[size]
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})
    page = context.new_page()
    troubles, origins = watch(page)
    page.goto(panel_service.url + "/panel/")
    faults = {"sign-in": faults_of(page)}
    sign_in(page, panel_service)
    page.goto(panel_service.url + "/panel/environments")
    page.get_by_label("Name", exact=True).fill("For everybody")
    page.get_by_role("button", name="Create environment").click()
    new_key(page)
    faults["environment"] = faults_of(page)
    for path in ("", "environments", "models", "playground", "token", "streaming", "configuration", "nothing"):
        page.goto(f"{panel_service.url}/panel/{path}")
        faults[path] = faults_of(page)
        if SHOTS:
            page.screenshot(path=Path(SHOTS) / f"test-{path or 'overview'}-{scheme}-{size}.png", full_page=True)
    context.close()
    assert {path: found for path, found in faults.items() if found} == {}
    assert (troubles, origins) == ([], {panel_service.url})
