"""For developers: `python -m penstock.migrations "what changes"` writes the next revision from the models.

It compares them with a new SQLite file that has every migration so far. Read the result before you commit it, and set
`HEAD` to it; the tests try it on every server.
"""

import asyncio
import sys
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection

from penstock.database.engine import DatabaseOptions, open_database
from penstock.migrations import SCRIPTS


async def write(message: str) -> None:
    with TemporaryDirectory() as folder:
        options = DatabaseOptions(driver="sqlite", path=str(Path(folder) / "models.db"))
        async with aclosing(open_database(options)) as database, database.engine.connect() as connection:
            await connection.run_sync(_write, message)


def _write(connection: Connection, message: str) -> None:
    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    last = ScriptDirectory.from_config(config).get_current_head()
    written = command.revision(config, message, autogenerate=True, rev_id=f"{int(last or 0) + 1:04d}")
    assert isinstance(written, Script)
    path = Path(written.path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "# ###" not in line))  # Alembic's notes to whoever runs it


if __name__ == "__main__":
    asyncio.run(write(" ".join(sys.argv[1:])))
