"""Sessions, attempts, addresses and other sites: who gets into the panel."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import need_server
from tests.databases import fresh_database_env
from tests.fakes.openai_upstream import running_upstream
from tests.panel.conftest import BEARER, PROXY, SIGN_IN, Panel
from tests.service import MANAGEMENT_SECRET, Service, redis_env, service_env, start_service

PAGES = ("/panel/", "/panel/environments", "/panel/models", "/panel/configuration", "/panel/token")
POLICY = {"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"}


@contextmanager
def running(directory: Path, **more: str) -> Iterator[Service]:
    with running_upstream() as upstream, start_service(service_env(upstream, directory, **more), upstream) as service:
        yield service


# Sessions


def test_pages_need_a_session_and_send_strangers_to_the_sign_in(stranger: Panel) -> None:
    for page in (*PAGES, "/panel/playground", "/panel/streaming", "/panel/streaming/events"):
        answer = stranger.get(page)
        assert (answer.status_code, answer.headers["location"]) == (303, SIGN_IN), page
    assert stranger.get("/panel").headers["location"] == "/panel/"
    assert stranger.get(SIGN_IN).status_code == 200


def test_the_management_secret_opens_a_session_of_one_hour(stranger: Panel) -> None:
    answer = stranger.sign_in()
    assert (answer.status_code, answer.headers["location"]) == (303, "/panel/")
    cookie = answer.headers["set-cookie"].lower()
    assert {"httponly", "samesite=strict", "max-age=3600", "path=/panel"} <= set(cookie.split("; "))
    assert "secure" not in cookie
    for page in PAGES:
        assert stranger.get(page).status_code == 200
    assert stranger.get(SIGN_IN).headers["location"] == "/panel/"


def test_behind_tls_the_cookie_is_for_tls_only(stranger: Panel) -> None:
    assert "secure" in stranger.sign_in(**{"X-Forwarded-Proto": "https"}).headers["set-cookie"].lower().split("; ")


def test_signing_out_ends_the_session_even_for_whoever_kept_the_cookie(panel: Panel) -> None:
    kept = dict(panel.http.cookies)
    answer = panel.post("/panel/sign-out")
    assert (answer.status_code, answer.headers["location"]) == (303, SIGN_IN)
    assert panel.get("/panel/").status_code == 303
    again = httpx.get(panel.service.url + "/panel/", cookies=kept)
    assert again.status_code == 303


@pytest.mark.parametrize("cookie", ["x", "!!", "A" * 200, ""])
def test_a_cookie_that_is_not_ours_is_no_session(stranger: Panel, cookie: str) -> None:
    answer = stranger.get("/panel/", headers={"Cookie": f"penstock_panel={cookie}"})
    assert answer.status_code == 303


def test_a_changed_cookie_is_no_session(panel: Panel) -> None:
    (name, value), *_ = panel.http.cookies.items()
    changed = value[:-2] + ("AA" if value[-2:] != "AA" else "BB")
    panel.http.cookies.clear()
    assert panel.get("/panel/", headers={"Cookie": f"{name}={changed}"}).status_code == 303


def test_a_session_ends_everywhere_and_with_another_management_secret(tmp_path: Path) -> None:
    need_server("redis")
    need_server("postgresql")
    with ExitStack() as stack:
        shared = stack.enter_context(fresh_database_env("postgres")) | stack.enter_context(redis_env())
        shared |= {"SECRETS_ENCRYPTION_KEY": "0123456789abcdef0123456789abcdef"}
        (one, other) = (stack.enter_context(running(tmp_path, **shared)) for _ in range(2))
        panel = Panel(one)
        panel.sign_in()
        cookies = dict(panel.http.cookies)
        assert httpx.get(other.url + "/panel/", cookies=cookies).status_code == 200
        panel.post("/panel/sign-out")
        assert httpx.get(other.url + "/panel/", cookies=cookies).status_code == 303
        panel.sign_in()
        changed = {**shared, "ENVIRONMENTS_MANAGEMENT_SECRET_KEY": "another management secret of the tests"}
        third = stack.enter_context(running(tmp_path, **changed))
        assert httpx.get(third.url + "/panel/", cookies=dict(panel.http.cookies)).status_code == 303
        panel.http.close()


def test_without_a_management_secret_the_panel_says_what_to_set(tmp_path: Path) -> None:
    with running(tmp_path, ENVIRONMENTS_MANAGEMENT_SECRET_KEY="") as service:
        page = httpx.get(service.url + SIGN_IN)
        assert page.status_code == 200
        assert "ENVIRONMENTS_MANAGEMENT_SECRET_KEY" in page.text
        assert "<form" not in page.text
        refused = httpx.get(service.url + "/panel/api/environments", headers={"Authorization": "Bearer anything"})
        assert (refused.status_code, refused.json()["code"]) == (401, "no-management-secret")
        assert httpx.post(service.url + SIGN_IN, data={"secret": ""}).status_code == 401


# Attempts


def test_ten_wrong_secrets_a_minute_are_looked_at_and_then_even_the_right_one_is_refused(stranger: Panel) -> None:
    stranger.http.headers["X-Forwarded-For"] = "192.0.2.77"
    answers = [stranger.sign_in(f"wrong {number}") for number in range(11)]
    # A new minute may begin in between.
    assert [answer.status_code for answer in answers[:8]] == [401] * 8
    while answers[-1].status_code != 429:
        answers.append(stranger.sign_in("wrong"))
    assert int(answers[-1].headers["retry-after"]) <= 60
    assert "Too many wrong attempts" in answers[-1].text
    refused = stranger.http.post("/panel/api/session", json={"secret": MANAGEMENT_SECRET})
    assert (refused.status_code, refused.json()["code"]) == (429, "too-many-attempts")
    assert stranger.get("/panel/api/environments", headers=BEARER).status_code == 429
    stranger.http.headers["X-Forwarded-For"] = "192.0.2.78"
    assert stranger.sign_in().status_code == 303


def test_a_burst_of_guesses_is_counted_one_by_one(panel_service: Service) -> None:
    def guess(number: int) -> int:
        headers = {"Authorization": f"Bearer wrong {number}", "X-Forwarded-For": "192.0.2.79"}
        return httpx.get(panel_service.url + "/panel/api/environments", headers=headers, timeout=30).status_code

    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(guess, range(40)))
    assert found.count(401) <= 20  # two minutes may be touched
    assert set(found) == {401, 429}


def test_whoever_has_one_ipv6_address_has_no_more_attempts_with_its_neighbours(panel_service: Service) -> None:
    codes = set()
    for number in range(25):
        headers = {"Authorization": "Bearer wrong", "X-Forwarded-For": f"2001:db8::{number:x}"}
        codes.add(httpx.get(panel_service.url + "/panel/api/environments", headers=headers).status_code)
    assert 429 in codes


@pytest.mark.parametrize("path", ["/health/ready?detail", "/metrics"])
def test_what_only_operators_see_elsewhere_is_no_better_place_to_guess(panel_service: Service, path: str) -> None:
    def ask(credential: str, address: str) -> httpx.Response:
        headers = {"X-Forwarded-For": address} | ({"Authorization": f"Bearer {credential}"} if credential else {})
        return httpx.get(panel_service.url + path, headers=headers)

    address = f"203.0.113.{len(path)}"
    assert {ask("", address).status_code for _ in range(20)} == {401}  # nobody guesses with nothing
    codes = [ask(f"wrong {number}", address).status_code for number in range(25)]
    assert set(codes[:8]) == {401}
    assert 429 in codes
    while (refused := ask(MANAGEMENT_SECRET, address)).status_code != 429:
        ask("wrong", address)
    assert refused.json()["code"] == "too-many-attempts"
    assert ask(MANAGEMENT_SECRET, "203.0.113.250").status_code == 200


def test_right_secrets_are_never_counted(api: httpx.Client) -> None:
    assert {api.get("/panel/api/environments").status_code for _ in range(15)} == {200}


def test_attempts_are_counted_over_all_replicas(tmp_path: Path) -> None:
    need_server("redis")
    need_server("postgresql")
    with ExitStack() as stack:
        shared = stack.enter_context(fresh_database_env("postgres")) | stack.enter_context(redis_env())
        services = [stack.enter_context(running(tmp_path, **shared)) for _ in range(2)]
        codes: list[int] = []
        while 429 not in codes and len(codes) < 40:
            url = services[len(codes) % 2].url + "/panel/api/environments"
            codes.append(httpx.get(url, headers={"Authorization": "Bearer wrong"}).status_code)
        assert codes[-1] == 429
        for service in services:
            assert httpx.get(service.url + "/panel/api/environments", headers=BEARER).status_code == 429


# Addresses


def test_the_panel_answers_the_allowed_networks_only(tmp_path: Path) -> None:
    with running(tmp_path, PANEL_ALLOWED_CIDRS="10.1.0.0/16", TRUSTED_PROXIES=PROXY) as service:

        def ask(path: str, forwarded: str | None, method: str = "GET") -> httpx.Response:
            headers = {**BEARER, **({"X-Forwarded-For": forwarded} if forwarded else {})}
            return httpx.request(method, service.url + path, headers=headers)

        assert ask("/panel/api/environments", "10.1.2.3").status_code == 200
        assert ask("/panel/api/environments", "evil, 10.1.2.3").status_code == 200
        for path, method in (
            ("/panel/", "GET"),
            (SIGN_IN, "POST"),
            ("/panel/api/environments", "GET"),
            ("/environments", "POST"),
        ):
            for forwarded in ("10.2.0.1", "10.1.2.3, 198.51.100.1", None, "nonsense"):
                refused = ask(path, forwarded, method)
                assert refused.status_code == 403, (path, forwarded)
                assert "PANEL_ALLOWED_CIDRS" in refused.text
        assert httpx.get(service.url + "/health").status_code == 200


def test_an_allowed_proxy_that_nobody_trusts_does_not_let_its_clients_in(tmp_path: Path) -> None:
    with running(tmp_path, PANEL_ALLOWED_CIDRS="127.0.0.0/8") as service:
        ask = service.url + "/panel/api/environments"
        assert httpx.get(ask, headers=BEARER).status_code == 200
        assert httpx.get(ask, headers={**BEARER, "X-Forwarded-For": "198.51.100.1"}).status_code == 403


# Other sites


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example.com"},
        {"Origin": "https://editor.example.com"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    ],
)
def test_other_sites_get_nothing_with_the_cookie_of_a_session(panel: Panel, headers: dict[str, str]) -> None:
    assert panel.get("/panel/api/environments", headers=headers).status_code == 403
    refused = panel.http.post("/panel/api/environments", json={"name": "Theirs"}, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "cross-site-request")
    page = panel.post("/panel/environments", headers=headers, name="Theirs")
    assert page.status_code == 403
    assert "Theirs" not in panel.get("/panel/environments").text


def test_our_own_pages_and_links_from_elsewhere_are_served(panel: Panel) -> None:
    own = {"Origin": panel.service.url}
    assert panel.get("/panel/api/environments", headers=own).status_code == 200
    same = {"Sec-Fetch-Site": "same-origin", "Origin": "http://what-the-proxy-hides.example.com"}
    assert panel.post("/panel/environments", headers=same, name="Ours").status_code == 303
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert panel.get("/panel/", headers=link).status_code == 200


@pytest.mark.parametrize("token", ["", "x", "0" * 64, "ä"])
def test_forms_without_the_token_of_their_session_change_nothing(panel: Panel, token: str) -> None:
    environment = panel.environment("Kept")
    before = panel.http.get("/panel/api/environments").json()
    for path in (
        "/panel/environments",
        f"/panel/environments/{environment}/name",
        f"/panel/environments/{environment}/delete",
        f"/panel/environments/{environment}/access-keys",
        "/panel/playground/token",
        "/panel/token",
        "/panel/sign-out",
    ):
        fields = {"name": "Changed", "confirm": environment, "environment": environment, "form_token": token}
        answer = panel.http.post(path, data=fields)
        assert (answer.status_code, "form has expired" in answer.text) == (403, True), path
    assert panel.http.get("/panel/api/environments").json() == before


def test_the_token_of_another_session_is_refused(panel: Panel) -> None:
    other = Panel(panel.service, "192.0.2.2")
    other.sign_in()
    stolen = other.form_token()
    answer = panel.http.post("/panel/environments", data={"form_token": stolen, "name": "x"})
    assert answer.status_code == 403
    other.http.close()


# Headers


def test_every_page_forbids_what_it_does_not_need_and_is_kept_by_nobody(panel: Panel) -> None:
    for page in (*PAGES, SIGN_IN, "/panel/nothing", "/panel/environments/nobody", "/panel"):
        answer = panel.get(page)
        assert answer.headers["cache-control"] == "no-store", page
        assert set(answer.headers["content-security-policy"].split("; ")) >= POLICY, page
        assert answer.headers["x-content-type-options"] == "nosniff"
    for answer in (panel.get("/panel/api/environments"), panel.http.delete("/panel/api/environments/x")):
        assert answer.headers["cache-control"] == "no-store"


def test_no_page_has_inline_script_or_style_or_anything_from_elsewhere(panel: Panel) -> None:
    environment = panel.environment()
    pages = (*PAGES, f"/panel/environments/{environment}", "/panel/playground", "/panel/streaming", "/panel/nothing")
    for page in pages:
        text = panel.get(page).text
        assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=", text), page
        assert not re.search(r"(src|href|action)=\"(https?:)?//", text), page


def test_assets_are_kept_for_ever_under_the_address_of_their_content(panel: Panel) -> None:
    addresses = set(re.findall(r'"(/panel/assets/[^"]+)"', panel.get("/panel/").text))
    assert {address.rpartition("/")[2] for address in addresses} >= {"panel.css", "panel.js", "htmx.min.js", "theme.js"}
    for address in addresses:
        answer = httpx.get(panel.service.url + address)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
    outdated = httpx.get(panel.service.url + "/panel/assets/0123456789abcdef/panel.css")
    assert (outdated.status_code, outdated.headers["cache-control"]) == (200, "no-store")
    for name in ("..%2fgate.py", "nothing.css", "__init__.py"):
        assert httpx.get(panel.service.url + f"/panel/assets/x/{name}").status_code == 404


# The API's own session


def test_the_api_opens_and_ends_a_session(stranger: Panel) -> None:
    opened = stranger.http.post("/panel/api/session", json={"secret": MANAGEMENT_SECRET})
    assert (opened.status_code, opened.content) == (204, b"")
    assert stranger.get("/panel/api/environments").status_code == 200
    assert stranger.http.delete("/panel/api/session").status_code == 204
    assert stranger.get("/panel/api/environments").status_code == 401


@pytest.mark.parametrize("body", [{"secret": "wrong"}, {"secret": ""}, {"secret": MANAGEMENT_SECRET + " "}])
def test_the_api_refuses_a_wrong_secret_and_shows_it_nowhere(stranger: Panel, body: dict[str, Any]) -> None:
    refused = stranger.http.post("/panel/api/session", json=body)
    assert (refused.status_code, refused.json()["code"]) == (401, "wrong-management-secret")
    assert "set-cookie" not in refused.headers
    assert MANAGEMENT_SECRET not in refused.text


def test_the_api_without_any_credential_says_how_to_give_one(stranger: Panel) -> None:
    refused = stranger.get("/panel/api/environments")
    assert (refused.status_code, refused.json()["code"]) == (401, "not-signed-in")
    assert "Bearer" in refused.json()["action"]
