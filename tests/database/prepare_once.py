"""One process of an installation, as far as its database: prepares it when it is told to, and says what it did.

`python -m tests.database.prepare_once <options as JSON> <scripts> <head>`: prints `ready`, waits for a line, goes.
"""

import asyncio
import sys
from contextlib import aclosing
from functools import partial

import msgspec

from penstock.database.engine import DatabaseOptions, open_database
from penstock.database.migrate import prepare

say = partial(print, flush=True)


async def main(options: DatabaseOptions, scripts: str, head: str) -> None:
    async with aclosing(open_database(options)) as database:
        await database.ping()
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        await prepare(database, scripts=scripts, head=head, say=say)
        say("up")


asyncio.run(main(msgspec.json.decode(sys.argv[1], type=DatabaseOptions), sys.argv[2], sys.argv[3]))
