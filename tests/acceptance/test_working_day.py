"""A day with the editor, call by call as its client makes them (`spec/editor-api.md` 17.1 to 17.10)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.acceptance.conftest import Editor
from tests.acceptance.deployments import Deployment
from tests.editor.test_chat_edits import DOCUMENT, EDIT, about
from tests.editor.test_stop_and_continue import read_until
from tests.fakes.editor_client import EditorClient, Refused, Reply
from tests.fakes.editor_merge import merge_chat, merge_continuation, merge_replacement
from tests.fakes.frames import frames_of, spoken
from tests.fakes.openai_upstream import CallsTool, Finish, Received, Stall, Step, Text

GROUP = "article-42"
INSTRUCTIONS = "<task>Explain the text.</task>\n<rules>\n" + "- Be brief.\n" * 300 + "</rules>"
LABEL = {"quickActionData": {"id": "explain", "displayedPrompt": "Explain"}}


def answering(asked: Received) -> list[Step]:
    """Actions and reviews get their content back, changed a little; chats a word."""
    content = frames_of(asked).get("content")
    return list(spoken("Certainly." if content is None else content.replace("One", "1")))


@dataclass
class Day:
    """`html` is what stands in the editor, `chat` the conversation that is open."""

    service: Deployment
    editor: EditorClient
    html: str = DOCUMENT
    model: str = ""
    chat: str = ""

    def send(self, prompt: str, *items: dict[str, Any], **fields: Any) -> Reply:
        """A message with the document, uploaded anew (17.2, 17.3), whose edits are applied."""
        document = self.editor.add_document(self.chat, self.html)
        reply = self.editor.said(
            self.chat, prompt, content=[*items, about(document)], model=fields.pop("model", self.model), **fields
        )
        self.html = merge_chat(self.html, reply.edit)
        assert reply.names[-1] == "done"
        return reply


@pytest.fixture
def day(service: Deployment, editor: EditorClient) -> Day:
    service.upstream.plays_what(answering)
    return Day(service, editor)


def test_a_working_day(day: Day, editors: Editor, request: pytest.FixtureRequest) -> None:
    starts(day)
    chats_about_the_document(day)
    uses_predefined_prompts(day)
    attaches_and_takes_back(day)
    stops_and_goes_on(day)
    uses_quick_actions(day)
    reviews(day)
    looks_into_the_history(day)
    meets_errors(day)
    works_with_ckeditor(day)
    assert editors(f"another user of {request.node.name}").history() == []


def starts(day: Day) -> None:
    """17.1"""
    day.model = day.editor.start()
    assert day.model == "agent-1"
    assert day.editor.history(group=GROUP) == []


def chats_about_the_document(day: Day) -> None:
    """17.2 and 17.3"""
    day.chat = day.editor.create(group=GROUP)
    assert day.editor.history(group=GROUP) == []  # nothing has been said in it
    day.service.upstream.plays(Text("In June, then.\n"), Text(EDIT), Finish())
    first = day.send("We start in June")
    assert day.html == DOCUMENT.replace("May", "June")
    assert first.names.count("conversation-title") == 1
    day.service.upstream.plays(Text(EDIT.replace("June", "July")), Finish())
    second = day.send("No, in July")
    assert day.html == DOCUMENT.replace("May", "July")
    assert "conversation-title" not in second.names
    assert "In June, then." in day.service.upstream.chats[-1].body.decode()


def uses_predefined_prompts(day: Day) -> None:
    """17.4: each asks for the models once more, and is shown by its label."""
    day.editor.models()
    day.send(INSTRUCTIONS, attributes=LABEL)
    asked = day.editor.messages(day.chat)[-2]
    assert (asked["prompt"], asked["attributes"], asked["model"]) == (INSTRUCTIONS, LABEL, day.model)


def attaches_and_takes_back(day: Day) -> None:
    """Attachments are there the moment they are added, and are sent once (17.2, 17.3)."""
    editor = day.editor
    kept, unwanted = (editor.add_file(day.chat, f"{name}.md", b"# The secret plan") for name in ("plan", "wrong"))
    editor.remove_file(day.chat, unwanted)
    url = day.service.outside.page("/mills", "text/markdown", "# Mills\n\nThey turn.")
    page = editor.add_web_resource(day.chat, url)
    day.send("What turns?", {"type": "file", "id": kept}, {"type": "web-resource", "id": page})
    day.send("And what else?")
    shown = day.service.upstream.chats[-1].body
    assert b"The secret plan" in shown
    assert b"They turn." in shown
    for remove, item in ((editor.remove_file, kept), (editor.remove_web_resource, page)):
        with pytest.raises(Refused, match="409"):
            remove(day.chat, item)


def stops_and_goes_on(day: Day) -> None:
    """17.6: the same conversation, at once."""
    day.service.upstream.plays(Text("A long story"), Stall())
    with day.editor.say(day.chat, "Tell me a story", model=day.model) as stopped:
        read_until(stopped, "A long story")
    assert not stopped.is_complete
    day.service.upstream.plays(CallsTool("web_search", '{"query":"stories"}'), Finish("tool_calls"))
    found = day.send("Find one", model="two", capabilities={"webSearch": {}})
    assert {"web-search", "source"} <= set(found.names)
    partial = day.editor.messages(day.chat)[-3]
    assert partial["content"] == [{"type": "text", "content": "A long story"}]
    assert partial["attributes"] == {"aborted": True}


def uses_quick_actions(day: Day) -> None:
    """17.7"""
    shorter = day.editor.acted("make-shorter", day.html)
    assert merge_replacement(day.html, shorter.edit) == day.html.replace("One", "1")
    french = day.editor.acted("translate", day.html, args={"language": "french"})
    assert french.names[-1] == "done"
    custom = day.editor.acted("custom", day.html, prompt="Count.", model=day.model, outputFormat="html")
    assert "1" in custom.edit
    day.service.upstream.plays(*spoken('<p data-id="new-element">And so on.</p>'))
    longer = day.editor.acted("continue", day.html)
    assert merge_continuation(day.html, longer.edit).endswith("And so on.</p>")
    day.service.upstream.plays(Text('<h1 data-id="aaaa">A plan</h1><p data-id="bb'), Stall())
    with day.editor.act("improve-writing", day.html) as stopped:
        assert "A plan" in next(event.data["textDelta"] for event in stopped if event.name == "modification-delta")
    assert not stopped.is_complete


def reviews(day: Day) -> None:
    """17.8: cards come one by one; the same review is run again with fresh content."""
    for _ in range(2):
        reply = day.editor.reviewed("correctness", day.html)
        answers = dict(reply.answers)
        assert set(answers) == {"aaaa", "bbbb", "cccc", "dddd", "eeee"}
        assert [data_id for data_id, html in answers.items() if html] == ["dddd"]
    assert "dddd" in dict(day.editor.reviewed("custom", day.html, prompt="Count.", model=day.model).answers)


def looks_into_the_history(day: Day) -> None:
    """17.5: three pages, one conversation opened, pinned, renamed; another deleted."""
    editor = day.editor
    others = [editor.create(group=GROUP, title=f"Chat {number}") for number in range(65)]
    for other in others:
        editor.said(other, "Hi", model=day.model)
    listed = [one["id"] for one in editor.history(group=GROUP)]
    assert listed == [*reversed(others), day.chat]
    editor.change(day.chat, pinned=True)
    editor.change(day.chat, title="The plan")
    editor.delete(others[0])
    listed = [one["id"] for one in editor.history(group=GROUP)]
    assert listed == [day.chat, *reversed(others[1:])]
    opened, messages = editor.open(day.chat)
    assert (opened["title"], opened["pinned"], opened["model"]) == ("The plan", True, "two")
    assert replayed(editor, day.chat, messages) == day.html


def replayed(editor: EditorClient, chat: str, messages: list[Any]) -> str:
    """What the last edit makes of the document of its message."""
    html, question = "", messages[0]
    for message in messages:
        if message["role"] == "user":
            question = message
            continue
        for item in message["content"]:
            if item["type"] == "modification":
                shown = next(one["id"] for one in question["content"] if one["type"] == "document")
                html = merge_chat(editor.document(chat, shown)["content"], item["content"])
    return html


def meets_errors(day: Day) -> None:
    """17.9: what users read is a sentence, and never names what they have nothing to do with."""
    editor = day.editor
    attempts: dict[int, Callable[[], object]] = {
        422: lambda: editor.add_web_resource(day.chat, day.service.outside.answer("/broken", 500, b"")),
        415: lambda: editor.add_file(day.chat, "all.zip", b"PK\5\6" + b"\0" * 18),
        404: lambda: editor.open("tiny-gone"),
        400: lambda: editor.said(day.chat, "x" * 100_001),
    }
    for status, attempt in attempts.items():
        with pytest.raises(Refused) as refused:
            attempt()
        assert refused.value.status == status
        assert len(refused.value.body["message"]) > 10


def works_with_ckeditor(day: Day) -> None:
    """17.10: a document per root in one call, edits by `documentId`, and text and selections as context."""
    chat = day.editor.create(group=GROUP)
    roots = [
        {"name": "header", "description": "The page's head", "content": '<p data-id="aaaa">Head</p>'},
        {"name": "body", "content": '<p data-id="aaaa">Body</p>'},
    ]
    batch = day.editor.ask("POST", "documents", f"/v1/conversations/{chat}/documents/batch", roots)
    head, body = (one["id"] for one in batch)
    day.service.upstream.plays(Text('<edit document="2">\n<p data-id="aaaa">Body!</p>\n</edit>\n'), Finish())
    items = [{"type": "text", "content": "Background."}, {"type": "selection", "content": "Body"}]
    reply = day.editor.said(chat, "Shout", content=[*items, about(head), about(body)])
    told = [one.data for one in reply.events if one.name == "modification-delta"]
    assert {one["documentId"] for one in told} == {body}
    read = day.editor.ask("GET", "document", f"/v1/conversations/{chat}/documents/batch?ids={head}&ids={body}")
    assert [one["content"] for one in read] == [one["content"] for one in roots]
    plain = day.editor.acted("custom", "<p>One</p>", prompt="Count.", model="one", outputFormat="plainText")
    assert plain.names[-1] == "done"
