"""The migrations, `HEAD` and the models say the same, on every server."""

import re
from contextlib import aclosing

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from penstock.database.engine import open_database
from penstock.database.migrate import prepare
from penstock.migrations import HEAD, SCRIPTS
from penstock.tables import metadata
from tests.databases import KINDS, fresh_options

LONGEST_NAME = 63  # PostgreSQL; MySQL has 64


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    return ScriptDirectory.from_config(config)


def test_head_is_the_last_revision() -> None:
    assert scripts().get_heads() == [HEAD]


@pytest.mark.parametrize("kind", KINDS)
async def test_the_migrated_schema_is_what_the_models_describe(kind: str) -> None:
    with fresh_options(kind) as options:
        async with aclosing(open_database(options)) as database:
            await prepare(database, scripts=SCRIPTS, head=HEAD, say=lambda _: None)
            async with database.engine.connect() as connection:
                assert await connection.run_sync(differences) == []


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, metadata))


def test_every_name_fits_every_server() -> None:
    names = [str(index.name) for table in metadata.tables.values() for index in table.indexes]
    names += [str(rule.name) for table in metadata.tables.values() for rule in table.constraints if rule.name]
    assert [name for name in names if len(name) > LONGEST_NAME] == []


def test_revisions_are_numbered_without_a_gap() -> None:
    found = sorted(script.revision for script in scripts().walk_revisions())
    assert found == [f"{number:04d}" for number in range(1, len(found) + 1)]
    assert all(re.fullmatch(r"\d{4}", revision) for revision in found)
