"""`penstock api-key`: keys of programs that call the gateway."""

from datetime import timedelta
from typing import Annotated

import msgspec
import typer

from penstock.cli.house import open_identity
from penstock.cli.terminal import AsJson, duration_s, print_json, print_table, run, state
from penstock.gateway.identity.records import ApiKey
from penstock.kit.clock import SystemClock, iso

app = typer.Typer(no_args_is_help=True)

OfTenant = Annotated[str, typer.Option("--tenant", help="Id of the tenant.")]


@app.command()
def create(
    tenant: OfTenant,
    name: Annotated[str, typer.Option(help="Shown to people.")] = "API key",
    user: Annotated[str | None, typer.Option(help="The user it acts for, as the tenant calls them.")] = None,
    permission: Annotated[
        list[str] | None, typer.Option(help="May be repeated; without it, `models:use` and `models:list`.")
    ] = None,
    expires_in: Annotated[
        int | None, typer.Option(parser=duration_s, metavar="TIME", help="Such as 12h or 30d; without it, never.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key. The key is shown once."""
    expires_at = None if expires_in is None else SystemClock().now() + timedelta(seconds=expires_in)

    async def work() -> tuple[ApiKey, str]:
        async with open_identity() as identity:
            return await identity.create_api_key(tenant, name, user, permission or None, expires_at)

    made, key = run(work())
    if as_json:
        print_json({**msgspec.structs.asdict(made), "key": key})
        return
    print(f"API key {made.id} of tenant {made.tenant_id} is there; it grants {', '.join(made.permissions)}.")
    print(f"Key: {key}")
    print("This is the only time the key is shown: keep it where your program reads its secrets.")


@app.command(name="list")
def list_all(tenant: OfTenant, as_json: AsJson = False) -> None:
    """List the API keys of a tenant, oldest first, revoked and expired ones too."""

    async def work() -> list[ApiKey]:
        async with open_identity() as identity:
            return await identity.api_keys(tenant)

    found = run(work())
    if as_json:
        print_json({"items": [msgspec.structs.asdict(one) for one in found]})
        return
    rows = [(one.id, one.name, f"…{one.last4}", iso(one.created_at), _state(one)) for one in found]
    print_table(rows, ("ID", "NAME", "KEY", "CREATED", "STATE"), "The tenant has no API key.")


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="Id of the API key: the 12 characters after `sgk_`.")],
    tenant: OfTenant,
    as_json: AsJson = False,
) -> None:
    """Refuse a key from now on; a running service does within a second."""

    async def work() -> ApiKey:
        async with open_identity() as identity:
            return await identity.revoke_api_key(tenant, key_id)

    revoked = run(work())
    if as_json:
        print_json(msgspec.structs.asdict(revoked))
        return
    print(f"API key {revoked.id} of tenant {revoked.tenant_id} is {state(revoked.revoked_at)}.")


def _state(key: ApiKey) -> str:
    if key.revoked_at is None and key.expires_at is not None:
        return (
            f"expired {iso(key.expires_at)}"
            if key.expires_at <= SystemClock().now()
            else f"until {iso(key.expires_at)}"
        )
    return state(key.revoked_at)
