"""How Alembic runs here: always on the connection it is given, one transaction per revision.

`database/migrate.py` upgrades; tests compare and write new revisions with the same `configure`.
"""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy.types import TypeDecorator

from penstock.tables import metadata


def rendered(kind: str, thing: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Our column types by their own names, without what only the model needs (the shape of a Json)."""
    if kind != "type" or not isinstance(thing, TypeDecorator) or not type(thing).__module__.startswith("penstock."):
        return False
    autogen.imports.add("from penstock.database import types")
    length = getattr(thing, "length", None)
    return f"types.{type(thing).__name__}({length or ''})"


def run() -> None:
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=metadata,
        render_as_batch=True,  # SQLite alters a table only by copying it
        render_item=rendered,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
