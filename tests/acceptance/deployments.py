"""Penstock as operators run it: one process, two replicas behind nginx, and one on the other clouds' services.

    single       one process, SQLite, files in a directory, no Redis
    replicated   two processes behind nginx, MariaDB, Redis, S3
    postgres     one process behind nginx, PostgreSQL, Azure Blob

Each has an upstream that all its replicas use, a search service, a scraper, and two MCP servers.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.outside import Outside, running_outside
from tests.acceptance.proxy import running_nginx
from tests.conftest import need_server
from tests.databases import fresh_database_env
from tests.editor.conftest import Tenant
from tests.fakes.editor_client import EditorClient, Reply
from tests.fakes.mcp_authority import Authority
from tests.fakes.mcp_server import McpFake, running_mcp
from tests.fakes.openai_upstream import Upstream, running_upstream
from tests.fakes.stores import running_azurite, running_s3
from tests.service import FEATURES, Service, redis_env, service_env, start_service, with_tenant

MODELS: list[dict[str, Any]] = [
    {"id": "one", "provider": "mock", "description": "First", "recommended": True, "features": FEATURES},
    {
        "id": "two",
        "provider": "mock",
        "description": "Second",
        "features": FEATURES,
        "capabilities": {"webSearch": True},
    },
]
BACK = "https://app.example/back"


@dataclass
class Deployment:
    """Used as tests use a `Service`: `url` is what editors are told."""

    name: str
    url: str
    env: dict[str, str]
    upstream: Upstream
    outside: Outside
    tools: McpFake
    """The MCP server `desk`: for everybody, `grow` is switched off, a call may take a second."""
    crm: McpFake
    """The MCP server `crm`: users connect it."""
    replicas: list[Service]
    _stack: ExitStack

    @property
    def first(self) -> Service:
        return self.replicas[0]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def tenant_id(self) -> str:
        return self.first.tenant_id

    @property
    def api_key_headers(self) -> dict[str, str]:
        return self.first.api_key_headers

    @property
    def lines(self) -> list[str]:
        return [line for replica in self.replicas for line in list(replica.lines)]

    @property
    def logs(self) -> list[dict[str, Any]]:
        return [line for replica in self.replicas for line in replica.logs]

    def cli(self, *arguments: str) -> Any:
        return self.first.cli(*arguments)

    def token(self, user: str = "user-1", **more: Any) -> str:
        return self.first.token(user, **more)

    def token_headers(self, user: str = "user-1", **more: Any) -> dict[str, str]:
        return self.first.token_headers(user, **more)

    def wait_for_log(self, text: str, timeout_s: float = 10) -> str:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            found = next((line for line in self.lines if text in line), None)
            if found is not None:
                return found
            time.sleep(0.02)
        raise AssertionError(f"no log line with {text!r} in: {self.lines[-20:]}")

    def reset(self) -> None:
        self.upstream.reset()
        self.outside.reset()

    @contextmanager
    def beside(self, **changes: str) -> Iterator[Service]:
        """One more replica with other settings; of `single` a service of its own, for SQLite has one process."""
        with ExitStack() as stack:
            env = {**self.env, **changes}
            if self.name == "single":
                env["STATE_DIR"] = stack.enter_context(tempfile.TemporaryDirectory())
            yield stack.enter_context(start_service(env, self.upstream))

    @contextmanager
    def editor_beside(self, permissions: Any = None, **changes: str) -> Iterator[EditorClient]:
        """Of a user of that replica alone."""
        with self.beside(**changes) as service:
            tenant = Tenant(service)
            headers = tenant.headers() if permissions is None else tenant.headers(permissions=permissions)
            with EditorClient(service.url, headers) as editor:
                yield editor

    def serving(self, reply: Reply) -> int:
        """Which replica it comes from."""
        address = reply.headers.get("x-served-by", self.url)
        return next(at for at, one in enumerate(self.replicas) if address.endswith(f":{one.port}"))

    def revive(self, number: int) -> None:
        """Start a replica again that was ended, on its port."""
        old = self.replicas[number]
        env = {**self.env, "PORT": str(old.port)}
        self.replicas[number] = self._stack.enter_context(start_service(env, self.upstream))
        self.replicas[number].tenant_id, self.replicas[number].api_key = old.tenant_id, old.api_key


@contextmanager
def single() -> Iterator[Deployment]:
    with ExitStack() as stack:
        yield _deployed("single", {}, stack, replicas=1, proxied=False)


@contextmanager
def replicated() -> Iterator[Deployment]:
    need_server("redis")
    with ExitStack() as stack:
        shared = _opened(stack, [fresh_database_env("mysql"), redis_env(), running_s3()])
        yield _deployed("replicated", shared, stack, replicas=2, proxied=True)


@contextmanager
def postgres() -> Iterator[Deployment]:
    with ExitStack() as stack:
        shared = _opened(stack, [fresh_database_env("postgres"), running_azurite()])
        yield _deployed("postgres", shared, stack, replicas=1, proxied=True)


DEPLOYMENTS: dict[str, Callable[[], AbstractContextManager[Deployment]]] = {
    "single": single,
    "replicated": replicated,
    "postgres": postgres,
}


def _opened(stack: ExitStack, servers: Sequence[AbstractContextManager[dict[str, str]]]) -> dict[str, str]:
    return {name: value for server in servers for name, value in stack.enter_context(server).items()}


def _deployed(name: str, shared: dict[str, str], stack: ExitStack, *, replicas: int, proxied: bool) -> Deployment:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    upstream = stack.enter_context(running_upstream())
    outside = stack.enter_context(running_outside())
    tools = stack.enter_context(running_mcp())
    crm = stack.enter_context(running_mcp(authority=Authority()))
    more = {**outside.env(), "MCP_SERVERS": _mcp_servers(tools, crm), "TRUSTED_PROXIES": "127.0.0.0/8"}
    env = service_env(upstream, folder, MODELS=json.dumps(MODELS), **more, **shared)
    with ThreadPoolExecutor(replicas) as pool:  # at once, on an empty database
        started = pool.map(lambda _: stack.enter_context(start_service(env, upstream)), range(replicas))
        services = list(started)
    with_tenant(services[0])
    url = services[0].url
    if proxied:
        url = stack.enter_context(running_nginx(folder, [one.port for one in services]))
    return Deployment(name, url, env, upstream, outside, tools, crm, services, stack)


def _mcp_servers(tools: McpFake, crm: McpFake) -> str:
    desk = {"url": tools.url, "tools": {"disabled": ["grow"]}, "options": {"callToolTimeout": 1}}
    return json.dumps({"desk": desk, "crm": {"url": crm.url, "oauth": {"callbackUrl": BACK}}})
