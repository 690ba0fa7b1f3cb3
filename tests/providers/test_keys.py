"""Keys in turn, keys set aside, keys that come back."""

from datetime import UTC, datetime, timedelta

import pytest

from penstock.errors import UpstreamError
from penstock.kit.secret import Secret
from penstock.providers.failures import (
    AllKeysResting,
    CredentialsRefused,
    CreditExhausted,
    NoUsableKey,
    Overloaded,
    PermissionRefused,
    RateLimited,
)
from penstock.providers.keys import KeyRing

ONE, TWO, THREE = Secret("sk-CANARY-one-1111"), Secret("sk-CANARY-two-2222"), Secret("sk-CANARY-three-3333")


class MovedClock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


def picks(ring: KeyRing, count: int) -> list[str | None]:
    return [ring.pick().hint for _ in range(count)]


def test_keys_are_used_in_turn(clock: MovedClock) -> None:
    assert picks(KeyRing((ONE, TWO, THREE), clock), 5) == ["1111", "2222", "3333", "1111", "2222"]


@pytest.mark.parametrize("failure", [CredentialsRefused("no"), PermissionRefused("no"), CreditExhausted("no")])
def test_s040_a_refused_key_is_left_out_for_five_minutes(clock: MovedClock, failure: UpstreamError) -> None:
    ring = KeyRing((ONE, TWO), clock)
    ring.report(ring.pick(), failure)
    assert picks(ring, 3) == ["2222", "2222", "2222"]
    clock.seconds += 299
    assert picks(ring, 1) == ["2222"]
    clock.seconds += 2
    assert set(picks(ring, 2)) == {"1111", "2222"}


def test_s045_a_busy_key_rests_as_long_as_the_provider_says_and_another_is_used(clock: MovedClock) -> None:
    ring = KeyRing((ONE, TWO), clock)
    ring.report(ring.pick(), RateLimited("slow", retry_after_s=30))
    assert picks(ring, 2) == ["2222", "2222"]
    clock.seconds += 31
    assert set(picks(ring, 2)) == {"1111", "2222"}


def test_s045_a_busy_key_rests_ten_seconds_when_nothing_was_said(clock: MovedClock) -> None:
    ring = KeyRing((ONE,), clock)
    ring.report(ring.pick(), RateLimited("slow"))
    with pytest.raises(AllKeysResting) as caught:
        ring.pick()
    assert caught.value.retry_after_s == 10
    clock.seconds += 10
    assert picks(ring, 1) == ["1111"]


def test_s045_when_all_keys_rest_the_shortest_wait_is_told(clock: MovedClock) -> None:
    ring = KeyRing((ONE, TWO, THREE), clock)
    for wait_s in (40, 20):
        ring.report(ring.pick(), RateLimited("slow", retry_after_s=wait_s))
    ring.report(ring.pick(), CredentialsRefused("no"))
    clock.seconds += 5
    with pytest.raises(AllKeysResting) as caught:
        ring.pick()
    assert caught.value.retry_after_s == 15
    assert caught.value.status == 429


def test_a_rest_is_never_longer_than_two_minutes(clock: MovedClock) -> None:
    ring = KeyRing((ONE,), clock)
    ring.report(ring.pick(), RateLimited("slow", retry_after_s=9999))
    clock.seconds += 121
    assert picks(ring, 1) == ["1111"]


def test_a_second_shorter_rest_does_not_end_the_first(clock: MovedClock) -> None:
    ring = KeyRing((ONE,), clock)
    key = ring.pick()
    ring.report(key, RateLimited("slow", retry_after_s=60))
    ring.report(key, RateLimited("slow", retry_after_s=1))
    clock.seconds += 30
    with pytest.raises(AllKeysResting):
        ring.pick()


def test_a_refused_key_that_also_rests_stays_refused(clock: MovedClock) -> None:
    ring = KeyRing((ONE,), clock)
    key = ring.pick()
    ring.report(key, CredentialsRefused("no"))
    ring.report(key, RateLimited("slow", retry_after_s=1))
    clock.seconds += 30
    with pytest.raises(NoUsableKey):
        ring.pick()


def test_s040_when_every_key_is_refused_the_error_has_the_name_that_operators_search_for(clock: MovedClock) -> None:
    ring = KeyRing((ONE, TWO), clock)
    for _ in range(2):
        ring.report(ring.pick(), CredentialsRefused("Incorrect API key provided: ***"))
    with pytest.raises(NoUsableKey) as caught:
        ring.pick()
    assert "NoValidApiKeysFoundError" in caught.value.message
    assert "Incorrect API key provided" in caught.value.message
    assert not caught.value.other_key


def test_failures_that_say_nothing_about_the_key_change_nothing(clock: MovedClock) -> None:
    ring = KeyRing((ONE,), clock)
    ring.report(ring.pick(), Overloaded("full"))
    ring.report(ring.pick(), UpstreamError("?"))
    assert picks(ring, 1) == ["1111"]


def test_an_entry_without_keys_has_one_nameless_key_that_is_never_set_aside(clock: MovedClock) -> None:
    ring = KeyRing((), clock)
    key = ring.pick()
    ring.report(key, CredentialsRefused("no"))
    ring.report(key, RateLimited("slow"))
    assert ring.pick() is key
    assert (key.secret, key.hint) == (None, None)


def test_success_clears_a_refusal_but_no_rest(clock: MovedClock) -> None:
    ring = KeyRing((ONE, TWO), clock)
    first, second = ring.pick(), ring.pick()
    ring.report(first, CredentialsRefused("no"))
    ring.report(second, RateLimited("slow"))
    ring.ok(first)
    ring.ok(second)
    assert picks(ring, 2) == ["1111", "1111"]


def test_states_show_the_end_of_a_key_and_never_the_key(clock: MovedClock) -> None:
    ring = KeyRing((ONE, TWO, Secret("short")), clock)
    ring.report(ring.pick(), CredentialsRefused("no"))
    ring.report(ring.pick(), RateLimited("slow", retry_after_s=7))
    states = ring.states()
    assert [(one.hint, one.state, one.for_s) for one in states] == [
        ("1111", "bad", 300.0),
        ("2222", "resting", 7.0),
        ("…", "ready", 0.0),
    ]
    assert "CANARY" not in repr(states)
    clock.seconds += 500
    assert {one.state for one in ring.states()} == {"ready"}
