"""What users learn when an action fails: editors ignore error events of actions (`spec/editor-api.md` 7.3, W-30)."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.editor.actions.conftest import WRITER
from tests.editor.conftest import Editor, Tenant, eventually
from tests.fakes.editor_client import EditorClient, Refused, Reply
from tests.fakes.frames import spoken
from tests.fakes.openai_upstream import (
    CutShort,
    EndWithoutFinish,
    Finish,
    Hold,
    Reset,
    Stall,
    Status,
    Step,
    Text,
    Upstream,
    running_upstream,
)
from tests.service import Service, service_env, start_service

CONTENT = '<p data-id="aaaa">One.</p><p data-id="bbbb">Two.</p>'
BEGINNING = '<p data-id="aaaa">First one.</p><p data-id="bbbb">And '


@contextmanager
def refusing(folder: Path) -> Iterator[tuple[Upstream, EditorClient]]:
    """A service of its own: refusals put its key aside."""
    with (
        running_upstream() as upstream,
        start_service(service_env(upstream, folder), upstream) as service,
        EditorClient(service.url, Tenant(service).headers(permissions=[*WRITER, "ai:reviews:*"])) as editor,
    ):
        yield upstream, editor


def test_t_20_an_upstream_401_is_a_502_with_json(tmp_path: Path) -> None:
    with refusing(tmp_path) as (upstream, editor):
        upstream.always_plays(Status(401, {"error": {"message": "Incorrect API key provided: sk-x"}}))
        for call in (editor.acted, editor.reviewed):
            with pytest.raises(Refused) as refused:
                call("make-shorter", CONTENT)
            assert (refused.value.status, refused.value.body["code"]) == (502, "provider-error")
            assert "Incorrect API key provided" in refused.value.body["message"]


def test_whatever_an_upstream_says_at_once_becomes_a_status_that_the_editor_knows(tmp_path: Path) -> None:
    with refusing(tmp_path) as (upstream, editor):
        for status in (400, 403, 404, 413, 429, 500, 503):
            upstream.always_plays(Status(status, {"error": {"message": "It will not do."}}))
            with pytest.raises(Refused) as refused:
                editor.acted("make-shorter", CONTENT)
            assert refused.value.status in (413, 422, 502)


@pytest.mark.parametrize("end", [CutShort(), Reset(), EndWithoutFinish()])
def test_t_21_an_upstream_that_dies_in_the_middle_is_told_and_the_body_breaks_off(
    service: Service, writer: EditorClient, end: Step
) -> None:
    service.upstream.plays(Text(BEGINNING), Hold(), end)
    with writer.act("make-shorter", CONTENT) as reply:
        _read_to_the_cut(reply, service.upstream)
    assert reply.names[0] == "action-metadata"
    assert reply.names[-1] == "error"
    assert "done" not in reply.names
    assert reply.events[-1].data["message"]


def test_no_header_is_sent_before_the_first_piece(service: Service, writer: EditorClient) -> None:
    service.upstream.plays(Hold(), *spoken(CONTENT))
    _give_up_waiting(service, writer)
    service.upstream.go_on()


@pytest.mark.parametrize(
    "steps",
    [
        (Finish(),),
        (Text(" \n "), Finish()),
        (Finish("length"),),
        (Finish("content_filter"),),
    ],
)
def test_a_model_that_writes_nothing_is_an_error_that_says_so(
    service: Service, writer: EditorClient, steps: tuple[Step, ...]
) -> None:
    service.upstream.always_plays(*steps)
    with pytest.raises(Refused) as refused:
        writer.acted("make-shorter", CONTENT)
    assert refused.value.status in (422, 502)
    assert refused.value.body["message"].endswith(".")
    assert len(service.upstream.chats) == 1


def test_an_answer_that_breaks_off_before_its_first_element_is_no_result(
    service: Service, writer: EditorClient
) -> None:
    service.upstream.always_plays(Text('<p data-id="aaaa">Fi'), Finish("length"))
    with pytest.raises(Refused) as refused:
        writer.acted("make-shorter", CONTENT)  # all that could be sent is what the user has already
    assert refused.value.status in (422, 502)


def test_an_answer_that_is_no_edit_is_asked_for_once_more_with_what_is_wrong(
    service: Service, writer: EditorClient
) -> None:
    service.upstream.plays(*spoken("I am sorry, I cannot see any text."))
    service.upstream.plays(*spoken(CONTENT.replace("One", "1")))
    reply = writer.acted("make-shorter", CONTENT)
    assert reply.names[-1] == "done"
    assert '<p data-id="aaaa">1.</p>' in reply.edit
    first, second = service.upstream.chats
    assert second.json["messages"][: len(first.json["messages"])] == first.json["messages"]
    said, complaint = second.json["messages"][-2:]
    assert (said["role"], said["content"]) == ("assistant", "I am sorry, I cannot see any text.")
    assert "cannot use this answer" in complaint["content"]


def test_a_model_that_never_writes_an_edit_is_an_error_that_says_so(service: Service, writer: EditorClient) -> None:
    service.upstream.always_plays(*spoken("I am sorry, I cannot see any text."))
    with pytest.raises(Refused) as refused:
        writer.acted("make-shorter", CONTENT)
    assert refused.value.status == 502
    assert len(service.upstream.chats) == 2


def test_leaving_cancels_the_model_before_and_after_its_first_word(service: Service, writer: EditorClient) -> None:
    service.upstream.plays(Text(BEGINNING), Stall())
    with writer.act("make-shorter", CONTENT) as reply:
        for event in reply:
            if event.name == "modification-delta":
                break
    eventually(lambda: service.upstream.cancelled == 1)

    service.upstream.plays(Stall())
    _give_up_waiting(service, writer)
    eventually(lambda: service.upstream.cancelled == 2)


def test_t_35_five_hundred_pieces_at_once_are_a_few_events(service: Service, writer: EditorClient) -> None:
    content = f'<p data-id="aaaa">{"word " * 500}</p>'
    answer = content.replace("word", "work")
    service.upstream.plays(*spoken(answer, len(answer) // 500))
    reply = writer.acted("make-shorter", content)
    assert "work work" in reply.edit
    assert len(reply.events) < 100


def test_the_metric_line_tells_of_the_model_and_of_errors_in_the_stream(service: Service, writer: EditorClient) -> None:
    """S085, W-27: an error after a 200 is seen."""
    path = "/v1/actions/system/make-longer/calls"
    before = len(_metric_lines(service, path))
    service.upstream.plays(*spoken(CONTENT))
    writer.acted("make-longer", CONTENT)
    service.upstream.plays(Text(BEGINNING), Hold(), CutShort())
    with writer.act("make-longer", CONTENT) as reply:
        _read_to_the_cut(reply, service.upstream)
    eventually(lambda: len(_metric_lines(service, path)) == before + 2)
    good, bad = _metric_lines(service, path)[before:]
    assert (good["outcome"], good["model"], good["inputTokens"], good["outputTokens"]) == ("ok", "mock/one", 7, 5)
    assert (bad["outcome"], bad["statusCode"], bad["model"]) == ("error", 200, "mock/one")


def test_two_attempts_are_added_up_on_the_metric_line(service: Service, writer: EditorClient) -> None:
    path = "/v1/actions/system/make-tone-direct/calls"
    service.upstream.plays(*spoken("I am sorry."))
    service.upstream.plays(*spoken(CONTENT.replace("One", "1")))
    writer.acted("make-tone-direct", CONTENT)
    eventually(lambda: bool(_metric_lines(service, path)))
    line = _metric_lines(service, path)[-1]
    assert (line["calls"], line["inputTokens"], line["outputTokens"], line["attempts"]) == (2, 14, 10, 2)


def _metric_lines(service: Service, path: str) -> list[dict[str, object]]:
    return [line for line in service.logs if line.get("path") == path and "statusCode" in line]


def _read_to_the_cut(reply: Reply, upstream: Upstream) -> None:
    """Let the upstream go on after the first piece; the body must not come to its end."""
    try:
        for event in reply:
            if event.name == "modification-delta":
                upstream.go_on()
    except httpx.RemoteProtocolError:
        return
    raise AssertionError("the body was complete")


def _give_up_waiting(service: Service, editor: EditorClient) -> None:
    """For headers, that is: httpx tells of them at once when they come."""
    body = {"content": [{"type": "text", "content": CONTENT}]}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(service.url + "/v1/actions/make-shorter", json=body, headers=editor.headers, timeout=0.7)


# --- other settings --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def narrow(
    running_service: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, EditorClient]]:
    """One model that translates and one for chats; a small context; no `done` at the end."""
    models = [
        {
            "id": "small",
            "provider": "mock",
            "description": "",
            "features": ["conversations", "actions.translate"],
            "contextLimits": {"maxContextLength": 100},
        },
        {"id": "large", "provider": "mock", "description": "", "recommended": True, "features": ["actions.translate"]},
        {"id": "umbrella", "provider": "mock", "description": "", "recommended": True, "features": ["actions"]},
        {"id": "chat", "provider": "mock", "description": "", "features": ["conversations"]},
    ]
    upstream = running_service.upstream
    folder: Path = tmp_path_factory.mktemp("narrow")
    env = service_env(upstream, folder, MODELS=json.dumps(models), SSE_DONE_EVENT="false")
    with start_service(env, upstream) as service:
        tenant = Tenant(service)
        with EditorClient(service.url, tenant.headers(permissions=WRITER)) as editor:
            yield service, editor


def test_sse_done_event_can_be_left_out(service: Service, narrow: tuple[Service, EditorClient]) -> None:
    service.upstream.plays(*spoken(CONTENT.replace("One", "1")))
    reply = narrow[1].acted("fix-grammar", CONTENT)
    assert reply.is_complete
    assert set(reply.names) == {"action-metadata", "modification-delta"}


def test_o_19_the_model_that_names_the_action_answers_before_that_of_the_umbrella(
    service: Service, narrow: tuple[Service, EditorClient]
) -> None:
    service.upstream.always_plays(*spoken(CONTENT.replace("One", "1")))
    narrow[1].acted("translate", CONTENT, args={"language": "German"})
    assert service.upstream.chats[-1].json["model"] in ("small", "large")
    narrow[1].acted("fix-grammar", CONTENT)
    assert service.upstream.chats[-1].json["model"] == "umbrella"


def test_a_content_that_is_too_long_for_one_model_goes_to_one_that_holds_it(
    service: Service, narrow: tuple[Service, EditorClient]
) -> None:
    content = f'<p data-id="aaaa">{"word " * 100}</p>'
    service.upstream.always_plays(*spoken(content.replace("word", "Wort")))
    narrow[1].acted("translate", content, args={"language": "German"})
    assert service.upstream.chats[-1].json["model"] == "large"
    with pytest.raises(Refused) as refused:
        narrow[1].acted("translate", f'<p data-id="aaaa">{"x" * 256_000}</p>', args={"language": "German"})
    assert refused.value.status == 413
    assert refused.value.body["data"]["issues"][0]["maxLength"] == 256_000


def test_a_custom_action_needs_a_model_for_actions(narrow: tuple[Service, EditorClient]) -> None:
    with pytest.raises(Refused, match="not set up for `actions`") as refused:
        narrow[1].acted("custom", CONTENT, prompt="Shorter.", model="chat")
    assert refused.value.status == 422


def test_a_feature_without_a_model_is_refused_by_its_name(
    service: Service, narrow: tuple[Service, EditorClient], editors: Editor
) -> None:
    tenant = Tenant(narrow[0])
    editor = editors("someone", of=tenant, at=narrow[0].url, permissions=["ai:reviews:*"])
    with pytest.raises(Refused, match=r"No model is set up for `reviews\.clarity`") as refused:
        editor.reviewed("clarity", CONTENT)
    assert refused.value.status == 422
    assert "MODELS" in refused.value.body["explanation"]
