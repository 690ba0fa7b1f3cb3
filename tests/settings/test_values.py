import json
from pathlib import Path

import pytest

from penstock.settings.variables import GROUPS, VARIABLES
from tests.settings.reports import errors, load, refusal, warnings

SECRET = "0123456789abcdef0123456789abcdef"
SERVER = {
    "DATABASE_DRIVER": "postgres",
    "DATABASE_HOST": "db",
    "DATABASE_USER": "penstock",
    "DATABASE_DATABASE": "ai",
    "SECRETS_ENCRYPTION_KEY": SECRET,
}


def test_nothing_has_to_be_set() -> None:
    settings = load()
    assert (settings.server.host, settings.server.port, settings.server.workers) == ("127.0.0.1", 8000, 1)
    assert settings.database.driver == "sqlite"
    assert settings.database.path == "/tmp/penstock.db"
    assert settings.redis is None
    assert settings.management_secret is None
    assert settings.allowed_origins == ()
    assert [model.slug for model in settings.snapshot.models] == ["demo/penstock-demo"]
    assert settings.problems == ()


def test_an_empty_variable_is_unset() -> None:
    assert load(PORT="", DATABASE_HOST="", PROVIDERS="").server.port == 8000


def test_limits_are_given_in_their_units() -> None:
    settings = load(
        LLM_TIMEOUT_MS="700000",
        LLM_IDLE_TIMEOUT_MS="1500",
        LLM_CONNECT_TIMEOUT_MS="2500",
        CONVERSATION_LOCK_WAIT_MS="0",
        SSE_KEEPALIVE_SECONDS="0.5",
    )
    limits = settings.llm_limits
    assert (limits.first_byte_s, limits.idle_s, limits.connect_s, limits.total_s) == (700.0, 1.5, 2.5, 700.0)
    assert (settings.editor.lock_wait_s, settings.editor.keepalive_s, settings.editor.stream_max_s) == (0, 0.5, 300)


def test_the_timeouts_of_an_entry_start_from_the_variables() -> None:
    provider = {"type": "openai", "apiKeys": ["k"], "timeouts": {"idleMs": 7}}
    settings = load(LLM_CONNECT_TIMEOUT_MS="2500", PROVIDERS=json.dumps({"main": provider}))
    assert (settings.snapshot.providers["main"].connect_s, settings.snapshot.providers["main"].idle_s) == (2.5, 0.007)


@pytest.mark.parametrize(("text", "level"), [("10", 10), ("35", 35), ("WARN", 40), ("fatal", 60)])
def test_the_log_level_is_a_number_or_a_name(text: str, level: int) -> None:
    assert load(LOG_LEVEL=text).logs.level == level


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("TRUE", True), ("1", True), ("False", False), ("0", False)]
)
def test_booleans_have_two_spellings_in_any_case(text: str, value: bool) -> None:
    assert load(ENABLE_METRIC_LOGS=text).logs.metric_lines is value


def test_s001_a_licence_key_is_accepted_and_ignored() -> None:
    settings = load(LICENSE_KEY="canary")
    (remark,) = settings.problems
    assert (remark.severity, remark.variable) == ("info", "LICENSE_KEY")
    assert "needs no licence" in remark.message
    assert "canary" not in repr(settings.problems) + repr(settings.entries)


def test_s006_every_problem_is_in_one_report() -> None:
    report = str(
        refusal(
            PORT="80a",
            LOG_LEVEL="loud",
            REDIS_DB="-1",
            DATABASE_SSL_CA="/nowhere/ca.pem",
            PROVIDERS='{"main": {"type": "openai"\n "apiKeys": ["canary"]}}',
            MODELS="[}",
        )
    )
    assert "6 settings need attention" in report
    for expected in (
        'PORT (environment)\n    "80a" is not a whole number.\n    Expected a whole number from 1 to 65535.',
        '"loud" is not a log level',
        "Expected a whole number from 0 to",
        '"/nowhere/ca.pem" cannot be read: no such file or directory',
        "PROVIDERS (environment, line 2, column 2)",
        '"apiKeys": ["…"]}}',
        "MODELS (environment, line 1, column 2)",
    ):
        assert expected in report
    assert "canary" not in report


def test_what_was_refused_is_not_called_missing_as_well() -> None:
    assert set(errors(**{**SERVER, "DATABASE_PORT": "x", "SECRETS_ENCRYPTION_KEY": "short"})) == {
        "DATABASE_PORT",
        "SECRETS_ENCRYPTION_KEY",
    }


def test_kubernetes_service_links_are_recognised() -> None:
    (problem,) = refusal(REDIS_PORT="tcp://10.0.0.11:6379").problems
    assert "enableServiceLinks: false" in problem.fix


# --- origins


def test_s033_a_trailing_slash_and_case_are_forgiven_with_a_warning() -> None:
    settings = load(ALLOWED_ORIGINS="https://App.Example.com/, http://localhost:3000,https://x.example:443")
    assert settings.allowed_origins == ("https://app.example.com", "http://localhost:3000", "https://x.example")
    assert "https://app.example.com, https://x.example" in warnings(settings)["ALLOWED_ORIGINS"].message


def test_s033_any_origin_is_a_star() -> None:
    settings = load(ALLOWED_ORIGINS="*")
    assert settings.allowed_origins == ("*",)
    assert not settings.problems


@pytest.mark.parametrize("text", ["app.example.com", "https://x/app", "https://", "https://a@b"])
def test_what_is_no_origin_is_refused(text: str) -> None:
    assert set(errors(ALLOWED_ORIGINS=text)) == {"ALLOWED_ORIGINS"}


# --- addresses

ADDRESSES = ["WEBSEARCH_ENDPOINT", "WEBRESOURCES_ENDPOINT", "APPLICATION_EXTERNAL_ENDPOINT", "MCP_OAUTH_CALLBACK_URL"]


@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize(
    "text, complaint",
    [
        ("search.example.com", "has no http:// or https:// in front"),
        ("localhost:9200", "has no http:// or https:// in front"),
        ("//search.example.com", "has no http:// or https:// in front"),
        ("ftp://search.example.com", "begins with neither http:// nor https://"),
        ("file:///etc/passwd", "begins with neither http:// nor https://"),
        ("https://", "names no host"),
        ("https:///query", "names no host"),
        ("http://:9200", "names no host"),
        ("https://search.example.com:port", "has a host or a port that cannot be one"),
        ("https://search.example.com:99999", "has a host or a port that cannot be one"),
        ("https://[::1/query", "has a host or a port that cannot be one"),
        ("https://search.example.com/a query", "has a blank or a control character in it"),
    ],
)
def test_an_address_that_is_none_is_refused_at_start(name: str, text: str, complaint: str) -> None:
    (problem,) = refusal(**{name: text}).problems
    assert problem.variable == name
    assert complaint in problem.message
    assert "https://service.example.com" in problem.fix


@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize(
    "text", ["http://localhost:9200", "https://a.example/q?x=1", "HTTPS://A.example", "http://[::1]:80/"]
)
def test_addresses_are_taken_as_they_are(name: str, text: str) -> None:
    settings = load(**{name: text})
    assert next(one.value for one in settings.entries if one.name == name) == text


def test_a_search_whose_address_was_refused_is_not_called_missing_as_well() -> None:
    assert len(refusal(WEBSEARCH_ENABLED="true", WEBSEARCH_ENDPOINT="search").problems) == 1


# --- metrics


def test_metrics_are_off_by_default_and_a_short_token_is_warned_of() -> None:
    assert not load().logs.metrics
    settings = load(METRICS_ENABLED="true", METRICS_TOKEN="short")
    assert settings.logs.metrics
    assert "METRICS_TOKEN" in warnings(settings)
    assert "short" not in repr(settings.logs)


# --- database


def test_a_server_database_is_read_from_its_variables() -> None:
    database = load(**SERVER, DATABASE_PASSWORD="pw").database
    assert (database.driver, database.host, database.port) == ("postgres", "db", None)
    assert (database.user, database.database, database.schema) == ("penstock", "ai", "cs-on-premises")
    assert database.password == "pw"
    assert "pw" not in repr(database)


def test_a_server_database_is_read_from_one_address() -> None:
    url = "mariadb://me:p%40w@db.example:3307/ai"
    database = load(DATABASE_URL=url, SECRETS_ENCRYPTION_KEY=SECRET, DATABASE_SCHEMA="x").database
    assert (database.driver, database.host, database.port) == ("mysql", "db.example", 3307)
    assert (database.user, database.password, database.database) == ("me", "p@w", "ai")


def test_sqlite_has_an_address_too() -> None:
    assert load(DATABASE_URL="sqlite:////tmp/x.db").database.path == "/tmp/x.db"


@pytest.mark.parametrize("url", ["canary", "oracle://canary@x/y", "postgres://canary", "postgres://canary:x:y@h:z/d"])
def test_what_is_no_address_of_a_database_is_refused_without_showing_it(url: str) -> None:
    error = refusal(DATABASE_URL=url, SECRETS_ENCRYPTION_KEY=SECRET)
    assert [one.variable for one in error.problems] == ["DATABASE_URL"]
    assert "canary" not in str(error)


def test_an_address_and_the_variables_exclude_each_other() -> None:
    found = errors(DATABASE_URL="postgres://a@b/c", DATABASE_HOST="b", SECRETS_ENCRYPTION_KEY=SECRET)
    assert found == {"DATABASE_HOST": "is set, and so is DATABASE_URL."}


def test_a_server_without_its_variables_is_refused_for_each() -> None:
    found = errors(DATABASE_DRIVER="mysql", SECRETS_ENCRYPTION_KEY=SECRET)
    assert set(found) == {"DATABASE_HOST", "DATABASE_USER", "DATABASE_DATABASE"}


def test_a_host_without_a_driver_is_not_quietly_sqlite() -> None:
    assert errors(DATABASE_HOST="db") == {
        "DATABASE_DRIVER": "is not set, although a database server is described: DATABASE_HOST."
    }


def test_a_server_database_needs_a_shared_secret() -> None:
    found = errors(**{**SERVER, "SECRETS_ENCRYPTION_KEY": ""})
    assert set(found) == {"SECRETS_ENCRYPTION_KEY"}
    assert load(**{**SERVER, "SECRETS_ENCRYPTION_KEY": ""}, ENVIRONMENTS_MANAGEMENT_SECRET_KEY=SECRET)


def test_half_of_mutual_tls_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("x")
    found = errors(**SERVER, DATABASE_SSL_CERT=str(tmp_path / "cert.pem"), REDIS_TLS_KEY=str(tmp_path / "cert.pem"))
    assert set(found) == {"DATABASE_SSL_KEY", "REDIS_TLS_CERT"}


# --- redis and workers


def test_one_redis_is_read() -> None:
    redis = load(REDIS_HOST="redis", REDIS_USER="u", REDIS_PASSWORD="pw", REDIS_TLS="true", REDIS_IP_FAMILY="6").redis
    assert redis is not None
    assert (redis.host, redis.port, redis.db, redis.user, redis.tls, redis.ip_family) == (
        "redis",
        6379,
        1,
        "u",
        True,
        6,
    )
    assert redis.password is not None
    assert redis.password.reveal() == "pw"


def test_a_cluster_is_read() -> None:
    redis = load(REDIS_CLUSTER_NODES="a:7000:pw, [fd00::1]:7001").redis
    assert redis is not None
    assert [(node.host, node.port) for node in redis.cluster_nodes] == [("a", 7000), ("fd00::1", 7001)]


def test_sentinels_are_read() -> None:
    redis = load(REDIS_SENTINELS="a,b:26380", REDIS_SENTINEL_MASTER="main").redis
    assert redis is not None
    assert [(node.host, node.port) for node in redis.sentinels] == [("a", 26379), ("b", 26380)]
    assert redis.sentinel_master == "main"


def test_contradictions_about_redis_are_refused() -> None:
    assert set(errors(REDIS_SENTINELS="a:1")) == {"REDIS_SENTINEL_MASTER"}
    assert set(errors(REDIS_CLUSTER_NODES="a:1", REDIS_SENTINELS="b:1", REDIS_SENTINEL_MASTER="m")) == {
        "REDIS_SENTINELS"
    }
    assert set(errors(REDIS_CLUSTER_NODES="a:1:x,b:1:y")) == {"REDIS_CLUSTER_NODES"}
    assert set(errors(REDIS_CLUSTER_NODES="a:99999999")) == {"REDIS_CLUSTER_NODES"}


def test_more_than_one_worker_needs_redis_and_a_server_database() -> None:
    found = [one.message for one in refusal(WORKERS="2").problems]
    assert found == ["is more than 1, but there is no Redis.", "is more than 1, but the database is SQLite."]
    assert load(**SERVER, REDIS_HOST="redis", WORKERS="2").server.workers == 2


# --- the table


def test_every_variable_has_a_group_and_a_sentence() -> None:
    assert {variable.group for variable in VARIABLES} == set(GROUPS)
    assert all(variable.sentence.endswith(".") for variable in VARIABLES)
    assert len({variable.name for variable in VARIABLES}) == len(VARIABLES)
