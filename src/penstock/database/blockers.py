"""Who may be holding what a migration waits for. Ids, names and times only: statements can hold people's text."""

from sqlalchemy import text

from penstock.database.engine import Database
from penstock.database.failures import causes, error_number, sqlstate

LOCK_WAIT_S = 60
"""How long one statement of a migration waits for a lock; meanwhile everybody else waits behind it."""

_LIMITS = {
    "postgres": f"SET lock_timeout = '{LOCK_WAIT_S}s'",
    "mysql": f"SET SESSION lock_wait_timeout = {LOCK_WAIT_S}",
}

_OPEN = {
    "postgres": """
        SELECT pid, usename, application_name, extract(epoch FROM now() - xact_start)::int
        FROM pg_stat_activity
        WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
        ORDER BY xact_start LIMIT 5
    """,
    # Without the PROCESS privilege a user sees its own connections here, which are the likely ones.
    "mysql": """
        SELECT id, user, host, time FROM information_schema.processlist
        WHERE db = DATABASE() AND id <> CONNECTION_ID()
        ORDER BY time DESC LIMIT 5
    """,
}


def limit_of_waiting(database: Database) -> str | None:
    """The statement that bounds the waits of a connection. SQLite needs none: it has one lock, and its own limit."""
    return _LIMITS.get(database.dialect)


def waited_too_long(error: BaseException) -> bool:
    return any(sqlstate(one) == "55P03" or error_number(one) == 1205 for one in causes(error))


async def blockers(database: Database) -> list[str]:
    """`process 4711 of penstock (psql), 320 s`: the oldest five that are not ours. Empty when none can be seen."""
    statement = _OPEN.get(database.dialect)
    if statement is None:
        return []
    async with database.reading() as tx:
        rows = (await tx.execute(text(statement))).all()
    return [f"process {number} of {user} ({source}), {seconds} s" for number, user, source, seconds in rows]
