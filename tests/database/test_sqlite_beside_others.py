"""Other processes come and go on the same SQLite file: the command line, a backup, a look by hand."""

import subprocess
import sys
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

from sqlalchemy import text

from penstock.database.engine import DatabaseOptions, open_database

VISIT = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM t").fetchall()
connection.close()
"""


async def test_another_process_that_leaves_does_not_take_the_log_along(tmp_path: Path) -> None:
    """The last one to leave a file removes its write-ahead log. A process that lost its locks is not counted."""
    path = tmp_path / "penstock.db"
    async with aclosing(open_database(DatabaseOptions(driver="sqlite", path=str(path)))) as database:
        async with database.transaction() as tx:
            await tx.execute(text("CREATE TABLE t (x INTEGER)"))
        async with AsyncExitStack() as stack:
            for _ in range(3):  # each on a connection of its own
                await (await stack.enter_async_context(database.reading())).execute(text("SELECT 1"))
        subprocess.run([sys.executable, "-c", VISIT, str(path)], check=True, timeout=30)
        assert Path(f"{path}-wal").exists()
        async with database.transaction() as tx:
            await tx.execute(text("INSERT INTO t VALUES (1)"))
    assert path.stat().st_mode & 0o777 == 0o600
