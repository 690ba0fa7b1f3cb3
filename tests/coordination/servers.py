"""Redis servers of our own, for what the shared one cannot be: TLS, a cluster, sentinels, gone."""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import trustme
from redis.asyncio import Redis as Client

from penstock.coordination.options import RedisNode, RedisOptions
from penstock.kit.secret import Secret

PATIENT_S = 20.0  # an operation's limit where the test is not about limits: the machine may be busy

# What the driver needs and nothing else; `docs` can quote it.
ACL = (
    "~penstock:* &penstock:* +ping +select +get +set +del +eval +evalsha +time "
    "+hincrby +hget +hmget +hset +hdel +pexpire +pexpireat +publish +subscribe +unsubscribe"
)


def need_redis_binaries() -> None:
    """Skip the test unless servers can be started; in CI their absence is a failure."""
    if shutil.which("redis-server") and shutil.which("redis-cli"):
        return
    reason = "no redis-server and redis-cli to start servers of our own"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def random_prefix() -> str:
    return f"penstock:test-{secrets.token_hex(6)}:"


async def remove_keys(prefix: str) -> None:
    """From the shared server."""
    async with Client(protocol=2) as client:
        async for key in client.scan_iter(match=prefix + "*", count=1000):
            await client.delete(key)


def wait_until_answers(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                probe.sendall(b"PING\r\n")
                if probe.recv(64).startswith(b"+PONG"):
                    return
        time.sleep(0.02)
    pytest.fail(f"the redis-server on port {port} does not answer")


@contextmanager
def redis_server(folder: Path, port: int, *arguments: str) -> Iterator[None]:
    """A server without persistence, running for the block."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["redis-server", *arguments]
    if "--sentinel" not in arguments:
        command += ["--save", "", "--appendonly", "no"]
    command += ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--logfile", str(folder / "log")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_answers(port)
        yield
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def everything_server(folder: Path) -> Iterator[dict[str, RedisOptions]]:
    """One server with a plain port, TLS that wants a client certificate, a unix socket, a restricted user."""
    folder.mkdir(parents=True, exist_ok=True)
    port, tls_port = free_ports(2)
    ca = trustme.CA()
    server, client = ca.issue_cert("localhost", "127.0.0.1"), ca.issue_cert("penstock@example.org")
    ca_file, cert_file, key_file = str(folder / "ca.pem"), str(folder / "client.pem"), str(folder / "client.key")
    ca.cert_pem.write_to_path(ca_file)
    server.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    client.cert_chain_pems[0].write_to_path(cert_file)
    client.private_key_pem.write_to_path(key_file)
    tls = ["--tls-port", str(tls_port), "--tls-auth-clients", "yes", "--tls-ca-cert-file", ca_file]
    tls += ["--tls-cert-file", str(folder / "server.pem"), "--tls-key-file", str(folder / "server.pem")]
    unix = ["--unixsocket", str(folder / "socket")]
    user = ["--user", "penstock", "on", ">open-sesame", *ACL.split()]
    with redis_server(folder, port, *tls, *unix, *user):
        yield {
            "plain": RedisOptions(port=port, db=3, limit_s=PATIENT_S),
            "acl": RedisOptions(port=port, user="penstock", password=Secret("open-sesame"), limit_s=PATIENT_S),
            "tls": RedisOptions(
                host="localhost",
                port=tls_port,
                tls=True,
                ca=ca_file,
                cert=cert_file,
                key=key_file,
                ip_family=4,
                limit_s=PATIENT_S,
            ),
            "unix": RedisOptions(host=str(folder / "socket"), db=2, limit_s=PATIENT_S),
        }


@contextmanager
def cluster(folder: Path) -> Iterator[RedisOptions]:
    """Three masters, no replicas."""
    ports = free_ports(6)
    nodes, buses = ports[:3], ports[3:]
    with ExitStack() as stack:
        for port, bus in zip(nodes, buses, strict=True):
            flags = ["--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-node-timeout", "5000"]
            stack.enter_context(redis_server(folder / str(port), port, *flags))
        addresses = [f"127.0.0.1:{port}" for port in nodes]
        create = ["redis-cli", "--cluster", "create", *addresses, "--cluster-replicas", "0", "--cluster-yes"]
        subprocess.run(create, check=True, capture_output=True, timeout=60)
        for port in nodes:
            _wait_for(port, "cluster info", "cluster_state:ok")
        yield RedisOptions(cluster_nodes=tuple(RedisNode("127.0.0.1", port) for port in nodes), limit_s=PATIENT_S)


@contextmanager
def sentinel(folder: Path, master_port: int) -> Iterator[RedisOptions]:
    """One sentinel that watches a master; a second address is named where nobody listens."""
    folder.mkdir(parents=True, exist_ok=True)
    nobody, port = free_ports(2)
    file = folder / "sentinel.conf"
    file.write_text(f"sentinel monitor main 127.0.0.1 {master_port} 1\nsentinel down-after-milliseconds main 60000\n")
    with redis_server(folder, port, str(file), "--sentinel"):
        sentinels = (RedisNode("127.0.0.1", nobody), RedisNode("127.0.0.1", port))
        yield RedisOptions(sentinels=sentinels, sentinel_master="main", db=5, limit_s=PATIENT_S)


def _wait_for(port: int, command: str, wanted: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        asked = subprocess.run(["redis-cli", "-p", str(port), *command.split()], capture_output=True, text=True)
        if wanted in asked.stdout:
            return
        time.sleep(0.05)
    pytest.fail(f"the redis-server on port {port} does not say {wanted!r} to {command!r}")
