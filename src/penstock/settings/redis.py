"""REDIS_*: one server, a cluster, or a master behind sentinels; none of them: coordination in this process."""

from pathlib import Path

from penstock.coordination.options import RedisOptions
from penstock.kit.secret import Secret
from penstock.settings import variables as v
from penstock.settings.values import Values


def read_redis(values: Values) -> RedisOptions | None:
    """None without Redis. What contradicts itself is among the problems."""
    places = (v.REDIS_HOST, v.REDIS_CLUSTER_NODES, v.REDIS_SENTINELS)
    if not any(values.is_set(variable) for variable in places):
        return None
    if values[v.REDIS_CLUSTER_NODES] and values[v.REDIS_SENTINELS]:
        values.error(v.REDIS_SENTINELS, "is set, and so is REDIS_CLUSTER_NODES.", "Keep one of the two.")
        return _options(values, sentinels=False)
    try:
        return _options(values, sentinels=values[v.REDIS_SENTINEL_MASTER] is not None)
    except ValueError:
        fix = "Give every node the same password, or set REDIS_PASSWORD."
        values.error(v.REDIS_CLUSTER_NODES, "the value has different passwords.", fix)
        return RedisOptions()


def _options(values: Values, *, sentinels: bool) -> RedisOptions:
    password = values[v.REDIS_PASSWORD]
    return RedisOptions(
        host=values[v.REDIS_HOST] or "",
        port=values[v.REDIS_PORT],
        user=values[v.REDIS_USER],
        password=Secret(password) if password else None,
        db=values[v.REDIS_DB],
        key_prefix=values[v.REDIS_KEY_PREFIX],
        tls=values[v.REDIS_TLS_ENABLE] or values[v.REDIS_TLS],
        ca=_text(values[v.REDIS_TLS_CA]),
        cert=_text(values[v.REDIS_TLS_CERT]),
        key=_text(values[v.REDIS_TLS_KEY]),
        ip_family=values[v.REDIS_IP_FAMILY],
        cluster_nodes=values[v.REDIS_CLUSTER_NODES],
        sentinels=values[v.REDIS_SENTINELS] if sentinels else (),
        sentinel_master=values[v.REDIS_SENTINEL_MASTER] or "",
        disable_dns_lookup=values[v.REDIS_DISABLE_DNS_LOOKUP],
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
