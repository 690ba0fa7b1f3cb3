"""From the sources to the settings, or to one report of everything that is wrong."""

import os
from collections.abc import Mapping
from pathlib import Path

from penstock.gateway.catalog.documents import Refused, Source
from penstock.gateway.catalog.reading import CatalogOptions, load_catalog
from penstock.gateway.catalog.snapshot import Problem, Snapshot
from penstock.kit.secret import Secret
from penstock.settings import variables as v
from penstock.settings.checks import check
from penstock.settings.database import read_database
from penstock.settings.mcp import read_mcp
from penstock.settings.moderation import read_moderation
from penstock.settings.options import Settings, read_editor, read_limits, read_logs, read_panel, read_server, read_web
from penstock.settings.redis import read_redis
from penstock.settings.report import SettingsError
from penstock.settings.sources import Collected, collect
from penstock.settings.storage import read_storage
from penstock.settings.values import Values


def load_settings(
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
    overrides: Mapping[str, str] | None = None,
) -> Settings:
    """Read and check everything. Raises SettingsError, which holds every problem and not only the first.

    `directory` is where `.env` is looked for. `overrides` are variables that the command line sets.
    """
    collected = collect(os.environ if environ is None else environ, directory or Path.cwd(), overrides or {})
    values = Values(collected)
    database, redis = read_database(values), read_redis(values)
    storage = read_storage(values)
    check(values, database, has_redis=redis is not None)
    catalog = CatalogOptions(
        providers=_source("PROVIDERS", collected, values),
        models=_source("MODELS", collected, values),
        strict=values[v.MODELS_STRICT],
        limits=read_limits(values),
    )
    snapshot = _snapshot(catalog, values)
    lenders = snapshot.providers.values() if snapshot else None
    moderation = read_moderation(collected.documents.get("MODERATION"), lenders, values)
    mcp_servers, mcp_callback_url = read_mcp(collected.documents.get("MCP_SERVERS"), values)
    if snapshot is None or values.has_errors:
        raise SettingsError([*values.problems, *_skipped(snapshot, values)])
    management = values[v.ENVIRONMENTS_MANAGEMENT_SECRET_KEY]
    return Settings(
        server=read_server(values),
        logs=read_logs(values),
        editor=read_editor(values),
        web=read_web(values),
        panel=read_panel(values),
        moderation=moderation,
        mcp_servers=mcp_servers,
        mcp_callback_url=mcp_callback_url,
        storage=storage,
        catalog=catalog,
        snapshot=snapshot,
        redis=redis,
        allowed_origins=values[v.ALLOWED_ORIGINS],
        outbound_allow=values[v.OUTBOUND_ALLOW],
        state_dir=values[v.STATE_DIR],
        management_secret=Secret(management) if management else None,
        bootstrap=values[v.BOOTSTRAP_ENVIRONMENTS],
        encryption_keys=tuple(Secret(key) for key in values[v.SECRETS_ENCRYPTION_KEY] or ()),
        database_values=database,
        problems=tuple(values.problems),
        entries=values.entries(),
    )


def _skipped(snapshot: Snapshot | None, values: Values) -> tuple[Problem, ...]:
    """The catalog's own problems; none when a part of it was refused, because the rest then looks worse than it is."""
    parts = (v.PROVIDERS, v.PROVIDERS_FILE, v.MODELS, v.MODELS_FILE)
    is_whole = not any(values.is_refused(part) for part in parts)
    return snapshot.problems if snapshot and is_whole else ()


def _source(name: str, collected: Collected, values: Values) -> Source | None:
    """Where PROVIDERS or MODELS is read from; None also for a file that has been refused, to report it once."""
    is_refused = values.is_refused(v.PROVIDERS_FILE if name == "PROVIDERS" else v.MODELS_FILE)
    return None if is_refused else collected.documents.get(name)


def _snapshot(options: CatalogOptions, values: Values) -> Snapshot | None:
    try:
        return load_catalog(options)
    except Refused as refused:
        values.problems += refused.problems
        return None
