"""DATABASE_*, or DATABASE_URL in place of most of them."""

from typing import TYPE_CHECKING, Literal
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from penstock.kit.secret import Secret
from penstock.settings import variables as v
from penstock.settings.values import Values

if TYPE_CHECKING:
    from penstock.database.engine import DatabaseOptions

_REPLACED_BY_URL = (
    v.DATABASE_DRIVER,
    v.DATABASE_HOST,
    v.DATABASE_PORT,
    v.DATABASE_USER,
    v.DATABASE_PASSWORD,
    v.DATABASE_DATABASE,
)
_OF_SERVERS = (v.DATABASE_HOST, v.DATABASE_PORT, v.DATABASE_USER, v.DATABASE_PASSWORD)
_SCHEMES: dict[str, Literal["sqlite", "mysql", "postgres"]] = {
    "sqlite": "sqlite",
    "mysql": "mysql",
    "mariadb": "mysql",
    "postgres": "postgres",
    "postgresql": "postgres",
}
_URL_SHAPE = (
    "Expected postgres://user:password@host:5432/name, mysql://… or sqlite:///path; escape `@/:%` in a password."
)


class DatabaseValues(msgspec.Struct, frozen=True, kw_only=True):
    """What `DatabaseOptions` is made of; a struct of ours, because importing that one imports SQLAlchemy."""

    driver: Literal["sqlite", "mysql", "postgres"]
    path: str = ""
    host: str = ""
    port: int | None = None
    user: str = ""
    password: Secret = Secret("")
    database: str = ""
    schema: str = ""
    ssl_ca: str | None = None
    ssl_cert: str | None = None
    ssl_key: str | None = None

    @property
    def is_server(self) -> bool:
        return self.driver != "sqlite"

    def options(self) -> "DatabaseOptions":
        from penstock.database.engine import DatabaseOptions

        return DatabaseOptions(**msgspec.structs.asdict(self))


def read_database(values: Values) -> DatabaseValues:
    base = _from_url(values) if values.is_set(v.DATABASE_URL) else _from_variables(values)
    cert, key = values[v.DATABASE_SSL_CERT], values[v.DATABASE_SSL_KEY]
    return msgspec.structs.replace(
        base,
        schema=values[v.DATABASE_SCHEMA],
        ssl_ca=_text(values[v.DATABASE_SSL_CA]),
        ssl_cert=_text(cert),
        ssl_key=_text(key),
    )


def _from_variables(values: Values) -> DatabaseValues:
    driver = values[v.DATABASE_DRIVER]
    if driver == "sqlite":
        _refuse_server_variables(values)
        return DatabaseValues(driver="sqlite", path=values[v.DATABASE_DATABASE] or _default_path(values))
    for variable in (v.DATABASE_HOST, v.DATABASE_USER, v.DATABASE_DATABASE):
        if not values.is_set(variable):
            values.error(variable, "is not set.", f"The driver {driver} needs it. {variable.sentence}")
    return DatabaseValues(
        driver="mysql" if driver == "mysql" else "postgres",
        host=values[v.DATABASE_HOST] or "",
        port=values[v.DATABASE_PORT],
        user=values[v.DATABASE_USER] or "",
        password=Secret(values[v.DATABASE_PASSWORD] or ""),
        database=values[v.DATABASE_DATABASE] or "",
    )


def _refuse_server_variables(values: Values) -> None:
    given = [variable.name for variable in _OF_SERVERS if values.text(variable)]
    if not given:
        return
    if values.is_set(v.DATABASE_DRIVER):
        values.warn(
            v.DATABASE_DRIVER, f"is sqlite, which has no use for {', '.join(given)}.", "Remove what is not needed."
        )
    else:
        values.error(
            v.DATABASE_DRIVER,
            f"is not set, although a database server is described: {', '.join(given)}.",
            "Set it to mysql or postgres.",
        )


def _default_path(values: Values) -> str:
    return str(values[v.STATE_DIR] / "penstock.db")


def _from_url(values: Values) -> DatabaseValues:
    for variable in _REPLACED_BY_URL:
        if values.is_set(variable):
            values.error(variable, "is set, and so is DATABASE_URL.", "Keep one of the two.")
    try:
        parts = urlsplit(values[v.DATABASE_URL] or "")
        found = _read_url(parts, values)
    except ValueError:
        found = None
    if found is None:
        values.error(v.DATABASE_URL, "the value is not the address of a database.", _URL_SHAPE)
        return DatabaseValues(driver="sqlite", path=_default_path(values))
    if parts.query:
        fix = "Use DATABASE_SCHEMA, DATABASE_SSL_CA, DATABASE_SSL_CERT and DATABASE_SSL_KEY."
        values.warn(v.DATABASE_URL, "the options behind the question mark are ignored.", fix)
    return found


def _read_url(parts: SplitResult, values: Values) -> DatabaseValues | None:
    # `postgresql+asyncpg://` is how SQLAlchemy writes it: what follows the plus is ours to choose.
    driver = _SCHEMES.get(parts.scheme.partition("+")[0])
    name = unquote(parts.path.removeprefix("/"))
    if driver == "sqlite":
        return DatabaseValues(driver="sqlite", path=name or _default_path(values)) if not parts.netloc else None
    if driver is None or not parts.hostname or not name:
        return None
    return DatabaseValues(
        driver=driver,
        host=parts.hostname,
        port=parts.port,
        user=unquote(parts.username or ""),
        password=Secret(unquote(parts.password or "")),
        database=name,
    )


def _text(path: object) -> str | None:
    return None if path is None else str(path)
