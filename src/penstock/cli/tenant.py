"""`penstock tenant`: tenants, which the editor calls environments."""

import shlex
from typing import Annotated

import msgspec
import typer

from penstock.cli.house import open_identity
from penstock.cli.terminal import AsJson, print_json, print_table, run
from penstock.gateway.identity.records import Tenant
from penstock.kit.clock import iso

app = typer.Typer(no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str | None, typer.Argument(help="Shown to people; without it, the id.")] = None,
    tenant_id: Annotated[
        str | None, typer.Option("--id", help="1 to 64 characters, the `aud` of its tokens; without it, a new one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a tenant. It is complete at once; user tokens need an access key too."""

    async def work() -> Tenant:
        async with open_identity() as identity:
            return await identity.create_tenant(name, tenant_id)

    made = run(work())
    if as_json:
        print_json(msgspec.structs.asdict(made))
        return
    print(f"Tenant {made.id} ({made.name}) is there.")
    print(f"Next: penstock access-key create --tenant {shlex.quote(made.id)}")


@app.command(name="list")
def list_all(as_json: AsJson = False) -> None:
    """List the tenants, oldest first."""

    async def work() -> list[Tenant]:
        async with open_identity() as identity:
            return await identity.tenants()

    found = run(work())
    if as_json:
        print_json({"items": [msgspec.structs.asdict(one) for one in found]})
        return
    rows = [(one.id, one.name, iso(one.created_at)) for one in found]
    print_table(rows, ("ID", "NAME", "CREATED"), "There is no tenant yet. Make one with `penstock tenant create`.")
