"""Reviews whose model fails, stops too early or takes its time (`spec/editor-api.md` 7.4)."""

import json
import re
import time
from pathlib import Path

import pytest

from tests.editor.conftest import Tenant, eventually
from tests.editor.reviews.conftest import REVIEWER
from tests.editor.reviews.test_system_reviews import block, check_order, document, mending
from tests.fakes.editor_client import EditorClient, Refused
from tests.fakes.frames import content_of, frames_of, spoken
from tests.fakes.openai_upstream import CutShort, Finish, Hold, Received, Stall, Status, Step, Text
from tests.service import Service, service_env, start_service

LONG = document(300)


def is_first(request: Received) -> bool:
    return 'data-id="b0"' in content_of(request)


def test_the_stream_begins_with_the_first_word_and_answers_with_the_first_element(
    service: Service, reviewer: EditorClient
) -> None:
    """While the upstream is still talking: it goes on only when the client has seen what came before."""
    service.upstream.plays(Text('<p data-id="b0">Bet'), Hold(), Text("ter.</p>\n<p "), Stall())
    service.upstream.plays_what(lambda _: (Stall(),))
    with reviewer.review("clarity", LONG) as reply:
        seen = iter(reply)
        assert next(seen).name == "review-metadata"
        service.upstream.go_on()
        assert next(seen).data == {"dataId": "b0", "operation": "edit", "textDelta": block(0, "Better.")}


def test_a_piece_that_fails_later_leaves_its_elements_unanswered_and_ends_with_an_error(
    service: Service, reviewer: EditorClient
) -> None:
    def steps(request: Received) -> tuple[Step, ...] | list[Step]:
        if is_first(request):
            return list(spoken(mending(1)(content_of(request))))
        if 'data-id="b200"' in content_of(request):
            return (Hold(), Status(400, {"error": {"message": "It broke."}}))
        return (Hold(), *spoken(mending(10)(content_of(request))))

    service.upstream.plays_what(steps)
    with reviewer.review("clarity", LONG) as reply:
        for event in reply:
            if event.name == "review-delta":
                service.upstream.go_on()
    assert reply.is_complete
    assert reply.names[-1] == "error"
    assert "done" not in reply.names
    failed = next(request for request in service.upstream.chats if 'data-id="b200"' in content_of(request))
    unanswered = set(re.findall(r'data-id="(b\d+)"', content_of(failed)))
    answered = [data_id for data_id, _ in reply.answers]
    assert len(answered) == len(set(answered))
    assert set(answered) == {f"b{number}" for number in range(300)} - unanswered


def test_an_answer_that_is_cut_off_at_its_length_is_asked_for_again_from_there(
    service: Service, reviewer: EditorClient
) -> None:
    service.upstream.plays(
        Text(block(0, "Better 0.") + block(2, "Better 2.") + '<p data-id="b4">Bet'), Finish("length")
    )
    service.upstream.plays(Text(block(4, "Better 4.")), Finish())
    answers = check_order(reviewer.reviewed("clarity", document(6)), [f"b{number}" for number in range(6)])
    assert [data_id for data_id, html in answers.items() if html] == ["b0", "b2", "b4"]
    assert 'data-id="b0"' not in content_of(service.upstream.chats[-1])


@pytest.mark.parametrize("finish", ["stop", "length", "content_filter"])
def test_a_model_that_answers_nothing_is_an_error_that_says_so(
    service: Service, reviewer: EditorClient, finish: str
) -> None:
    service.upstream.always_plays(Finish(finish))
    with pytest.raises(Refused) as refused:
        reviewer.reviewed("clarity", document(3))
    assert refused.value.status in (422, 502)
    assert refused.value.body["message"].endswith(".")


def test_a_model_that_never_comes_to_the_end_of_an_element_is_an_error(
    service: Service, reviewer: EditorClient
) -> None:
    service.upstream.always_plays(Text('<p data-id="b0">Bet'), Finish("length"))
    assert reviewer.reviewed("clarity", document(3)).names == ["review-metadata", "error"]
    assert len(service.upstream.chats) == 1


def test_a_stream_that_dies_is_told_and_ends_in_good_order(service: Service, reviewer: EditorClient) -> None:
    """Unlike an action: the client knows error events of reviews."""
    service.upstream.plays(Text(block(0, "Better 0.") + '<p data-id="b1">Bet'), Hold(), CutShort())
    with reviewer.review("clarity", document(3)) as reply:
        for event in reply:
            if event.name == "review-delta":
                service.upstream.go_on()
    assert reply.is_complete
    assert reply.answers == [("b0", block(0, "Better 0."))]
    assert reply.names[-1] == "error"


def test_leaving_cancels_all_calls_at_once(service: Service, reviewer: EditorClient) -> None:
    service.upstream.plays_what(
        lambda request: (Text(block(0, "Better 0.")), Stall()) if is_first(request) else (Stall(),)
    )
    with reviewer.review("clarity", document(1000)) as reply:
        for event in reply:
            if event.name == "review-delta":
                break
        eventually(lambda: len(service.upstream.chats) == 6)
    eventually(lambda: service.upstream.cancelled == 6)
    assert len(service.upstream.chats) == 6


def test_no_more_than_six_calls_run_at_once(service: Service, reviewer: EditorClient) -> None:
    """The first piece is done, six are being reviewed, the others wait."""
    held = (Hold(), Text("<!-- unmodified -->"), Finish())
    service.upstream.plays_what(lambda request: spoken("<!-- unmodified -->") if is_first(request) else held)
    with reviewer.review("clarity", document(1000)) as reply:
        eventually(lambda: len(service.upstream.chats) == 7)
        time.sleep(0.2)
        assert len(service.upstream.chats) == 7
        service.upstream.go_on()
        check_order(reply.read(), [f"b{number}" for number in range(1000)])
    assert len(service.upstream.chats) > 7


def test_neighbours_are_given_to_be_read(service: Service, reviewer: EditorClient) -> None:
    service.upstream.plays_what(lambda _: spoken("<!-- unmodified -->"))
    reviewer.reviewed("clarity", LONG)
    middle = next(request for request in service.upstream.chats if 'data-id="b100"' in content_of(request))
    frames = frames_of(middle)
    ids = re.findall(r'data-id="b(\d+)"', frames["content"])
    assert frames["before"].endswith(f"number {int(ids[0]) - 1} of this document.")
    assert frames["after"].startswith(f"Sentence number {int(ids[-1]) + 1} ")


def test_the_metric_line_adds_up_all_calls(service: Service, reviewer: EditorClient) -> None:
    service.upstream.plays_what(lambda _: spoken("<!-- unmodified -->"))
    path = "/v1/reviews/system/make-longer/calls"
    reviewer.reviewed("make-longer", LONG)
    calls = len(service.upstream.chats)
    eventually(lambda: any(line.get("path") == path and "statusCode" in line for line in service.logs))
    line = next(line for line in service.logs if line.get("path") == path and "statusCode" in line)
    assert (line["calls"], line["inputTokens"], line["outputTokens"]) == (calls, 7 * calls, 5 * calls)
    assert (line["outcome"], line["model"]) == ("ok", "mock/one")


def test_the_cost_of_all_calls_is_added_up(service: Service, tmp_path: Path) -> None:
    price = {"input": "1000", "output": "1000"}
    model = {"id": "one", "provider": "mock", "description": "", "features": ["reviews"], "price": price}
    service.upstream.plays_what(lambda _: spoken("<!-- unmodified -->"))
    env = service_env(service.upstream, tmp_path, MODELS=json.dumps([model]))
    with start_service(env, service.upstream) as own:
        with EditorClient(own.url, Tenant(own).headers(permissions=REVIEWER)) as editor:
            editor.reviewed("clarity", LONG)
        line = json.loads(own.wait_for_log('"costMicros"'))
    assert (line["pricing"], line["costMicros"]) == ("priced", 12_000 * len(service.upstream.chats))
