"""A session with the editor, from its start to its history, as the plugin goes through it (section 17)."""

import threading

from tests.editor.conftest import Editor
from tests.fakes.editor_client import EditorClient
from tests.fakes.openai_upstream import Finish, Stall, Text
from tests.service import Service

CONTENT_ID = "article-42"
LONG_PROMPT = "<task>Explain the text.</task>\n<rules>\n" + "- Be brief.\n" * 300 + "</rules>"
LABEL = {"quickActionData": {"id": "explain", "displayedPrompt": "Explain"}}


def test_a_whole_session(service: Service, editor: EditorClient) -> None:
    model = editor.start()
    assert model == "agent-1"

    conversation = editor.create(group=CONTENT_ID)
    service.upstream.plays(Text("Here is "), Text("an idea."), Finish())
    first = editor.said(conversation, "Give me an idea", model=model)
    assert first.text == "Here is an idea."
    assert first.first("conversation-title") == {"conversationTitle": "A short title"}

    second = editor.said(conversation, "Another one", model=model)
    assert second.names == ["message-metadata", "text-delta", "done"]

    service.upstream.plays(Text("A long story"), Stall())
    with editor.say(conversation, "Tell me a story", model=model) as stopped:
        for event in stopped:
            if event.name == "text-delta":
                break
    assert not stopped.is_complete

    third = editor.said(conversation, LONG_PROMPT, model="one", attributes=LABEL)
    assert third.names[-1] == "done"
    turns = [one["content"] for one in service.upstream.chats[-1].json["messages"]]
    assert turns[-3:] == ["Tell me a story", "A long story", LONG_PROMPT]

    (entry,) = editor.history(group=CONTENT_ID)
    assert (entry["id"], entry["title"], entry["group"]) == (conversation, "A short title", CONTENT_ID)
    opened, messages = editor.open(conversation)
    assert opened["model"] == "one"
    assert [item["role"] for item in messages] == ["user", "assistant"] * 4
    assert messages[6]["attributes"] == LABEL
    assert messages[6]["model"] == "one"
    assert messages[5]["attributes"] == {"aborted": True}

    assert editor.change(conversation, pinned=True)["pinned"] is True
    assert editor.change(conversation, title="Ideas")["title"] == "Ideas"
    assert [item["title"] for item in editor.history()] == ["Ideas"]
    editor.delete(conversation)
    assert editor.history() == []


def test_a_conversation_that_was_begun_and_never_used_stays_hidden(editor: EditorClient) -> None:
    editor.create(group=CONTENT_ID)
    assert editor.history(group=CONTENT_ID) == []


def test_several_editors_of_one_user_work_side_by_side(service: Service, editors: Editor) -> None:
    """Four tabs, each with a conversation of its own, while a fifth looks at the history."""
    replies: dict[int, list[str]] = {}

    def tab(number: int) -> None:
        editor = editors("many tabs")
        made = editor.create(title=f"Tab {number}")
        replies[number] = [name for _ in range(5) for name in editor.said(made, "Hi").names]

    tabs = [threading.Thread(target=tab, args=(number,)) for number in range(4)]
    for one in tabs:
        one.start()
    watcher = editors("many tabs")
    for _ in range(5):
        watcher.history()
    for one in tabs:
        one.join(60)
    assert replies == {number: ["message-metadata", "text-delta", "done"] * 5 for number in range(4)}
    assert len(watcher.history()) == 4
