"""The matcher, entry by entry (T-07), and what it says about lists that grant nothing (S026)."""

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.gateway.identity.caller import Caller, MissingPermission, TenantId, UserId
from penstock.gateway.identity.permissions import FULL_ACCESS, Permissions

GPT = "ai:models:openai:gpt-4o"
BEDROCK = "ai:models:bedrock:us.anthropic.claude-sonnet-4-v1:0"

MATRIX = [
    # one grant, what it allows, what it does not
    ("ai:conversations:*", ["ai:conversations:read", "ai:conversations:context:files:pdf"], ["ai:actions:custom", GPT]),
    ("ai:conversations:read", ["ai:conversations:read"], ["ai:conversations:write", "ai:conversations:read:x"]),
    ("ai:conversations:Read", [], ["ai:conversations:read"]),
    ("ai:conversations:websearch", ["ai:conversations:webSearch"], ["ai:conversations:WEBSEARCH"]),
    ("ai:conversations:webSearch", ["ai:conversations:websearch"], ["ai:conversations:reasoning"]),
    ("ai:conversations:webS*", ["ai:conversations:websearch"], ["ai:conversations:read"]),
    ("ai:conversations:context:*", ["ai:conversations:context:urls"], ["ai:conversations:context"]),
    ("ai:conversations:context:files:*", ["ai:conversations:context:files:pdf"], ["ai:conversations:context:urls"]),
    ("ai:models:*", [GPT, BEDROCK, "ai:models:agent"], ["ai:actions:system:translate"]),
    ("ai:models:openai:*", [GPT], [BEDROCK, "ai:models:openai", "ai:models:agent"]),
    ("ai:models:openai", [], [GPT, "ai:models:openai:openai"]),
    (
        "ai:models:openai:gpt-4*",
        [GPT, "ai:models:openai:gpt-4", "ai:models:openai:gpt-4:x"],
        ["ai:models:openai:gpt-5"],
    ),
    ("ai:models:openai:*-mini", ["ai:models:openai:gpt-4o-mini"], [GPT, "ai:models:openai:a:b-mini"]),
    ("ai:models:open*:gpt-4o", [GPT], ["ai:models:azure:gpt-4o", "ai:models:open:x:gpt-4o"]),
    ("ai:models:open*", [], [GPT]),
    ("ai:models:*:gpt-4o", [GPT, "ai:models:azure:gpt-4o"], [BEDROCK]),
    (BEDROCK, [BEDROCK], [BEDROCK + ":1", BEDROCK[:-2]]),
    ("ai:models:bedrock:us.anthropic.*", [BEDROCK], ["ai:models:bedrock:eu.anthropic.claude-v1:0"]),
    ("ai:models:bedrock:us.anthropic.claude-sonnet-4-v1:*", [BEDROCK], [BEDROCK[:-2]]),
    ("ai:models:bedrock:us.*-v1:0", [BEDROCK], [BEDROCK[:-1] + "1"]),
    (
        "ai:models:agent",
        ["ai:models:agent", "ai:models:agent:agent-1"],
        [GPT, "ai:models:agent:x", "ai:models:agent-1"],
    ),
    ("ai:actions:system:*", ["ai:actions:system:translate"], ["ai:actions:custom", "ai:actions:system"]),
    ("ai:reviews:custom", ["ai:reviews:custom"], ["ai:reviews:system:clarity"]),
    ("ai:documents:process", ["ai:documents:process"], ["ai:documents"]),
    ("models:use", ["models:use"], ["models:list", "Models:use", "ai:models:use"]),
    ("models:*", ["models:use", "models:list"], ["models", "modules:use", GPT]),
    ("scaibot:bots:*", ["scaibot:bots:read"], ["scaibot:logs"]),
]

INVALID = [
    "ai:*",
    "ai:*:read",
    "ai:con*:read",
    "ai:admin",
    "*",
    "",
    "ai",
    "ai:conversations",
    "ai:conversations:",
    "ai::read",
    "ai:models::gpt",
    "ai:models:openai:",
    "useAllFeatures",
    "*:use",
    "m*:use",
    "models:",
    "models:*:use",
    " ai:conversations:*",
    "ai:conversations:\0",
    "ai:conversations:" + "x" * 600,
]


@pytest.mark.parametrize("granted, allowed, refused", MATRIX)
def test_t_07_an_entry_grants_what_the_contract_says_and_nothing_else(
    granted: str, allowed: list[str], refused: list[str]
) -> None:
    found = Permissions.of(granted)
    assert found.granted == (granted,)
    assert found.dropped == ()
    for _ in ("asked", "asked again"):
        assert [name for name in allowed if not found.allows(name)] == []
        assert [name for name in refused if found.allows(name)] == []


@pytest.mark.parametrize("entry", INVALID)
def test_t_07_an_invalid_entry_is_dropped_and_the_others_stay(entry: str) -> None:
    found = Permissions.of(entry, "ai:reviews:custom")
    assert found.granted == ("ai:reviews:custom",)
    assert len(found.dropped) == 1
    assert found.dropped[0][1]
    assert found.allows("ai:reviews:custom")
    for name in ("ai:conversations:read", GPT, "ai:admin", "models:use", "*", entry):
        assert not found.allows(name)


@pytest.mark.parametrize("entry", INVALID)
def test_an_invalid_entry_grants_nothing_even_when_it_was_not_read_from_a_list(entry: str) -> None:
    assert not any(Permissions((entry,)).allows(name) for name in ("ai:conversations:read", "ai:conversations:", entry))


@pytest.mark.parametrize("implied", ["write", "reasoning", "context:files:pdf", "context:urls"])
def test_create_implies_the_finer_names_for_lists_that_use_none_of_them(implied: str) -> None:
    name = f"ai:conversations:{implied}"
    assert Permissions.of("ai:conversations:create").allows(name)
    assert Permissions.of("ai:conversations:create", "ai:conversations:read", GPT).allows(name)
    assert not Permissions.of("ai:conversations:read").allows(name)
    assert not Permissions.of("ai:conversations:create", "ai:conversations:context:other").allows(name)


def test_create_does_not_imply_reading_or_deleting_or_searching() -> None:
    found = Permissions.of("ai:conversations:create")
    assert not any(found.allows(f"ai:conversations:{one}") for one in ("read", "delete", "webSearch"))


def test_the_documented_full_access_set_gives_no_model_but_the_agent() -> None:
    found = Permissions.of(*FULL_ACCESS)
    wanted = ("ai:conversations:webSearch", "ai:models:agent", "ai:actions:system:a", "ai:reviews:system:b")
    assert all(found.allows(name) for name in wanted)
    assert not found.allows(GPT)


@pytest.mark.parametrize(
    "claim, shape",
    [
        ("ai:conversations:*", "is the string `ai:conversations:*`"),
        ("*", "is the string `*`"),
        (None, "is null"),
        (True, "is `true`"),
        (7, "is a number"),
        ({"useAllFeatures": True}, "is an object (with `useAllFeatures`)"),
        ({}, "is an empty object"),
        (["ai:conversations:*", 1], "is an array with a number in it"),
        (["ai:conversations:*", None], "is an array with null in it"),
        ([["ai:conversations:*"]], "is an array with an array in it"),
    ],
)
def test_s026_permissions_of_the_wrong_shape_grant_nothing_and_say_what_was_found_and_expected(
    claim: object, shape: str
) -> None:
    found = Permissions.from_claim(claim)
    assert found.granted == ()
    assert not found.allows("ai:conversations:read")
    assert shape in found.describe()
    assert "expected an array of strings" in found.describe()


@pytest.mark.parametrize("entry", ["*", "ai:admin", "ai:*"])
def test_s026_a_wildcard_for_everything_is_named_with_its_reason(entry: str) -> None:
    caller = _caller(Permissions.of(entry))
    with pytest.raises(MissingPermission) as refusal:
        caller.require("ai:conversations:create", "ai:conversations:write")
    assert f"`{entry}` (" in (refusal.value.explanation or "")
    assert "`ai:conversations:create` or `ai:conversations:write`" in (refusal.value.explanation or "")
    assert "auth.ai.permissions" in (refusal.value.action or "")
    assert refusal.value.data == {
        "missing": ["ai:conversations:create", "ai:conversations:write"],
        "dropped": [entry],
    }


def test_a_caller_with_an_api_key_is_not_told_to_change_a_token() -> None:
    with pytest.raises(MissingPermission) as refusal:
        _caller(Permissions.of("models:list"), "api_key").require("models:use")
    assert "API key" in (refusal.value.action or "")
    _caller(Permissions.of("models:list")).require("models:use", "models:list")


def test_descriptions_stay_short_whatever_was_found() -> None:
    long = Permissions.from_claim([f"bad{'x' * 400}{number}" for number in range(2000)])
    assert len(long.describe()) < 2500
    assert len(Permissions.from_claim("x" * 8000).describe()) < 500
    assert len(Permissions.from_claim({"k" * 5000: 1}).describe()) < 500


def test_many_wildcards_are_matched_in_linear_time() -> None:
    pattern = "ai:conversations:" + "*a" * 200 + "*b"
    assert not Permissions.of(pattern).allows("ai:conversations:" + "a" * 5000)


def test_equal_lists_make_equal_permissions() -> None:
    one, other = Permissions.of("models:use"), Permissions.of("models:use")
    one.allows("models:use")
    assert one == other
    assert hash(one) == hash(other)


segment = st.text("ab-.*", min_size=1, max_size=6)
plain = st.text("ab-.", min_size=1, max_size=6)


@given(st.lists(segment, min_size=1, max_size=3), st.lists(plain, min_size=1, max_size=4))
def test_matching_agrees_with_a_naive_glob_of_each_segment(pattern: list[str], name: list[str]) -> None:
    wanted = len(pattern)
    open_ended = pattern[-1] == "*"
    expected = (len(name) >= wanted if open_ended else len(name) == wanted) and all(
        fnmatch.fnmatchcase(text, glob) for glob, text in zip(pattern, name, strict=False)
    )
    permissions = Permissions.of("ai:reviews:" + ":".join(pattern))
    assert permissions.allows("ai:reviews:" + ":".join(name)) is expected


@given(st.lists(st.text(max_size=30), max_size=8), st.text(max_size=30))
def test_whatever_stands_in_a_list_nothing_unexpected_is_granted(entries: list[str], name: str) -> None:
    found = Permissions.from_claim(entries)
    assert len(found.granted) + len(found.dropped) == len(set(entries))
    found.describe()
    if found.allows(name):
        assert any(entry == name or "*" in entry for entry in found.granted)


@given(st.lists(plain.map("ai:models:{}".format), max_size=5), plain)
def test_no_list_of_model_names_grants_another_type(entries: list[str], action: str) -> None:
    assert not Permissions.of(*entries).allows(f"ai:actions:{action}")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(json_values)
def test_s026_any_shape_at_all_is_read_and_described(value: object) -> None:
    found = Permissions.from_claim(value)
    assert found.describe()
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        assert found.granted == ()


def _caller(permissions: Permissions, credential: str = "editor_token") -> Caller:
    return Caller(
        tenant_id=TenantId("t"),
        user_id=UserId("user_1"),
        subject="joe",
        credential=credential,  # type: ignore[arg-type]
        credential_id="key_1",
        permissions=permissions,
    )
