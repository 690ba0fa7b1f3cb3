"""Which address counts when proxies are in between."""

from ipaddress import ip_network

import pytest

from penstock.panel.addresses import counted_as, may_enter, visitors

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
OFFICE = [ip_network("198.51.100.0/24"), ip_network("2001:db8::/32")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("198.51.100.1", [], ("198.51.100.1",)),
        ("10.0.0.1", ["198.51.100.1"], ("198.51.100.1",)),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.1"], ("198.51.100.1",)),
        ("10.0.0.1", ["203.0.113.9", "198.51.100.1, 10.0.0.2"], ("198.51.100.1",)),
        ("10.0.0.1", [], ("10.0.0.1",)),
        ("10.0.0.1", ["10.0.0.3"], ("10.0.0.3",)),
        ("::ffff:10.0.0.1", ["198.51.100.1:4711"], ("198.51.100.1",)),
        ("fd00::1", ["[2001:db8::1]:4711"], ("2001:db8::1",)),
        ("10.0.0.1", ["nonsense"], ("nonsense",)),
        ("203.0.113.9", ["198.51.100.1"], ("203.0.113.9", "198.51.100.1")),
        (None, ["198.51.100.1"], ("unknown", "198.51.100.1")),
    ],
)
def test_the_last_address_that_no_trusted_proxy_has_is_the_clients(
    peer: str | None, forwarded: list[str], found: tuple[str, ...]
) -> None:
    assert visitors(peer, forwarded, TRUSTED) == found


@pytest.mark.parametrize(
    ("addresses", "may"),
    [
        (("198.51.100.1",), True),
        (("::ffff:198.51.100.1",), True),
        (("2001:db8::1%eth0",), True),
        (("203.0.113.9",), False),
        (("198.51.100.1", "203.0.113.9"), False),
        (("nonsense",), False),
        (("unknown",), False),
    ],
)
def test_every_address_has_to_be_allowed(addresses: tuple[str, ...], may: bool) -> None:
    assert may_enter(addresses, OFFICE) is may
    assert may_enter(addresses, [])


def test_attempts_are_counted_for_one_ipv4_address_and_for_one_ipv6_network() -> None:
    assert counted_as("198.51.100.1") == counted_as("::ffff:198.51.100.1") == "198.51.100.1"
    assert counted_as("2001:db8::1") == counted_as("2001:db8::ffff:1")
    assert counted_as("2001:db8::1") != counted_as("2001:db8:0:1::1")
    assert counted_as("nonsense") == "unknown"
