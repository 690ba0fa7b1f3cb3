"""What must hold between variables. Each check adds its problems to the values; none stops at the first."""

from typing import Any

from penstock.kit.directories import complaint, remedy, unwritable
from penstock.settings import variables as v
from penstock.settings.database import DatabaseValues
from penstock.settings.kinds import origin
from penstock.settings.secrets import not_writable
from penstock.settings.storage import storage_location
from penstock.settings.values import Values
from penstock.settings.variables import Variable

_SHORT_SECRET = 16


def check(values: Values, database: DatabaseValues, *, has_redis: bool) -> None:
    _check_workers(values, database, has_redis=has_redis)
    _check_secrets(values, database)
    _check_state_dir(values, database)
    _check_storage(values)
    _check_together(values, v.DATABASE_SSL_CERT, v.DATABASE_SSL_KEY, "Mutual TLS needs both.")
    _check_together(values, v.STORAGE_ACCESS_KEY_ID, v.STORAGE_SECRET_ACCESS_KEY, "A key needs its secret.")
    _check_redis(values)
    _check_web(values)
    _check_unsupported(values)
    _check_origins(values)
    if values.is_set(v.LICENSE_KEY):
        values.inform(v.LICENSE_KEY, "is set and ignored: Penstock needs no licence.", "You may remove it.")


def _check_workers(values: Values, database: DatabaseValues, *, has_redis: bool) -> None:
    if values[v.WORKERS] == 1:
        return
    if not has_redis:
        values.error(v.WORKERS, "is more than 1, but there is no Redis.", "Set REDIS_HOST, or WORKERS to 1.")
    if not database.is_server and not values.is_set(v.DATABASE_URL):
        fix = "Set DATABASE_DRIVER to mysql or postgres, or WORKERS to 1."
        values.error(v.WORKERS, "is more than 1, but the database is SQLite.", fix)


def _check_secrets(values: Values, database: DatabaseValues) -> None:
    management = v.ENVIRONMENTS_MANAGEMENT_SECRET_KEY
    has_one = values.is_set(v.SECRETS_ENCRYPTION_KEY) or values.is_set(management)
    if database.is_server and not has_one:
        message = "is not set, and neither is ENVIRONMENTS_MANAGEMENT_SECRET_KEY."
        fix = "Replicas on one database must share a secret: set it to the output of `openssl rand -hex 32`."
        values.error(v.SECRETS_ENCRYPTION_KEY, message, fix)
    for secret in (management, v.METRICS_TOKEN):
        if 0 < len(values[secret] or "") < _SHORT_SECRET:
            values.warn(secret, "the value is short.", f"Use {_SHORT_SECRET} characters or more.")


def _check_state_dir(values: Values, database: DatabaseValues) -> None:
    if database.is_server or values.is_set(v.DATABASE_URL):
        return
    problem = not_writable(values[v.STATE_DIR])
    if problem is not None:
        values.error(v.STATE_DIR, problem.message, problem.fix)


def _check_storage(values: Values) -> None:
    """S002: found before the first user attaches a file."""
    location = storage_location(values)
    is_reported = location.is_relative_to(values[v.STATE_DIR]) and values.is_refused(v.STATE_DIR)
    if values[v.STORAGE_DRIVER] != "filesystem" or is_reported or values.is_refused(v.STORAGE_LOCATION):
        return
    error = unwritable(location)
    if error is not None:
        fix = "set STORAGE_LOCATION to another directory, or set STORAGE_DRIVER to database, s3 or azure."
        message = complaint(location, error.strerror or str(error))
        values.error(v.STORAGE_LOCATION, message, f"Run {remedy(location)}, {fix}")


def _check_redis(values: Values) -> None:
    _check_together(values, v.REDIS_TLS_CERT, v.REDIS_TLS_KEY, "Mutual TLS needs both.")
    _check_together(values, v.REDIS_SENTINELS, v.REDIS_SENTINEL_MASTER, "Sentinel needs both.")
    certified = values.is_set(v.REDIS_TLS_CA) or values.is_set(v.REDIS_TLS_CERT)
    if certified and not (values[v.REDIS_TLS_ENABLE] or values[v.REDIS_TLS]):
        values.warn(v.REDIS_TLS_ENABLE, "is off, so the REDIS_TLS_* files are not used.", "Set it to true.")


def _check_web(values: Values) -> None:
    if values[v.WEBSEARCH_ENABLED] and not values.is_set(v.WEBSEARCH_ENDPOINT):
        values.error(
            v.WEBSEARCH_ENDPOINT,
            "is not set, but WEBSEARCH_ENABLED is true.",
            "Set it to the address of a search service (docs/editor.md says what it is asked), or turn search off.",
        )
    for headers in (v.WEBSEARCH_HEADERS, v.WEBRESOURCES_HEADERS):
        if values.text(headers).lstrip().startswith("{"):
            values.inform(headers, "is JSON, and was read as such.", "`Name: value, Other: value` is the usual form.")


def _check_unsupported(values: Values) -> None:
    """Ignoring what was meant to guard something would be unsafe (`spec/editor-api.md` O-22)."""
    for variable in (v.HOOKS, v.GUARDRAILS):
        if values.is_set(variable):
            message = "is set, and Penstock has nothing like it: what it should guard would go unguarded."
            values.error(variable, message, "Remove it, once you have decided to do without.")


def _check_together(values: Values, one: Variable[Any], two: Variable[Any], fix: str) -> None:
    for here, other in ((one, two), (two, one)):
        if values.is_set(here) and not values.is_set(other):
            values.error(other, f"is not set, but {here.name} is.", fix)


def _check_origins(values: Values) -> None:
    given = [item.strip() for item in values.text(v.ALLOWED_ORIGINS).split(",") if item.strip()]
    changed = [item for item in given if item not in values[v.ALLOWED_ORIGINS]]
    if values[v.ALLOWED_ORIGINS] and changed:
        meant = ", ".join(origin(item) for item in changed)
        values.warn(v.ALLOWED_ORIGINS, f"was read as {meant}.", "Write origins like this: no path, lower case.")
