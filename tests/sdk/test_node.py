"""The official Node SDK against the real process. Its tests are in `node/`, one file per group; the scripts are here.

The packages are installed once, by `npm ci`, and again only when `package-lock.json` has changed.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes.openai_upstream import CutShort, EndWithoutFinish, Finish, Raw, Stall, Text, Wait
from tests.node_packages import install
from tests.sdk.answers import MIXED_CALLS, ROLE, TWO_CALLS, call_begins, call_goes_on, refusal, whole
from tests.sdk.conftest import take_spare_model
from tests.service import Service

HERE = Path(__file__).parent / "node"
WITHIN_S = 60

# Without the second one, node reserves 10 GiB of address space for its HTTP parser and fails under `ulimit -v`.
NODE_OPTIONS = ("--test-reporter=spec", "--disable-wasm-trap-handler")


# --- the programs -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def packages() -> None:
    install(HERE)


@contextmanager
def node(service: Service, group: str, **env: str) -> Iterator["subprocess.Popen[str]"]:
    """Run `group`.mjs. Its tests may wait for the end of their input, which comes when the block is left."""
    # Not `node --test`: that starts a process per file, which would outlive a parent that is killed.
    process = subprocess.Popen(
        ["node", *NODE_OPTIONS, f"{group}.mjs"],
        cwd=HERE,
        env={"PATH": os.environ["PATH"], "BASE_URL": service.url + "/oai/v1", "API_KEY": service.api_key, **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
        output, _ = process.communicate(timeout=WITHIN_S)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    assert process.returncode == 0, output
    assert "ℹ pass 0" not in output, output


def run(service: Service, group: str, **env: str) -> None:
    with node(service, group, **env):
        pass


# --- the groups -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("packages")
def test_the_node_sdk_chats_streams_and_calls_tools(service: Service) -> None:
    plays = service.upstream.plays_when
    arguments = '{"city": "Köln"}'
    call = {"id": "call_a", "type": "function", "function": {"name": "weather", "arguments": arguments}}
    plays("two pieces", ROLE, Text("one"), Wait(0.05), Text(" two"), Finish())
    plays("pause", Text("one"), Wait(0.7), Text(" two"), Finish())
    plays("two tools", *TWO_CALLS, Finish("tool_calls"))
    plays("mixed tools", *MIXED_CALLS, Finish("tool_calls"))
    plays("which weather", whole({"content": None, "tool_calls": [call]}, "tool_calls"))
    plays(
        "which weather, streamed",
        ROLE,
        call_begins(0, "call_a", "weather"),
        call_goes_on(0, arguments),
        Finish("tool_calls"),
    )
    plays("rain", whole({"content": "It rains."}))
    plays("rain, streamed", ROLE, Text("It rains."), Finish())
    for number in range(20):
        plays(f"number {number}", *(Text(f"{number}:{at} ") for at in range(3)), Finish())
    run(service, "chat")
    pictured = next(one.json for one in service.upstream.chats if isinstance(one.last_text, list))
    assert pictured["messages"][0]["content"][1]["image_url"] == {"url": "data:image/png;base64,iVBORw0KGgo="}
    assert pictured["vendor"] == {"deep": [1, None]}
    assert pictured["response_format"]["json_schema"] == {"name": "city", "strict": True, "schema": {}}


@pytest.mark.usefixtures("packages")
def test_the_node_sdk_throws_typed_errors_and_retries_where_it_helps(service: Service) -> None:
    made = service.cli(
        "api-key", "create", "--tenant", service.tenant_id, "--name", "lists", "--permission", "models:list"
    )
    upstream = service.upstream
    so_far = (Text("so far"), Wait(0.1))
    here_you_are = (Text("Here you are."), Finish())
    upstream.plays_when("too hot", refusal(400, "temperature must be below 2"))
    upstream.plays_when("slow down", refusal(429, "slow down", ("retry-after", "7")))
    upstream.plays_when("slow down once", refusal(429, "slow down", ("retry-after", "1")))
    upstream.plays_when("slow down once", *here_you_are)
    upstream.plays_when("refused", refusal(401, "Incorrect API key provided."))
    upstream.plays_when("fails once", refusal(500, "oops"))
    upstream.plays_when("fails once", *here_you_are)
    error = Raw(b'data: {"error":{"message":"it broke"}}\n\n')
    upstream.plays_when("breaks with an error", *so_far, error, EndWithoutFinish())
    upstream.plays_when("breaks off", *so_far, CutShort())
    upstream.plays_when("ends without an end", *so_far, EndWithoutFinish())
    spares = " ".join(take_spare_model() for _ in range(3))
    run(service, "errors", LISTING_KEY=made["key"], SPARE_MODELS=spares)
    texts = ("nobody", "too hot", "slow down", "slow down once", "refused", "fails once")
    assert [len(upstream.chats_about(text)) for text in texts] == [0, 2, 1, 2, 1, 2]


@pytest.mark.usefixtures("packages")
def test_a_node_application_that_hangs_up_frees_the_upstream(service: Service) -> None:
    service.upstream.plays_when("begins", ROLE, Text("one"), Stall())
    service.upstream.plays_when("silence", Stall())
    with node(service, "hanging_up"):
        _wait_until(lambda: service.upstream.cancelled == 6)
    assert service.upstream.cancelled == 6


def _wait_until(true: Callable[[], bool]) -> None:
    """Or until it is too late: then the output of the tests says more than this could."""
    deadline = time.monotonic() + 20
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
