"""`penstock token`: make an editor token as a tenant's back end would, or explain any token."""

import sys
from typing import Annotated

import msgspec
import typer

from penstock.cli.house import open_identity
from penstock.cli.terminal import FAILED, AsJson, duration_s, print_json, run
from penstock.gateway.identity.explanation import Explanation
from penstock.gateway.identity.permissions import FULL_ACCESS

app = typer.Typer(no_args_is_help=True)

_MARKS = {True: "ok", False: "FAIL", None: "-"}


@app.command()
def mint(
    tenant: Annotated[str, typer.Option(help="Id of the tenant.")],
    user: Annotated[str, typer.Option(help="The user, as the tenant calls them: the `sub`.")],
    permission: Annotated[
        list[str] | None, typer.Option(help="May be repeated; without it, everything but single models.")
    ] = None,
    ttl: Annotated[int, typer.Option(parser=duration_s, metavar="TIME", help="Such as 900, 15m or 1h.")] = "1h",  # type: ignore[assignment]
    as_json: AsJson = False,
) -> None:
    """Make a user token, signed with the tenant's newest access key. Only the token is printed."""
    permissions = tuple(permission or FULL_ACCESS)

    async def work() -> str:
        async with open_identity() as identity:
            return await identity.mint_token(tenant, user, permissions, ttl)

    token = run(work())
    if as_json:
        about = {"tenant_id": tenant, "user": user, "permissions": list(permissions), "expires_in_s": ttl}
        print_json({"token": token, **about})
        return
    print(token)


@app.command()
def check(
    credential: Annotated[
        str, typer.Argument(metavar="TOKEN", help="A token or an API key; `-` reads it from the standard input.")
    ],
    as_json: AsJson = False,
) -> None:
    """Say what every check finds about a token. Exit code 0: it is accepted, 1: it is not."""
    text = sys.stdin.read() if credential == "-" else credential

    async def work() -> Explanation:
        async with open_identity() as identity:
            return await identity.explain_token(text)

    found = run(work())
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        _print(found)
    raise typer.Exit(0 if found.valid else FAILED)


def _print(found: Explanation) -> None:
    print(found.verdict if found.valid else f"Not accepted ({found.code}): {found.verdict}")
    width = max(len(step.name) for step in found.steps)
    for step in found.steps:
        print(f"  {_MARKS[step.passed]:4}  {step.name.ljust(width)}  {step.found}")
    if found.action:
        print(f"What to do: {found.action}")
