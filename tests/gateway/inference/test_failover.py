"""Keys and backends that fail, through the real process: what is tried next, and what the caller reads."""

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.openai_upstream import (
    EndWithoutFinish,
    Finish,
    Raw,
    Reset,
    Stall,
    Status,
    Text,
    Upstream,
    Wait,
    running_upstream,
)
from tests.service import FEATURES, MANAGEMENT_SECRET, Service, free_port, service_env, start_service, with_tenant

CHAT = "/oai/v1/chat/completions"


@pytest.fixture(scope="module")
def second() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


@pytest.fixture
def house(second: Upstream) -> Iterator[Service]:
    """A process of its own for each test: keys that were set aside must not be remembered."""
    with tempfile.TemporaryDirectory() as directory, running_upstream() as first:
        second.reset()
        env = service_env(first, Path(directory), **_catalog(first, second), LLM_IDLE_TIMEOUT_MS="700")
        with start_service(env, first) as service:
            yield with_tenant(service)


def _catalog(first: Upstream, second: Upstream) -> dict[str, str]:
    compatible = {"type": "openai-compatible"}
    providers = {
        "two-keys": {**compatible, "baseUrl": first.url, "apiKeys": ["sk-first-key-aaaa", "sk-second-key-bbbb"]},
        "a": {**compatible, "baseUrl": first.url, "apiKeys": ["sk-only-key-of-a"]},
        "b": {**compatible, "baseUrl": second.url, "apiKeys": ["sk-only-key-of-b"]},
        "no-v1": {**compatible, "baseUrl": first.url.removesuffix("/v1")},
        "quick": {
            **compatible,
            "baseUrl": first.url,
            "apiKeys": ["sk-only-key-of-quick"],
            "timeouts": {"firstTokenMs": 500, "totalMs": 1500},
        },
        "nobody": {**compatible, "baseUrl": f"http://127.0.0.1:{free_port()}/v1"},
    }
    models = [{"id": "keys", "provider": "two-keys"}]
    models += [{"id": "shared", "provider": "a"}, {"id": "shared", "provider": "b"}]
    models += [{"id": "m", "provider": "no-v1"}, {"id": "m", "provider": "quick"}, {"id": "m", "provider": "nobody"}]
    complete = [{**model, "description": "x", "features": FEATURES} for model in models]
    return {"PROVIDERS": json.dumps(providers), "MODELS": json.dumps(complete)}


def ask(house: Service, model: str, **more: Any) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], **more}
    return httpx.post(house.url + CHAT, json=body, headers=house.api_key_headers, timeout=30)


def keys_used(upstream: Upstream) -> list[str]:
    return [request.headers["authorization"][-4:] for request in upstream.chats]


INVALID = Status(401, {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}})
BUSY = Status(
    429, {"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}}, (("retry-after", "60"),)
)


def test_keys_take_turns(house: Service) -> None:
    for _ in range(4):
        assert ask(house, "keys").status_code == 200
    assert keys_used(house.upstream) == ["aaaa", "bbbb", "aaaa", "bbbb"]


def test_a_revoked_key_is_set_aside_and_no_call_fails(house: Service) -> None:
    house.upstream.plays(INVALID)
    for _ in range(4):
        assert ask(house, "keys").status_code == 200
    assert keys_used(house.upstream) == ["aaaa", "bbbb", "bbbb", "bbbb", "bbbb"]


def test_s045_a_busy_key_rests_as_long_as_it_was_told_and_the_other_is_used(house: Service) -> None:
    house.upstream.plays(BUSY)
    for _ in range(3):
        assert ask(house, "keys").status_code == 200
    assert keys_used(house.upstream) == ["aaaa", "bbbb", "bbbb", "bbbb"]


def test_s045_when_every_key_rests_the_caller_learns_how_long(house: Service) -> None:
    house.upstream.plays(BUSY)
    house.upstream.plays(BUSY)
    assert ask(house, "keys").status_code == 429
    before = len(house.upstream.chats)
    again = ask(house, "keys")
    assert again.status_code == 429
    assert 50 <= int(again.headers["retry-after"]) <= 60
    assert "two-keys" in again.json()["error"]["message"]
    assert len(house.upstream.chats) == before


def test_s040_when_every_key_was_refused_the_error_says_so_and_names_the_entry(house: Service) -> None:
    house.upstream.plays(INVALID)
    house.upstream.plays(INVALID)
    assert "Incorrect API key provided" in ask(house, "keys").json()["error"]["message"]
    message = ask(house, "keys").json()["error"]["message"]
    assert "NoValidApiKeysFoundError" in message
    assert "`two-keys`" in message


@pytest.mark.parametrize(
    "death",
    [
        (Reset(),),
        (Status(500, {"error": {"message": "oops"}}),),
        (Status(503, b"<html>busy</html>", (("content-type", "text/html"),)),) * 1,
        (Raw(b'data: {"error":{"message":"exploded"}}\n\n'), Wait(0.1), EndWithoutFinish()),
        (EndWithoutFinish(),),
        (Raw(b": thinking\n\n"), Stall()),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_backend_that_dies_before_its_first_token_is_replaced(
    house: Service, second: Upstream, death: Any, stream: bool
) -> None:
    house.upstream.always_plays(*death)
    second.plays(Text("from the second"), Finish())
    response = ask(house, "shared", stream=stream)
    assert response.status_code == 200, response.text
    assert "from the second" in response.text


def test_the_metric_log_tells_how_often_a_call_was_tried_also_when_nobody_answered(house: Service) -> None:
    house.upstream.always_plays(Status(401, {"error": {"message": "Incorrect API key provided"}}))
    assert ask(house, "keys").status_code == 502
    line = json.loads(house.wait_for_log('"statusCode":502'))
    assert (line["attempts"], line["model"], line["provider"]) == (2, "two-keys/keys", "two-keys")


def test_nothing_is_tried_again_after_the_first_token(house: Service, second: Upstream) -> None:
    house.upstream.plays(Text("half"), Wait(0.05), Reset())
    response = ask(house, "shared", stream=True)
    assert "half" in response.text
    assert "[DONE]" not in response.text
    assert second.chats == []


def test_a_failure_in_mid_stream_is_in_the_log_with_its_request(house: Service) -> None:
    house.upstream.plays(Text("half"), Wait(0.05), Reset())
    response = ask(house, "shared", stream=True)
    line = json.loads(house.wait_for_log("upstream_unavailable"))
    assert (line["level"], line["requestId"]) == (40, response.headers["x-request-id"])


def test_tokens_are_known_when_a_finished_stream_breaks_off_before_it_tells_them(house: Service) -> None:
    finish = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    house.upstream.plays(Text("all of it"), Raw(finish), Wait(0.05), Reset())
    response = ask(house, "shared", stream=True)
    assert "[DONE]" not in response.text
    line = json.loads(house.wait_for_log('"outcome":"error"'))
    assert line["inputTokens"] > 0
    assert line["outputTokens"] > 0


def test_a_request_that_is_wrong_everywhere_is_sent_once(house: Service, second: Upstream) -> None:
    house.upstream.plays(Status(400, {"error": {"message": "unknown parameter"}}))
    assert ask(house, "shared").status_code == 400
    assert second.chats == []


def test_a_refused_stream_option_is_dropped_and_remembered(house: Service) -> None:
    house.upstream.plays(Status(400, {"error": {"message": "Unrecognized request argument: stream_options"}}))
    assert ask(house, "keys", stream=True).status_code == 200
    assert ask(house, "keys", stream=True).status_code == 200
    asked = ["stream_options" in request.json for request in house.upstream.chats]
    assert asked == [True, False, False]


def test_s051_an_address_without_v1_is_tried_with_it_and_the_log_says_what_to_write(house: Service) -> None:
    assert ask(house, "no-v1/m").status_code == 200
    assert house.upstream.url in house.wait_for_log("lacks /v1")
    tries = len(house.upstream.requests)
    assert ask(house, "no-v1/m").status_code == 200
    assert len(house.upstream.requests) == tries + 1


def test_s052_a_server_that_is_not_there_is_named_with_its_address(house: Service) -> None:
    message = ask(house, "nobody/m").json()["error"]["message"]
    assert "ECONNREFUSED" in message
    assert "127.0.0.1" in message


@pytest.mark.parametrize(
    ("steps", "variable"),
    [
        ((Stall(),), "LLM_TIMEOUT_MS"),
        ((Raw(b": still thinking\n\n"), Wait(0.2), Raw(b": still\n\n"), Stall()), "LLM_TIMEOUT_MS"),
    ],
)
def test_s054_a_silent_model_is_given_up_and_the_error_names_the_limit(
    house: Service, steps: Any, variable: str
) -> None:
    house.upstream.plays(*steps)
    response = ask(house, "quick/m", stream=True)
    assert response.status_code == 504
    message = response.json()["error"]["message"]
    assert variable in message
    assert "0.5 s" in message


def test_s054_silence_in_mid_stream_names_the_idle_limit(house: Service) -> None:
    house.upstream.plays(Text("so far"), Stall())
    response = ask(house, "keys", stream=True)
    assert response.status_code == 200
    assert "so far" in response.text
    assert "LLM_IDLE_TIMEOUT_MS" in response.text
    assert "[DONE]" not in response.text


def test_s063_a_new_key_in_the_watched_file_is_used_while_old_streams_go_on(tmp_path: Path) -> None:
    with running_upstream() as upstream:
        providers = tmp_path / "providers.json"
        models = tmp_path / "models.json"
        entry = {"type": "openai-compatible", "baseUrl": upstream.url, "apiKeys": ["sk-the-old-key-aaaa"]}
        providers.write_text(json.dumps({"p": entry}))
        models.write_text(json.dumps([{"id": "m", "provider": "p", "description": "x", "features": FEATURES}]))
        env = service_env(upstream, tmp_path)
        del env["PROVIDERS"], env["MODELS"]
        env |= {"PROVIDERS_FILE": str(providers), "MODELS_FILE": str(models)}
        with start_service(env, upstream) as started:
            house = with_tenant(started)
            upstream.plays(Text("old"), Wait(4), Text(" still"), Finish())
            body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]}
            with httpx.stream("POST", house.url + CHAT, json=body, headers=house.api_key_headers, timeout=30) as old:
                pieces = old.iter_text()
                assert "old" in next(pieces)
                entry["apiKeys"] = ["sk-the-new-key-bbbb"]
                providers.write_text(json.dumps({"p": entry}))
                deadline = time.monotonic() + 15
                while True:
                    ask(house, "m")
                    if keys_used(upstream)[-1] == "bbbb":
                        break
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
                assert "[DONE]" in "".join(pieces)


def test_s045_a_provider_that_asks_for_a_second_gets_it_and_the_call_succeeds(house: Service) -> None:
    busy = Status(429, {"error": {"message": "Rate limit reached"}}, (("retry-after", "1"),))
    house.upstream.plays(busy)
    house.upstream.plays(busy)
    response = ask(house, "keys")
    assert response.status_code == 200, response.text
    line = json.loads(house.wait_for_log('"statusCode":200'))
    assert [one["outcome"] for one in line["tried"]] == ["rate_limited", "rate_limited", "ok"]


def test_s054_an_answer_without_end_is_cut_and_names_the_limit(house: Service) -> None:
    house.upstream.plays(*(Text("word "), Wait(0.3)) * 20)
    response = ask(house, "quick/m", stream=True)
    assert "word " in response.text
    assert "1.5 s (timeouts.totalMs=1500)" in response.text
    assert "[DONE]" not in response.text


def busy_for(seconds: int) -> Status:
    return Status(429, {"error": {"message": "Rate limit reached"}}, (("retry-after", f"{seconds}"),))


@pytest.mark.parametrize("other", [busy_for(60), Status(500, {"error": {"message": "oops"}})])
def test_s045_a_backend_that_is_free_in_a_second_is_waited_for_when_the_others_are_not(
    house: Service, second: Upstream, other: Status
) -> None:
    house.upstream.plays(busy_for(1))
    second.always_plays(other)
    response = ask(house, "shared")
    assert response.status_code == 200, response.text
    assert len(house.upstream.chats) == 2


def test_s045_of_several_backends_that_rest_the_caller_is_told_the_shortest_wait(
    house: Service, second: Upstream
) -> None:
    house.upstream.plays(busy_for(60))
    second.plays(busy_for(30))
    for _ in range(2):
        response = ask(house, "shared")
        assert response.status_code == 429
        assert 20 <= int(response.headers["retry-after"]) <= 30
    assert (len(house.upstream.chats), len(second.chats)) == (1, 1)


def test_s045_nobody_waits_longer_than_a_call_may_take(house: Service) -> None:
    house.upstream.plays(busy_for(3))
    response = ask(house, "quick/m")
    assert response.status_code == 429
    assert len(house.upstream.chats) == 1


def test_the_metric_log_shows_both_attempts_when_a_backend_dies_before_its_first_token(
    house: Service, second: Upstream
) -> None:
    house.upstream.always_plays(Raw(b": thinking\n\n"), Reset())
    second.plays(Text("from the second"), Finish())
    assert ask(house, "shared", stream=True).status_code == 200
    line = json.loads(house.wait_for_log('"statusCode":200'))
    tried = [{name: one[name] for name in ("provider", "outcome")} for one in line["tried"]]
    assert tried == [{"provider": "a", "outcome": "upstream_unavailable"}, {"provider": "b", "outcome": "ok"}]
    assert line["attempts"] == 2


def test_the_detailed_health_shows_operators_the_state_of_every_key(house: Service) -> None:
    house.upstream.plays(INVALID)
    assert ask(house, "keys").status_code == 200
    url = house.url + "/health/ready?detail"
    answer = httpx.get(url, headers={"Authorization": f"Bearer {MANAGEMENT_SECRET}"}, timeout=30).json()
    entries = {entry["key"]: entry for entry in answer["providers"]}
    assert entries["two-keys"]["status"] == "degraded"
    refused, usable = entries["two-keys"]["keys"]
    assert (refused["hint"], refused["state"]) == ("aaaa", "bad")
    assert "Incorrect API key provided" in refused["reason"]
    assert 200 < refused["forSeconds"] <= 300
    assert usable == {"hint": "bbbb", "state": "ready"}
    assert entries["nobody"]["status"] == "unused"
    assert "sk-first-key" not in json.dumps(answer)


def test_the_detailed_health_is_for_operators_only(house: Service) -> None:
    url = house.url + "/health/ready?detail"
    assert httpx.get(url, timeout=30).status_code == 401
    assert httpx.get(url, headers={"Authorization": f"Bearer {MANAGEMENT_SECRET}x"}, timeout=30).status_code == 401
    assert httpx.get(url, headers=house.api_key_headers, timeout=30).status_code == 403
    assert "providers" not in httpx.get(house.url + "/health/ready", timeout=30).json()
