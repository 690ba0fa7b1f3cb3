"""Metrics through the real process: what is counted, what is never a label, and who may see them."""

import json
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from penstock.telemetry.meters import METERS
from tests.conftest import need_server
from tests.databases import fresh_database_env
from tests.fakes.editor_client import EditorClient, Refused
from tests.fakes.mcp_server import running_mcp
from tests.fakes.openai_upstream import (
    CallsTool,
    CutShort,
    Finish,
    Hold,
    Reset,
    Stall,
    Status,
    Text,
    Upstream,
    running_upstream,
)
from tests.fakes.web_server import as_json, serving
from tests.fakes.wire_server import Wire
from tests.service import MANAGEMENT_SECRET, Service, free_port, redis_env, service_env, start_service, with_tenant

CHAT = "/oai/v1/chat/completions"
MESSAGES = "/v1/conversations/{conversation_id}/messages"
BODY: dict[str, Any] = {"model": "mock/one", "messages": [{"role": "user", "content": "x"}]}
STREAM = BODY | {"stream": True}
TOKEN = "metrics-token-of-the-tests"
EVERYTHING = ["ai:conversations:*", "ai:models:*", "ai:actions:*", "ai:reviews:*"]
CONTENT = '<p data-id="aaaa">One.</p><p data-id="bbbb">Two.</p>'

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


class Metered:
    """A service that counts. `since` says what was counted within a block."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def samples(self) -> Samples:
        response = httpx.get(self.service.url + "/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        assert response.status_code == 200, response.text
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(response.text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        return self.samples().get((name, frozenset(labels.items())), 0.0)

    @contextmanager
    def counts(self, name: str, by: float = 1.0, **labels: str) -> Iterator[None]:
        """What is done in the block counts this."""
        before = self.value(name, **labels)
        yield
        eventually(lambda: self.value(name, **labels) - before == by)

    @contextmanager
    def editor(self, user: str = "user-1") -> Iterator[EditorClient]:
        with EditorClient(self.service.url, self.service.token_headers(user, permissions=EVERYTHING)) as editor:
            yield editor


def eventually(true: Callable[[], bool], within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def running() -> Iterator[Metered]:
    with (
        tempfile.TemporaryDirectory() as directory,
        running_upstream() as upstream,
        start_service(metered_env(upstream, Path(directory)), upstream) as service,
    ):
        yield Metered(with_tenant(service))


def metered_env(upstream: Upstream, folder: Path, **more: str) -> dict[str, str]:
    return service_env(upstream, folder, **{"METRICS_ENABLED": "true", "METRICS_TOKEN": TOKEN} | more)


@pytest.fixture
def metered(running: Metered) -> Metered:
    running.service.upstream.reset()
    return running


@pytest.fixture
def upstream(metered: Metered) -> Upstream:
    return metered.service.upstream


def call(metered: Metered, body: Any = BODY) -> httpx.Response:
    service = metered.service
    return httpx.post(service.url + CHAT, json=body, headers=service.api_key_headers, timeout=30)


def metric_line(metered: Metered, request_id: str) -> dict[str, Any]:
    metered.service.wait_for_log(f'"traceId":"{request_id}"')
    return next(line for line in metered.service.logs if line.get("traceId") == request_id)


# --- who may see them -------------------------------------------------------------------------------------------------


def test_metrics_are_off_by_default(service: Service) -> None:
    for headers in ({}, {"Authorization": f"Bearer {MANAGEMENT_SECRET}"}):
        assert httpx.get(service.url + "/metrics", headers=headers).status_code == 404


@pytest.mark.parametrize(
    "bearer", [None, "", "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, f"bearer  {TOKEN}"]
)
def test_metrics_are_refused_without_their_token(metered: Metered, bearer: str | None) -> None:
    headers = {} if bearer is None else {"Authorization": bearer}
    refused = httpx.get(metered.service.url + "/metrics", headers=headers)
    assert refused.status_code == 401
    assert "penstock_" not in refused.text


def test_operators_see_metrics_and_nobody_else_does(metered: Metered) -> None:
    service = metered.service
    operator = service.cli(
        "api-key", "create", "--tenant", service.tenant_id, "--name", "prometheus", "--permission", "metrics:read"
    )["key"]
    statuses = {
        bearer: httpx.get(service.url + "/metrics", headers={"Authorization": f"Bearer {bearer}"}).status_code
        for bearer in (MANAGEMENT_SECRET, operator, service.api_key, service.token())
    }
    assert list(statuses.values()) == [200, 200, 403, 403]


@pytest.mark.parametrize("path, permission", [("/metrics", "metrics:read"), ("/health/ready?detail", "health:detail")])
def test_a_tenant_cannot_sign_itself_in_as_an_operator(metered: Metered, path: str, permission: str) -> None:
    headers = metered.service.token_headers(permissions=[permission])
    refused = httpx.get(metered.service.url + path, headers=headers)
    assert refused.status_code == 403
    assert "for operators" in refused.json()["message"]


def test_metrics_come_in_the_text_format_and_as_openmetrics(metered: Metered) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    plain = httpx.get(metered.service.url + "/metrics", headers=headers)
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    wanted = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.3"
    newer = httpx.get(metered.service.url + "/metrics", headers=headers | {"Accept": wanted})
    assert newer.headers["content-type"].startswith("application/openmetrics-text")
    assert newer.text.endswith("# EOF\n")
    for answer in (plain, newer):
        assert all(meter.name in answer.text for meter in METERS)


# --- requests and streams ---------------------------------------------------------------------------------------------


def test_a_request_is_counted_by_its_route(metered: Metered) -> None:
    service = metered.service
    with (
        metered.counts("penstock_requests_total", route=CHAT, method="POST", status="200", outcome="ok"),
        metered.counts("penstock_request_duration_seconds_count", route=CHAT),
        metered.counts("penstock_model_calls_total", model="mock/one", provider="mock", outcome="ok"),
        metered.counts("penstock_time_to_first_token_seconds_count", model="mock/one", provider="mock"),
        metered.counts("penstock_input_tokens_total", 7, model="mock/one", provider="mock"),
        metered.counts("penstock_output_tokens_total", 5, model="mock/one", provider="mock"),
    ):
        call(metered)
    route = "/v1/conversations/{conversation_id}"
    with metered.counts("penstock_requests_total", route=route, method="GET", status="404", outcome="error"):
        httpx.get(service.url + "/v1/conversations/none", headers=service.token_headers())
    for path in ("/v1/nothing", "/admin.php", "/v1/conversations/a/b/c"):
        with metered.counts("penstock_requests_total", route="none", method="GET", status="404", outcome="error"):
            httpx.get(service.url + path)


def fail_chat(metered: Metered) -> httpx.Response:
    metered.service.upstream.plays(Text("so far"), CutShort())
    return call(metered, STREAM)


def fail_message(metered: Metered) -> httpx.Response:
    headers = metered.service.token_headers()
    made = httpx.post(metered.service.url + "/v1/conversations", headers=headers, json={}).json()["id"]
    metered.service.upstream.plays(Text("so far"), Reset())
    path = f"/v1/conversations/{made}/messages"
    return httpx.post(metered.service.url + path, headers=headers, json={"prompt": "Hi"}, timeout=30)


@pytest.mark.parametrize(
    "fail, surface, route", [(fail_chat, "openai", CHAT), (fail_message, "editor", MESSAGES)], ids=["openai", "editor"]
)
def test_s085_an_error_inside_a_200_stream_is_counted(
    metered: Metered, fail: Callable[[Metered], httpx.Response], surface: str, route: str
) -> None:
    with (
        metered.counts("penstock_stream_errors_total", surface=surface, code="upstream_unavailable"),
        metered.counts("penstock_requests_total", route=route, method="POST", status="200", outcome="error"),
        metered.counts("penstock_model_calls_total", model="mock/one", provider="mock", outcome="error"),
    ):
        response = fail(metered)
    assert response.status_code == 200
    assert metric_line(metered, response.headers["x-request-id"])["outcome"] == "error"


def test_s085_an_action_that_fails_within_its_stream_is_counted_and_an_error_in_the_log(
    metered: Metered, upstream: Upstream
) -> None:
    upstream.plays(Text('<p data-id="aaaa">First one.</p><p data-id="bbbb">And '), Reset())
    with (
        metered.counts("penstock_stream_errors_total", surface="editor", code="upstream_unavailable"),
        metered.editor() as editor,
        editor.act("improve-writing", CONTENT) as reply,
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            reply.read()
        assert reply.names[-1] == "error"
    line = metric_line(metered, reply.headers["x-request-id"])
    assert (line["statusCode"], line["outcome"]) == (200, "error")


def test_a_failure_before_the_stream_is_a_status_and_no_stream_error(metered: Metered, upstream: Upstream) -> None:
    failed = {"route": "/v1/actions/system/improve-writing"}
    streams = sum(value for (name, _), value in metered.samples().items() if name == "penstock_stream_errors_total")
    upstream.plays(Status(400, {"error": {"message": "It will not do."}}))
    with metered.editor() as editor, pytest.raises(Refused) as refused:
        editor.acted("improve-writing", CONTENT)
    line = metric_line(metered, refused.value.headers["x-request-id"])
    assert (line["statusCode"], line["outcome"]) == (502, "error")
    found = metered.samples()
    assert [
        dict(labels)["status"]
        for (name, labels), _ in found.items()
        if name == "penstock_requests_total" and "actions" in dict(labels)["route"] and dict(labels)["status"] != "200"
    ] == ["502"], failed
    assert sum(value for (name, _), value in found.items() if name == "penstock_stream_errors_total") == streams


@pytest.mark.parametrize("surface", ["openai", "editor"])
def test_a_client_that_hangs_up_is_counted_as_such_and_not_as_an_error(metered: Metered, surface: str) -> None:
    service = metered.service
    headers, route, path, body = service.api_key_headers, CHAT, CHAT, STREAM
    if surface == "editor":
        headers, route, body = service.token_headers(), MESSAGES, {"prompt": "Hi"}
        made = httpx.post(service.url + "/v1/conversations", headers=headers, json={}).json()["id"]
        path = f"/v1/conversations/{made}/messages"
    service.upstream.plays(Text("one"), Stall())
    errors = metered.value("penstock_requests_total", route=route, method="POST", status="200", outcome="error")
    with (
        metered.counts("penstock_requests_total", route=route, method="POST", status="200", outcome="client-abort"),
        metered.counts("penstock_model_calls_total", model="mock/one", provider="mock", outcome="client-abort"),
        httpx.stream("POST", service.url + path, json=body, headers=headers, timeout=30) as response,
    ):
        text = response.iter_text()
        while "one" not in next(text):
            pass
    assert metered.value("penstock_requests_total", route=route, method="POST", status="200", outcome="error") == errors


def test_w28_requests_and_streams_in_flight_are_shown_while_they_run(metered: Metered, upstream: Upstream) -> None:
    assert metered.value("penstock_streams_in_flight") == 0
    service = metered.service
    upstream.plays(Text("one"), Hold(), Finish())
    headers = service.api_key_headers
    with httpx.stream("POST", service.url + CHAT, json=STREAM, headers=headers, timeout=30) as response:
        pieces = response.iter_bytes()
        next(pieces)
        assert metered.value("penstock_streams_in_flight") == 1
        assert metered.value("penstock_requests_in_flight") == 2
        upstream.go_on()
        for _ in pieces:
            pass
    eventually(lambda: metered.value("penstock_streams_in_flight") == 0)
    assert metered.value("penstock_requests_in_flight") == 1
    eventually(lambda: ("penstock_event_loop_lag_seconds", frozenset()) in metered.samples())


# --- what is never a label --------------------------------------------------------------------------------------------


def test_nothing_that_callers_choose_becomes_a_label(metered: Metered, upstream: Upstream) -> None:
    service, canary = metered.service, "canary-7d1e"
    token = service.token_headers(f"{canary}-user")
    httpx.post(service.url + "/v1/conversations", headers=token, json={"id": f"{canary}-chat"})
    upstream.plays(Text("Hi"), Finish())
    httpx.post(
        service.url + f"/v1/conversations/{canary}-chat/messages", headers=token, json={"prompt": f"{canary} prompt"}
    )
    httpx.get(service.url + f"/v1/conversations/{canary}-chat?x={canary}", headers=token)
    httpx.get(service.url + f"/{canary}/{canary}")
    httpx.get(service.url + f"/panel/{canary}")
    call(metered, BODY | {"model": canary})
    httpx.post(service.url + f"/v1/actions/{canary}", headers=token, json={})
    httpx.request("PROPFIND", service.url + f"/{canary}")
    upstream.plays(Status(400, {"error": {"message": canary, "code": canary, "type": canary}}))
    call(metered, STREAM)
    upstream.plays(Text("x"), CutShort())
    call(metered, STREAM | {"user": canary})
    text = httpx.get(service.url + "/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    assert f'route="{MESSAGES}"' in text
    for secret in (canary, service.tenant_id, service.api_key, TOKEN, "PROPFIND"):
        assert secret not in text
    assert set(re.findall(r'method="(\w+)"', text)) <= {
        "GET",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        "OPTIONS",
        "HEAD",
        "other",
    }


# --- the editor -------------------------------------------------------------------------------------------------------


def test_attachments_and_edits_are_counted(metered: Metered, upstream: Upstream) -> None:
    with metered.editor() as editor:
        made = editor.create()
        with (
            metered.counts("penstock_attachments_stored_total", kind="document"),
            metered.counts("penstock_attachments_stored_total", kind="file"),
        ):
            document_id = editor.add_document(made, CONTENT)
            editor.add_file(made, "notes.txt", b"Some notes", "text/plain")
        useless = Text('<edit><p data-id="none">No such element</p><remove data-id="zzzz"/></edit>')
        upstream.plays(useless, Finish())
        upstream.plays(useless, Finish())
        about = {"type": "document", "id": document_id, "selection": []}
        before = metered.samples()
        editor.said(made, "Change it", content=[about])
    after = metered.samples()
    grown = {name for (name, _), value in after.items() if value > before.get((name, _), 0.0)}
    assert grown & {"penstock_edit_repairs_total", "penstock_edit_rejections_total"}


def test_w23_searches_and_tools_that_fail_are_counted() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = stack.enter_context(running_upstream())
        tools = stack.enter_context(running_mcp())
        model = {"id": "one", "provider": "mock", "features": ["conversations"], "recommended": True}
        more = {
            "MODELS": json.dumps([model | {"capabilities": {"webSearch": True}}]),
            "WEBSEARCH_ENABLED": "true",
            "WEBSEARCH_ENDPOINT": f"http://127.0.0.1:{free_port()}/search",
            "MCP_SERVERS": json.dumps({"crm": {"url": tools.url}}),
        }
        service = stack.enter_context(start_service(metered_env(upstream, folder, **more), upstream))
        metered = Metered(with_tenant(service))
        editor = stack.enter_context(metered.editor())
        made = editor.create()
        upstream.plays(CallsTool("web_search", '{"query":"x"}'), Finish("tool_calls"))
        upstream.plays(CallsTool("crm-echo", '{"text":"x"}'), Finish("tool_calls"))
        upstream.plays(Text("I could not search."), Finish())
        with (
            metered.counts("penstock_web_search_failures_total"),
            metered.counts("penstock_mcp_calls_total", server="crm", outcome="ok"),
            metered.counts("penstock_model_calls_total", 4, model="mock/one", provider="mock", outcome="ok"),
        ):
            editor.said(made, "Look it up", capabilities={"webSearch": {}})


async def test_what_moderation_refuses_and_cannot_screen_is_counted(tmp_path: Path) -> None:
    async def screening(wire: Wire) -> None:
        content = json.loads((await wire.request()).body)["content"]
        await wire.send(as_json({"flagged": True}, b"500 Oops" if content == "Crash" else b"200 OK"))

    async with serving(screening) as server:
        provider = {"type": "custom", "url": f"http://127.0.0.1:{server.port}/"}
        moderation = json.dumps({"enabled": True, "provider": provider})
        with (
            running_upstream() as upstream,
            start_service(metered_env(upstream, tmp_path, MODERATION=moderation), upstream) as service,
        ):
            metered = Metered(with_tenant(service))
            headers = service.token_headers()
            async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=30) as client:
                made = (await client.post("/v1/conversations", json={})).json()["id"]
                for prompt in ("Bad words", "Worse words", "Crash"):
                    await client.post(f"/v1/conversations/{made}/messages", json={"prompt": prompt})
            assert metered.value("penstock_moderation_refusals_total") == 2
            assert metered.value("penstock_moderation_failures_total") == 1


def test_failures_of_storage_are_counted(tmp_path: Path) -> None:
    location = tmp_path / "files"
    with (
        running_upstream() as upstream,
        start_service(metered_env(upstream, tmp_path, STORAGE_LOCATION=str(location)), upstream) as service,
    ):
        metered = Metered(with_tenant(service))
        with metered.editor() as editor:
            made = editor.create()
            shutil.rmtree(location)
            location.write_text("a file where a directory was")
            with (
                metered.counts("penstock_storage_failures_total", operation="put"),
                pytest.raises((Refused, AssertionError)),
            ):
                editor.add_file(made, "notes.txt", b"Some notes", "text/plain")


# --- several workers --------------------------------------------------------------------------------------------------


@dataclass
class _Workers:
    metered: Metered
    pids: set[int]


@contextmanager
def two_workers(folder: Path) -> Iterator[_Workers]:
    with ExitStack() as stack:
        upstream = stack.enter_context(running_upstream())
        shared = stack.enter_context(fresh_database_env("postgres")) | stack.enter_context(redis_env())
        env = metered_env(upstream, folder, WORKERS="2", TMPDIR=str(folder), **shared)
        service = stack.enter_context(start_service(env, upstream))
        stack.callback(service.stop)  # workers outlive a supervisor that is killed
        eventually(lambda: _listening_in(service) == 2, 30)
        children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text()
        yield _Workers(Metered(with_tenant(service)), {int(pid) for pid in children.split()})


def test_any_of_several_workers_answers_for_all_of_them_and_forgets_what_the_dead_were_doing(tmp_path: Path) -> None:
    need_server("postgresql")
    need_server("redis")
    with two_workers(tmp_path) as workers:
        metered, service = workers.metered, workers.metered.service
        calls = {"route": CHAT, "method": "POST", "status": "200", "outcome": "ok"}
        for _ in range(20):
            assert call(metered).status_code == 200
        assert {metered.value("penstock_requests_total", **calls) for _ in range(20)} == {20}
        service.upstream.plays(Text("one"), Stall())
        headers = service.api_key_headers
        with httpx.stream("POST", service.url + CHAT, json=STREAM, headers=headers, timeout=30) as response:
            assert response.status_code == 200
            text = response.iter_text()
            assert "one" in next(text)
            assert metered.value("penstock_streams_in_flight") == 1
            for pid in workers.pids:
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: _listening_in(service) == 4, 30)
        assert metered.value("penstock_streams_in_flight") == 0
        assert metered.value("penstock_requests_total", **calls) == 20
        assert service.stop() == 0
    assert not list(tmp_path.glob("penstock-metrics-*"))


def _listening_in(service: Service) -> int:
    return sum("Server is listening" in line for line in service.lines)
