"""`penstock serve` as an operator meets it: how it starts, what it says, how it ends, and what its demo promises."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import need_server
from tests.coordination.proxy import Proxy
from tests.databases import fresh_database_env
from tests.fakes.openai_upstream import Finish, Hold, Stall, Text, Upstream, running_upstream
from tests.service import Service, free_port, redis_env, service_env, start_service, with_tenant

CHAT = "/oai/v1/chat/completions"
STREAM = {"model": "mock/one", "stream": True, "messages": [{"role": "user", "content": "x"}]}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


@pytest.fixture
def env(upstream: Upstream, tmp_path: Path) -> dict[str, str]:
    upstream.reset()
    return service_env(upstream, tmp_path)


def fails(env: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """Run `penstock serve`, which must end by itself; its exit code and standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "penstock", "serve", *arguments],
        env={"PORT": str(free_port()), **env},
        cwd=env["STATE_DIR"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stderr


@contextmanager
def started(env: Mapping[str, str], *arguments: str) -> Iterator[tuple["subprocess.Popen[str]", Iterator[str]]]:
    """The process and its lines as they come: for what it says before it is healthy."""
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", "serve", *arguments],
        env=env,
        cwd=env["STATE_DIR"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process, iter(process.stdout)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=20)


def eventually(true: Callable[[], bool], within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.05)


# --- refusing to start ------------------------------------------------------------------------------------------------


def test_s009_a_taken_port_ends_with_98_and_names_the_process(env: dict[str, str]) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        code, said = fails(env | {"PORT": str(port)})
    assert code == 98
    assert f"Port {port}" in said
    assert f"(process {os.getpid()})" in said
    assert f"PORT={port + 1}" in said
    assert "Traceback" not in said
    assert not (Path(env["STATE_DIR"]) / "penstock.db").exists()


def test_an_address_that_is_not_ours_ends_with_78(env: dict[str, str]) -> None:
    code, said = fails(env | {"HOST": "192.0.2.1"})
    assert code == 78
    assert "HOST=192.0.2.1" in said


def test_s006_every_mistake_is_in_one_report(env: dict[str, str]) -> None:
    wrong = {
        "PORT": "eighty",
        "LOG_LEVEL": "loud",
        "DATABASE_DRIVER": "oracle",
        "MAX_BODY_BYTES": "-1",
        "PROVIDERS": '{"mock": {"type": "openai-compatible",}}',
        "MODELS": "[{]",
    }
    code, said = fails(env | wrong)
    assert code == 78
    for name in wrong:
        assert name in said
    assert "line 1" in said
    assert "column" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("refused", {"DATABASE_DRIVER": "postgres", "DATABASE_HOST": "127.0.0.1", "DATABASE_USER": "nobody"}),
        ("unknown name", {"DATABASE_DRIVER": "mysql", "DATABASE_HOST": "mysql.invalid", "DATABASE_USER": "nobody"}),
    ],
)
def test_s008_a_database_that_stays_away_ends_with_69_and_says_where_it_was_looked_for(
    env: dict[str, str], kind: str, settings: dict[str, str]
) -> None:
    more = {"DATABASE_PORT": str(free_port()), "DATABASE_DATABASE": "none", "DATABASE_PASSWORD": "x"}
    code, said = fails(env | settings | more | {"STARTUP_RETRY_SECONDS": "1"})
    assert code == 69, said
    assert settings["DATABASE_HOST"] in said
    assert "DATABASE_HOST" in said
    assert "Traceback" not in said


def test_s008_a_redis_that_stays_away_ends_with_69_and_says_where_it_was_looked_for(env: dict[str, str]) -> None:
    port = str(free_port())
    code, said = fails(env | {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": port, "STARTUP_RETRY_SECONDS": "1"})
    assert code == 69, said
    assert said.startswith(f"Redis at 127.0.0.1:{port}")
    assert "REDIS_PASSWORD" in said
    assert "REDIS_HOST" in said
    assert "Traceback" not in said


def test_s008_a_redis_whose_name_is_unknown_is_named(env: dict[str, str]) -> None:
    code, said = fails(env | {"REDIS_HOST": "redis.invalid", "STARTUP_RETRY_SECONDS": "1"})
    assert code == 69, said
    assert "redis.invalid" in said
    assert "REDIS_HOST" in said
    assert "container" in said


def test_s008_a_redis_that_comes_late_is_waited_for(env: dict[str, str]) -> None:
    need_server("redis")
    with proxied(6379) as redis:
        redis.close()
        more = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis.port), "PORT": str(free_port())}
        with started(env | more) as (process, lines):
            assert any("waiting for Redis" in line for line in lines)
            redis.open()
            assert any("Server is listening" in line for line in lines)
            process.terminate()
            assert process.wait(20) == 0


# --- running ----------------------------------------------------------------------------------------------------------


def test_the_boot_report_says_what_runs_where(env: dict[str, str], upstream: Upstream) -> None:
    with start_service(env | {"LOG_LEVEL": "50"}, upstream) as service:
        listening = json.loads(service.wait_for_log("listening"))
        assert listening["message"].startswith(f"Server is listening on port {service.port}.")
        assert service.url in listening["message"]
        said = "\n".join(line["message"] for line in service.logs)
        assert "sqlite" in said
        assert "coordination in this process" in said
        assert "mock (openai-compatible)" in said
        assert "mock/one, mock/two" in said


def test_an_ipv6_address_is_printed_so_that_it_can_be_used(env: dict[str, str]) -> None:
    if not _has_ipv6():
        pytest.skip("no IPv6 on this machine")
    port = free_port()
    with started(env | {"HOST": "::1", "PORT": str(port)}) as (_, lines):
        line = next(line for line in lines if "Server is listening" in line)
        assert f"http://[::1]:{port}" in line
        assert httpx.get(f"http://[::1]:{port}/health").status_code == 200


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_the_boot_report_names_what_is_missing(env: dict[str, str], upstream: Upstream) -> None:
    models = json.loads(env["MODELS"])
    models[1]["provider"] = "mokc"
    changed = env | {"MODELS": json.dumps(models), "ALLOWED_ORIGINS": ""}
    with start_service(changed, upstream) as service:
        service.wait_for_log("listening")
        problem = next(line for line in service.logs if "mokc" in line["message"])
        assert problem["level"] == 50
        assert any("ALLOWED_ORIGINS is not set" in line["message"] for line in service.logs)


def test_s041_the_boot_report_names_entries_that_use_the_identity_of_the_platform(
    env: dict[str, str], upstream: Upstream
) -> None:
    providers = json.loads(env["PROVIDERS"]) | {"aws": {"type": "bedrock", "region": "eu-central-1"}}
    with start_service({**env, "PROVIDERS": json.dumps(providers)}, upstream) as service:
        line = json.loads(service.wait_for_log("gives this machine is used"))
    assert line["message"].startswith('PROVIDERS["aws"]: has neither `credentials` nor `apiKeys`')
    assert line["level"] == 30


def test_the_boot_report_warns_that_the_demo_answers(upstream: Upstream, env: dict[str, str]) -> None:
    bare = {name: value for name, value in env.items() if name not in ("PROVIDERS", "MODELS")}
    with start_service(bare, upstream) as service:
        service.wait_for_log("listening")
        warning = next(line for line in service.logs if "built-in demo" in line["message"])
        assert warning["level"] == 40
        assert warning["message"].startswith("PROVIDERS is not set")


class Switch:
    """A proxy of the coordination tests, for tests that are not asynchronous."""

    def __init__(self, target_port: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._proxy = Proxy(target_port)
        self.open()
        self.port = self._proxy.port

    def open(self) -> None:
        asyncio.run_coroutine_threadsafe(self._proxy.open(), self._loop).result(10)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._proxy.close(), self._loop).result(10)

    def end(self) -> None:
        self.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@contextmanager
def proxied(target_port: int) -> Iterator[Switch]:
    switch = Switch(target_port)
    try:
        yield switch
    finally:
        switch.end()


@pytest.mark.parametrize(
    ("server", "port", "name"), [("redis", 6379, "coordination"), ("postgresql", 5432, "database")]
)
def test_s012_readiness_names_what_is_down_and_recovers_while_health_stays(
    env: dict[str, str], upstream: Upstream, server: str, port: int, name: str
) -> None:
    need_server(server)
    with fresh_database_env("postgres" if server == "postgresql" else "sqlite") as database, proxied(port) as proxy:
        where = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(proxy.port)}
        if server == "postgresql":
            where = database | {"DATABASE_PORT": str(proxy.port)}
        with start_service(env | where, upstream) as service:
            assert httpx.get(service.url + "/health/ready").status_code == 200
            proxy.close()
            response = httpx.get(service.url + "/health/ready", timeout=30)
            assert response.status_code == 503
            assert response.headers["retry-after"]
            assert response.headers["content-type"] == "application/json"
            assert [one["name"] for one in response.json()["failed"]] == [name]
            assert response.json()["failed"][0]["message"]
            assert httpx.get(service.url + "/health").status_code == 200
            if name == "database":
                refused = httpx.get(service.url + "/oai/v1/models", headers={"X-API-Key": "sgk_x"}, timeout=30)
                assert refused.status_code in (401, 503)
            proxy.open()
            eventually(lambda: httpx.get(service.url + "/health/ready", timeout=30).status_code == 200)


# --- ending -----------------------------------------------------------------------------------------------------------


def test_t_18_a_stream_is_finished_after_sigterm_and_new_connections_are_refused(
    env: dict[str, str], upstream: Upstream
) -> None:
    with start_service(env, upstream) as service:
        with_tenant(service)
        token = service.token_headers()
        httpx.post(service.url + "/v1/conversations", headers=token, json={"id": "t18"})
        upstream.plays(Text("one"), Hold(), Text(" two"), Finish())
        upstream.plays(Text("one"), Hold(), Text(" two"), Finish())
        with (
            httpx.stream(
                "POST", service.url + CHAT, json=STREAM, headers=service.api_key_headers, timeout=30
            ) as openai,
            httpx.stream(
                "POST", service.url + "/v1/conversations/t18/messages", json={"prompt": "Hi"}, headers=token, timeout=30
            ) as editor,
        ):
            texts = [openai.iter_text(), editor.iter_text()]
            begun = [_until(text, "one") for text in texts]
            service.process.terminate()
            eventually(lambda: _is_refused(service.port))
            assert service.process.poll() is None
            upstream.go_on()
            whole = [first + "".join(rest) for first, rest in zip(begun, texts, strict=True)]
        assert whole[0].endswith("data: [DONE]\n\n")
        assert "event: done" in whole[1]
        assert " two" in whole[1]
        assert service.process.wait(20) == 0
        service.stop()
        assert [line["outcome"] for line in service.logs if "durationMs" in line][-2:] == ["ok", "ok"]
        assert not any("Traceback" in line for line in service.lines)


def _until(text: Iterator[str], wanted: str) -> str:
    found = ""
    while wanted not in found:
        found += next(text)
    return found


def _is_refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_the_grace_ends_a_stream_that_never_ends(env: dict[str, str], upstream: Upstream) -> None:
    with start_service(env | {"SHUTDOWN_GRACE_SECONDS": "1"}, upstream) as service:
        with_tenant(service)
        token = service.token_headers()
        httpx.post(service.url + "/v1/conversations", headers=token, json={"id": "endless"})
        messages = service.url + "/v1/conversations/endless/messages"
        upstream.plays(Text("one"), Stall())
        upstream.plays(Text("one"), Stall())
        with (
            httpx.stream(
                "POST", service.url + CHAT, json=STREAM, headers=service.api_key_headers, timeout=30
            ) as openai,
            httpx.stream("POST", messages, json={"prompt": "Hi"}, headers=token, timeout=30) as editor,
        ):
            texts = [openai.iter_text(), editor.iter_text()]
            for text in texts:
                _until(text, "one")
            assert service.stop(signal.SIGINT) == 0
            for text in texts:
                with pytest.raises(httpx.RemoteProtocolError):
                    "".join(text)
        eventually(lambda: upstream.cancelled == 2)
        assert not any("Traceback" in line for line in service.lines)
        env = dict(service.env)
    with start_service(env, upstream) as again:
        items = httpx.get(again.url + "/v1/conversations/endless/messages", headers=token).json()["items"]
        assert [item["role"] for item in items] == ["user", "assistant"]
        assert items[1]["attributes"] == {"aborted": True}


# --- several workers --------------------------------------------------------------------------------------------------


@pytest.fixture
def shared_env(env: dict[str, str]) -> Iterator[dict[str, str]]:
    need_server("postgresql")
    need_server("redis")
    with fresh_database_env("postgres") as database, redis_env() as redis:
        yield env | database | redis | {"WORKERS": "2"}


def workers_of(service: Service) -> set[int]:
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text()
    return {int(pid) for pid in children.split()}


def listening_in(service: Service) -> int:
    return sum("Server is listening" in line for line in service.lines)


def test_two_workers_serve_one_port_and_one_that_is_killed_is_replaced(
    shared_env: dict[str, str], upstream: Upstream
) -> None:
    with start_service(shared_env, upstream) as service:
        with_tenant(service)
        eventually(lambda: listening_in(service) == 2)
        before = workers_of(service)
        assert len(before) == 2
        assert _processes_that_answer(service) == 2
        victim = before.copy().pop()
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: listening_in(service) == 3 and len(workers_of(service) - before) == 1)
        answer = httpx.post(service.url + CHAT, json=STREAM, headers=service.api_key_headers, timeout=30)
        assert answer.text.endswith("data: [DONE]\n\n")
        after = workers_of(service)
        assert service.stop() == 0
        for pid in after:
            assert not Path(f"/proc/{pid}").exists()
        assert _is_refused(service.port)


def _processes_that_answer(service: Service) -> int:
    """A request id begins with digits of its process."""
    found = set()
    for _ in range(400):
        found.add(httpx.get(service.url + "/health").headers["x-request-id"][:22])
        if len(found) == 2:
            break
    return len(found)


def test_several_workers_without_shared_state_are_refused_with_the_reason(env: dict[str, str]) -> None:
    code, said = fails(env | {"WORKERS": "2"})
    assert code == 78
    assert "WORKERS" in said
    assert "REDIS" in said
    assert "DATABASE" in said


def test_workers_that_cannot_start_end_the_service_with_their_reason(shared_env: dict[str, str]) -> None:
    code, said = fails(shared_env | {"DATABASE_PORT": str(free_port()), "STARTUP_RETRY_SECONDS": "1"})
    assert code == 69
    assert "DATABASE_HOST" in said


def test_the_demo_is_refused_for_several_workers(shared_env: dict[str, str]) -> None:
    code, said = fails(shared_env, "--demo")
    assert code == 78
    assert "WORKERS" in said


# --- the demo ---------------------------------------------------------------------------------------------------------


@contextmanager
def demo(directory: Path, **more: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """`penstock serve --demo` with nothing configured; the process and what it printed for its reader."""
    env = {"PATH": os.environ["PATH"], "HOME": str(directory), "STATE_DIR": str(directory), "PORT": str(free_port())}
    with started(env | more, "--demo") as (process, lines):
        printed = []
        for line in lines:
            printed.append(line)
            if line.startswith("Stop with"):
                break
        yield process, "".join(line for line in printed if not line.startswith("{"))


def commands(printed: str) -> list[str]:
    """What a reader would paste: each block of indented lines after a sentence that ends with a colon."""
    blocks = re.findall(r":\n\n((?:  .+\n)+)", printed)
    return ["\n".join(line.removeprefix("  ") for line in block.splitlines()) for block in blocks]


def paste(command: str, directory: Path) -> str:
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, cwd=directory)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_demo_prints_three_commands_that_work_as_they_stand_and_again_after_a_restart(tmp_path: Path) -> None:
    keys = set()
    for _ in range(2):
        with demo(tmp_path) as (process, printed):
            editor, action, openai = commands(printed)
            said = paste(editor, tmp_path)
            assert '"title":"Smoke test"' in said
            assert "event: text-delta" in said
            assert "event: done" in said
            improved = paste(action, tmp_path)
            assert 'data-id=\\"p1\\"' in improved
            assert improved.endswith("event: done\ndata: {}\n\n")
            frames = paste(openai, tmp_path)
            assert frames.startswith("data: {")
            assert frames.endswith("data: [DONE]\n\n")
            keys.add(re.search(r"sgk_\w+", printed)[0])  # type: ignore[index]
            process.terminate()
            process.wait(20)
            assert process.returncode == 0
    assert len(keys) == 1


def test_the_demo_prints_addresses_that_are_there_and_how_to_sign_in(tmp_path: Path) -> None:
    with demo(tmp_path) as (_, printed):
        addresses = re.findall(r"^  (?:Panel|API) +(http\S+)$", printed, re.MULTILINE)
        assert [address.rsplit("/", 2)[1] for address in addresses] == ["panel", "docs"]
        for address in addresses:
            assert httpx.get(address, follow_redirects=True).status_code == 200
        assert "set ENVIRONMENTS_MANAGEMENT_SECRET_KEY, and sign in with it" in printed


def test_the_demo_needs_no_network_and_no_file_outside_its_folder(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    with demo(state) as (_, printed):
        assert "Penstock is ready at http://127.0.0.1:" in printed
    assert {path.name for path in tmp_path.iterdir()} == {"state"}
    for path in (state / "penstock.db", state / "penstock.db-wal"):
        assert path.stat().st_mode & 0o077 == 0, f"others may read {path.name}"


def test_the_demo_in_front_of_a_configured_provider_uses_it(upstream: Upstream, tmp_path: Path) -> None:
    upstream.reset()
    configured: dict[str, Any] = service_env(upstream, tmp_path)
    with demo(tmp_path, PROVIDERS=configured["PROVIDERS"], MODELS=configured["MODELS"]) as (_, printed):
        assert "Hello " in paste(commands(printed)[-1], tmp_path)
    assert len(upstream.chats) == 1


# --- one service for one SQLite file ----------------------------------------------------------------------------------


def test_a_second_service_on_the_same_sqlite_file_is_refused_and_says_who_has_it(
    env: dict[str, str], upstream: Upstream
) -> None:
    with start_service(env, upstream) as service:
        code, said = fails(env | {"PORT": str(free_port())})
        assert code == 78
        assert f"process {service.process.pid}" in said
        assert "STATE_DIR" in said
        assert service.stop(signal.SIGKILL) != 0
    with start_service(env, upstream) as again:
        assert again.stop() == 0


def test_a_second_sigterm_while_it_closes_changes_nothing(env: dict[str, str], upstream: Upstream) -> None:
    with start_service(env, upstream) as service:
        for _ in range(40):
            if service.process.poll() is not None:
                break
            service.process.send_signal(signal.SIGTERM)
            time.sleep(0.01)
        assert service.process.wait(20) == 0
