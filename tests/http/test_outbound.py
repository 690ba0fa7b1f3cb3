"""What may be fetched for a user, and what is refused, over real sockets."""

import ipaddress
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.http.outbound import (
    AddressRefused,
    FetchFailed,
    FetchTimedOut,
    FetchTooLarge,
    Outbound,
    Resolve,
    is_public,
    shown,
)
from tests.fakes.wire_server import CHUNKED_HEAD, Script, Wire, WireServer, chunk, ok

LOOPBACK = ("127.0.0.0/8",)
HERE = "127.0.0.1"


def names(**known: Sequence[str]) -> Resolve:
    """A name service that knows these names; the label before the first dot is the key."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        if host[:1].isdigit() or ":" in host:
            return (host,)
        try:
            return known[host.partition(".")[0]]
        except KeyError as error:
            raise OSError("no such name") from error

    return resolve


def outbound(resolve: Resolve | None = None, *, allow: Sequence[str] = LOOPBACK) -> Outbound:
    return Outbound(allow=allow, ports=None, resolve=resolve)


@asynccontextmanager
async def server(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[WireServer]:
    started = await WireServer(script, tls).start()
    try:
        yield started
    finally:
        await started.close()


def answering(*answers: bytes) -> Script:
    left = list(answers)

    async def script(wire: Wire) -> None:
        await wire.answer(left.pop(0) if len(left) > 1 else left[0])

    return script


def moved(to: str) -> bytes:
    return ok(b"", b"Location: " + to.encode(), status=b"302 Found")


async def test_what_stands_at_an_address_is_given_with_its_type() -> None:
    async with server(answering(ok(b"hello", b"Content-Type: text/plain"))) as one:
        fetched = await outbound().fetch(f"http://{HERE}:{one.port}/a?b=c#d", max_bytes=5, within_s=10)
        assert (fetched.body, fetched.content_type) == (b"hello", "text/plain")
        seen = one.requests[0]
        assert seen.target == b"/a?b=c"
        assert seen.header(b"accept-encoding") == b"identity"
        for name in (b"cookie", b"authorization", b"referer"):
            assert seen.header(name) is None


async def test_a_name_is_connected_to_at_the_address_that_was_checked() -> None:
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return (HERE,) if len(asked) == 1 else ("10.0.0.1",)

    async with server(answering(ok(b"hello"))) as one:
        fetched = await outbound(resolve).fetch(f"http://pictures.test:{one.port}/", max_bytes=9, within_s=10)
        assert fetched.body == b"hello"
        assert one.requests[0].header(b"host") == f"pictures.test:{one.port}".encode()
    assert asked == ["pictures.test"]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::1",
        "2001:0:1::1",
        "2001:db8::1",
        "198.18.0.1",
        "203.0.113.5",
    ],
)
async def test_an_address_that_is_not_public_is_refused_as_number_and_behind_a_name(address: str) -> None:
    guard = Outbound(resolve=names(inside=(address,), mixed=("93.184.215.14", address)))
    literal = f"[{address}]" if ":" in address else address
    for host in (literal, "inside.test", "mixed.test"):
        with pytest.raises(AddressRefused) as caught:
            await guard.fetch(f"http://{host}/latest/meta-data/", max_bytes=10, within_s=10)
        assert "not public" in (caught.value.explanation or "")
        assert "meta-data" not in caught.value.message


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.215.14", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@settings(max_examples=100)
@given(address=st.ip_addresses(v=4), prefix=st.sampled_from(["::ffff:0:0", "64:ff9b::"]))
def test_wrapping_an_address_in_another_changes_nothing(address: ipaddress.IPv4Address, prefix: str) -> None:
    wrapped = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | int(address))
    assert is_public(wrapped) is is_public(address)


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "017700000001", "localhost", "localhost."])
async def test_other_spellings_of_this_machine_are_refused(host: str) -> None:
    with pytest.raises((AddressRefused, FetchFailed)):
        await Outbound().fetch(f"http://{host}/", max_bytes=10, within_s=10)


async def test_metadata_services_stay_closed_whatever_is_allowed() -> None:
    guard = Outbound(allow=["0.0.0.0/0", "::/0"], ports=None)
    assert guard.permits("10.0.0.1")
    assert not guard.permits("no address")
    for metadata in (
        *("169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fd00:ec2::254"),
        *("169.254.170.2", "169.254.170.23", "fd00:ec2::23", "100.100.100.200", "fd20:ce::254"),
        *("168.63.129.16", "192.0.0.192"),
    ):
        assert not guard.permits(metadata), metadata


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file:///etc/passwd", "http and https"),
        ("ftp://host.test/a", "http and https"),
        ("gopher://host.test:80/a", "http and https"),
        ("data:text/plain,hello", "http and https"),
        ("//host.test/a", "http and https"),
        ("https:///a", None),
        ("http://user:pass@host.test/", "user or a password"),
        ("http://user@host.test/", "user or a password"),
        ("http://host.test:22/", "Port 22"),
        ("http://host.test:6379/", "Port 6379"),
        ("http://host.test:99999/", None),
        ("http://[::1/", None),
        ("https://host.test/" + "a" * 5000, None),
    ],
)
async def test_addresses_of_other_kinds_are_refused_before_anything_is_asked(url: str, reason: str | None) -> None:
    with pytest.raises(AddressRefused) as caught:
        await Outbound(resolve=names()).fetch(url, max_bytes=10, within_s=10)
    if reason is not None:
        assert reason in (caught.value.explanation or "")


async def test_ports_of_the_web_are_open_and_others_when_allowed() -> None:
    async with server(answering(ok(b"x"))) as one:
        url = f"http://{HERE}:{one.port}/"
        with pytest.raises(AddressRefused):
            await Outbound(allow=LOOPBACK).fetch(url, max_bytes=9, within_s=10)
        opened = Outbound(allow=LOOPBACK, ports=frozenset({one.port}))
        assert (await opened.fetch(url, max_bytes=9, within_s=10)).body == b"x"


async def test_redirects_are_followed_and_say_where_they_led() -> None:
    async with server(answering(moved("/b"), ok(b"there"))) as one:
        fetched = await outbound().fetch(f"http://{HERE}:{one.port}/a", max_bytes=9, within_s=10)
        assert fetched.body == b"there"
        assert fetched.url == f"http://{HERE}:{one.port}/b"


@pytest.mark.parametrize(
    "to",
    [
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/",
        "http://[::ffff:10.0.0.1]/",
        "http://inside.test/",
        "file:///etc/passwd",
        "http://user:secret@other.test/",
    ],
)
async def test_a_redirect_is_checked_like_a_first_address(to: str) -> None:
    async with server(answering(moved(to))) as one:
        guard = outbound(names(inside=("10.0.0.7",)))
        with pytest.raises(AddressRefused):
            await guard.fetch(f"http://{HERE}:{one.port}/", max_bytes=9, within_s=10)
        assert one.connections == 1


async def test_the_sixth_redirect_is_one_too_many() -> None:
    async with server(answering(*[moved("/again")] * 9)) as one:
        with pytest.raises(FetchFailed) as caught:
            await outbound().fetch(f"http://{HERE}:{one.port}/", max_bytes=9, within_s=10)
        assert "redirects more than 5 times" in caught.value.message
        assert one.connections == 6


async def test_a_redirect_to_nonsense_is_a_failure() -> None:
    async with server(answering(moved("http://[::"))) as one:
        with pytest.raises((FetchFailed, AddressRefused)):
            await outbound().fetch(f"http://{HERE}:{one.port}/", max_bytes=9, within_s=10)


async def test_what_is_too_large_is_not_read_to_its_end() -> None:
    async def endless(wire: Wire) -> None:
        await wire.request()
        await wire.send(CHUNKED_HEAD)
        while True:
            await wire.send(chunk(b"x" * 65_536))

    for script in (answering(ok(b"x" * 1001)), endless):
        async with server(script) as one:
            with pytest.raises(FetchTooLarge):
                await outbound().fetch(f"http://{HERE}:{one.port}/", max_bytes=1000, within_s=10)


async def test_a_body_that_drips_is_given_up() -> None:
    async def dripping(wire: Wire) -> None:
        await wire.request()
        await wire.send(CHUNKED_HEAD)
        await wire.gone()

    async with server(dripping) as one:
        with pytest.raises(FetchTimedOut) as caught:
            await outbound().fetch(f"http://{HERE}:{one.port}/key-in-path", max_bytes=1000, within_s=0.2)
    assert caught.value.message == f"http://{HERE} did not answer completely within 0.2 s."


async def test_a_bomb_of_compressed_bytes_is_not_unpacked() -> None:
    async with server(answering(ok(b"\x1f\x8b", b"Content-Encoding: gzip"))) as one:
        with pytest.raises(FetchFailed) as caught:
            await outbound().fetch(f"http://{HERE}:{one.port}/", max_bytes=1000, within_s=10)
        assert "compressed" in caught.value.message


async def test_a_failure_of_the_other_side_is_a_sentence() -> None:
    async def cut(wire: Wire) -> None:
        await wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")

    async def garbage(wire: Wire) -> None:
        await wire.answer(b"\x00\x01\x02 no http\r\n\r\n")

    for script, words in (
        (answering(ok(b"", status=b"404 Not Found")), "status 404"),
        (cut, "broke off"),
        (garbage, "no HTTP"),
    ):
        async with server(script) as one:
            with pytest.raises(FetchFailed) as caught:
                await outbound().fetch(f"http://{HERE}:{one.port}/", max_bytes=1000, within_s=10)
            assert words in caught.value.message
    with pytest.raises(FetchFailed) as caught:
        await outbound().fetch(f"http://{HERE}:{one.port}/", max_bytes=1000, within_s=10)
    assert "no connection" in caught.value.message
    with pytest.raises(FetchFailed) as caught:
        await outbound(names()).fetch("http://unknown.test/", max_bytes=1000, within_s=10)
    assert "not known" in caught.value.message


async def test_certificates_are_checked_by_the_name_that_was_given(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("pictures.test").configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    resolve = names(pictures=(HERE,), other=(HERE,))
    trusting = Outbound(allow=LOOPBACK, ports=None, resolve=resolve, ca_file=str(ca_file))
    async with server(answering(ok(b"secret")), context) as one:
        fetched = await trusting.fetch(f"https://pictures.test:{one.port}/", max_bytes=9, within_s=10)
        assert fetched.body == b"secret"
        for guard, host in ((trusting, "other.test"), (outbound(resolve), "pictures.test")):
            with pytest.raises(FetchFailed) as caught:
                await guard.fetch(f"https://{host}:{one.port}/", max_bytes=9, within_s=10)
            assert "certificate" in caught.value.message


def test_only_scheme_and_host_of_an_address_are_shown() -> None:
    assert shown("https://host.test:8443/signed/abc?sig=secret") == "https://host.test"
    assert shown("http://[::") == "the address"


def test_what_is_no_network_cannot_be_allowed() -> None:
    with pytest.raises(ValueError, match="intranet"):
        Outbound(allow=["intranet"])
