"""The settings, typed and frozen. `app.py` hands each room its part; no room gets the whole."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from penstock.coordination.options import RedisOptions
from penstock.editor.mcp.servers import McpServer
from penstock.editor.moderation.options import ModerationOptions
from penstock.gateway.catalog.reading import CatalogOptions
from penstock.gateway.catalog.snapshot import Problem, Snapshot
from penstock.kit.secret import Secret
from penstock.providers.transport.base import Limits
from penstock.settings import variables as v
from penstock.settings.database import DatabaseValues
from penstock.settings.secrets import existing_secret, generated_secret
from penstock.settings.values import Entry, Values
from penstock.storage.options import StorageOptions

if TYPE_CHECKING:
    from penstock.database.engine import DatabaseOptions
    from penstock.gateway.identity.declared import DeclaredTenant

_LONGEST_ANSWER_S = 600.0


class ServerOptions(msgspec.Struct, frozen=True, kw_only=True):
    host: str
    port: int
    workers: int
    shutdown_grace_s: float
    startup_retry_s: float
    max_body_bytes: int


class LogOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`level` counts as LOG_LEVEL does: 10 trace to 60 fatal. `metrics_token` is one of the keys to `/metrics`."""

    level: int
    metric_lines: bool
    user_ids: bool
    metrics: bool
    metrics_token: Secret | None


class EditorOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`retention_days` None: conversations are kept for ever."""

    lock_wait_s: float
    keepalive_s: float
    stream_max_s: float
    retention_days: int | None
    max_upload_bytes: int
    done_event: bool
    legacy_tool_events: bool
    error_as_text: bool


class WebOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`pages_endpoint` None: web pages are fetched by ourselves. `search_endpoint` None: there is no web search."""

    pages_enabled: bool
    pages_endpoint: str | None
    pages_headers: tuple[tuple[str, str], ...]
    pages_timeout_s: float
    pages_allow_private: bool
    search_endpoint: str | None
    search_headers: tuple[tuple[str, str], ...]
    search_timeout_s: float


class PanelOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`allowed` empty: every network. `external_endpoint` has no slash at its end; None: taken from the request."""

    allowed: tuple[IPv4Network | IPv6Network, ...]
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    external_endpoint: str | None


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings:
    """Everything that can be configured.

    `snapshot` is what `catalog` gives, already read. `moderation` is None when nothing is screened, `redis` for
    coordination in this process. `problems` are the warnings and remarks of a configuration that works all the same;
    the catalog's are in `snapshot`.
    """

    server: ServerOptions
    logs: LogOptions
    editor: EditorOptions
    web: WebOptions
    panel: PanelOptions
    moderation: ModerationOptions | None
    mcp_servers: tuple[McpServer, ...]
    mcp_callback_url: str | None
    storage: StorageOptions
    catalog: CatalogOptions
    snapshot: Snapshot
    redis: RedisOptions | None
    allowed_origins: tuple[str, ...]
    outbound_allow: tuple[IPv4Network | IPv6Network, ...]
    state_dir: Path
    management_secret: Secret | None
    bootstrap: "tuple[DeclaredTenant, ...]"
    encryption_keys: tuple[Secret, ...]
    database_values: DatabaseValues
    problems: tuple[Problem, ...]
    entries: tuple[Entry, ...]

    @property
    def llm_limits(self) -> Limits:
        return self.catalog.limits

    @property
    def database(self) -> "DatabaseOptions":
        return self.database_values.options()

    def master_secrets(self) -> tuple[str, ...]:
        """The first seals, every one opens. With SQLite and no secret configured, one is generated and kept.

        Raises SettingsError when `STATE_DIR` cannot keep it.
        """
        given = [key.reveal() for key in self.encryption_keys]
        if self.management_secret is not None:
            given.append(self.management_secret.reveal())
        if self.database_values.is_server:
            return tuple(given)
        kept = existing_secret(self.state_dir) if given else generated_secret(self.state_dir)
        return (*given, kept) if kept else tuple(given)

    def __repr__(self) -> str:
        return f"Settings({self.database_values.driver}, port {self.server.port})"


def read_server(values: Values) -> ServerOptions:
    return ServerOptions(
        host=values[v.HOST],
        port=values[v.PORT],
        workers=values[v.WORKERS],
        shutdown_grace_s=values[v.SHUTDOWN_GRACE_SECONDS],
        startup_retry_s=values[v.STARTUP_RETRY_SECONDS],
        max_body_bytes=values[v.MAX_BODY_BYTES],
    )


def read_logs(values: Values) -> LogOptions:
    token = values[v.METRICS_TOKEN]
    return LogOptions(
        level=values[v.LOG_LEVEL_],
        metric_lines=values[v.ENABLE_METRIC_LOGS],
        user_ids=values[v.LOG_USER_IDS],
        metrics=values[v.METRICS_ENABLED],
        metrics_token=Secret(token) if token else None,
    )


def read_editor(values: Values) -> EditorOptions:
    return EditorOptions(
        lock_wait_s=values[v.CONVERSATION_LOCK_WAIT_MS] / 1000,
        keepalive_s=values[v.SSE_KEEPALIVE_SECONDS],
        stream_max_s=values[v.STREAM_MAX_SECONDS],
        retention_days=values[v.CONVERSATION_RETENTION_DAYS],
        max_upload_bytes=values[v.MAX_UPLOAD_BYTES],
        done_event=values[v.SSE_DONE_EVENT],
        legacy_tool_events=values[v.SSE_LEGACY_TOOL_EVENTS],
        error_as_text=values[v.CHAT_ERROR_AS_TEXT],
    )


def read_web(values: Values) -> WebOptions:
    return WebOptions(
        pages_enabled=values[v.WEBRESOURCES_ENABLED],
        pages_endpoint=values[v.WEBRESOURCES_ENDPOINT],
        pages_headers=values[v.WEBRESOURCES_HEADERS],
        pages_timeout_s=values[v.WEBRESOURCES_REQUEST_TIMEOUT] / 1000,
        pages_allow_private=values[v.WEBRESOURCES_ALLOW_PRIVATE],
        search_endpoint=values[v.WEBSEARCH_ENDPOINT] if values[v.WEBSEARCH_ENABLED] else None,
        search_headers=values[v.WEBSEARCH_HEADERS],
        search_timeout_s=values[v.WEBSEARCH_REQUEST_TIMEOUT] / 1000,
    )


def read_panel(values: Values) -> PanelOptions:
    endpoint = values[v.APPLICATION_EXTERNAL_ENDPOINT]
    return PanelOptions(
        allowed=values[v.PANEL_ALLOWED_CIDRS],
        trusted_proxies=values[v.TRUSTED_PROXIES],
        external_endpoint=endpoint.rstrip("/") if endpoint else None,
    )


def read_limits(values: Values) -> Limits:
    first_byte_s = values[v.LLM_TIMEOUT_MS] / 1000
    return Limits(
        connect_s=values[v.LLM_CONNECT_TIMEOUT_MS] / 1000,
        first_byte_s=first_byte_s,
        idle_s=values[v.LLM_IDLE_TIMEOUT_MS] / 1000,
        total_s=max(_LONGEST_ANSWER_S, first_byte_s),
    )
