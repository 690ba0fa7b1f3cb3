"""What is stored is what is read, and what compares as equal is equal, on every server."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from sqlalchemy import select
from sqlalchemy.exc import StatementError

from penstock.database.engine import Database
from penstock.database.failures import TextTooLong, UnstorableText
from penstock.database.types import Json
from tests.database.tables import Thing

LOOKALIKES = ["a", "A", "á", "a ", "ａ", "😀", "😁", "ß", "ss", ""]


async def stored(db: Database, **values: object) -> Thing:
    """Write one row and read it back through a session that has never seen it."""
    async with db.transaction() as tx:
        thing = Thing(**values)
        tx.add(thing)
    async with db.reading() as tx:
        return (await tx.scalars(select(Thing).where(Thing.id == thing.id))).one()


async def test_exact_text_tells_case_accents_and_trailing_spaces_apart(db: Database) -> None:
    async with db.transaction() as tx:
        tx.add_all(Thing(name=name) for name in LOOKALIKES)
    async with db.reading() as tx:
        for name in LOOKALIKES:
            assert list(await tx.scalars(select(Thing.name).where(Thing.name == name))) == [name]


async def test_exact_text_sorts_by_code_point_everywhere(db: Database) -> None:
    async with db.transaction() as tx:
        tx.add_all(Thing(name=name) for name in LOOKALIKES)
    async with db.reading() as tx:
        assert list(await tx.scalars(select(Thing.name).order_by(Thing.name))) == sorted(LOOKALIKES)


async def test_exact_text_is_found_by_its_beginning(db: Database) -> None:
    async with db.transaction() as tx:
        tx.add_all(Thing(name=name) for name in ("sgk_a", "sgk_b", "other"))
    async with db.reading() as tx:
        found = await tx.scalars(select(Thing.name).where(Thing.name.startswith("sgk_", autoescape=True)))
        assert sorted(name for name in found if name) == ["sgk_a", "sgk_b"]


async def test_fifty_characters_of_four_bytes_fit_where_fifty_are_allowed(db: Database) -> None:
    assert (await stored(db, name="😀" * 50)).name == "😀" * 50


async def test_text_that_is_too_long_is_refused_before_the_server_sees_it(db: Database) -> None:
    with pytest.raises(TextTooLong, match="51 characters"):
        await stored(db, name="x" * 51)


async def test_long_text_survives_whole(db: Database) -> None:
    story = "Zeile\r\n\t😀 trailing  " * 20_000
    assert (await stored(db, story=story)).story == story


@pytest.mark.parametrize("column", ["name", "story"])
@pytest.mark.parametrize("text", ["a\0b", "\ud83d"])
async def test_text_that_some_server_could_not_keep_is_refused_by_all(db: Database, column: str, text: str) -> None:
    with pytest.raises(UnstorableText) as refused:
        await stored(db, **{column: text})
    assert refused.value.status == 400
    assert refused.value.action


async def test_a_refused_value_can_be_caught_where_it_is_written(db: Database) -> None:
    async with db.transaction() as tx:
        with pytest.raises(UnstorableText):
            await tx.execute(select(Thing).where(Thing.name == "\0"))


async def test_json_keeps_order_numbers_and_the_escaped_zero(db: Database) -> None:
    facts = {"z": 1, "a": [None, True, 1.5, 2**60, "x\0y", "😀"], "nested": {"é": {}}}
    read = (await stored(db, facts=facts)).facts
    assert read == facts
    assert list(read) == ["z", "a", "nested"]


async def test_json_none_is_null(db: Database) -> None:
    await stored(db, facts=None)
    async with db.reading() as tx:
        assert len(list(await tx.scalars(select(Thing).where(Thing.facts.is_(None))))) == 1


def test_json_is_read_into_its_shape() -> None:
    class Point(msgspec.Struct):
        x: int

    column = Json(list[Point])
    dialect = None
    text = column.process_bind_param([Point(1)], dialect)  # type: ignore[arg-type]
    assert text == '[{"x":1}]'
    assert column.process_result_value(text, dialect) == [Point(1)]  # type: ignore[arg-type]


async def test_instants_come_back_in_utc_cut_to_milliseconds(db: Database) -> None:
    tokyo = datetime(2026, 5, 19, 19, 30, 0, 123_999, tzinfo=timezone(timedelta(hours=9)))
    seen_at = (await stored(db, seen_at=tokyo)).seen_at
    assert seen_at == datetime(2026, 5, 19, 10, 30, 0, 123_000, tzinfo=UTC)
    assert seen_at.tzinfo is UTC


async def test_instants_compare_in_the_database(db: Database) -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    async with db.transaction() as tx:
        tx.add_all(Thing(seen_at=noon + timedelta(milliseconds=step)) for step in range(4))
    async with db.reading() as tx:
        later = await tx.scalars(select(Thing).where(Thing.seen_at > noon + timedelta(milliseconds=1)))
        assert len(list(later)) == 2


async def test_an_instant_without_a_time_zone_is_a_bug(db: Database) -> None:
    with pytest.raises(StatementError, match="time zone"):
        await stored(db, seen_at=datetime(2026, 1, 1))


async def test_bytes_and_large_numbers_survive(db: Database) -> None:
    blob = bytes(range(256)) * 5000
    thing = await stored(db, blob=blob, count=2**63 - 1)
    assert (thing.blob, thing.count) == (blob, 2**63 - 1)
