"""Two emulators that others wrote, as upstreams: where they and our own fakes agree, both are probably right.

`llmock` breaks off, lies and refuses on demand and then judges us as its client; `aimock` speaks more formats. What
they are known to get wrong (`spec/providers.md` 19.3) is not asked of them.
"""

import json
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.openai_upstream import running_upstream
from tests.node_packages import install
from tests.service import FEATURES, Service, free_port, service_env, start_service, with_tenant

NODE = Path(__file__).parent / "node"
CHAT = "/oai/v1/chat/completions"
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a town.",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
    },
}

# The model of each entry; the entries' addresses follow in `_providers`.
LLMOCK = {
    "llmock-chat": "gpt-4.1",
    "llmock-responses": "gpt-5.5",
    "llmock-anthropic": "claude-sonnet-4-5",
    "llmock-google": "gemini-2.5-flash",
    "llmock-mistral": "mistral-large-latest",
    "llmock-groq": "llama-3.3-70b-versatile",
}
AIMOCK = {
    "aimock-chat": "gpt-4.1",
    "aimock-responses": "gpt-5.5",
    "aimock-anthropic": "claude-sonnet-4-5",
    "aimock-google": "gemini-2.5-flash",
    "aimock-azure": "gpt-4.1",
    "aimock-bedrock": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
}


@contextmanager
def _llmock() -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "llmock.cli", "serve", "--port", str(port), "--response-style", "hello"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url + "/health", process)
        yield url
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def _aimock() -> Iterator[str]:
    install(NODE)
    command = ["node", "--disable-wasm-trap-handler", "serve.mjs"]
    process = subprocess.Popen(command, cwd=NODE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], 30)
        assert ready, "aimock did not start"
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    import time

    for _ in range(300):
        assert process.poll() is None, "the emulator ended"
        try:
            httpx.get(url, timeout=2)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the emulator does not answer")


def _providers(llmock: str, aimock: str) -> dict[str, Any]:
    aws = {"accessKeyId": "AKIDEXAMPLE", "secretAccessKey": "a-secret-of-an-emulator"}
    return {
        "llmock-chat": {"type": "openai", "baseUrl": f"{llmock}/v1"},
        "llmock-responses": {"type": "openai", "baseUrl": f"{llmock}/v1", "api": "responses"},
        "llmock-anthropic": {"type": "anthropic", "baseUrl": f"{llmock}/anthropic"},
        "llmock-google": {"type": "google", "baseUrl": f"{llmock}/gemini/v1beta"},
        "llmock-mistral": {"type": "mistral", "baseUrl": f"{llmock}/mistral/v1"},
        "llmock-groq": {"type": "openai-compatible", "baseUrl": f"{llmock}/groq/openai/v1", "flavor": "groq"},
        "aimock-chat": {"type": "openai", "baseUrl": f"{aimock}/v1"},
        "aimock-responses": {"type": "openai", "baseUrl": f"{aimock}/v1", "api": "responses"},
        "aimock-anthropic": {"type": "anthropic", "baseUrl": aimock},
        "aimock-google": {"type": "google", "baseUrl": f"{aimock}/v1beta"},
        "aimock-azure": {"type": "azure", "baseUrl": f"{aimock}/openai", "apiVersion": "2024-10-21"},
        "aimock-bedrock": {"type": "bedrock", "region": "us-east-1", "baseUrl": aimock, "credentials": aws},
    }


class House:
    def __init__(self, service: Service, llmock: str) -> None:
        self._service = service
        self._llmock = llmock

    def ask(self, entry: str, text: str, *, stream: bool = True, **more: Any) -> httpx.Response:
        model = f"{entry}/{(LLMOCK | AIMOCK)[entry]}"
        body = {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream, **more}
        url, headers = self._service.url + CHAT, self._service.api_key_headers
        return httpx.post(url, json=body, headers=headers, timeout=60)

    def scenario(self, *behaviours: dict[str, Any]) -> None:
        httpx.post(self._llmock + "/_llmock/reset", timeout=10).raise_for_status()
        if not behaviours:
            return
        scenario = {"behaviors": list(behaviours)}
        httpx.post(self._llmock + "/_llmock/scenario", json=scenario, timeout=10).raise_for_status()

    def errors(self) -> list[str]:
        """What the emulator holds against us as its client."""
        verdict = httpx.get(self._llmock + "/_llmock/verdict", timeout=10).json()
        return [str(one) for one in verdict.get("findings", []) if one.get("level", one.get("severity")) == "error"]


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with ExitStack() as stack:
        llmock, aimock = stack.enter_context(_llmock()), stack.enter_context(_aimock())
        entries = {}
        for name, entry in _providers(llmock, aimock).items():
            entries[name] = entry if "credentials" in entry else {**entry, "apiKeys": ["a", "b", "c"]}
        models = [
            {"id": model, "provider": entry, "description": "x", "features": FEATURES}
            for entry, model in (LLMOCK | AIMOCK).items()
        ]
        unused = stack.enter_context(running_upstream())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        env = service_env(
            unused,
            folder,
            PROVIDERS=json.dumps(entries),
            MODELS=json.dumps(models),
            LLM_TIMEOUT_MS="2000",
            LLM_IDLE_TIMEOUT_MS="1000",
        )
        yield House(with_tenant(stack.enter_context(start_service(env, unused))), llmock)


def text_of(response: httpx.Response) -> str:
    chunks = [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: {")]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk.get("choices", ()))


ALL = pytest.mark.parametrize("entry", [*LLMOCK, *AIMOCK])
EVERY_LLMOCK = pytest.mark.parametrize("entry", list(LLMOCK))


@ALL
def test_a_streamed_answer_comes_through_complete(house: House, entry: str) -> None:
    house.scenario()
    response = house.ask(entry, "hello")
    assert response.status_code == 200, response.text
    assert text_of(response)
    assert response.text.rstrip().endswith("data: [DONE]")


@ALL
def test_a_whole_answer_comes_with_its_usage(house: House, entry: str) -> None:
    house.scenario()
    response = house.ask(entry, "hello", stream=False)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["choices"][0]["message"]["content"]
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["total_tokens"] >= answer["usage"]["completion_tokens"] > 0


@ALL
def test_an_offered_tool_is_called_with_arguments_of_its_schema(house: House, entry: str) -> None:
    house.scenario()
    response = house.ask(entry, "What is the weather in Köln? Use the weather tool.", stream=False, tools=[TOOL])
    assert response.status_code == 200, response.text
    choice = response.json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    (call,) = choice["message"]["tool_calls"]
    assert call["function"]["name"] == "weather"
    assert isinstance(json.loads(call["function"]["arguments"])["town"], str)


@EVERY_LLMOCK
@pytest.mark.parametrize("kind", ["disconnect", "truncate", "malformed"])
def test_a_stream_that_breaks_is_never_taken_for_an_answer(house: House, entry: str, kind: str) -> None:
    house.scenario({"type": "stream_fault", "kind": kind, "after_chunks": 3, "times": None})
    response = house.ask(entry, "hello")
    if response.status_code == 200:
        assert '"error"' in response.text
        assert "[DONE]" not in response.text
    # A half answer is reported to the caller, not asked for again; the emulator cannot see the difference.
    assert [one for one in house.errors() if "truncated_stream_accepted" not in one] == []


@EVERY_LLMOCK
def test_s054_a_stream_that_stalls_is_given_up(house: House, entry: str) -> None:
    house.scenario({"type": "stream_fault", "kind": "stall", "after_chunks": 3, "stall_seconds": 20})
    response = house.ask(entry, "hello")
    assert "TIMEOUT_MS" in response.text
    assert "[DONE]" not in response.text


@EVERY_LLMOCK
def test_s045_a_busy_provider_is_asked_as_it_wishes(house: House, entry: str) -> None:
    house.scenario({"type": "fail", "status": 429, "retry_after": 1, "times": 1})
    assert house.ask(entry, "hello").status_code == 200


@EVERY_LLMOCK
@pytest.mark.parametrize("status", [500, 503, 404, 400])
def test_a_refusal_is_an_error_with_a_sentence(house: House, entry: str, status: int) -> None:
    house.scenario({"type": "fail", "status": status, "times": None})
    response = house.ask(entry, "hello")
    assert response.status_code in (400, 404, 502, 503)
    assert len(response.json()["error"]["message"]) > 20
    assert house.errors() == []
