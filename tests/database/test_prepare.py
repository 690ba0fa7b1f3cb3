"""Start-up against databases that are empty, slow, closed to us, broken or newer than we are."""

import asyncio
import secrets
import socket
import sqlite3
import ssl
import sys
from collections.abc import Iterator
from contextlib import aclosing, closing, contextmanager
from pathlib import Path
from shutil import copyfile

import msgspec
import pytest
import trustme
from sqlalchemy import text

import penstock.migrations
from penstock.database.diagnosis import CannotPrepare, diagnose
from penstock.database.engine import DatabaseOptions, open_database
from penstock.database.migrate import prepare
from penstock.migrations import HEAD, SCRIPTS
from tests.databases import KINDS, administer, blocking, fresh_options
from tests.fakes.databases import refusing_mysql, refusing_postgres

PASSWORD = "hunter2 '\"%@"


@pytest.fixture(params=KINDS)
def options(request: pytest.FixtureRequest) -> Iterator[DatabaseOptions]:
    with fresh_options(request.param) as fresh:
        yield fresh


@pytest.fixture
def postgres() -> Iterator[DatabaseOptions]:
    with fresh_options("postgres") as fresh:
        yield fresh


@pytest.fixture
def mysql() -> Iterator[DatabaseOptions]:
    with fresh_options("mysql") as fresh:
        yield fresh


async def prepared(
    options: DatabaseOptions, scripts: str = SCRIPTS, head: str = HEAD, retry_for_s: float = 0
) -> list[str]:
    """What was said."""
    said: list[str] = []
    async with aclosing(open_database(options)) as database:
        await prepare(database, scripts=scripts, head=head, say=said.append, retry_for_s=retry_for_s)
    return said


async def refusal(options: DatabaseOptions, **how: object) -> CannotPrepare:
    with pytest.raises(CannotPrepare) as refused:
        await prepared(options, **how)  # type: ignore[arg-type]
    assert PASSWORD not in str(refused.value)
    return refused.value


async def asked(options: DatabaseOptions, statement: str) -> list[object]:
    async with aclosing(open_database(options)) as database, database.reading() as tx:
        return list(await tx.scalars(text(statement)))


class Scripts:
    """A migrations folder of a test's own, with the real `env.py`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "versions").mkdir(parents=True)
        copyfile(Path(penstock.migrations.__file__).with_name("env.py"), folder / "env.py")

    def revision(self, number: int, *statements: str) -> None:
        body = "".join(f"    {statement}\n" for statement in statements)
        down = f'"{number - 1:04d}"' if number > 1 else "None"
        (self.folder / "versions" / f"{number:04d}_step.py").write_text(
            "import time\nimport sqlalchemy as sa\nfrom alembic import op\n"
            f'revision = "{number:04d}"\ndown_revision = {down}\ndef upgrade():\n{body}'
        )

    def __str__(self) -> str:
        return str(self.folder)


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    return Scripts(tmp_path / "100% scripts")


async def test_an_empty_database_is_brought_to_head_once(options: DatabaseOptions) -> None:
    said = await prepared(options)
    assert any(HEAD in sentence for sentence in said)
    assert await asked(options, "SELECT version_num FROM alembic_version") == [HEAD]
    assert await prepared(options) == []


async def test_alembic_is_not_imported_when_there_is_nothing_to_do(tmp_path: Path) -> None:
    options = DatabaseOptions(driver="sqlite", path=str(tmp_path / "penstock.db"))
    await prepared(options)
    script = (
        "import asyncio, msgspec, sys\n"
        "from penstock.database.engine import DatabaseOptions, open_database\n"
        "from penstock.database.migrate import prepare\n"
        "async def main():\n"
        "    database = open_database(msgspec.json.decode(sys.argv[1], type=DatabaseOptions))\n"
        f"    await prepare(database, scripts={SCRIPTS!r}, head={HEAD!r}, say=print)\n"
        "    await database.aclose()\n"
        "asyncio.run(main())\n"
        "sys.exit('alembic' in sys.modules)\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, msgspec.json.encode(options).decode())
    assert await process.wait() == 0


async def start(options: DatabaseOptions, scripts: str, head: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.database.prepare_once", msgspec.json.encode(options).decode(), scripts, head),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def test_s017_two_processes_that_start_at_once_on_an_empty_database_both_come_up(
    options: DatabaseOptions, scripts: Scripts
) -> None:
    create = "op.create_table('things', sa.Column('id', sa.Integer(), primary_key=True))"
    scripts.revision(1, create, "time.sleep(0.6)")  # long enough for the other to find the lock taken
    processes = [await start(options, str(scripts), "0001") for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    outputs = [out.decode() for out, _ in await asyncio.gather(*(one.communicate(b"go\n") for one in processes))]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert all(out.endswith("up\n") for out in outputs)
    assert sum("revision 0001" in out for out in outputs) == 1
    assert sum("Another process" in out for out in outputs) == 1


async def test_s017_two_processes_bring_up_the_real_tables(options: DatabaseOptions) -> None:
    processes = [await start(options, SCRIPTS, HEAD) for _ in range(2)]
    outputs = [out.decode() for out, _ in await asyncio.gather(*(one.communicate(b"go\n") for one in processes))]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert await asked(options, "SELECT version_num FROM alembic_version") == [HEAD]


async def test_a_process_that_dies_while_migrating_leaves_no_lock(options: DatabaseOptions, scripts: Scripts) -> None:
    scripts.revision(1, "open(sa.__file__).close()", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    process = await start(options, str(scripts), "0001")
    await process.communicate(b"go\n")
    assert process.returncode == -9
    scripts.revision(1, "pass")
    assert "Migrating" in (await prepared(options, str(scripts), "0001"))[-1]


async def test_a_lock_that_is_never_given_back_ends_the_wait(options: DatabaseOptions, scripts: Scripts) -> None:
    scripts.revision(1, "time.sleep(600)")
    process = await start(options, str(scripts), "0001")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"go\n")
    while b"revision 0001" not in await process.stdout.readline():
        pass
    try:
        async with aclosing(open_database(options)) as database:
            with pytest.raises(CannotPrepare, match="Another process"):
                await prepare(database, scripts=str(scripts), head="0001", say=lambda _: None, lock_for_s=0)
    finally:
        process.kill()
        await process.communicate()


async def test_s014_a_failing_migration_names_its_revision_and_is_tried_again(
    options: DatabaseOptions, scripts: Scripts
) -> None:
    scripts.revision(1, "op.create_table('first', sa.Column('id', sa.Integer(), primary_key=True))")
    scripts.revision(2, "op.execute('INSERT INTO no_such_table VALUES (1)')")
    failure = await refusal(options, scripts=str(scripts), head="0002")
    assert "migration 0002 failed" in str(failure)
    assert "no_such_table" in str(failure)
    assert await asked(options, "SELECT version_num FROM alembic_version") == ["0001"]
    scripts.revision(2, "op.execute('INSERT INTO first VALUES (1)')")
    await prepared(options, str(scripts), "0002")
    assert await asked(options, "SELECT id FROM first") == [1]


@pytest.mark.parametrize("kind", ["mysql", "postgres"])
async def test_s014_a_migration_that_waits_for_somebody_says_for_whom(kind: str, scripts: Scripts) -> None:
    limit = {"mysql": "SET SESSION lock_wait_timeout = 1", "postgres": "SET lock_timeout = 100"}[kind]
    scripts.revision(1, "op.create_table('things', sa.Column('id', sa.Integer(), primary_key=True))")
    scripts.revision(2, f"op.execute('{limit}')", "op.add_column('things', sa.Column('name', sa.String(9)))")
    with fresh_options(kind) as options:
        await prepared(options, str(scripts), "0001")
        async with aclosing(open_database(options)) as somebody, somebody.transaction() as tx:
            own = await tx.scalar(
                text({"mysql": "SELECT CONNECTION_ID()", "postgres": "SELECT pg_backend_pid()"}[kind])
            )
            await tx.execute(text("SELECT * FROM things"))
            failure = await refusal(options, scripts=str(scripts), head="0002")
        assert "migration 0002 failed" in str(failure)
        assert f"process {own} of" in str(failure)
        await prepared(options, str(scripts), "0002")


async def test_a_database_that_is_newer_than_we_are_is_used_with_a_warning(
    options: DatabaseOptions, scripts: Scripts
) -> None:
    scripts.revision(1, "pass")
    scripts.revision(2, "pass")
    await prepared(options, str(scripts), "0002")
    (scripts.folder / "versions" / "0002_step.py").unlink()
    said = await prepared(options, str(scripts), "0001")
    assert any("newer" in sentence and "0002" in sentence for sentence in said)
    assert await asked(options, "SELECT version_num FROM alembic_version") == ["0002"]


async def test_a_table_that_is_copied_keeps_the_rows_that_refer_to_it(
    scripts: Scripts, options: DatabaseOptions
) -> None:
    scripts.revision(
        1,
        "op.create_table('parents', sa.Column('id', sa.Integer(), primary_key=True))",
        "op.create_table('children', sa.Column('id', sa.Integer(), primary_key=True), sa.Column('parent_id',"
        " sa.Integer(), sa.ForeignKey('parents.id', ondelete='CASCADE')))",
        "op.execute('INSERT INTO parents VALUES (1)')",
        "op.execute('INSERT INTO children VALUES (1, 1)')",
    )
    scripts.revision(
        2,
        "with op.batch_alter_table('parents', recreate='auto') as batch:",
        "    batch.add_column(sa.Column('name', sa.String(9), nullable=False, server_default='x'))",
        "    batch.create_check_constraint('named', \"name <> ''\")",
    )
    await prepared(options, str(scripts), "0002")
    assert await asked(options, "SELECT parent_id FROM children") == [1]
    assert await asked(options, "SELECT name FROM parents") == ["x"]


async def test_s008_a_host_without_an_address_names_the_variable_and_the_network() -> None:
    options = DatabaseOptions(driver="mysql", host="no-such-host.invalid", user="u", password=PASSWORD, database="d")
    said: list[str] = []
    async with aclosing(open_database(options)) as database:
        with pytest.raises(CannotPrepare) as refused:
            await prepare(database, scripts=SCRIPTS, head=HEAD, say=said.append, retry_for_s=0.5)
    assert "DATABASE_HOST" in str(refused.value)
    assert "no-such-host.invalid" in str(refused.value)
    assert "same network" in str(refused.value)
    assert said
    assert all("Waiting for the database" in sentence for sentence in said)


@pytest.mark.parametrize("driver", ["mysql", "postgres"])
async def test_s008_the_same_with_every_driver(driver: str) -> None:
    options = msgspec.convert({"driver": driver, "host": "no-such-host.invalid", "user": "u"}, DatabaseOptions)
    assert "same network" in str(await refusal(options))


@pytest.mark.parametrize("driver", ["mysql", "postgres"])
async def test_a_port_where_nothing_listens_is_named(driver: str, free_port: int) -> None:
    options = msgspec.convert({"driver": driver, "port": free_port, "user": "u"}, DatabaseOptions)
    failure = await refusal(options)
    assert f"127.0.0.1:{free_port}" in str(failure)
    assert "DATABASE_PORT" in str(failure)


@pytest.mark.parametrize("driver", ["mysql", "postgres"])
async def test_a_port_that_takes_connections_and_says_nothing_is_not_waited_for_without_end(driver: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent_one:  # the kernel takes the connection, and nobody reads
        port = silent_one.getsockname()[1]
        silent = {"driver": driver, "port": port, "user": "u", "connect_timeout_s": 0.2}
        failure = await refusal(msgspec.convert(silent, DatabaseOptions))
    assert f"127.0.0.1:{port}" in str(failure)
    assert "No answer in time" in str(failure)


async def test_a_server_of_another_make_is_not_taken_for_one_without_tls(mysql: DatabaseOptions) -> None:
    failure = await refusal(DatabaseOptions(driver="postgres", port=mysql.port or 3306, user="u", database="d"))
    assert "is no PostgreSQL server" in str(failure)
    assert "DATABASE_SSL_CA" not in str(failure)


async def test_a_server_that_comes_up_late_is_waited_for(mysql: DatabaseOptions, free_port: int) -> None:
    late = msgspec.structs.replace(mysql, port=free_port)
    said: list[str] = []
    refused = asyncio.Event()

    def say(sentence: str) -> None:
        said.append(sentence)
        refused.set()

    async with aclosing(open_database(late)) as database:
        preparing = asyncio.create_task(prepare(database, scripts=SCRIPTS, head=HEAD, say=say))
        await refused.wait()
        async with await asyncio.start_server(relay_to(3306), "127.0.0.1", free_port):
            await preparing
            await database.ping()
            await database.aclose()
    assert "Waiting" in said[0]


def relay_to(port: int):  # type: ignore[no-untyped-def]
    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, back), pump(there, writer))

    return relay


async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    except ConnectionError:
        pass
    finally:
        target.close()


async def test_a_server_that_is_starting_is_waited_for() -> None:
    async with refusing_postgres("57P03", "the database system is starting up") as port:
        options = DatabaseOptions(driver="postgres", port=port, user="u", database="d")
        said: list[str] = []
        async with aclosing(open_database(options)) as database:
            with pytest.raises(CannotPrepare, match="starting up"):
                await prepare(database, scripts=SCRIPTS, head=HEAD, say=said.append, retry_for_s=0.5)
        assert said


async def test_what_waiting_cannot_heal_is_not_waited_for(mysql: DatabaseOptions) -> None:
    missing = msgspec.structs.replace(mysql, database="penstock_test_nobody_made_this")
    said: list[str] = []
    async with aclosing(open_database(missing)) as database:
        with pytest.raises(CannotPrepare):
            await prepare(database, scripts=SCRIPTS, head=HEAD, say=said.append, retry_for_s=600)
    assert said == []


@pytest.mark.parametrize("kind", ["mysql", "postgres"])
async def test_a_database_that_does_not_exist_comes_with_its_create_statement(kind: str) -> None:
    with fresh_options(kind) as options:
        failure = await refusal(msgspec.structs.replace(options, database="penstock_test_nobody_made_this"))
    assert "DATABASE_DATABASE" in str(failure)
    assert "CREATE DATABASE" in str(failure)


@contextmanager
def user(
    options: DatabaseOptions, *grants: str, password: str = PASSWORD, require: str = ""
) -> Iterator[DatabaseOptions]:
    """The same database, seen by a user made for this test. In `grants`, `{user}` and `{database}` are replaced."""
    name, kind = f"penstock_test_{secrets.token_hex(4)}", options.driver
    literal = password.replace("'", "''")
    if kind == "mysql":
        shown, create = f"'{name}'@'%'", f"CREATE USER '{name}'@'%' IDENTIFIED BY '{literal}' {require}"
        drop = [f"DROP USER {shown}"]
    else:
        shown, create = f'"{name}"', f"CREATE ROLE \"{name}\" LOGIN PASSWORD '{literal}'"
        drop = [f"DROP OWNED BY {shown}", f"DROP ROLE {shown}"]
    made = [create, *(grant.format(user=shown, database=options.database) for grant in grants)]
    database = options.database if kind == "postgres" else None
    blocking(
        lambda: administer(
            kind, *(one.replace("%", "%%") if kind == "mysql" else one for one in made), database=database
        )
    )
    try:
        yield msgspec.structs.replace(options, user=name, password=password)
    finally:
        blocking(
            lambda: administer(
                kind, *(one.replace("%", "%%") if kind == "mysql" else one for one in drop), database=database
            )
        )


async def test_s003_a_mysql_user_who_may_only_read_is_told_the_grant(mysql: DatabaseOptions) -> None:
    with user(mysql, "GRANT SELECT ON `{database}`.* TO {user}") as reader:
        failure = str(await refusal(reader))
    assert failure.startswith("Not enough permissions to access database.")
    assert "CREATE command denied" in failure
    assert "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE" in failure
    assert f"ON `{mysql.database}`.* TO '{reader.user}'@'%'" in failure


async def test_s003_a_mysql_user_without_any_right_is_told_the_grant(mysql: DatabaseOptions) -> None:
    with user(mysql) as stranger:
        failure = str(await refusal(stranger))
    assert failure.startswith("Not enough permissions to access database.")
    assert "GRANT" in failure


@pytest.mark.parametrize("rights", ["USAGE", None])
async def test_s003_a_postgres_user_without_rights_on_the_schema_is_told_the_grant(
    postgres: DatabaseOptions, rights: str | None
) -> None:
    grants = [f'GRANT {rights} ON SCHEMA "cs-on-premises" TO {{user}}'] if rights else []
    with user(postgres, 'CREATE SCHEMA "cs-on-premises"', *grants) as stranger:
        failure = str(await refusal(stranger))
    assert failure.startswith("Not enough permissions to access database.")
    assert f'GRANT USAGE, CREATE ON SCHEMA "cs-on-premises" TO "{stranger.user}"' in failure


async def test_s003_rights_that_come_with_a_role_are_enough(mysql: DatabaseOptions) -> None:
    role = f"penstock_test_{secrets.token_hex(4)}"
    grants = [
        f"CREATE ROLE {role}",
        f"GRANT ALL PRIVILEGES ON `{{database}}`.* TO {role}",
        f"GRANT {role} TO {{user}}",
        f"SET DEFAULT ROLE {role} FOR {{user}}",
    ]
    try:
        with user(mysql, *grants) as member:
            await prepared(member)
    finally:
        await administer("mysql", f"DROP ROLE {role}")


async def test_s004_a_missing_schema_is_created(postgres: DatabaseOptions) -> None:
    await prepared(postgres)
    assert await asked(postgres, "SELECT current_schema()") == ["cs-on-premises"]
    assert await asked(postgres, "SELECT to_regclass('alembic_version') IS NOT NULL") == [True]


async def test_s004_a_schema_that_we_may_not_create_comes_with_the_statement(postgres: DatabaseOptions) -> None:
    with user(postgres) as stranger:
        failure = str(await refusal(stranger))
    assert 'schema "cs-on-premises" does not exist' in failure
    assert 'CREATE SCHEMA "cs-on-premises"' in failure
    assert "permission denied" in failure


async def test_a_schema_of_another_name_is_used(postgres: DatabaseOptions) -> None:
    await prepared(msgspec.structs.replace(postgres, schema="public"))
    assert await asked(postgres, "SELECT to_regclass('public.alembic_version') IS NOT NULL") == [True]


async def test_s018_a_wrong_password_or_a_user_who_needs_tls_is_told_both(mysql: DatabaseOptions) -> None:
    with user(mysql, "GRANT ALL ON `{database}`.* TO {user}", require="REQUIRE SSL") as tls_only:
        failure = str(await refusal(tls_only))
    assert "DATABASE_PASSWORD" in failure
    assert "DATABASE_SSL_CA" in failure
    assert "permissions" not in failure


async def test_a_wrong_password_names_user_and_variable(mysql: DatabaseOptions) -> None:
    with user(mysql, "GRANT ALL ON `{database}`.* TO {user}") as known:
        failure = await refusal(msgspec.structs.replace(known, password="wrong"))
    assert failure.variables[:2] == ("DATABASE_USER", "DATABASE_PASSWORD")
    assert known.user in str(failure)


async def test_a_wrong_password_for_postgres_names_user_and_variable() -> None:
    async with refusing_postgres("28P01", 'password authentication failed for user "u"') as port:
        failure = await refusal(
            DatabaseOptions(driver="postgres", port=port, user="u", password=PASSWORD, database="d")
        )
    assert "DATABASE_PASSWORD" in str(failure)


async def test_a_password_with_odd_characters_signs_in(mysql: DatabaseOptions) -> None:
    with user(mysql, "GRANT ALL ON `{database}`.* TO {user}") as known:
        await prepared(known)


async def test_s018_a_mysql_server_that_requires_tls_is_told_as_such() -> None:
    said = "Connections using insecure transport are prohibited while --require_secure_transport=ON."
    async with refusing_mysql(3159, "HY000", said) as port:
        options = DatabaseOptions(driver="mysql", port=port, user="u", password=PASSWORD, database="d")
        failure = await refusal(options)
    assert "requires TLS" in str(failure)
    assert failure.variables == ("DATABASE_SSL_CA",)


async def test_s018_a_postgres_server_that_requires_tls_is_told_as_such() -> None:
    said = 'no pg_hba.conf entry for host "10.0.0.9", user "u", database "d", no encryption'
    async with refusing_postgres("28000", said) as port:
        failure = await refusal(DatabaseOptions(driver="postgres", port=port, user="u", database="d"))
    assert "requires TLS" in str(failure)
    assert failure.variables == ("DATABASE_SSL_CA",)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def served_by(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


async def test_the_authority_of_database_ssl_ca_is_the_one_that_counts(authority: trustme.CA, tmp_path: Path) -> None:
    other = trustme.CA()
    for name, ca in (("right.pem", authority), ("wrong.pem", other)):
        ca.cert_pem.write_to_path(str(tmp_path / name))
    async with refusing_postgres("28P01", "the handshake went well", served_by(authority)) as port:
        options = DatabaseOptions(driver="postgres", host="127.0.0.1", port=port, user="u", database="d")
        right = await refusal(msgspec.structs.replace(options, ssl_ca=str(tmp_path / "right.pem")))
        wrong = await refusal(msgspec.structs.replace(options, ssl_ca=str(tmp_path / "wrong.pem")))
    assert "the handshake went well" in str(right)
    assert wrong.variables == ("DATABASE_SSL_CA", "DATABASE_HOST")


async def test_a_server_without_tls_is_never_spoken_to_in_clear_when_an_authority_is_set(
    authority: trustme.CA, tmp_path: Path
) -> None:
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    async with refusing_postgres("28P01", "spoken in clear") as port:
        failure = await refusal(DatabaseOptions(driver="postgres", port=port, user="u", database="d", ssl_ca=str(ca)))
    assert "does not offer TLS" in str(failure)


async def test_certificate_files_that_cannot_be_used_are_named() -> None:
    failure = await refusal(DatabaseOptions(driver="postgres", user="u", database="d", ssl_ca="/no/such/ca.pem"))
    assert failure.variables == ("DATABASE_SSL_CA",)
    assert "/no/such/ca.pem" in str(failure)


async def test_a_sqlite_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    failure = await refusal(DatabaseOptions(driver="sqlite", path=str(tmp_path / "file" / "penstock.db")))
    assert str(tmp_path / "file") in str(failure)
    assert "DATABASE_DATABASE" in str(failure.variables)


async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "penstock.db"
    path.write_text("something else entirely" * 100)
    failure = await refusal(DatabaseOptions(driver="sqlite", path=str(path)))
    assert "not a database" in str(failure)
    assert failure.variables == ("DATABASE_DATABASE",)
    assert path.read_text().startswith("something else")


def test_a_file_that_may_only_be_read_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "penstock.db"
    path.touch()
    with (
        closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader,
        pytest.raises(sqlite3.OperationalError) as refused,
    ):
        reader.execute("CREATE TABLE t (x)")
    found = diagnose(DatabaseOptions(driver="sqlite", path=str(path)), refused.value)
    assert not found.heals
    assert f"The database file {path} cannot be written" in str(found.problem)
