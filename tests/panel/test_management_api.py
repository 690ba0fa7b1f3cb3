"""The management API: environments and access keys for scripts (`spec/editor-api.md` 6.16, T-30, T-31)."""

import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from tests.conftest import need_server
from tests.databases import fresh_database_env
from tests.fakes.openai_upstream import Finish, Text, running_upstream
from tests.panel.conftest import BEARER, Panel
from tests.service import MANAGEMENT_SECRET, Service, redis_env, service_env, start_service

ENVIRONMENTS = "/panel/api/environments"
FULL_ACCESS = ["ai:conversations:*", "ai:models:agent", "ai:actions:system:*", "ai:reviews:system:*"]
GIVEN = "a secret that the tests made themselves"


def token(environment: str, secret: str, **claims: Any) -> str:
    now = int(time.time())
    standard = {"aud": environment, "sub": "joe", "iat": now, "exp": now + 600}
    return jwt.encode({**standard, "auth": {"ai": {"permissions": FULL_ACCESS}}, **claims}, secret, algorithm="HS256")


def headers(environment: str, secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(environment, secret)}"}


def models(url: str, environment: str, secret: str) -> httpx.Response:
    return httpx.get(f"{url}/v1/models/1", headers=headers(environment, secret), timeout=20)


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return False


def made(api: httpx.Client, name: str = "Acme") -> tuple[str, str, str]:
    """The ids of an environment and of its key, and the secret."""
    environment = api.post(ENVIRONMENTS, json={"name": name}).json()["id"]
    key = api.post(f"{ENVIRONMENTS}/{environment}/access-keys", json={"name": "first"}).json()
    return environment, key["id"], key["apiSecret"]


def listed(api: httpx.Client, environment: str) -> dict[str, Any]:
    return next(one for one in api.get(ENVIRONMENTS).json()["items"] if one["id"] == environment)


# Environments and keys


def test_an_environment_works_the_moment_it_is_made(api: httpx.Client, panel_service: Service) -> None:
    created = api.post(ENVIRONMENTS, json={"name": "Acme"})
    environment = created.json()
    assert (created.status_code, environment["name"]) == (201, "Acme")
    assert re.fullmatch(r"[0-9A-Za-z]{20}", environment["id"])
    key = api.post(f"{ENVIRONMENTS}/{environment['id']}/access-keys")
    assert key.status_code == 201
    assert set(key.json()) == {"id", "name", "apiSecret"}
    assert re.fullmatch(r"[0-9A-Za-z]{60}", key.json()["apiSecret"])
    assert models(panel_service.url, environment["id"], key.json()["apiSecret"]).status_code == 200


def test_the_list_has_what_it_takes_to_tell_keys_apart(api: httpx.Client) -> None:
    environment, key_id, secret = made(api)
    found = listed(api, environment)
    assert set(found) == {"id", "name", "createdAt", "accessKeys"}
    (key,) = found["accessKeys"]
    assert set(key) == {"id", "name", "createdAt", "lastUsedAt", "hint"}
    assert (key["id"], key["name"], key["hint"], key["lastUsedAt"]) == (key_id, "first", secret[-4:], None)


def test_a_key_says_when_it_was_last_used(api: httpx.Client, panel_service: Service) -> None:
    environment, _, secret = made(api)
    assert models(panel_service.url, environment, secret).status_code == 200
    assert within(15, lambda: listed(api, environment)["accessKeys"][0]["lastUsedAt"] is not None)


def test_an_environment_is_renamed(api: httpx.Client) -> None:
    environment, _, _ = made(api)
    renamed = api.patch(f"{ENVIRONMENTS}/{environment}", json={"name": "New name"})
    assert (renamed.status_code, renamed.json()["name"]) == (200, "New name")
    assert listed(api, environment)["name"] == "New name"


def test_a_revoked_key_is_refused_and_leaves_the_list(api: httpx.Client, panel_service: Service) -> None:
    environment, key_id, secret = made(api)
    assert models(panel_service.url, environment, secret).status_code == 200
    assert api.delete(f"{ENVIRONMENTS}/{environment}/access-keys/{key_id}").status_code == 204
    assert models(panel_service.url, environment, secret).status_code == 401
    assert listed(api, environment)["accessKeys"] == []


def test_deleting_needs_the_id_once_more(api: httpx.Client, panel_service: Service) -> None:
    environment, _, secret = made(api)
    for query in ("", "?confirm=", "?confirm=yes"):
        refused = api.delete(f"{ENVIRONMENTS}/{environment}{query}")
        assert (refused.status_code, refused.json()["code"]) == (400, "not-confirmed")
    assert models(panel_service.url, environment, secret).status_code == 200
    assert api.delete(f"{ENVIRONMENTS}/{environment}?confirm={environment}").status_code == 204
    refused = models(panel_service.url, environment, secret)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid-jwt-payload")
    assert environment not in {one["id"] for one in api.get(ENVIRONMENTS).json()["items"]}
    assert api.delete(f"{ENVIRONMENTS}/{environment}?confirm={environment}").status_code == 404


def test_an_id_with_a_slash_is_managed_like_any_other(api: httpx.Client) -> None:
    environment = f"team/{time.monotonic_ns()}?x"
    assert signed(str(api.base_url), {"id": environment}).status_code == 201
    path = f"{ENVIRONMENTS}/{environment.replace('/', '%2F').replace('?', '%3F')}"
    key = api.post(f"{path}/access-keys").json()
    assert api.delete(f"{path}/access-keys/{key['id']}").status_code == 204
    assert api.patch(path, json={"name": "Slashed"}).json()["id"] == environment
    assert api.delete(path, params={"confirm": environment}).status_code == 204


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", f"{ENVIRONMENTS}/nobody"),
        ("DELETE", f"{ENVIRONMENTS}/nobody?confirm=nobody"),
        ("POST", f"{ENVIRONMENTS}/nobody/access-keys"),
        ("DELETE", f"{ENVIRONMENTS}/nobody/access-keys/key"),
    ],
)
def test_what_does_not_exist_is_not_found(api: httpx.Client, method: str, path: str) -> None:
    assert api.request(method, path, json={"name": "x"} if method != "DELETE" else None).status_code == 404


def test_the_key_of_another_environment_is_not_revoked(api: httpx.Client, panel_service: Service) -> None:
    environment, key_id, secret = made(api)
    other, _, _ = made(api, "Other")
    assert api.delete(f"{ENVIRONMENTS}/{other}/access-keys/{key_id}").status_code == 404
    assert models(panel_service.url, environment, secret).status_code == 200


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "x" * 101}, {"name": "a\nb"}, {"name": 1}, {"nam": "x"}])
def test_names_are_checked(api: httpx.Client, body: dict[str, Any]) -> None:
    refused = api.post(ENVIRONMENTS, json=body)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid-request-data")


# Secrets are shown once (T-31)


def test_t_31_a_secret_is_in_no_page_list_or_log_after_its_creation(panel: Panel, api: httpx.Client) -> None:
    environment = panel.environment("Secretive")
    shown = panel.post(f"/panel/environments/{environment}/access-keys", name="by page")
    by_page = shown.text.partition('id="secret-value"')[2].partition('value="')[2].partition('"')[0]
    by_script = api.post(f"{ENVIRONMENTS}/{environment}/access-keys").json()["apiSecret"]
    assert (len(by_page), len(by_script)) == (60, 60)
    places = [
        *(panel.get(f"/panel/{page}").text for page in ("", "environments", "models", "configuration", "playground")),
        panel.get(f"/panel/environments/{environment}").text,
        panel.post("/panel/token", token=token(environment, by_page)).text,
        panel.post(f"/panel/environments/{environment}/access-keys", name="another").text,
        api.get(ENVIRONMENTS).text,
    ]
    panel.service.wait_for_log("another")
    for secret in (by_page, by_script, MANAGEMENT_SECRET):
        assert not [place for place in places if secret in place]
        assert not [line for line in panel.service.lines if secret in line]


def test_every_change_leaves_a_line_in_the_audit_log(panel: Panel, api: httpx.Client) -> None:
    environment = panel.environment("Audited")
    key = api.post(f"{ENVIRONMENTS}/{environment}/access-keys", headers={"X-Forwarded-For": "192.0.2.9"}).json()
    panel.post(f"/panel/environments/{environment}/access-keys/{key['id']}/revoke")
    panel.post(f"/panel/environments/{environment}/delete", confirm=environment)
    panel.service.wait_for_log("environment deleted")
    lines = [line["audit"] for line in panel.service.logs if "audit" in line]
    mine = [line for line in lines if line.get("tenantId") == environment]
    assert [(line["what"], line["where"], line["who"].split()[0]) for line in mine] == [
        ("environment created", "192.0.2.1", "session"),
        ("access key created", "192.0.2.9", "management"),
        ("access key revoked", "192.0.2.1", "session"),
        ("environment deleted", "192.0.2.1", "session"),
    ]
    assert all(line["when"].endswith("Z") for line in mine)


# On every replica


def test_a_revoked_key_and_a_deleted_environment_stop_on_every_replica(tmp_path: Path) -> None:
    need_server("redis")
    need_server("postgresql")
    with ExitStack() as stack:
        shared = stack.enter_context(fresh_database_env("postgres")) | stack.enter_context(redis_env())
        upstream = stack.enter_context(running_upstream())
        env = service_env(upstream, tmp_path, **shared)
        here, there = (stack.enter_context(start_service(env, upstream)) for _ in range(2))
        with httpx.Client(base_url=here.url, headers=BEARER, timeout=20) as api:
            environment, key_id, secret = made(api)
            second = api.post(f"{ENVIRONMENTS}/{environment}/access-keys").json()["apiSecret"]
            for one in (secret, second):
                assert models(there.url, environment, one).status_code == 200
            api.delete(f"{ENVIRONMENTS}/{environment}/access-keys/{key_id}")
            assert within(5, lambda: models(there.url, environment, secret).status_code == 401)
            assert models(there.url, environment, second).status_code == 200
            api.delete(f"{ENVIRONMENTS}/{environment}?confirm={environment}")
            assert within(5, lambda: models(there.url, environment, second).status_code == 401)


def test_declared_environments_are_there_after_every_start(tmp_path: Path) -> None:
    declared = [{"id": "acme", "name": "Acme", "accessKeys": [{"secret": GIVEN}]}]
    with running_upstream() as upstream:
        env = service_env(upstream, tmp_path, BOOTSTRAP_ENVIRONMENTS=json.dumps(declared))
        for _ in range(2):
            with start_service(env, upstream) as service:
                assert models(service.url, "acme", GIVEN).status_code == 200
                (found,) = httpx.get(service.url + ENVIRONMENTS, headers=BEARER).json()["items"]
                assert (found["name"], len(found["accessKeys"])) == ("Acme", 1)
                assert not [line for line in service.lines if GIVEN in line]


# POST /environments (T-30)


def now_ms() -> int:
    return int(time.time() * 1000)


def signed(
    url: str, body: Any, *, secret: str = MANAGEMENT_SECRET, stamp: str = "", query: str = "", **changes: Any
) -> httpx.Response:
    """As the sibling product's tools do it; `changes` are made after signing."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    stamp = stamp or str(now_ms())
    path = "/environments" + query
    signature = hmac.new(secret.encode(), b"POST" + path.encode() + stamp.encode() + raw, hashlib.sha256).hexdigest()
    sent = {"Content-Type": "application/json", "X-CS-Timestamp": stamp, "X-CS-Signature": signature}
    return httpx.post(
        url.rstrip("/") + changes.get("path", path),
        content=changes.get("sent", raw),
        headers=sent | changes.get("headers", {}),
        timeout=20,
    )


def sibling(environment: str) -> dict[str, Any]:
    return {
        "id": environment,
        "name": "Acme",
        "organizationId": "organization-0001",
        "accessKeys": [{"name": "theirs", "value": GIVEN}],
        "services": [{"id": "0123456789abcdef01234567", "type": "easy-image"}],
    }


def test_t_30_a_signed_request_makes_an_environment_that_works_at_once(panel_service: Service) -> None:
    environment = f"signed{time.monotonic_ns()}"[:20]
    created = signed(panel_service.url, sibling(environment), query="?x=%2F1")
    assert (created.status_code, created.json()["id"]) == (201, environment)
    assert GIVEN not in created.text
    assert models(panel_service.url, environment, GIVEN).status_code == 200
    for bad in (token(environment, "another secret of at least 32 characters"), token(environment, GIVEN, exp=1)):
        refused = httpx.get(panel_service.url + "/v1/models/1", headers={"Authorization": f"Bearer {bad}"})
        assert refused.status_code == 401
    panel_service.upstream.reset()
    panel_service.upstream.plays(Text("Hello"), Finish())
    auth = headers(environment, GIVEN)
    conversation = httpx.post(panel_service.url + "/v1/conversations", headers=auth, json={}).json()["id"]
    said = httpx.post(
        f"{panel_service.url}/v1/conversations/{conversation}/messages",
        headers=auth,
        json={"prompt": "Say hi in five words.", "model": "agent-1"},
        timeout=20,
    )
    names = re.findall(r"^event: (.*)$", said.text, re.MULTILINE)
    assert (names[0], names[-1]) == ("message-metadata", "done")
    assert signed(panel_service.url, sibling(environment)).status_code == 409


@pytest.mark.parametrize(
    "changes",
    [
        {"secret": "not the management secret"},
        {"headers": {"X-CS-Signature": "0" * 64}},
        {"headers": {"X-CS-Signature": ""}},
        {"headers": {"X-CS-Timestamp": "1"}},
        {"sent": b'{"id": "another"}'},
        {"path": "/environments?admin=1"},
        {"late_ms": 301_000},
        {"late_ms": -330_000},
        {"stamp": "1763650000"},
        {"stamp": "now"},
    ],
    ids=repr,
)
def test_t_30_what_is_not_signed_so_or_not_now_is_refused(panel_service: Service, changes: dict[str, Any]) -> None:
    address = {"X-Forwarded-For": f"198.51.100.{time.monotonic_ns() % 250}"}
    more = {**changes, "headers": {**changes.get("headers", {}), **address}}
    if "late_ms" in more:
        more["stamp"] = str(now_ms() - more["late_ms"])
    refused = signed(panel_service.url, {"id": "refused"}, **more)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid-signature")
    assert "refused" not in httpx.get(panel_service.url + ENVIRONMENTS, headers=BEARER).text


def test_t_30_a_request_counts_once(panel_service: Service, api: httpx.Client) -> None:
    environment, stamp = f"once{time.monotonic_ns()}", str(now_ms())
    assert signed(panel_service.url, {"id": environment}, stamp=stamp).status_code == 201
    api.delete(f"{ENVIRONMENTS}/{environment}?confirm={environment}")
    again = signed(panel_service.url, {"id": environment}, stamp=stamp)
    assert (again.status_code, again.json()["code"]) == (409, "request-replayed")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        {"name": "x"},
        {"id": ""},
        {"id": "x" * 65},
        {"id": "a", "accessKeys": [{"value": "short"}]},
        {"id": "a", "accessKeys": [{"value": "x" * 121}]},
        {"id": "a", "accessKeys": [{}]},
        {"id": "a", "accessKeys": [{"value": "0123456789"}] * 101},
    ],
    ids=lambda body: repr(body)[:40],
)
def test_t_30_a_signed_body_is_checked(panel_service: Service, body: Any) -> None:
    refused = signed(panel_service.url, body)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid-request-data")


def test_t_30_wrong_signatures_are_attempts_too(panel_service: Service) -> None:
    address = {"X-Forwarded-For": "203.0.113.7"}
    codes = [signed(panel_service.url, {"id": "x"}, secret="wrong", headers=address).status_code for _ in range(25)]
    assert set(codes) == {401, 429}
