"""What editors are told while something that a replica needs is away, and that it goes on afterwards (S012)."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from tests.acceptance.conftest import EVERYTHING
from tests.acceptance.deployments import Deployment
from tests.cli.test_serve import Switch, proxied
from tests.editor.conftest import Tenant, eventually
from tests.fakes.editor_client import EditorClient
from tests.service import Service


@contextmanager
def behind_switches(service: Deployment, *names: str) -> Iterator[tuple[Service, list[Switch]]]:
    """A replica that reaches what these variables name through switches."""
    with ExitStack() as stack:
        changes, switches = {}, []
        for name in names:
            port = re.search(r"(\d+)(?=/|$)", service.env.get(name, "6379").removeprefix("http://127.0.0.1:"))
            assert port
            switch = stack.enter_context(proxied(int(port.group())))
            changes[name] = service.env.get(name, "6379").replace(port.group(), str(switch.port))
            switches.append(switch)
        yield stack.enter_context(service.beside(**changes)), switches


def failed(service: Service) -> list[str]:
    answer = httpx.get(service.url + "/health/ready", timeout=30)
    return [one["name"] for one in answer.json().get("failed", [])]


def check_unavailable(answer: httpx.Response) -> None:
    """A sentence, a cause and when to come back, in the shape that editors can read."""
    assert answer.status_code == 503, answer.text
    assert answer.headers.get_list("content-type") == ["application/json"]
    body = answer.json()
    assert (body["statusCode"], body["traceId"]) == (503, answer.headers["x-request-id"])
    assert body["message"]
    assert body["explanation"] or body["action"]


@pytest.fixture
def headers(service: Deployment) -> Any:
    return Tenant(service.first).headers("s012", permissions=EVERYTHING)


@pytest.mark.parametrize("deployment", ["replicated", "postgres"], indirect=True)
def test_s012_while_the_database_is_away_requests_are_refused_with_a_reason_and_then_go_on(
    service: Deployment, headers: dict[str, str]
) -> None:
    with behind_switches(service, "DATABASE_PORT") as (own, (switch,)):
        with httpx.Client(base_url=own.url, headers=headers, timeout=60) as ask:
            made = ask.post("/v1/conversations", json={}).json()["id"]
            switch.close()
            eventually(lambda: failed(own) == ["database"])
            assert ask.get("/health").status_code == 200
            check_unavailable(ask.get("/v1/conversations"))
            check_unavailable(ask.post("/v1/conversations", json={}))
            check_unavailable(ask.post(f"/v1/conversations/{made}/messages", json={"prompt": "Hi"}))
            switch.open()
            eventually(lambda: failed(own) == [])
        with EditorClient(own.url, headers) as editor:
            assert editor.said(made, "Hi").names[-1] == "done"


@pytest.mark.parametrize("deployment", ["replicated", "postgres"], indirect=True)
def test_s012_while_storage_is_away_files_are_refused_with_a_reason_and_chats_go_on(
    service: Deployment, headers: dict[str, str]
) -> None:
    with (
        behind_switches(service, "STORAGE_ENDPOINT") as (own, (switch,)),
        EditorClient(own.url, headers) as editor,
        httpx.Client(headers=headers, timeout=60) as ask,
    ):
        made = editor.create(title="t")
        editor.add_file(made, "a.txt", b"Hello")
        switch.close()
        eventually(lambda: failed(own) == ["storage"])
        path = f"{own.url}/v1/conversations/{made}/files"
        check_unavailable(ask.post(path, files={"file": ("b.txt", b"Hello")}))
        assert editor.said(made, "Hi").names[-1] == "done"
        switch.open()
        eventually(lambda: failed(own) == [])
        editor.add_file(made, "b.txt", b"Hello")


@pytest.mark.parametrize("deployment", ["replicated"], indirect=True)
def test_s012_while_redis_is_away_chats_go_on(service: Deployment, headers: dict[str, str]) -> None:
    with behind_switches(service, "REDIS_PORT") as (own, (switch,)), EditorClient(own.url, headers) as editor:
        made = editor.create(title="t")
        switch.close()
        eventually(lambda: failed(own) == ["coordination"])
        assert editor.said(made, "Hi").names[-1] == "done"
        switch.open()
        eventually(lambda: failed(own) == [])
        assert editor.said(made, "Hi").names[-1] == "done"
