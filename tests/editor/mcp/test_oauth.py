"""Connecting an MCP server: discovery, registration, PKCE, refresh, and everybody who must not get in between."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from sqlalchemy import select

from penstock.editor.mcp.errors import AuthorizationFailed, InvalidState, McpServerNotFound
from penstock.editor.mcp.servers import McpServer, OAuthOptions
from penstock.editor.mcp.service import Mcp
from penstock.editor.mcp.tables import McpClientRow, McpConnectionRow
from penstock.gateway.identity.caller import Caller
from penstock.kit.secret import Secret
from tests.editor.conftest import caller
from tests.editor.mcp.conftest import BACK, Rooms, called
from tests.fakes.mcp_authority import Authority
from tests.fakes.mcp_server import McpFake, running_mcp

OAUTH = OAuthOptions(callback_url=BACK)
ANN, BOB = caller("ann"), caller("bob")

sqlite_only = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def guarded() -> Iterator[McpFake]:
    with running_mcp(authority=Authority()) as one:
        yield one


def personal(fake: McpFake, name: str = "crm", oauth: OAuthOptions = OAUTH) -> McpServer:
    return McpServer(name=name, url=fake.url, oauth=oauth)


def authority_of(fake: McpFake) -> Authority:
    assert fake.authority is not None
    return fake.authority


async def begin(mcp: Mcp, who: Caller, fake: McpFake, name: str = "crm") -> tuple[str, str]:
    """Up to where the user has agreed: code and state."""
    url = await mcp.connections.initialize(who, name)
    assert url is not None
    return authority_of(fake).authorize(url)


async def connect(mcp: Mcp, who: Caller, fake: McpFake, name: str = "crm") -> None:
    code, state = await begin(mcp, who, fake, name)
    await mcp.connections.complete(who, name, code, state)


async def names(mcp: Mcp, who: Caller) -> list[str]:
    return [tool.name for tool in (await mcp.toolbox(who)).tools]


async def is_connected(mcp: Mcp, who: Caller) -> bool:
    return (await mcp.connections.status(who))["crm"].connected


async def rows(rooms: Rooms, table: Any) -> list[Any]:
    async with rooms.database.reading() as tx:
        return list(await tx.scalars(select(table)))


# --- the whole way ---------------------------------------------------------------------------------------------------


async def test_a_user_connects_calls_and_disconnects_on_whatever_replica(rooms: Rooms, guarded: McpFake) -> None:
    one, other = (rooms.open(personal(guarded)) for _ in range(2))
    toolbox = await one.toolbox(ANN)
    assert toolbox.tools == []
    assert toolbox.notes == ["The tools of `crm` are not available: the user has not connected it."]
    code, state = await begin(one, ANN, guarded)
    assert not await is_connected(other, ANN)
    await other.connections.complete(ANN, "crm", code, state)
    status = (await one.connections.status(ANN))["crm"]
    assert status.connected
    assert status.expires_at is not None
    _, result = await called(await one.toolbox(ANN), "crm-echo", '{"text": "mine"}')
    assert result.result == "mine"
    assert await one.connections.initialize(ANN, "crm") is None
    await other.connections.disconnect(ANN, "crm")
    assert not await is_connected(one, ANN)
    assert await names(one, ANN) == []
    assert await rows(rooms, McpConnectionRow) == []
    assert authority_of(guarded).faults == []


async def test_nobody_sees_the_connection_of_another_user_or_tenant(rooms: Rooms, guarded: McpFake) -> None:
    mcp = rooms.open(personal(guarded))
    await connect(mcp, ANN, guarded)
    assert "crm-echo" in await names(mcp, ANN)
    for stranger in (BOB, caller("zoe", "other"), caller("ann", "other")):
        assert await names(mcp, stranger) == []
        assert not await is_connected(mcp, stranger)
        assert await mcp.connections.access(stranger.tenant_id, stranger.user_id, "crm") is None
    await mcp.connections.disconnect(BOB, "crm")
    assert "crm-echo" in await names(mcp, ANN)


async def test_each_user_speaks_with_a_token_of_their_own(rooms: Rooms, guarded: McpFake) -> None:
    mcp = rooms.open(personal(guarded))
    await connect(mcp, ANN, guarded)
    await called(await mcp.toolbox(ANN), "crm-echo")
    of_ann = guarded.headers["authorization"]
    await connect(mcp, BOB, guarded)
    await called(await mcp.toolbox(BOB), "crm-echo")
    of_bob = guarded.headers["authorization"]
    assert of_ann != of_bob
    await called(await mcp.toolbox(ANN), "crm-echo")
    assert guarded.headers["authorization"] == of_ann


async def test_nothing_secret_is_readable_in_the_tables_or_said_in_logs(rooms: Rooms, guarded: McpFake) -> None:
    mcp = rooms.open(personal(guarded))
    authority = authority_of(guarded)
    with structlog.testing.capture_logs() as lines:
        await connect(mcp, ANN, guarded)
        toolbox = await mcp.toolbox(ANN)
        authority.revoke()
        _, result = await called(toolbox, "crm-echo")
        authority.refuses = "invalid_grant"
        code, state = await begin(mcp, BOB, guarded)
        with pytest.raises(AuthorizationFailed) as caught:
            await mcp.connections.complete(BOB, "crm", code, state)
    error = caught.value
    kept = [row.sealed for table in (McpClientRow, McpConnectionRow) for row in await rows(rooms, table)]
    assert kept
    said = repr((lines, result, error.message, error.explanation, error.action, error.data)).encode() + b"".join(kept)
    assert not result.success
    assert [one for one in [*authority.secrets, state] if one.encode() in said] == []


# --- states ----------------------------------------------------------------------------------------------------------


@sqlite_only
async def test_a_state_is_good_for_one_use(rooms: Rooms, guarded: McpFake) -> None:
    mcp = rooms.open(personal(guarded))
    code, state = await begin(mcp, ANN, guarded)
    await mcp.connections.complete(ANN, "crm", code, state)
    asked = len(authority_of(guarded).forms)
    with pytest.raises(InvalidState):
        await mcp.connections.complete(ANN, "crm", code, state)
    assert len(authority_of(guarded).forms) == asked
    assert await is_connected(mcp, ANN)


async def test_of_two_who_complete_at_once_one_succeeds(rooms: Rooms, guarded: McpFake) -> None:
    replicas = [rooms.open(personal(guarded)) for _ in range(2)]
    code, state = await begin(replicas[0], ANN, guarded)
    works = (one.connections.complete(ANN, "crm", code, state) for one in replicas)
    found = await asyncio.gather(*works, return_exceptions=True)
    assert sorted(type(one) for one in found if one is not None) == [InvalidState]
    assert await is_connected(replicas[0], ANN)


@sqlite_only
async def test_a_state_of_another_user_tenant_or_server_is_refused_and_stays_good(
    rooms: Rooms, guarded: McpFake
) -> None:
    mcp = rooms.open(personal(guarded), personal(guarded, "other"))
    code, state = await begin(mcp, ANN, guarded)
    for who, name in ((BOB, "crm"), (caller("zoe", "other"), "crm"), (ANN, "other")):
        with pytest.raises(InvalidState):
            await mcp.connections.complete(who, name, code, state)
    await mcp.connections.complete(ANN, "crm", code, state)
    assert not await is_connected(mcp, BOB)


@sqlite_only
@pytest.mark.parametrize(("after_s", "is_good"), [(595, True), (601, False), (-60, False)])
async def test_t28_a_state_expires_after_ten_minutes(
    rooms: Rooms, guarded: McpFake, after_s: float, is_good: bool
) -> None:
    mcp = rooms.open(personal(guarded))
    code, state = await begin(mcp, ANN, guarded)
    rooms.clock.ahead_s += after_s
    if is_good:
        await mcp.connections.complete(ANN, "crm", code, state)
        return
    with pytest.raises(InvalidState) as caught:
        await mcp.connections.complete(ANN, "crm", code, state)
    assert (caught.value.status, caught.value.code) == (400, "mcp_oauth_invalid_state")


@sqlite_only
async def test_disconnecting_ends_an_authorization_that_has_begun(rooms: Rooms, guarded: McpFake) -> None:
    mcp = rooms.open(personal(guarded))
    code, state = await begin(mcp, ANN, guarded)
    await mcp.connections.disconnect(ANN, "crm")
    with pytest.raises(InvalidState):
        await mcp.connections.complete(ANN, "crm", code, state)


@sqlite_only
async def test_an_authorization_begun_twice_may_be_completed_by_either_link(rooms: Rooms, guarded: McpFake) -> None:
    mcp = rooms.open(personal(guarded))
    first = await begin(mcp, ANN, guarded)
    for _ in range(3):
        await begin(mcp, ANN, guarded)
    await mcp.connections.complete(ANN, "crm", *first)
    assert await is_connected(mcp, ANN)


@sqlite_only
async def test_a_code_of_another_authorization_server_is_not_exchanged(rooms: Rooms, guarded: McpFake) -> None:
    mcp = rooms.open(personal(guarded))
    code, state = await begin(mcp, ANN, guarded)
    with pytest.raises(AuthorizationFailed, match="another authorization server"):
        await mcp.connections.complete(ANN, "crm", code, state, "https://evil.example")
    assert authority_of(guarded).forms == []


@sqlite_only
async def test_servers_that_nobody_connects_are_not_found(rooms: Rooms, guarded: McpFake) -> None:
    mcp = rooms.open(McpServer(name="plain", url=guarded.url))
    for name in ("plain", "none"):
        with pytest.raises(McpServerNotFound):
            await mcp.connections.initialize(ANN, name)
    assert await mcp.connections.status(ANN) == {}


# --- discovery and registration --------------------------------------------------------------------------------------


@sqlite_only
async def test_w25_a_server_without_metadata_is_named_as_such(rooms: Rooms) -> None:
    with running_mcp(authority=Authority(names_metadata=False, well_known=False)) as fake:
        with pytest.raises(AuthorizationFailed) as caught:
            await rooms.open(personal(fake)).connections.initialize(ANN, "crm")
        assert caught.value.status == 502
        assert "WWW-Authenticate" in (caught.value.explanation or "")


@sqlite_only
async def test_well_known_metadata_is_found_without_a_hint(rooms: Rooms) -> None:
    with running_mcp(authority=Authority(names_metadata=False)) as fake:
        mcp = rooms.open(personal(fake))
        await connect(mcp, ANN, fake)
        assert "crm-echo" in await names(mcp, ANN)


@sqlite_only
@pytest.mark.parametrize("where", ["connect", "metadata", "register"])
async def test_w25_a_server_that_hangs_is_given_up_after_the_deadline(
    rooms: Rooms, guarded: McpFake, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.editor.mcp.connections.WITHIN_S", 0.5)
    guarded.hangs.add(where)
    authority_of(guarded).hangs.add(where)
    async with asyncio.timeout(5):
        with pytest.raises(AuthorizationFailed) as caught:
            await rooms.open(personal(guarded)).connections.initialize(ANN, "crm")
    assert caught.value.status == 502
    assert "did not answer in time" in (caught.value.explanation or "")


@sqlite_only
@pytest.mark.parametrize(
    "field", ["authorization_endpoint", "token_endpoint", "registration_endpoint", "authorization_servers"]
)
@pytest.mark.parametrize(
    "address",
    ["https://10.0.0.1/x", "https://[::1]/x", "https://169.254.169.254/x", "http://8.8.8.8/x", "http://localhost/x"],
)
async def test_nothing_is_asked_at_addresses_that_are_private_or_in_clear(
    rooms: Rooms, guarded: McpFake, field: str, address: str
) -> None:
    authority = authority_of(guarded)
    if field == "authorization_servers":
        authority.resource[field] = [address]
    else:
        authority.metadata[field] = address
    async with asyncio.timeout(5):
        with pytest.raises(AuthorizationFailed) as caught:
            await rooms.open(personal(guarded)).connections.initialize(ANN, "crm")
    assert "where we do not go" in caught.value.message


@sqlite_only
@pytest.mark.parametrize(
    ("lie", "message"),
    [
        ({"issuer": "https://other.example"}, "gives itself another name"),
        ({"code_challenge_methods_supported": ["plain"]}, "does not support PKCE"),
        ({"registration_endpoint": None}, "does not let clients register themselves"),
        ({"scopes_supported": ["x" * 300_000]}, "answered with more than"),
    ],
)
async def test_an_authorization_server_that_will_not_do_is_refused_with_the_reason(
    rooms: Rooms, guarded: McpFake, lie: dict[str, Any], message: str
) -> None:
    authority_of(guarded).metadata.update(lie)
    with pytest.raises(AuthorizationFailed, match=message):
        await rooms.open(personal(guarded)).connections.initialize(ANN, "crm")


@sqlite_only
async def test_metadata_of_another_resource_is_refused(rooms: Rooms, guarded: McpFake) -> None:
    authority_of(guarded).resource["resource"] = "https://other.example/mcp"
    with pytest.raises(AuthorizationFailed, match="another resource"):
        await rooms.open(personal(guarded)).connections.initialize(ANN, "crm")


async def test_we_register_once_for_everybody_and_every_replica(rooms: Rooms, guarded: McpFake) -> None:
    one, other = (rooms.open(personal(guarded)) for _ in range(2))
    await connect(one, ANN, guarded)
    await connect(other, BOB, guarded)
    authority = authority_of(guarded)
    assert authority.asked.count("/register") == 1
    (client,) = authority.clients.values()
    assert client["redirect_uris"] == [BACK]


@sqlite_only
async def test_a_configured_client_is_used_and_nothing_is_registered(rooms: Rooms, guarded: McpFake) -> None:
    authority = authority_of(guarded)
    authority.method = "client_secret_post"
    authority.clients["us"] = {"client_secret": "canary"}
    oauth = OAuthOptions(callback_url=BACK, client_id="us", client_secret=Secret("canary"), scopes=("read",))
    mcp = rooms.open(personal(guarded, oauth=oauth))
    url = await mcp.connections.initialize(ANN, "crm")
    assert url is not None
    assert "canary" not in url
    assert url.endswith("&scope=read")
    await mcp.connections.complete(ANN, "crm", *authority.authorize(url))
    assert authority.asked.count("/register") == 0
    assert authority.forms[0]["client_secret"] == "canary"


@sqlite_only
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "none"])
async def test_we_prove_ourselves_as_the_authorization_server_wants_it(rooms: Rooms, method: str) -> None:
    with running_mcp(authority=Authority(method=method)) as fake:
        mcp = rooms.open(personal(fake))
        await connect(mcp, ANN, fake)
        assert await is_connected(mcp, ANN)


# --- refresh ---------------------------------------------------------------------------------------------------------


async def test_a_token_is_renewed_before_it_ends_by_one_replica_only(rooms: Rooms, guarded: McpFake) -> None:
    authority = authority_of(guarded)
    authority.life_s = 600
    replicas = [rooms.open(personal(guarded)) for _ in range(2)]
    await connect(replicas[0], ANN, guarded)
    before = await replicas[0].connections.access("acme", "ann", "crm")
    rooms.clock.ahead_s += 590
    found = await asyncio.gather(*(one.connections.access("acme", "ann", "crm") for one in replicas for _ in range(3)))
    assert len(set(found)) == 1
    assert found[0] not in (None, before)
    assert [form["grant_type"] for form in authority.forms] == ["authorization_code", "refresh_token"]
    assert authority.faults == []


@sqlite_only
async def test_a_token_that_is_refused_is_renewed_in_the_middle_of_a_chat(rooms: Rooms, guarded: McpFake) -> None:
    mcp = rooms.open(personal(guarded))
    await connect(mcp, ANN, guarded)
    toolbox = await mcp.toolbox(ANN)
    authority_of(guarded).access.clear()
    _, result = await called(toolbox, "crm-echo", '{"text": "renewed"}')
    assert (result.result, result.success) == ("renewed", True)


@sqlite_only
async def test_a_connection_that_was_revoked_ends_and_says_so(rooms: Rooms, guarded: McpFake) -> None:
    mcp = rooms.open(personal(guarded))
    await connect(mcp, ANN, guarded)
    toolbox = await mcp.toolbox(ANN)
    authority_of(guarded).revoke()
    _, result = await called(toolbox, "crm-echo")
    assert not result.success
    assert "refused our access" in result.result
    assert not await is_connected(mcp, ANN)
    assert (await mcp.toolbox(ANN)).notes == ["The tools of `crm` are not available: the user has not connected it."]
    await connect(mcp, ANN, guarded)
    assert "crm-echo" in await names(mcp, ANN)


@sqlite_only
async def test_an_authorization_server_that_is_away_costs_no_connection(rooms: Rooms, guarded: McpFake) -> None:
    authority = authority_of(guarded)
    mcp = rooms.open(personal(guarded))
    await connect(mcp, ANN, guarded)
    authority.access.clear()
    authority.refuses = ""
    rooms.clock.ahead_s += 7200
    with pytest.raises(AuthorizationFailed):
        await mcp.connections.access("acme", "ann", "crm")
    assert await is_connected(mcp, ANN)
    authority.refuses = None
    assert await mcp.connections.access("acme", "ann", "crm") is not None


@sqlite_only
async def test_a_chat_that_is_cancelled_while_a_token_is_renewed_does_not_lose_it(
    rooms: Rooms, guarded: McpFake
) -> None:
    mcp = rooms.open(personal(guarded))
    await connect(mcp, ANN, guarded)
    rooms.clock.ahead_s += 7200
    renewing = asyncio.create_task(mcp.connections.access("acme", "ann", "crm"))
    while len(authority_of(guarded).forms) < 2:
        await asyncio.sleep(0.001)
    renewing.cancel()
    await asyncio.wait((renewing,))
    assert await mcp.connections.access("acme", "ann", "crm") is not None
    assert authority_of(guarded).faults == []


@sqlite_only
async def test_tokens_are_not_given_to_another_server_of_the_same_name(rooms: Rooms, guarded: McpFake) -> None:
    await connect(rooms.open(personal(guarded)), ANN, guarded)
    with running_mcp(authority=Authority()) as other:
        mcp = rooms.open(personal(other))
        assert not await is_connected(mcp, ANN)
        assert await names(mcp, ANN) == []
        assert "authorization" not in other.headers


@sqlite_only
async def test_what_was_sealed_with_a_lost_secret_counts_as_not_connected(rooms: Rooms, guarded: McpFake) -> None:
    mcp = rooms.open(personal(guarded))
    await connect(mcp, ANN, guarded)
    async with rooms.database.transaction() as tx:
        for row in await tx.scalars(select(McpConnectionRow)):
            row.sealed = b"\0" * 64
    assert not await is_connected(mcp, ANN)
    await connect(mcp, ANN, guarded)
    assert await is_connected(mcp, ANN)


async def test_the_row_of_one_user_does_not_open_as_that_of_another(rooms: Rooms, guarded: McpFake) -> None:
    mcp = rooms.open(personal(guarded))
    await connect(mcp, ANN, guarded)
    await begin(mcp, BOB, guarded)
    of_ann = next(row for row in await rows(rooms, McpConnectionRow) if row.user_id == "ann")
    async with rooms.database.transaction() as tx:
        of_bob = await tx.get(McpConnectionRow, ("acme", "bob", "crm"))
        assert of_bob is not None
        of_bob.sealed = of_ann.sealed
    assert not await is_connected(mcp, BOB)
