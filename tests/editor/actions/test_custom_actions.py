"""Actions with a prompt of the user's own (`spec/editor-api.md` 6.10)."""

import pytest

from tests.editor.conftest import Editor
from tests.fakes.edit_grammar import offences_in_replacement
from tests.fakes.editor_client import EditorClient, Refused
from tests.fakes.editor_merge import merge_replacement
from tests.fakes.frames import around_frames, frames_of, model, spoken
from tests.fakes.openai_upstream import Finish, Text
from tests.service import Service

CONTENT = '<p data-id="aaaa">One.</p><p data-id="bbbb">Two.</p>'
PROMPT = "Number the paragraphs."


def test_a_custom_action_does_what_the_prompt_says_with_the_model_that_was_chosen(
    service: Service, writer: EditorClient
) -> None:
    service.upstream.plays_what(model(lambda content: content.replace("One", "1. One")))
    reply = writer.acted("custom", CONTENT, prompt=PROMPT, model="two", outputFormat="html")
    assert offences_in_replacement(CONTENT, reply.edit) == []
    assert merge_replacement(CONTENT, reply.edit) == CONTENT.replace("One", "1. One")
    (request,) = service.upstream.chats
    assert request.json["model"] == "two"
    assert frames_of(request) == {"task": PROMPT, "content": CONTENT}
    assert PROMPT not in around_frames(request)


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ("One & two <three>.", "One & two <three>."),
        ("\n\n  One.\n\nTwo.\n ", "One.\n\nTwo."),
        ("```\nOne.\n```", "One."),
        ("```text\nOne.\n```\n", "One."),
        ("Say `x`, then ```y```", "Say `x`, then ```y```"),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_plain_text_is_sent_as_plain_text(
    service: Service, writer: EditorClient, answer: str, shown: str, size: int
) -> None:
    service.upstream.plays(*spoken(answer, size))
    reply = writer.acted("custom", CONTENT, prompt="Sum up.", model="one", outputFormat="plainText")
    assert reply.edit == shown
    assert "no HTML" in around_frames(service.upstream.chats[-1])


def test_another_output_format_is_refused(writer: EditorClient) -> None:
    with pytest.raises(Refused, match="outputFormat") as refused:
        writer.acted("custom", CONTENT, prompt=PROMPT, model="one", outputFormat="markdown")
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("permissions", "model_id", "status"),
    [
        (["ai:actions:custom", "ai:models:mock:one"], "one", 200),
        (["ai:actions:*", "ai:models:agent"], "agent-1", 200),
        (["ai:actions:custom", "ai:models:mock:two"], "one", 403),
        (["ai:actions:custom"], "one", 403),
        (["ai:actions:custom", "ai:models:mock:one"], "agent-1", 403),
        (["ai:actions:system:*", "ai:models:*"], "one", 403),
        (["ai:actions:custom", "ai:models:*"], "three", 404),
    ],
)
def test_a_custom_action_needs_its_permission_and_one_for_the_model(
    service: Service, editors: Editor, permissions: list[str], model_id: str, status: int
) -> None:
    service.upstream.plays_what(model(lambda same: same))
    editor = editors("someone", permissions=permissions)
    if status == 200:
        assert editor.acted("custom", CONTENT, prompt=PROMPT, model=model_id).names[-1] == "done"
        return
    with pytest.raises(Refused) as refused:
        editor.acted("custom", CONTENT, prompt=PROMPT, model=model_id)
    assert refused.value.status == status
    assert service.upstream.chats == []


def test_a_prompt_that_is_too_long_is_refused_with_its_length(writer: EditorClient) -> None:
    with pytest.raises(Refused) as refused:
        writer.acted("custom", CONTENT, prompt="x" * 100_001, model="one")
    (issue,) = refused.value.body["data"]["issues"]
    assert (refused.value.status, issue["type"]) == (400, "too-long")
    assert (issue["length"], issue["maxLength"]) == (100_001, 100_000)


def test_prompt_and_content_together_must_fit_into_the_model(service: Service, writer: EditorClient) -> None:
    content = f'<p data-id="aaaa">{"x" * 200_000}</p>'
    with pytest.raises(Refused) as refused:
        writer.acted("custom", content, prompt="y" * 60_000, model="one")
    (issue,) = refused.value.body["data"]["issues"]
    assert (refused.value.status, refused.value.body["code"]) == (413, "content-too-large")
    assert (issue["type"], issue["length"], issue["maxLength"]) == ("too-long", len(content) + 60_000, 256_000)
    assert service.upstream.chats == []
    service.upstream.plays(Text('<p data-id="aaaa">x</p>'), Finish())
    assert writer.acted("custom", content, prompt="y", model="one").names[-1] == "done"
