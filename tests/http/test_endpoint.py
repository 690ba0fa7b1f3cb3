"""How a service that the operator has configured is asked, over real sockets."""

import json
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from penstock.http.endpoint import Endpoint, EndpointFailed
from tests.fakes.web_server import answering, as_json, hanging_up, moved, serving, silent
from tests.fakes.wire_server import Script, Wire, ok


def endpoint(port: int, **more: Any) -> Endpoint:
    given: dict[str, Any] = {"timeout_s": 10, "max_bytes": 10_000, **more}
    return Endpoint(f"{given.pop('scheme', 'http')}://127.0.0.1:{port}/ask?key=canary", **given)


async def failure(script: Script, **more: Any) -> EndpointFailed:
    async with serving(script) as server:
        asked = endpoint(server.port, **more)
        with pytest.raises(EndpointFailed) as caught:
            await asked.ask({"query": "x"})
        await asked.aclose()
        assert "canary" not in caught.value.reason
        return caught.value


async def test_a_question_is_posted_as_json_with_the_operators_headers_and_the_connection_is_kept() -> None:
    async with serving(answering(as_json({"a": 1}))) as server:
        asked = endpoint(server.port, headers=[("X-Key", "secret"), ("user-agent", "ours")])
        assert [await asked.ask({"query": "grüße"}) for _ in range(3)] == [{"a": 1}] * 3
        await asked.aclose()
        assert server.connections == 1
        seen = server.requests[0]
    assert (seen.method, seen.target) == (b"POST", b"/ask?key=canary")
    assert json.loads(seen.body) == {"query": "grüße"}
    assert seen.header(b"content-type") == b"application/json"
    assert seen.header(b"accept-encoding") == b"identity"
    assert seen.header(b"x-key") == b"secret"
    assert [value for name, value in seen.headers if name.lower() == b"user-agent"] == [b"ours"]


async def test_a_connection_that_was_closed_meanwhile_costs_nothing() -> None:
    async def once_per_connection(wire: Wire) -> None:
        await wire.answer(as_json({}))

    async with serving(once_per_connection) as server:
        asked = endpoint(server.port)
        for _ in range(3):
            assert await asked.ask({}) == {}
        await asked.aclose()


async def test_half_a_surrogate_pair_is_no_reason_to_lose_an_answer() -> None:
    async with serving(answering(ok(b'{"text": "cut \\ud83d"}'))) as server:
        asked = endpoint(server.port)
        assert await asked.ask({}) == {"text": "cut \ud83d"}
        await asked.aclose()


@pytest.mark.parametrize(
    ("script", "reason", "status"),
    [
        (answering(as_json({}, b"503 Busy")), "answered with status 503", 503),
        (answering(moved("http://127.0.0.1:1/")), "answered with status 302", 302),
        (answering(ok(b"<html>")), "answered with something that is no JSON", 200),
        (answering(ok(b"")), "answered with something that is no JSON", 200),
        (answering(ok(b"[" * 9_000)), "answered with something that is no JSON", 200),
        (answering(ok(b"1" * 10_001)), "answered with more than 10000 bytes", 200),
        (answering(ok(b"x", b"Content-Encoding: gzip")), "sent its answer compressed", 200),
        (answering(b"hello\r\n\r\n"), "answered with something that is no HTTP", None),
        (hanging_up, "broke off the connection", None),
    ],
)
async def test_every_failure_says_what_was_wrong(script: Script, reason: str, status: int | None) -> None:
    caught = await failure(script)
    assert caught.reason.startswith(reason)
    assert (caught.status, caught.timed_out) == (status, False)


async def test_silence_ends_at_the_time_limit() -> None:
    caught = await failure(silent, timeout_s=0.2)
    assert (caught.reason, caught.timed_out) == ("did not answer within 0.2 s", True)


async def test_nobody_there_and_no_such_host_are_told_apart() -> None:
    async with serving(silent) as server:
        port = server.port
    nobody = endpoint(port)
    with pytest.raises(EndpointFailed, match="cannot be reached"):
        await nobody.ask({})
    await nobody.aclose()
    nowhere = Endpoint("http://nowhere.invalid/", timeout_s=10, max_bytes=10)
    with pytest.raises(EndpointFailed, match="has a host name that is not known"):
        await nowhere.ask({})
    await nowhere.aclose()


async def test_a_certificate_counts_when_its_authority_is_known(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    async with serving(answering(as_json({})), tls) as server:
        trusting = endpoint(server.port, scheme="https", ca_file=str(tmp_path / "ca.pem"))
        assert await trusting.ask({}) == {}
        await trusting.aclose()
        strict = endpoint(server.port, scheme="https")
        with pytest.raises(EndpointFailed, match="has a certificate that is not trusted"):
            await strict.ask({})
        await strict.aclose()
        server.errors.clear()


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with serving(answering(as_json({}))) as server:
        asked = endpoint(server.port)
        assert await asked.ask({}) == {}
        await asked.aclose()
