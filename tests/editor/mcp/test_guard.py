"""Requests to authorization servers go to the address that the guard has looked at, and to the host that was named."""

import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import trustme

from penstock.editor.mcp import session_http
from penstock.editor.mcp.errors import AuthorizationFailed
from penstock.editor.mcp.oauth_http import OAuthHttp
from penstock.http.outbound import Outbound
from tests.fakes.wire_server import ok
from tests.http.test_outbound import answering, moved, server

MCP = "https://mcp.example/mcp"


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ssl.SSLContext]:
    """TLS for `auth.test`, which the machine is made to trust."""
    ca, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("auth.test").configure_cert(context)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    session_http.tls.cache_clear()
    yield context
    session_http.tls.cache_clear()


def guard(*allow: str) -> tuple[Outbound, list[str]]:
    """A guard whose names all lead here, first; and what it was asked."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ("127.0.0.1",) if len(asked) == 1 else ("127.0.0.2",)

    return Outbound(allow=allow, ports=None, resolve=resolve), asked


async def test_the_connection_goes_to_the_address_that_passed_under_the_name_that_was_given(
    authority: ssl.SSLContext,
) -> None:
    outbound, asked = guard("127.0.0.0/8")
    async with server(answering(ok(b"{}")), authority) as one, OAuthHttp(MCP, outbound) as http:
        answer = await http.ask("POST", f"https://auth.test:{one.port}/token", data={"a": "b"})
        assert (answer.status_code, answer.content) == (200, b"{}")
        assert one.requests[0].header(b"host") == f"auth.test:{one.port}".encode()
    assert asked == ["auth.test"]


async def test_a_certificate_of_another_name_is_not_trusted(authority: ssl.SSLContext) -> None:
    outbound, _ = guard("127.0.0.0/8")
    async with server(answering(ok(b"{}")), authority) as one, OAuthHttp(MCP, outbound) as http:
        with pytest.raises(AuthorizationFailed) as caught:
            await http.ask("GET", f"https://other.test:{one.port}/")
        assert caught.value.explanation == "Its certificate is not trusted."
        assert one.requests == []


async def test_what_the_guard_does_not_allow_is_not_connected_to(authority: ssl.SSLContext) -> None:
    outbound, _ = guard()
    async with server(answering(ok(b"{}")), authority) as one, OAuthHttp(MCP, outbound) as http:
        with pytest.raises(AuthorizationFailed, match="where we do not go"):
            await http.ask("GET", f"https://auth.test:{one.port}/")
        assert one.requests == []


async def test_redirects_of_authorization_servers_are_not_followed(authority: ssl.SSLContext) -> None:
    outbound, asked = guard("127.0.0.0/8")
    async with (
        server(answering(moved("https://evil.test/")), authority) as one,
        OAuthHttp(MCP, outbound) as http,
    ):
        answer = await http.ask("POST", f"https://auth.test:{one.port}/token", data={"code": "canary"})
        assert answer.status_code == 302
    assert asked == ["auth.test"]


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "ftp://auth.test/", "", "https://", "//", "https://[", "x" * 9000]
)
async def test_what_is_no_address_is_refused(address: str) -> None:
    async with OAuthHttp(MCP, guard()[0]) as http:
        with pytest.raises(AuthorizationFailed):
            await http.ask("GET", address)
