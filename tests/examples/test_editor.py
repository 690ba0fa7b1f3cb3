"""The editor example end to end: what a newcomer does in the first ten minutes."""

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.outside import Outside, running_outside
from tests.browsers import browser
from tests.examples.conftest import DOCUMENT, EditorPage, Example, open_page, running_page
from tests.fakes.openai_upstream import CallsTool, Finish, Hold, Received, Status, Step, Text, Upstream
from tests.panel.browser.accessibility import faults_of
from tests.service import FEATURES

__all__ = ["browser"]

SLOW, FAST = "<p>The wheel turns slow.</p>", "<p>The old wheel turns slowly.</p>"
BYE = "<p>Good bye.</p>"


def element_with(request: Received, text: str) -> str:
    """The innermost element of the prompt, as it was sent, whose text begins so."""
    found = re.search(rf'<(\w+)[^<>]* data-id="\w{{4}}"[^<>]*>{re.escape(text)}.*?</\1>', str(request.last_text), re.S)
    assert found, f"{text!r} is not in {request.last_text}"
    return found[0]


def sent_content(request: Received) -> str:
    found = re.search(r"<content-(\w+)>\n(.*)\n</content-\1>", str(request.last_text), re.S)
    assert found, request.last_text
    return found[2]


def replaces(upstream: Upstream, old: str, new: str) -> None:
    """An action's answer: the content, with one change."""
    upstream.plays_what(lambda request: (Text(sent_content(request).replace(old, new)), Finish()))


def proposes(upstream: Upstream, beginning: str, old: str, new: str) -> None:
    """A chat's answer: an edit of the element whose text begins so."""

    def steps(request: Received) -> list[Step]:
        edit = element_with(request, beginning).replace(old, new)
        pieces = re.findall(r"(?s).{1,9}", f'<edit document="1">\n{edit}\n</edit>')
        return [Text("I make it "), Text("better.\n\n"), *map(Text, pieces), Finish()]

    upstream.plays_what(steps)


def without_ids(html: str) -> str:
    return re.sub(r' data-id="\w{4}"', "", html)


# Quick actions


def test_a_selected_paragraph_is_improved_after_a_preview(editor: EditorPage, example: Example) -> None:
    replaces(example.upstream, "The wheel turns slow.", "The old wheel turns slowly.")
    editor.select("p >> nth=0")
    editor.act("Improve writing")
    expect(editor.marked("changed")).to_have_text("The old wheel turns slowly.")
    expect(editor.marked("old")).to_have_text("The wheel turns slow.")
    expect(editor.button("Accept")).to_be_focused()
    assert editor.content == DOCUMENT, "a preview is no part of the document"
    assert without_ids(sent_content(example.upstream.chats[-1])) == SLOW
    editor.accept()
    assert editor.content == DOCUMENT.replace(SLOW, FAST)
    editor.button("Undo").click()
    assert editor.content == DOCUMENT


def test_a_rejected_change_leaves_no_trace(editor: EditorPage, example: Example) -> None:
    replaces(example.upstream, "slow", "fast")
    editor.select("p >> nth=0")
    editor.act("Change tone", "Friendly")
    editor.button("Reject").click()
    expect(editor.marked("changed")).to_have_count(0)
    assert editor.content == DOCUMENT
    assert editor.page.evaluate("tinymce.activeEditor.getBody().outerHTML.includes('penstock=')") is False
    editor.page.keyboard.press("End")
    editor.page.keyboard.type("!")
    assert editor.content == DOCUMENT.replace("slow.", "slow.!"), "one can go on writing"


SELECT = """([from, start, to, end]) => {
  const editor = tinymce.activeEditor;
  const texts = document.createTreeWalker(editor.getBody(), NodeFilter.SHOW_TEXT);
  const found = {};
  for (let text = texts.nextNode(); text; text = texts.nextNode()) found[text.data] ??= text;
  const range = editor.dom.createRng();
  range.setStart(found[from], start);
  range.setEnd(found[to], end);
  editor.selection.setRng(range);
}"""

SELECTIONS = {
    "some words": (
        ("The wheel turns slow.", 4, "The wheel turns slow.", 9),
        "<p>wheel</p>",
        ("wheel", "mill wheel"),
    ),
    "words around a link": (
        (" has a ", 1, " of the river.", 3),
        '<p>has a <a href="https://river.example/view">view</a> of</p>',
        ("has", "offers"),
    ),
    "a part of bold text": (("terrace", 0, "terrace", 4), "<p><strong>terr</strong></p>", ("terr", "Terr")),
    "two paragraphs in part": (
        ("The wheel turns slow.", 16, " has a ", 4),
        "<p>slow.</p><p>The <strong>terrace</strong> has</p>",
        ("slow.", "slowly."),
    ),
    "an item of a list": (("Second item", 0, "Second item", 6), "<ul><li>Second</li></ul>", ("Second", "2nd")),
    "items of a list": (
        ("First item", 6, "Second item", 6),
        "<ul><li>item</li><li>Second</li></ul>",
        ("Second", "2nd"),
    ),
    "a cell": (
        ("closed", 0, "closed", 6),
        "<table><tbody><tr><td>closed</td></tr></tbody></table>",
        ("closed", "shut"),
    ),
    "from a list into a table": (
        ("Third item", 0, "Monday", 3),
        "<ul><li>Third item</li></ul><table><tbody><tr><td>Mon</td></tr></tbody></table>",
        ("Third", "3rd"),
    ),
}


@pytest.mark.parametrize("name", SELECTIONS)
def test_only_what_is_selected_is_sent_and_changed(editor: EditorPage, example: Example, name: str) -> None:
    selection, sent, (old, new) = SELECTIONS[name]
    replaces(example.upstream, old, new)
    editor.page.evaluate(SELECT, list(selection))
    editor.act("Fix grammar")
    editor.accept()
    assert without_ids(sent_content(example.upstream.chats[-1])) == sent
    assert editor.content == DOCUMENT.replace(old, new, 1)


def test_of_a_table_the_selected_cells_are_sent_and_changed(editor: EditorPage, example: Example) -> None:
    example.upstream.plays_what(lambda request: (Text(sent_content(request).replace("ay<", "ay!<")), Finish()))
    editor.text.get_by_role("cell", name="Monday").drag_to(editor.text.get_by_role("cell", name="Sunday"))
    expect(editor.text.locator("td[data-mce-selected]")).to_have_count(2)
    editor.act("Fix grammar")
    expect(editor.marked("changed")).to_have_text(["Monday!", "Sunday!"])
    editor.accept()
    cells = "<table><tbody><tr><td>Monday</td></tr><tr><td>Sunday</td></tr></tbody></table>"
    assert without_ids(sent_content(example.upstream.chats[-1])) == cells
    assert editor.content == DOCUMENT.replace("ay</td>", "ay!</td>")


def test_of_a_list_only_the_item_that_differs_is_shown(editor: EditorPage, example: Example) -> None:
    replaces(example.upstream, "Second", "2nd")
    editor.act("Fix grammar")
    expect(editor.marked("changed")).to_have_count(1)
    expect(editor.marked("changed")).to_have_text("2nd item")
    editor.accept()
    assert editor.content == DOCUMENT.replace("Second", "2nd")


def test_what_an_action_leaves_out_of_a_selection_is_removed_and_the_rest_stays(
    editor: EditorPage, example: Example
) -> None:
    example.upstream.plays_what(lambda request: (Text(element_with(request, "slow.")), Finish()))
    editor.page.evaluate(SELECT, ["The wheel turns slow.", 16, " has a ", 4])
    editor.act("Make shorter")
    editor.accept()
    assert editor.content == DOCUMENT.replace("<p>The <strong>terrace</strong> has a ", "<p>a ")


def test_a_continuation_goes_behind_what_is_selected(editor: EditorPage, example: Example) -> None:
    example.upstream.plays(Text('<p data-id="new-element">And it turns.</p>'), Finish())
    editor.select("p >> nth=0")
    editor.act("Continue writing")
    expect(editor.marked("added")).to_have_text("And it turns.")
    editor.accept()
    assert editor.content == DOCUMENT.replace(SLOW, SLOW + "<p>And it turns.</p>")


def test_a_translation_names_its_language(editor: EditorPage, example: Example) -> None:
    replaces(example.upstream, "Good bye.", "Auf Wiedersehen.")
    editor.select("p >> nth=2")
    editor.act("Translate", "German")
    editor.accept()
    assert editor.content == DOCUMENT.replace("Good bye.", "Auf Wiedersehen.")
    assert "german" in str(example.upstream.chats[-1].last_text)


def test_an_action_of_ones_own_is_asked_for(editor: EditorPage, example: Example) -> None:
    replaces(example.upstream, "Good bye.", "Ahoy.")
    editor.select("p >> nth=2")
    editor.act("Custom …")
    editor.page.get_by_label("What should be done with it?").fill("Say it as a sailor")
    editor.button("Go").click()
    editor.accept()
    assert editor.content == DOCUMENT.replace("Good bye.", "Ahoy.")
    assert "Say it as a sailor" in str(example.upstream.chats[-1].last_text)


def test_an_action_without_a_change_says_so(editor: EditorPage, example: Example) -> None:
    replaces(example.upstream, "x", "x")
    editor.select("p >> nth=0")
    editor.act("Fix grammar")
    expect(editor.page.get_by_text("Nothing to change was found.")).to_be_visible()
    assert editor.content == DOCUMENT


def test_a_running_action_is_stopped_with_the_keyboard(editor: EditorPage, example: Example) -> None:
    example.upstream.plays_what(lambda request: (Text(sent_content(request)[:40]), Hold()))
    editor.select("p >> nth=0")
    editor.act("Improve writing")
    editor.button("Stop").first.press("Escape")
    expect(editor.page.get_by_role("region", name="Proposed edit")).to_have_count(0)
    assert editor.content == DOCUMENT


# Chat


def test_an_edit_is_stopped_asked_for_again_and_accepted(editor: EditorPage, example: Example) -> None:
    upstream = example.upstream

    def half(request: Received) -> list[Step]:
        edit = element_with(request, "The wheel").replace("slow", "so very slowly that nobody sees it")
        return [Text("I will try."), Text(f'\n\n<edit document="1">\n{edit[:40]}'), Text(edit[40:60]), Hold()]

    upstream.plays_what(half)
    editor.say("Make the wheel faster")
    expect(editor.answer()).to_contain_text("I will try.")
    editor.page.get_by_role("tabpanel", name="Chat").get_by_role("button", name="Stop").click()
    expect(editor.answer()).to_contain_text("Stopped.")
    expect(editor.marked("changed")).to_have_count(0)
    assert editor.content == DOCUMENT

    proposes(upstream, "The wheel", "slow.", "slowly.")
    editor.say("Once more")
    expect(editor.answer()).to_contain_text("I make it better.")
    expect(editor.marked("changed")).to_have_text("The wheel turns slowly.")
    expect(editor.page.get_by_role("alert")).to_have_count(0)
    expect(editor.page.get_by_role("heading", name="A short title")).to_be_visible()
    editor.accept()
    expect(editor.answer()).to_contain_text("The edit was accepted.")
    assert editor.content == DOCUMENT.replace("slow.", "slowly.")


def test_the_selection_goes_along_with_a_question(editor: EditorPage, example: Example) -> None:
    example.upstream.plays(Text("It is a good one."), Finish())
    editor.select("li >> nth=1")
    editor.say("What about this?")
    expect(editor.answer()).to_have_text("It is a good one.")
    shown = str(example.upstream.chats[-1].last_text)
    assert shown.count("Second item") == 2, "in the document, and as what is selected"
    assert shown.count("First item") == 1


def test_without_the_document_nothing_of_it_is_sent(editor: EditorPage, example: Example) -> None:
    editor.page.get_by_label("Use the document").uncheck()
    editor.say("Hello")
    expect(editor.answer()).to_have_text("Hello from the upstream.")
    assert "wheel" not in str(example.upstream.chats[-1].json)


def test_markdown_is_shown_and_html_in_it_is_text(editor: EditorPage, example: Example) -> None:
    said = "## A plan\n\n1. **One**\n2. `two`\n\n<img src=x onerror=alert(1)> [link](https://river.example/)"
    editor.page.get_by_label("Use the document").uncheck()
    example.upstream.plays(Text(said), Finish())
    editor.say("A plan, please")
    answer = editor.answer()
    expect(answer.get_by_role("heading", name="A plan")).to_be_visible()
    expect(answer.get_by_role("listitem")).to_have_text(["One", "two"])
    expect(answer.get_by_role("link", name="link")).to_have_attribute("href", "https://river.example/")
    expect(answer).to_contain_text("<img src=x onerror=alert(1)>")


def test_a_file_is_attached_removed_and_attached_again(editor: EditorPage, example: Example) -> None:
    chips = editor.page.get_by_role("list", name="Attachments").get_by_role("listitem")
    files = editor.page.locator("input[type=file]")
    files.set_input_files({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"The oars are red."})
    expect(chips).to_have_text(["notes.txt"])
    editor.button("Remove notes.txt").click()
    expect(chips).to_have_count(0)
    files.set_input_files({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"The oars are blue."})
    editor.say("Which colour?")
    expect(editor.answer()).to_have_text("Hello from the upstream.")
    sent = str(example.upstream.chats[-1].json)
    assert "The oars are blue." in sent
    assert "red" not in sent


def test_a_file_that_is_refused_says_why(editor: EditorPage) -> None:
    files = editor.page.locator("input[type=file]")
    files.set_input_files({"name": "song.mp3", "mimeType": "audio/mpeg", "buffer": b"ID3\x04" + bytes(range(256))})
    expect(editor.page.get_by_role("alert")).to_contain_text("Failed to add song.mp3: ")


def test_a_page_that_cannot_be_added_says_why(editor: EditorPage) -> None:
    editor.button("Add URL").click()
    editor.page.get_by_label("Address of the page").fill("https://river.example/")
    editor.button("Add").click()
    expect(editor.page.get_by_role("alert")).to_contain_text("Failed to add https://river.example/: ")


# Reviews


def test_one_suggestion_of_a_review_is_applied_and_another_dismissed(editor: EditorPage, example: Example) -> None:
    def steps(request: Received) -> list[Step]:
        edits = [element_with(request, "The wheel").replace("slow.", "slowly.")]
        edits.append(element_with(request, "Good bye").replace("Good bye", "Goodbye"))
        return [Text("\n".join(edits)), Finish()]

    example.upstream.plays_what(steps)
    editor.page.get_by_role("tab", name="Review").click()
    editor.button("Start review").click()
    cards = editor.page.get_by_role("list", name="Suggestions").get_by_role("listitem")
    expect(cards).to_have_count(2)
    first = cards.filter(has_text="slowly")
    expect(first.locator("del")).to_have_text("slow.")
    first.hover()
    expect(editor.marked("noted")).to_have_text("The wheel turns slow.")
    first.get_by_role("button", name="Apply").click()
    cards.filter(has_text="Goodbye").get_by_role("button", name="Dismiss").click()
    expect(editor.page.get_by_text("All suggestions are dealt with.")).to_be_visible()
    assert editor.content == DOCUMENT.replace("slow.", "slowly.")


def test_a_suggestion_for_text_that_has_changed_since_is_not_applied(editor: EditorPage, example: Example) -> None:
    example.upstream.plays_what(
        lambda request: (Text(element_with(request, "The wheel").replace("slow.", "slowly.")), Finish())
    )
    editor.page.get_by_role("tab", name="Review").click()
    editor.button("Start review").click()
    apply = editor.button("Apply")
    apply.wait_for()
    editor.text.locator("p >> nth=0").click()
    editor.page.keyboard.press("End")
    editor.page.keyboard.type(" Yes.")
    apply.click()
    expect(editor.page.get_by_text("The text has changed since.")).to_be_visible()
    assert editor.content == DOCUMENT.replace("slow.", "slow. Yes.")


def test_a_review_of_good_text_says_so(editor: EditorPage, example: Example) -> None:
    example.upstream.plays_what(lambda request: (Text("<!-- unmodified -->"), Finish()))
    editor.page.get_by_role("tab", name="Review").click()
    editor.button("Start review").click()
    expect(editor.page.get_by_text("No improvements found.")).to_be_visible()


# History


def test_a_conversation_is_there_after_a_reload_and_goes_on(editor: EditorPage, example: Example) -> None:
    example.upstream.title = "Wheels and water"
    proposes(example.upstream, "The wheel", "slow.", "slowly.")
    editor.say("About the wheel")
    editor.accept()
    editor.open(example.url)
    editor.button("History").click()
    editor.button("Wheels and water").first.click()
    messages = editor.page.get_by_role("article")
    expect(messages).to_contain_text(["About the wheel", "I make it better."])
    expect(messages.last).to_contain_text("An edit of the document was proposed here.")
    example.upstream.plays_what(lambda request: (Text("Yes."), Finish()))
    editor.say("Was it good?")
    expect(editor.answer()).to_have_text("Yes.")
    assert "About the wheel" in str(example.upstream.chats[-1].json)


def test_a_conversation_is_renamed_pinned_and_deleted(editor: EditorPage, example: Example) -> None:
    example.upstream.title = "An old name"
    editor.page.get_by_label("Use the document").uncheck()
    editor.say("Hello")
    expect(editor.page.get_by_role("heading", name="An old name")).to_be_visible()
    editor.button("History").click()
    history = editor.page.get_by_role("region", name="History")
    entry = history.get_by_role("listitem").filter(has_text="An old name")
    entry.get_by_role("button", name="Rename").click()
    editor.page.get_by_label("New title").fill("A better name")
    editor.page.get_by_label("New title").press("Enter")
    expect(editor.page.get_by_role("heading", name="A better name")).to_be_visible()
    renamed = history.get_by_role("listitem").filter(has_text="A better name")
    renamed.get_by_role("button", name="Pin", exact=True).click()
    pinned = history.get_by_role("list", name="Pinned conversations").get_by_role("listitem")
    expect(pinned).to_have_text(["A better name"])
    pinned.get_by_role("button", name="Delete").click()
    expect(renamed).to_have_count(0)
    expect(editor.page.get_by_role("heading", name="New conversation")).to_be_visible()


# Errors


def test_a_failed_chat_shows_what_the_service_says(editor: EditorPage, example: Example) -> None:
    example.upstream.always_plays(Status(401, {"error": {"message": "Incorrect API key provided"}}))
    editor.page.get_by_label("Use the document").uncheck()
    editor.say("Hello")
    expect(editor.page.get_by_role("alert")).to_contain_text("key")


def test_a_failed_action_shows_what_the_service_says(editor: EditorPage, example: Example) -> None:
    example.upstream.always_plays(Status(401, {"error": {"message": "Incorrect API key provided"}}))
    editor.select("p >> nth=0")
    editor.act("Improve writing")
    expect(editor.page.get_by_role("alert")).to_contain_text("key")
    assert editor.content == DOCUMENT
    expect(editor.page.get_by_role("region", name="Proposed edit")).to_have_count(0)


def test_a_failed_review_shows_what_the_service_says(editor: EditorPage, example: Example) -> None:
    example.upstream.always_plays(Status(401, {"error": {"message": "Incorrect API key provided"}}))
    editor.page.get_by_role("tab", name="Review").click()
    editor.button("Start review").click()
    expect(editor.page.get_by_role("alert")).to_contain_text("key")


# Everybody


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 800])
def test_everybody_can_use_it(browser: Browser, example: Example, scheme: str, width: int) -> None:
    size = {"width": width, "height": 800}
    with open_page(browser, example, color_scheme=scheme, viewport=size) as editor:
        assert editor.page.evaluate("document.documentElement.scrollWidth") <= width
        box = editor.text.locator("h1").bounding_box()
        assert box is not None
        assert box["width"] > 300
        editor.page.get_by_role("tab", name="Chat").press("ArrowRight")
        expect(editor.page.get_by_role("tab", name="Review")).to_be_focused()
        expect(editor.button("Start review")).to_be_visible()
        assert faults_of(editor.page) == []


# What a deployment adds


@pytest.fixture(scope="module")
def able() -> Iterator[tuple[Example, Outside]]:
    """A service with a model that searches and thinks, and with a scraper of web pages."""
    with running_outside() as outside:
        plain = {"id": "plain", "provider": "mock", "description": "Little", "features": FEATURES}
        capabilities = {"webSearch": True, "reasoning": True}
        models = json.dumps([plain, {**plain, "id": "gpt-5", "capabilities": capabilities}])
        with running_page("openrouter", MODELS=models, **outside.env()) as example:
            yield example, outside


def test_switches_are_shown_for_models_that_can(browser: Browser, able: tuple[Example, Outside]) -> None:
    with open_page(browser, able[0]) as editor:
        search = editor.page.get_by_label("Search the web")
        editor.page.get_by_label("Model").select_option("plain")
        expect(search).to_have_count(0)
        editor.page.get_by_label("Model").select_option("gpt-5")
        expect(search).to_be_visible()
        expect(editor.page.get_by_label("Think longer")).to_be_visible()


def test_a_search_is_switched_on_and_its_sources_are_shown(browser: Browser, able: tuple[Example, Outside]) -> None:
    example, outside = able
    call = CallsTool("web_search", '{"query": "rain in Bonn"}')
    example.upstream.plays(call, Finish("tool_calls"))
    example.upstream.plays(Text("It rained."), Finish())
    with open_page(browser, example) as editor:
        editor.page.get_by_label("Model").select_option("gpt-5")
        editor.page.get_by_label("Search the web").check()
        editor.say("Did it rain?")
        expect(editor.answer()).to_contain_text("It rained.")
        source = editor.answer().get_by_role("list", name="Sources").get_by_role("link")
        expect(source).to_have_attribute("href", "https://example.com/news")
        expect(source).to_have_text("News")
    assert outside.queries == ["rain in Bonn"]


def test_a_web_page_goes_with_the_next_message(browser: Browser, able: tuple[Example, Outside]) -> None:
    example, outside = able
    url = outside.page("/boats", "text/html", "<p>All boats are green.</p>")
    with open_page(browser, example) as editor:
        editor.button("Add URL").click()
        editor.page.get_by_label("Address of the page").fill(url)
        editor.button("Add").click()
        expect(editor.page.get_by_role("list", name="Attachments")).to_contain_text(url)
        editor.say("Which colour?")
        expect(editor.answer()).to_have_text("Hello from the upstream.")
    assert "All boats are green." in str(example.upstream.chats[-1].json)
