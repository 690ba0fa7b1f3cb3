"""`penstock access-key`: the secrets with which a tenant's back end signs its users' tokens."""

from typing import Annotated

import msgspec
import typer

from penstock.cli.house import open_identity
from penstock.cli.terminal import AsJson, print_json, print_table, run, state
from penstock.gateway.identity.records import AccessKey
from penstock.kit.clock import iso

app = typer.Typer(no_args_is_help=True)

OfTenant = Annotated[str, typer.Option("--tenant", help="Id of the tenant.")]


@app.command()
def create(
    tenant: OfTenant,
    name: Annotated[str | None, typer.Option(help="Shown to people; without it, the id.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make an access key. Its secret is shown once."""

    async def work() -> tuple[AccessKey, str]:
        async with open_identity() as identity:
            return await identity.create_access_key(tenant, name)

    made, secret = run(work())
    if as_json:
        print_json({**msgspec.structs.asdict(made), "secret": secret})
        return
    print(f"Access key {made.id} of tenant {made.tenant_id} is there.")
    print(f"Secret: {secret}")
    print("This is the only time the secret is shown: keep it where your tokens are made.")


@app.command(name="list")
def list_all(tenant: OfTenant, as_json: AsJson = False) -> None:
    """List the access keys of a tenant, oldest first, revoked ones too."""

    async def work() -> list[AccessKey]:
        async with open_identity() as identity:
            return await identity.access_keys(tenant)

    found = run(work())
    if as_json:
        print_json({"items": [msgspec.structs.asdict(one) for one in found]})
        return
    rows = [(one.id, one.name, f"…{one.hint}", iso(one.created_at), state(one.revoked_at)) for one in found]
    print_table(rows, ("ID", "NAME", "SECRET", "CREATED", "STATE"), "The tenant has no access key.")


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="Id of the access key.")],
    tenant: OfTenant,
    as_json: AsJson = False,
) -> None:
    """Refuse tokens that were signed with a key; a running service does within a second."""

    async def work() -> AccessKey:
        async with open_identity() as identity:
            return await identity.revoke_access_key(tenant, key_id)

    revoked = run(work())
    if as_json:
        print_json(msgspec.structs.asdict(revoked))
        return
    print(f"Access key {revoked.id} of tenant {revoked.tenant_id} is {state(revoked.revoked_at)}.")
