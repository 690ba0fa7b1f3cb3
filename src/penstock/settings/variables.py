"""Every environment variable, in one table. The documentation, the reports and `penstock config` are made from it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, overload

from penstock.settings.kinds import (
    ADDRESS,
    CLUSTER_NODES,
    DECLARED_TENANTS,
    DIRECTORY,
    ENCRYPTION_KEYS,
    FILE,
    FLAG,
    HEADERS,
    JSON_TEXT,
    LOG_LEVEL,
    NETWORKS,
    ORIGINS,
    PORT_NUMBER,
    SENTINELS,
    TEXT,
    Kind,
    choice,
    seconds,
    whole,
)

T = TypeVar("T")

GROUPS = {
    "service": "The service",
    "models": "Providers and models",
    "secrets": "Secrets",
    "database": "Database",
    "redis": "Redis",
    "storage": "Storage of files",
    "web": "Web pages and web search",
    "tools": "Tools (MCP)",
    "moderation": "Moderation",
    "panel": "The panel",
    "limits": "Time and size limits, and streams",
    "logs": "Logs",
}


@dataclass(frozen=True, eq=False)
class Variable(Generic[T]):
    """`default` is None for "unset". A `secret` is never shown, not even in part."""

    name: str
    group: str
    kind: Kind[Any]
    default: T
    sentence: str
    unit: str | None = None
    secret: bool = False


_STORAGE_DRIVERS: dict[str, Literal["database", "filesystem", "s3", "azure"]] = {
    "database": "database",
    "filesystem": "filesystem",
    "s3": "s3",
    "azure": "azure",
}
_IP_FAMILIES: dict[str, Literal[4, 6]] = {"4": 4, "6": 6}
_TABLE: list[Variable[Any]] = []


@overload
def _variable(
    name: str, group: str, kind: Kind[T], sentence: str, *, default: T, unit: str | None = None, secret: bool = False
) -> Variable[T]: ...
@overload
def _variable(
    name: str, group: str, kind: Kind[T], sentence: str, *, unit: str | None = None, secret: bool = False
) -> Variable[T | None]: ...
def _variable(
    name: str,
    group: str,
    kind: Kind[Any],
    sentence: str,
    *,
    default: Any = None,
    unit: str | None = None,
    secret: bool = False,
) -> Variable[Any]:
    variable = Variable(name, group, kind, default, sentence, unit, secret)
    _TABLE.append(variable)
    return variable


HOST = _variable(
    "HOST", "service", TEXT, "Address to listen on; in a container it must be `0.0.0.0`.", default="127.0.0.1"
)
PORT = _variable("PORT", "service", PORT_NUMBER, "Port to listen on.", default=8000)
WORKERS = _variable(
    "WORKERS",
    "service",
    whole(1, 256),
    "Processes that serve; more than one needs Redis and a server database.",
    default=1,
)
STATE_DIR = _variable(
    "STATE_DIR",
    "service",
    DIRECTORY,
    "Directory for what this service keeps on disk: the SQLite database, the generated secret.",
    default=Path("data"),
)
ALLOWED_ORIGINS = _variable(
    "ALLOWED_ORIGINS",
    "service",
    ORIGINS,
    "Origins whose pages may call this service from a browser; unset: none, `*`: every one.",
    default=(),
)
OUTBOUND_ALLOW = _variable(
    "OUTBOUND_ALLOW",
    "service",
    NETWORKS,
    "Private networks that users' links (images, web pages, MCP servers) may lead to all the same; unset: none.",
    default=(),
)
CS_CONFIG_PATH = _variable(
    "CS_CONFIG_PATH",
    "service",
    FILE,
    "A JSON file that holds every option in place of the environment: one object, keys in lower case.",
)
LICENSE_KEY = _variable(
    "LICENSE_KEY", "service", TEXT, "Accepted and ignored: no licence is needed, and none is checked.", secret=True
)

PROVIDERS = _variable(
    "PROVIDERS",
    "models",
    JSON_TEXT,
    "The accounts and endpoints that models are called at; unset: a built-in demo provider.",
    secret=True,
)
PROVIDERS_FILE = _variable(
    "PROVIDERS_FILE",
    "models",
    FILE,
    "A file with the JSON of `PROVIDERS`; it is watched, and a change takes effect without a restart.",
)
MODELS = _variable("MODELS", "models", JSON_TEXT, "The models that callers may ask for, in the order they are listed.")
MODELS_FILE = _variable(
    "MODELS_FILE",
    "models",
    FILE,
    "A file with the JSON of `MODELS`; it is watched, and a change takes effect without a restart.",
)
MODELS_STRICT = _variable(
    "MODELS_STRICT",
    "models",
    FLAG,
    "Refuse to start when an entry of `MODELS` names a provider that does not exist.",
    default=False,
)

ENVIRONMENTS_MANAGEMENT_SECRET_KEY = _variable(
    "ENVIRONMENTS_MANAGEMENT_SECRET_KEY",
    "secrets",
    TEXT,
    "Opens the panel, the management API and `/health/ready?detail`. Without `SECRETS_ENCRYPTION_KEY`, secrets are "
    "sealed with what is derived from it. It never signs user tokens.",
    secret=True,
)
SECRETS_ENCRYPTION_KEY = _variable(
    "SECRETS_ENCRYPTION_KEY",
    "secrets",
    ENCRYPTION_KEYS,
    "Seals the secrets that are kept in the database. Several keys: the first one seals, all of them open. "
    "Unset: derived from `ENVIRONMENTS_MANAGEMENT_SECRET_KEY`, or with SQLite from a generated file.",
    secret=True,
)

BOOTSTRAP_ENVIRONMENTS = _variable(
    "BOOTSTRAP_ENVIRONMENTS",
    "secrets",
    DECLARED_TENANTS,
    "Environments that are made at every start when they are missing, with their access keys.",
    default=(),
    secret=True,
)

DATABASE_DRIVER = _variable(
    "DATABASE_DRIVER",
    "database",
    choice({"sqlite": "sqlite", "mysql": "mysql", "postgres": "postgres"}),
    "Which database keeps what outlives a restart.",
    default="sqlite",
)
DATABASE_URL = _variable(
    "DATABASE_URL",
    "database",
    TEXT,
    "All of it in one address, in place of the driver, host, port, user, password and database: "
    "`postgres://user:password@host:5432/name`.",
    secret=True,
)
DATABASE_HOST = _variable("DATABASE_HOST", "database", TEXT, "Host of the database server.")
DATABASE_PORT = _variable(
    "DATABASE_PORT", "database", PORT_NUMBER, "Port of the database server; unset: 3306 for mysql, 5432 for postgres."
)
DATABASE_USER = _variable("DATABASE_USER", "database", TEXT, "User of the database server.")
DATABASE_PASSWORD = _variable("DATABASE_PASSWORD", "database", TEXT, "Password of that user.", secret=True)
DATABASE_DATABASE = _variable(
    "DATABASE_DATABASE",
    "database",
    TEXT,
    "Name of the database; with sqlite the path of its file, unset: `penstock.db` in `STATE_DIR`.",
)
DATABASE_SCHEMA = _variable(
    "DATABASE_SCHEMA",
    "database",
    TEXT,
    "PostgreSQL schema of our tables; it is created when it is missing.",
    default="cs-on-premises",
)
DATABASE_SSL_CA = _variable(
    "DATABASE_SSL_CA", "database", FILE, "Certificate authority of the server; setting it turns verified TLS on."
)
DATABASE_SSL_CERT = _variable("DATABASE_SSL_CERT", "database", FILE, "Our certificate, for mutual TLS.")
DATABASE_SSL_KEY = _variable("DATABASE_SSL_KEY", "database", FILE, "The key of that certificate.")

REDIS_HOST = _variable(
    "REDIS_HOST", "redis", TEXT, "Host of Redis or Valkey; unset, and no cluster or sentinels: coordination in process."
)
REDIS_PORT = _variable("REDIS_PORT", "redis", PORT_NUMBER, "Port of Redis.", default=6379)
REDIS_USER = _variable("REDIS_USER", "redis", TEXT, "ACL user of Redis.")
REDIS_PASSWORD = _variable("REDIS_PASSWORD", "redis", TEXT, "Password of Redis.", secret=True)
REDIS_DB = _variable("REDIS_DB", "redis", whole(0, 1_000_000), "Number of the Redis database.", default=1)
REDIS_KEY_PREFIX = _variable(
    "REDIS_KEY_PREFIX",
    "redis",
    TEXT,
    "What every key begins with; tells installations on one Redis apart.",
    default="penstock:",
)
REDIS_IP_FAMILY = _variable(
    "REDIS_IP_FAMILY", "redis", choice(_IP_FAMILIES), "Connect over this IP version only; unset: both."
)
REDIS_TLS_ENABLE = _variable("REDIS_TLS_ENABLE", "redis", FLAG, "Speak TLS with Redis.", default=False)
REDIS_TLS = _variable("REDIS_TLS", "redis", FLAG, "Another spelling of `REDIS_TLS_ENABLE`.", default=False)
REDIS_TLS_CA = _variable("REDIS_TLS_CA", "redis", FILE, "Certificate authority of Redis; unset: the system's.")
REDIS_TLS_CERT = _variable("REDIS_TLS_CERT", "redis", FILE, "Our certificate, for mutual TLS.")
REDIS_TLS_KEY = _variable("REDIS_TLS_KEY", "redis", FILE, "The key of that certificate.")
REDIS_CLUSTER_NODES = _variable(
    "REDIS_CLUSTER_NODES",
    "redis",
    CLUSTER_NODES,
    "Nodes of a Redis Cluster, `host:port[:password]` each; then `REDIS_HOST` is ignored.",
    default=(),
    secret=True,
)
REDIS_DISABLE_DNS_LOOKUP = _variable(
    "REDIS_DISABLE_DNS_LOOKUP",
    "redis",
    FLAG,
    "Use the names that the cluster announces as they are, which TLS clusters need.",
    default=False,
)
REDIS_SENTINELS = _variable(
    "REDIS_SENTINELS", "redis", SENTINELS, "Sentinels, `host:port[:password]` each.", default=(), secret=True
)
REDIS_SENTINEL_MASTER = _variable("REDIS_SENTINEL_MASTER", "redis", TEXT, "Name of the master that Sentinel watches.")

STORAGE_DRIVER = _variable(
    "STORAGE_DRIVER",
    "storage",
    choice(_STORAGE_DRIVERS),
    "Where the files that users attach are kept.",
    default="filesystem",
)
STORAGE_LOCATION = _variable(
    "STORAGE_LOCATION",
    "storage",
    DIRECTORY,
    "Directory of the driver `filesystem`; unset: `files` in `STATE_DIR`.",
)
STORAGE_REGION = _variable("STORAGE_REGION", "storage", TEXT, "Region of the S3 bucket.")
STORAGE_BUCKET = _variable("STORAGE_BUCKET", "storage", TEXT, "Name of the S3 bucket.")
STORAGE_ACCESS_KEY_ID = _variable(
    "STORAGE_ACCESS_KEY_ID",
    "storage",
    TEXT,
    "Access key of the S3 bucket; unset: the platform's own credentials (role, container, web identity).",
)
STORAGE_SECRET_ACCESS_KEY = _variable(
    "STORAGE_SECRET_ACCESS_KEY", "storage", TEXT, "The secret of that access key.", secret=True
)
STORAGE_ACCOUNT_NAME = _variable("STORAGE_ACCOUNT_NAME", "storage", TEXT, "Name of the Azure storage account.")
STORAGE_ACCOUNT_KEY = _variable(
    "STORAGE_ACCOUNT_KEY",
    "storage",
    TEXT,
    "Key of that account; unset: the platform's own identity (managed or workload identity).",
    secret=True,
)
STORAGE_CONTAINER = _variable("STORAGE_CONTAINER", "storage", TEXT, "Name of the Azure container.")
STORAGE_ENDPOINT = _variable(
    "STORAGE_ENDPOINT", "storage", TEXT, "Address of a store that is compatible with S3 or Azure; unset: the cloud's."
)
STORAGE_PREFIX = _variable(
    "STORAGE_PREFIX",
    "storage",
    TEXT,
    "What every key in a bucket or container begins with; tells installations in one bucket apart.",
    default="",
)

WEBRESOURCES_ENABLED = _variable(
    "WEBRESOURCES_ENABLED", "web", FLAG, "Let users attach web pages by their address.", default=False
)
WEBRESOURCES_ENDPOINT = _variable(
    "WEBRESOURCES_ENDPOINT",
    "web",
    ADDRESS,
    "A scraper that web pages are read through; unset: Penstock fetches them itself, without running scripts.",
)
WEBRESOURCES_HEADERS = _variable(
    "WEBRESOURCES_HEADERS", "web", HEADERS, "Headers sent to that scraper.", default=(), secret=True
)
WEBRESOURCES_REQUEST_TIMEOUT = _variable(
    "WEBRESOURCES_REQUEST_TIMEOUT",
    "web",
    whole(100, 600_000),
    "How long reading one web page may take.",
    default=30_000,
    unit="ms",
)
WEBRESOURCES_ALLOW_PRIVATE = _variable(
    "WEBRESOURCES_ALLOW_PRIVATE",
    "web",
    FLAG,
    "Let users attach pages of private networks too; without it, those of `OUTBOUND_ALLOW` only.",
    default=False,
)
WEBSEARCH_ENABLED = _variable(
    "WEBSEARCH_ENABLED", "web", FLAG, "Offer web search to models whose entry allows it.", default=False
)
WEBSEARCH_ENDPOINT = _variable("WEBSEARCH_ENDPOINT", "web", ADDRESS, "The service that searches the web for models.")
WEBSEARCH_HEADERS = _variable(
    "WEBSEARCH_HEADERS", "web", HEADERS, "Headers sent to that service.", default=(), secret=True
)
WEBSEARCH_REQUEST_TIMEOUT = _variable(
    "WEBSEARCH_REQUEST_TIMEOUT", "web", whole(100, 600_000), "How long one search may take.", default=10_000, unit="ms"
)

MCP_SERVERS = _variable(
    "MCP_SERVERS",
    "tools",
    JSON_TEXT,
    "MCP servers whose tools models may use in conversations: an object, keyed by the server's name.",
    secret=True,
)
MCP_OAUTH_CALLBACK_URL = _variable(
    "MCP_OAUTH_CALLBACK_URL",
    "tools",
    ADDRESS,
    "Page of your application that users come back to after they have connected an MCP server.",
)

MODERATION = _variable(
    "MODERATION",
    "moderation",
    JSON_TEXT,
    "Screen what users send, by OpenAI or by a service of your own; unset: nothing is screened or sent anywhere.",
    secret=True,
)
HOOKS = _variable(
    "HOOKS", "moderation", JSON_TEXT, "Not supported: Penstock refuses to start while it is set.", secret=True
)
GUARDRAILS = _variable(
    "GUARDRAILS", "moderation", JSON_TEXT, "Not supported: Penstock refuses to start while it is set.", secret=True
)

PANEL_ALLOWED_CIDRS = _variable(
    "PANEL_ALLOWED_CIDRS",
    "panel",
    NETWORKS,
    "Networks from which the panel and the management API answer; unset: all.",
    default=(),
)
TRUSTED_PROXIES = _variable(
    "TRUSTED_PROXIES",
    "panel",
    NETWORKS,
    "Networks of your reverse proxies. From them, and from nobody else, `X-Forwarded-For` says who is there; unset: "
    "nobody is believed.",
    default=(),
)
APPLICATION_EXTERNAL_ENDPOINT = _variable(
    "APPLICATION_EXTERNAL_ENDPOINT",
    "panel",
    ADDRESS,
    "Scheme and host under which users reach this service, for the panel and the documentation; unset: taken from the "
    "request.",
)

LLM_TIMEOUT_MS = _variable(
    "LLM_TIMEOUT_MS",
    "limits",
    whole(100, 3_600_000),
    "How long a model may take until its answer begins.",
    default=180_000,
    unit="ms",
)
LLM_IDLE_TIMEOUT_MS = _variable(
    "LLM_IDLE_TIMEOUT_MS",
    "limits",
    whole(100, 3_600_000),
    "How long a model may be silent within its answer.",
    default=90_000,
    unit="ms",
)
LLM_CONNECT_TIMEOUT_MS = _variable(
    "LLM_CONNECT_TIMEOUT_MS",
    "limits",
    whole(100, 600_000),
    "How long connecting to a provider may take: name resolution, TCP and TLS together.",
    default=10_000,
    unit="ms",
)
STREAM_MAX_SECONDS = _variable(
    "STREAM_MAX_SECONDS", "limits", seconds(1, 86_400), "Longest stream to an editor.", default=300.0, unit="s"
)
SSE_KEEPALIVE_SECONDS = _variable(
    "SSE_KEEPALIVE_SECONDS",
    "limits",
    seconds(0.1, 3_600),
    "Silence in a stream after which a comment is sent, so that proxies keep it open.",
    default=15.0,
    unit="s",
)
CONVERSATION_LOCK_WAIT_MS = _variable(
    "CONVERSATION_LOCK_WAIT_MS",
    "limits",
    whole(0, 600_000),
    "How long a message waits for the previous one of its conversation before it is refused.",
    default=5_000,
    unit="ms",
)
SHUTDOWN_GRACE_SECONDS = _variable(
    "SHUTDOWN_GRACE_SECONDS",
    "limits",
    seconds(0, 86_400),
    "How long running streams may go on after the service was told to stop.",
    default=290.0,
    unit="s",
)
STARTUP_RETRY_SECONDS = _variable(
    "STARTUP_RETRY_SECONDS",
    "limits",
    seconds(0, 86_400),
    "How long the database and Redis are tried again at start before giving up.",
    default=60.0,
    unit="s",
)
CONVERSATION_RETENTION_DAYS = _variable(
    "CONVERSATION_RETENTION_DAYS",
    "limits",
    whole(1, 36_500),
    "Conversations that nobody has touched for so long are deleted; unset: never.",
    unit="days",
)
MAX_UPLOAD_BYTES = _variable(
    "MAX_UPLOAD_BYTES",
    "limits",
    whole(1_024, 1_073_741_824),
    "Largest upload of one file, with its form, whatever a model would take.",
    default=50 * 1024 * 1024,
    unit="bytes",
)
SSE_DONE_EVENT = _variable(
    "SSE_DONE_EVENT", "limits", FLAG, "End good streams of the editor surface with the event `done`.", default=True
)
SSE_LEGACY_TOOL_EVENTS = _variable(
    "SSE_LEGACY_TOOL_EVENTS",
    "limits",
    FLAG,
    "Send the events `tool-call` and `tool-result` of older clients too.",
    default=False,
)
CHAT_ERROR_AS_TEXT = _variable(
    "CHAT_ERROR_AS_TEXT",
    "limits",
    FLAG,
    "Put a short sentence into the chat when an answer fails before its first word; editors show errors without words.",
    default=False,
)
MAX_BODY_BYTES = _variable(
    "MAX_BODY_BYTES",
    "limits",
    whole(1_024, 1_073_741_824),
    "Largest JSON body that is accepted.",
    default=20 * 1024 * 1024,
    unit="bytes",
)

LOG_LEVEL_ = _variable(
    "LOG_LEVEL",
    "logs",
    LOG_LEVEL,
    "Lines below this level are not written: 10 trace, 20 debug, 30 info, 40 warn, 50 error, 60 fatal.",
    default=40,
)
ENABLE_METRIC_LOGS = _variable(
    "ENABLE_METRIC_LOGS", "logs", FLAG, "Write one JSON line for every request.", default=False
)
LOG_USER_IDS = _variable(
    "LOG_USER_IDS", "logs", FLAG, "Show user ids in metric lines as they are; off: hashed.", default=False
)
METRICS_ENABLED = _variable(
    "METRICS_ENABLED",
    "logs",
    FLAG,
    "Count, and answer `/metrics` for Prometheus; `docs/metrics.md` names what is counted.",
    default=False,
)
METRICS_TOKEN = _variable(
    "METRICS_TOKEN",
    "logs",
    TEXT,
    "The bearer that opens `/metrics`. The management secret and API keys with `metrics:read` open it as well, and "
    "nothing else does.",
    secret=True,
)

VARIABLES: tuple[Variable[Any], ...] = tuple(_TABLE)
BY_NAME = {variable.name: variable for variable in VARIABLES}
