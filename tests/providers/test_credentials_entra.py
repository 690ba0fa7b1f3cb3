"""Azure without keys: which identity of the workload is asked for a token, and in which order."""

import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from penstock.providers.base import ProviderConfig
from penstock.providers.credentials.base import Authorizer
from penstock.providers.credentials.opening import open_authorizers
from penstock.providers.failures import CredentialsRefused, NoUsableKey, Unreachable
from penstock.providers.transport.base import Origin, Request
from penstock.providers.transport.drivers import open_transport
from tests.coordination.clock import MovableClock
from tests.fakes.clouds import CANARY, Clouds, Reply, clouds

Open = Callable[[], Authorizer]

_VARIABLES = """
AZURE_FEDERATED_TOKEN_FILE AZURE_TENANT_ID AZURE_CLIENT_ID AZURE_AUTHORITY_HOST IDENTITY_ENDPOINT IDENTITY_HEADER
""".split()  # noqa: SIM905


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clouds]:
    with clouds() as found:
        for name in _VARIABLES:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", found.url)
        yield found


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def opened(machine: Clouds, clock: MovableClock) -> AsyncIterator[Open]:
    transport = open_transport()
    config = ProviderConfig(key="mine", type="azure", name="mine", base_url=f"{machine.url}/openai")
    yield lambda: open_authorizers("entra", config, transport, clock)[0]
    await transport.aclose()


@pytest.fixture
def workload(machine: Clouds, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    file = tmp_path / "federated"
    file.write_text("canary-federated\n")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(file))
    monkeypatch.setenv("AZURE_TENANT_ID", "the/tenant")
    monkeypatch.setenv("AZURE_CLIENT_ID", "11112222-3333-4444-5555-666677778888")
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", f"{machine.url}/")
    return file


async def token_of(identity: Authorizer) -> str:
    sent = await identity.authorize(Request(b"POST", Origin("http", "h", 80), b"/", ()))
    return dict(sent.headers)[b"authorization"].decode().removeprefix("Bearer ")


async def test_a_workload_identity_comes_first(
    machine: Clouds, opened: Open, workload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{machine.url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "canary-header")
    identity = opened()
    assert await token_of(identity) == f"{CANARY}1"
    assert [one.path for one in machine.seen] == ["/the%2Ftenant/oauth2/v2.0/token"]
    assert identity.hint == "client …8888"


async def test_a_refused_workload_identity_is_not_replaced_by_the_machines(
    machine: Clouds, opened: Open, workload: Path
) -> None:
    workload.write_text("another")
    with pytest.raises(CredentialsRefused, match="AADSTS700213") as caught:
        await token_of(opened())
    assert not opened().refused(caught.value)  # it was not the provider who refused
    assert len(machine.seen) == 1


async def test_app_service_gives_its_identity_until_it_ends(
    machine: Clouds, opened: Open, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{machine.url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "canary-header")
    monkeypatch.setenv("AZURE_CLIENT_ID", "the-client")
    identity = opened()
    assert await token_of(identity) == f"{CANARY}1"
    query = {"api-version": "2019-08-01", "resource": "https://cognitiveservices.azure.com", "client_id": "the-client"}
    assert machine.seen[0].query == query
    clock.move(3500)
    assert await token_of(identity) == f"{CANARY}1"
    clock.move(200)
    assert await token_of(identity) == f"{CANARY}2"


async def test_a_line_feed_behind_the_header_of_app_service_does_no_harm(
    machine: Clouds, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{machine.url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "canary-header\n")
    assert await token_of(opened()) == f"{CANARY}1"


async def test_a_header_of_app_service_that_cannot_be_sent_is_shown_to_nobody(
    machine: Clouds, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{machine.url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "canary\nheader")
    with pytest.raises(Unreachable) as caught:
        await token_of(opened())
    assert "canary" not in "".join(traceback.format_exception(caught.value))


async def test_an_assertion_that_entra_repeats_is_masked(machine: Clouds, opened: Open, workload: Path) -> None:
    why = "AADSTS700213: No matching identity for canary-federated."
    machine.refusals.append(Reply(401, {"error": "invalid_client", "error_description": why}))
    with pytest.raises(CredentialsRefused, match=r"invalid_client: AADSTS700213: No matching identity for \*\*\*\."):
        await token_of(opened())


@pytest.mark.parametrize("variable", ["AZURE_AUTHORITY_HOST", "IDENTITY_ENDPOINT"])
@pytest.mark.parametrize("address", ["http://[half", "http://10.0.0.1", "nowhere"])
async def test_an_identity_is_asked_for_at_no_address_that_others_could_read(
    opened: Open, workload: Path, monkeypatch: pytest.MonkeyPatch, variable: str, address: str
) -> None:
    monkeypatch.setenv("IDENTITY_HEADER", "canary-header")
    if variable == "IDENTITY_ENDPOINT":
        monkeypatch.delenv("AZURE_TENANT_ID")
    monkeypatch.setenv(variable, address)
    with pytest.raises(Unreachable, match=r"A token (?:is not|cannot be) asked for"):
        await token_of(opened())


async def test_the_machines_own_identity_comes_last(machine: Clouds, opened: Open) -> None:
    assert await token_of(opened()) == f"{CANARY}1"
    (asked,) = machine.seen
    assert asked.path == "/metadata/identity/oauth2/token"
    assert asked.query == {"api-version": "2018-02-01", "resource": "https://cognitiveservices.azure.com/"}


async def test_s041_without_any_identity_the_error_lists_what_was_tried(machine: Clouds, opened: Open) -> None:
    machine.has_metadata = False
    with pytest.raises(NoUsableKey) as caught:
        await token_of(opened())
    message = caught.value.message
    assert message.startswith("NoValidApiKeysFoundError: ")
    names = ("workload identity", "AZURE_TENANT_ID", "App Service", "IDENTITY_ENDPOINT", "instance metadata")
    places = [message.index(name) for name in names]
    assert places == sorted(places)


async def test_a_token_that_the_provider_refuses_is_fetched_again(machine: Clouds, opened: Open) -> None:
    identity = opened()
    await token_of(identity)
    error = CredentialsRefused("expired")
    error.upstream_status = 401
    assert identity.refused(error)
    assert await token_of(identity) == f"{CANARY}2"
