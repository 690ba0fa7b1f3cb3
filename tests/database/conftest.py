import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.database.tables import Private
from tests.databases import KINDS, Database, Prepared, empty_database


@pytest.fixture(params=KINDS)
async def db(request: pytest.FixtureRequest, prepared_databases: Prepared, tmp_path: Path) -> AsyncIterator[Database]:
    async with empty_database(prepared_databases, request.param, Private.metadata, tmp_path) as opened:
        yield opened


@pytest.fixture
def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
