"""Why the database cannot be used at start, in sentences that name the variable and the fix.

Nothing is concluded from lists of grants or settings: the server was asked to do the thing, and its answer is read.
"""

import os
import socket
import ssl
from collections.abc import Callable

import msgspec

from penstock.database.engine import DEFAULT_PORTS, DatabaseOptions, quoted
from penstock.database.failures import DatabaseUnavailable, causes, error_number, sqlstate

_MYSQL_PRIVILEGES = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES, LOCK TABLES"


class CannotPrepare(Exception):
    """Start-up ends here. `str()` is the whole report; `variables` are the settings it is about."""

    def __init__(self, *sentences: str, variables: tuple[str, ...] = ()) -> None:
        super().__init__(*sentences)
        self.sentences = sentences
        self.variables = variables

    def __str__(self) -> str:
        return " ".join(self.sentences)


class Diagnosis(msgspec.Struct, frozen=True):
    """`heals` is whether waiting can help: the server is starting, full, or not known by its name yet."""

    problem: CannotPrepare
    heals: bool


def diagnose(options: DatabaseOptions, error: BaseException) -> Diagnosis:
    chain = list(causes(error))
    for look in _LOOKS:
        for one in chain:
            if found := look(options, one):
                return found
    if any(isinstance(one, DatabaseUnavailable) for one in chain):
        return _heals(f"The database server at {_where(options)} is not ready: {_own_words(error)}.", "DATABASE_HOST")
    return _lasts(f"The database at {_where(options)} cannot be used: {_own_words(error)}.")


def missing_schema(options: DatabaseOptions, error: BaseException) -> CannotPrepare:
    schema, user = quoted(options.schema), quoted(options.user)
    return CannotPrepare(
        f"The schema {schema} does not exist in the database {options.database}, and {options.user} may not create it.",
        f"The server says: {_own_words(error)}.",
        f"Run once, as a user who may: CREATE SCHEMA {schema} AUTHORIZATION {user};",
        "Or set DATABASE_SCHEMA to a schema that exists.",
        variables=("DATABASE_SCHEMA", "DATABASE_USER"),
    )


def failed_migration(
    options: DatabaseOptions, revision: str, error: BaseException, held_by: list[str] | None = None
) -> CannotPrepare:
    """A missing privilege is told as such; anything else names the revision. `held_by`: who kept it waiting."""
    for one in causes(error):
        if found := _permissions(options, one):
            return found.problem
    sentences = [f"The database says: {_own_words(error)}."]
    if held_by is not None:
        listed = "; ".join(held_by) or "none that DATABASE_USER may see"
        sentences.append(f"Something else holds a lock. Open at present: {listed}. End what should not be there.")
    return CannotPrepare(
        f"The database migration {revision} failed at {_where(options)}.",
        *sentences,
        f"What the migrations before {revision} did is kept. Restarting tries {revision} again.",
    )


def unusable_tls_file(options: DatabaseOptions, error: BaseException) -> CannotPrepare:
    files = {
        "DATABASE_SSL_CA": options.ssl_ca,
        "DATABASE_SSL_CERT": options.ssl_cert,
        "DATABASE_SSL_KEY": options.ssl_key,
    }
    given = {name: path for name, path in files.items() if path}
    listed = ", ".join(f"{name}={path}" for name, path in given.items())
    return CannotPrepare(
        f"The certificates for the database cannot be used ({listed}): {error}.",
        "Each must be a readable PEM file, and the key must belong to the certificate.",
        variables=tuple(given),
    )


def _where(options: DatabaseOptions) -> str:
    if options.driver == "sqlite":
        return options.path
    return f"{options.host}:{options.port or DEFAULT_PORTS[options.driver]}"


def _own_words(error: BaseException) -> str:
    """What the driver said, which is the last of the causes that says anything, without its number or full stop."""
    said = [_text(one) for one in causes(error)]
    return next((words for words in reversed(said) if words), type(error).__name__).rstrip(". \n")


def _text(error: BaseException) -> str:
    return str(error.args[1]) if error_number(error) and len(error.args) > 1 else str(error)


def _heals(*sentences: str) -> Diagnosis:
    *told, variable = sentences
    return Diagnosis(CannotPrepare(*told, variables=(variable,)), heals=True)


def _lasts(*sentences: str, variables: tuple[str, ...] = ()) -> Diagnosis:
    return Diagnosis(CannotPrepare(*sentences, variables=variables), heals=False)


def _name(options: DatabaseOptions, error: BaseException) -> Diagnosis | None:
    if not isinstance(error, socket.gaierror):
        return None
    return _heals(
        f"DATABASE_HOST: the name {options.host} cannot be resolved ({_own_words(error)}).",
        "Most often the two containers are not on the same network, or the database's service has another name.",
        "Put both on one network (in Compose: the same `networks:` entry) and use the service's name as DATABASE_HOST.",
        "DATABASE_HOST",
    )


def _certificate(options: DatabaseOptions, error: BaseException) -> Diagnosis | None:
    if not isinstance(error, ssl.SSLError):
        return None
    return _lasts(
        f"TLS with the database at {_where(options)} failed: {_own_words(error)}.",
        "DATABASE_SSL_CA must hold the authority that signed the server's certificate, and DATABASE_HOST must be a name"
        " in that certificate.",
        variables=("DATABASE_SSL_CA", "DATABASE_HOST"),
    )


def _no_tls_there(options: DatabaseOptions, error: BaseException) -> Diagnosis | None:
    if "rejected SSL upgrade" not in str(error):
        return None
    if not (options.ssl_ca or options.ssl_cert):  # the driver asks anyway; a server without TLS would have said so
        return _lasts(
            f"What listens at {_where(options)} (DATABASE_HOST, DATABASE_PORT) is no PostgreSQL server.",
            "Check the port, or DATABASE_DRIVER: for MySQL and MariaDB it is mysql.",
            variables=("DATABASE_PORT", "DATABASE_DRIVER"),
        )
    return _lasts(
        f"The database server at {_where(options)} does not offer TLS, but DATABASE_SSL_CA asks for it.",
        "Turn TLS on at the server, or remove DATABASE_SSL_CA.",
        variables=("DATABASE_SSL_CA",),
    )


def _tls_wanted(options: DatabaseOptions, error: BaseException) -> Diagnosis | None:
    words = _text(error).lower()
    # PostgreSQL says it in the words of pg_hba.conf; MySQL and MariaDB have a number, and hosters words of their own.
    is_wanted = (
        (sqlstate(error) == "28000" and ("no encryption" in words or "ssl off" in words))
        or error_number(error) == 3159
        or "insecure transport" in words
        or "ssl connection is required" in words
    )
    if not is_wanted:
        return None
    return _lasts(
        f"The database server at {_where(options)} requires TLS and refused a connection without it.",
        f"The server says: {_own_words(error)}.",
        "Set DATABASE_SSL_CA to the file with the server's certificate authority (hosters offer it for download).",
        variables=("DATABASE_SSL_CA",),
    )


def _sign_in(options: DatabaseOptions, error: BaseException) -> Diagnosis | None:
    if sqlstate(error) not in {"28P01", "28000"} and error_number(error) not in {1045, 1698}:
        return None
    # MySQL and MariaDB answer alike to a wrong password and to a user who must come with TLS.
    may_want_tls = options.driver == "mysql" and not options.ssl_ca
    hint = ["If both are right, the server may require TLS for this user: set DATABASE_SSL_CA."] if may_want_tls else []
    return _lasts(
        f"The database server at {_where(options)} refuses DATABASE_USER {options.user} with DATABASE_PASSWORD.",
        f"The server says: {_own_words(error)}.",
        *hint,
        variables=("DATABASE_USER", "DATABASE_PASSWORD") + (("DATABASE_SSL_CA",) if may_want_tls else ()),
    )


def _no_such_database(options: DatabaseOptions, error: BaseException) -> Diagnosis | None:
    if sqlstate(error) != "3D000" and error_number(error) != 1049:
        return None
    statement = (
        f"CREATE DATABASE {quoted(options.database, '`')} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;"
        if options.driver == "mysql"
        else f"CREATE DATABASE {quoted(options.database)} OWNER {quoted(options.user)};"
    )
    return _lasts(
        f"DATABASE_DATABASE: there is no database {options.database} at {_where(options)}.",
        f"Create it: {statement}",
        variables=("DATABASE_DATABASE",),
    )


def _permissions(options: DatabaseOptions, error: BaseException) -> Diagnosis | None:
    # 3F000: a schema that we may not use is passed over silently, until nothing is left to create tables in.
    if sqlstate(error) not in {"42501", "3F000"} and error_number(error) not in {1044, 1142, 1143, 1227, 1370}:
        return None
    return _lasts(
        "Not enough permissions to access database.",
        f"The server says: {_own_words(error)}.",
        f"Run once, as an administrator: {_grant(options)}",
        variables=("DATABASE_USER",),
    )


def _grant(options: DatabaseOptions) -> str:
    if options.driver == "mysql":
        user = options.user.replace("'", "''")
        return f"GRANT {_MYSQL_PRIVILEGES} ON {quoted(options.database, '`')}.* TO '{user}'@'%';"
    return f"GRANT USAGE, CREATE ON SCHEMA {quoted(options.schema)} TO {quoted(options.user)};"


def _not_from_here(options: DatabaseOptions, error: BaseException) -> Diagnosis | None:
    if error_number(error) not in {1130, 1129}:
        return None
    return _lasts(
        f"The database server at {_where(options)} does not take connections from this host.",
        f"The server says: {_own_words(error)}.",
        f"Allow DATABASE_USER {options.user} from it, as '{options.user}'@'%' or with this host's address.",
        variables=("DATABASE_USER",),
    )


def _file(options: DatabaseOptions, error: BaseException) -> Diagnosis | None:
    if options.driver != "sqlite" or not isinstance(error, OSError):
        return None
    return _lasts(
        f"The database file {options.path} cannot be opened: {error.strerror or error}.",
        f"This process runs as user {os.getuid()}; the file and its folder must be writable for it.",
        variables=("DATABASE_DATABASE",),
    )


def _file_content(options: DatabaseOptions, error: BaseException) -> Diagnosis | None:
    kind: str = getattr(error, "sqlite_errorname", "")
    if kind == "SQLITE_NOTADB":
        return _lasts(
            f"The file {options.path} is no SQLite database: {_own_words(error)}.",
            "Restore it from a backup, move it away, or name another file with DATABASE_DATABASE.",
            variables=("DATABASE_DATABASE",),
        )
    if not kind.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")):
        return None
    return _lasts(
        f"The database file {options.path} cannot be written: {_own_words(error)}.",
        f"This process runs as user {os.getuid()}; the file and its folder must be writable for it.",
        variables=("DATABASE_DATABASE",),
    )


def _no_answer(options: DatabaseOptions, error: BaseException) -> Diagnosis | None:
    if not isinstance(error, OSError):
        return None
    if isinstance(error, ConnectionRefusedError):
        reason = "Nothing listens there: the server is not running (yet), or DATABASE_PORT is another one."
    elif isinstance(error, TimeoutError):
        reason = (
            "No answer in time: a firewall drops the packets, DATABASE_HOST is another machine, or what listens there"
            " is no such server."
        )
    else:
        reason = f"The connection failed: {_own_words(error)}."
    return _heals(f"No database server at {_where(options)} (DATABASE_HOST, DATABASE_PORT).", reason, "DATABASE_HOST")


# From the most telling to the least: a driver wraps the cause, and only one of the layers has the number.
_LOOKS: tuple[Callable[[DatabaseOptions, BaseException], Diagnosis | None], ...] = (
    _name,
    _tls_wanted,
    _no_tls_there,
    _certificate,
    _no_such_database,
    _permissions,
    _sign_in,
    _not_from_here,
    _file,
    _file_content,
    _no_answer,
)
