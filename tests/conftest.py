"""What every test may use. Servers that are down skip their tests here and fail them in CI."""

import os
import signal
import socket
import threading

import pytest

from tests.databases import database as database
from tests.databases import prepared_databases as prepared_databases
from tests.service import running_service as running_service
from tests.service import service as service

SERVERS = {"postgresql": 5432, "mariadb": 3306, "redis": 6379}


def pytest_configure() -> None:
    """Services that tests start heed SIGHUP, also where the tests themselves run under nohup."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


def need_server(name: str) -> None:
    """Skip the test unless the server listens on its usual port of 127.0.0.1; in CI its absence is a failure."""
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex(("127.0.0.1", SERVERS[name])) == 0:
            return
    reason = f"no {name} on 127.0.0.1:{SERVERS[name]}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
