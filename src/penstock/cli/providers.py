"""`penstock providers`: can each provider be reached, are its keys good, does it have the models that MODELS names?

Nothing here costs anything at a provider: only lists are asked for.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
import typer

from penstock.cli import identities
from penstock.cli.terminal import FAILED, AsJson, print_json, run
from penstock.errors import NotFound
from penstock.gateway.catalog.provider_types import DEMO
from penstock.gateway.catalog.snapshot import Snapshot
from penstock.kit.clock import SystemClock
from penstock.providers.base import ProviderConfig
from penstock.providers.failures import NoUsableKey
from penstock.providers.listing import Listed, Probe, probe, unlisted
from penstock.providers.opening import open_provider_transport
from penstock.providers.provider import Providers
from penstock.providers.vendors import base_url_of
from penstock.settings import load_settings
from penstock.telemetry.logs import configure_logs

app = typer.Typer(no_args_is_help=True)

_SILENT = 60


class Checked(msgspec.Struct, frozen=True):
    """One entry. `missing` are ids of MODELS that it does not list, with the nearest name that it does."""

    config: ProviderConfig
    probes: Sequence[Probe]
    missing: Mapping[str, str | None] = {}

    @property
    def listed(self) -> Listed | None:
        """What the first key that was given a list was given."""
        return next((one.listed for one in self.probes if one.listed is not None), None)

    @property
    def deployments(self) -> Sequence[str] | None:
        """On Azure, where these names can be asked for and nothing else."""
        return self.listed.names if self.listed is not None and self.listed.of_deployments else None

    @property
    def is_good(self) -> bool:
        """A model that is not listed fails the check only where nothing else can be asked for."""
        works = all(one.failure is None and one.is_reachable for one in self.probes)
        return works and (self.deployments is None or not self.missing)


@app.callback()
def providers() -> None:
    """Check the entries of PROVIDERS."""


@app.command()
def check(
    key: Annotated[str | None, typer.Argument(metavar="[KEY]", help="Of one entry of PROVIDERS; else all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask each provider for its models, with each key. It costs nothing. Exits with 1 when one of them fails."""
    snapshot = load_settings().snapshot
    configure_logs(_SILENT)  # what goes wrong is the result
    checked = run(_check_all(snapshot, key))
    if as_json:
        print_json({"ok": all(one.is_good for one in checked), "items": [_as_json(one) for one in checked]})
    else:
        for one in checked:
            _print(one)
    if not all(one.is_good for one in checked):
        raise typer.Exit(FAILED)


async def _check_all(snapshot: Snapshot, key: str | None) -> list[Checked]:
    configs = [one for one in snapshot.providers.values() if key is None or one.key == key]
    if not configs:
        known = ", ".join(f"`{one}`" for one in snapshot.providers) or "none"
        raise NotFound(f"PROVIDERS has no entry `{key}`.", action=f"Its entries are: {known}.")
    async with aclosing(Providers(open_provider_transport, SystemClock())) as opened:
        return await asyncio.gather(*(_check(snapshot, one, opened) for one in configs))


async def _check(snapshot: Snapshot, config: ProviderConfig, opened: Providers) -> Checked:
    found = Checked(config, await probe(config, opened.of))
    if found.listed is None or config.type == DEMO:
        return found
    configured = [
        backend.upstream_model
        for model in snapshot.models
        for backend in model.backends
        if backend.provider.key == config.key
    ]
    return msgspec.structs.replace(found, missing=unlisted(config, found.listed, configured))


# --- how it is shown --------------------------------------------------------------------------------------------------


def _print(checked: Checked) -> None:
    config = checked.config
    print(f"{config.key} ({config.type}, {config.base_url.partition('?')[0]})")
    for one in checked.probes:
        print(f"  {_credential(config, one)}: {_verdict(one)}")
        for sentence in _sentences(config, one):
            print(f"    {sentence}")
    deployments = checked.deployments
    what = "model" if deployments is None else "deployment"
    for model, nearest in checked.missing.items():
        hint = f" Did you mean `{nearest}`?" if nearest else ""
        print(f"  {model}: MODELS names it, but the provider lists no such {what}.{hint}")
        if deployments is not None:
            there = ", ".join(f"`{name}`" for name in deployments[:10]) or "none"
            print(f"    On Azure the `id` in MODELS is the name of the deployment. There is: {there}.")


def _sentences(config: ProviderConfig, one: Probe) -> list[str]:
    if one.failure is not None:
        return [text for text in (one.failure.message, one.failure.explanation, one.failure.action) if text]
    usual = urlsplit(base_url_of(config.type, dict(config.details))).path
    if one.listed is None and usual and not urlsplit(config.base_url).path.endswith(usual):
        return [f"Should calls fail, too: the address of the type `{config.type}` ends in {usual}, `baseUrl` does not."]
    return []


def _credential(config: ProviderConfig, one: Probe) -> str:
    if config.api_keys:
        return f"key …{(one.key or '').removeprefix('…')}"
    if identities.uses_platform(config):
        return f"the platform's identity ({one.key})" if one.key else "the platform's identity"
    if one.key is None:
        return "without a key"
    return f"access key …{one.key}" if config.type == "bedrock" else one.key


def _verdict(one: Probe) -> str:
    if one.failure is not None:
        if isinstance(one.failure, NoUsableKey):
            return "not found"
        if one.is_accepted is False:
            return "refused"
        return "not reachable" if one.is_reachable is False else "failed"
    if one.listed is None:
        return "reachable; it has no list of models to try it with"
    count = len(one.listed.names)
    what = "deployment" if one.listed.of_deployments else "model"
    return f"good, {count} {what}{'' if count == 1 else 's'}"


def _as_json(checked: Checked) -> dict[str, Any]:
    return {
        "provider": checked.config.key,
        "type": checked.config.type,
        "base_url": checked.config.base_url.partition("?")[0],
        "ok": checked.is_good,
        "keys": [_probe_as_json(one) for one in checked.probes],
        "unlisted_models": [{"id": model, "nearest": nearest} for model, nearest in checked.missing.items()],
    }


def _probe_as_json(one: Probe) -> dict[str, Any]:
    failure = one.failure
    return {
        "key": one.key,
        "reachable": one.is_reachable,
        "accepted": one.is_accepted,
        "models": None if one.listed is None else list(one.listed.names),
        "failure": None
        if failure is None
        else {
            "code": failure.code,
            "message": failure.message,
            "explanation": failure.explanation,
            "action": failure.action,
        },
    }
