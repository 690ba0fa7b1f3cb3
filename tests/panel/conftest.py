"""A service of its own for the panel: wrong secrets of one test must not lock out the others."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.openai_upstream import running_upstream
from tests.service import MANAGEMENT_SECRET, Service, service_env, start_service

SIGN_IN = "/panel/sign-in"
BEARER = {"Authorization": f"Bearer {MANAGEMENT_SECRET}"}
PROXY = "127.0.0.0/8"
"""Trusted in these tests, so that each test can come from an address of its own."""


@pytest.fixture(scope="session")
def panel_service() -> Iterator[Service]:
    with (
        tempfile.TemporaryDirectory() as directory,
        running_upstream() as upstream,
        start_service(
            service_env(upstream, Path(directory), TRUSTED_PROXIES=PROXY, METRICS_ENABLED="true"), upstream
        ) as service,
    ):
        yield service


class Panel:
    """A browser without scripts: cookies are kept, redirects are not followed."""

    def __init__(self, service: Service, address: str = "192.0.2.1") -> None:
        self.service = service
        self.http = httpx.Client(base_url=service.url, headers={"X-Forwarded-For": address}, timeout=20)

    def sign_in(self, secret: str = MANAGEMENT_SECRET, **headers: str) -> httpx.Response:
        return self.http.post(SIGN_IN, data={"secret": secret}, headers=headers)

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.http.get(path, **more)

    def form_token(self) -> str:
        page = self.http.get("/panel/environments").text
        return page.partition('name="form_token" value="')[2].partition('"')[0]

    def post(self, path: str, headers: dict[str, str] | None = None, **fields: str) -> httpx.Response:
        """Send a form with the token of the session."""
        return self.http.post(path, data={"form_token": self.form_token(), **fields}, headers=headers)

    def environment(self, name: str = "Acme") -> str:
        """The id of a new one."""
        return self.post("/panel/environments", name=name).headers["location"].rpartition("/")[2]


@pytest.fixture
def stranger(panel_service: Service) -> Iterator[Panel]:
    panel = Panel(panel_service)
    yield panel
    panel.http.close()


@pytest.fixture
def panel(stranger: Panel) -> Panel:
    """Signed in."""
    assert stranger.sign_in().status_code == 303
    return stranger


@pytest.fixture
def api(panel_service: Service) -> Iterator[httpx.Client]:
    """A script with the management secret."""
    with httpx.Client(base_url=panel_service.url, headers=BEARER, timeout=20) as client:
        yield client
