"""What every driver of storage keeps: the database on each server, a directory, S3 and Azure."""

import asyncio
import hashlib
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, aclosing
from pathlib import Path

import msgspec
import pytest

from penstock.storage.base import (
    BlobNotFound,
    BucketMissing,
    Storage,
    StorageDenied,
    StorageUnavailable,
    StorageUnreachable,
)
from penstock.storage.drivers import open_storage
from penstock.storage.options import StorageOptions
from tests.databases import Prepared
from tests.storage.stores import (
    ALL,
    BUCKETS,
    MIB,
    Clouds,
    Store,
    content_of,
    listed,
    opened,
    opened_behind_a_proxy,
    pieces,
    with_secret,
)

KEY = "files/tenant_1/01jv"
SERVERS = ("mysql", "postgres", *BUCKETS)


@pytest.fixture(scope="module")
def clouds() -> Iterator[Clouds]:
    with ExitStack() as stack:
        yield Clouds(stack)


@pytest.fixture(params=ALL)
async def store(
    request: pytest.FixtureRequest, clouds: Clouds, prepared_databases: Prepared, tmp_path: Path
) -> AsyncIterator[Store]:
    async with opened(request.param, clouds, prepared_databases, tmp_path) as found:
        yield found


# --- contents ---------------------------------------------------------------------------------------------------------


async def test_a_content_is_read_as_it_was_written(store: Store) -> None:
    content = bytes(range(256)) * 300
    assert await store.storage.put(KEY, pieces(content[:1000], b"", content[1000:])) == len(content)
    assert await content_of(store.storage, KEY) == content


async def test_an_empty_content_is_a_content(store: Store) -> None:
    assert await store.storage.put(KEY, pieces()) == 0
    assert await content_of(store.storage, KEY) == b""
    assert await listed(store.storage) == [KEY]


@pytest.mark.parametrize("around", [512 * 1024, 5 * MIB])
async def test_contents_around_the_size_of_a_part_are_whole(store: Store, around: int) -> None:
    for size in (around - 1, around, around + 1):
        assert await store.storage.put(KEY, pieces(b"x" * (size - 1), b"y")) == size
        assert await content_of(store.storage, KEY) == b"x" * (size - 1) + b"y"


async def test_a_large_content_is_streamed_in_both_directions(store: Store) -> None:
    written, read, seen = hashlib.sha256(), hashlib.sha256(), []

    async def produced() -> AsyncIterator[bytes]:
        for number in range(20):
            if number == 15:
                seen.append(await store.unfinished())
            piece = number.to_bytes() * MIB
            written.update(piece)
            yield piece

    tracemalloc.start()
    try:
        assert await store.storage.put(KEY, produced()) == 20 * MIB
        assert tracemalloc.get_traced_memory()[1] < 12 * MIB
        tracemalloc.reset_peak()
        async with store.storage.open(KEY) as found:
            async for piece in found:
                read.update(piece)
        assert tracemalloc.get_traced_memory()[1] < 12 * MIB
    finally:
        tracemalloc.stop()
    assert seen[0] > 0, "nothing was written before everything was read"
    assert read.digest() == written.digest()


async def test_a_content_is_replaced(store: Store) -> None:
    await store.storage.put(KEY, pieces(b"old" * MIB))
    await store.storage.put(KEY, pieces(b"new"))
    assert await content_of(store.storage, KEY) == b"new"
    assert await store.unfinished() == 0


async def test_a_reader_may_leave_before_the_end(store: Store) -> None:
    await store.storage.put(KEY, pieces(b"x" * (8 * MIB)))
    async with store.storage.open(KEY) as found:
        assert (await anext(found)).startswith(b"x")
    assert len(await content_of(store.storage, KEY)) == 8 * MIB


async def test_a_content_that_goes_while_it_is_read_is_never_short(store: Store) -> None:
    content = b"x" * (3 * MIB)
    await store.storage.put(KEY, pieces(content))
    async with store.storage.open(KEY) as found:
        read = await anext(found)
        await store.storage.delete(KEY)
        try:
            async for piece in found:
                read += piece
        except StorageUnavailable as error:
            assert "while it was read" in str(error.explanation)  # noqa: PT017 - or nothing is raised
        else:
            assert read == content


# --- keys -------------------------------------------------------------------------------------------------------------


async def test_a_missing_key_is_not_found(store: Store) -> None:
    with pytest.raises(BlobNotFound):
        await content_of(store.storage, "files/tenant_1/nothing")


async def test_a_deleted_content_is_gone_and_may_be_deleted_again(store: Store) -> None:
    await store.storage.put(KEY, pieces(b"x"))
    await store.storage.delete(KEY)
    await store.storage.delete(KEY)
    with pytest.raises(BlobNotFound):
        await content_of(store.storage, KEY)
    assert await listed(store.storage) == []
    assert await store.unfinished() == 0


async def test_keys_are_listed_below_whole_parts_of_their_names(store: Store) -> None:
    keys = ["a/b/1", "a/b/2", "a/bc/1", "a/B/1", "b/b/1"]
    for key in keys:
        await store.storage.put(key, pieces(b"x"))
    assert await listed(store.storage) == sorted(keys)
    assert await listed(store.storage, "a") == ["a/B/1", "a/b/1", "a/b/2", "a/bc/1"]
    assert await listed(store.storage, "a/b") == ["a/b/1", "a/b/2"]
    assert await listed(store.storage, "a/b/") == ["a/b/1", "a/b/2"]
    assert await listed(store.storage, "a/b/1") == []
    assert await listed(store.storage, "c") == []


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a//b", "../a", "a/../b", "a/.b", ".", "a b", "ä", "a\\b", "a#1", "a\n", "a\0", "x" * 256]
)
async def test_what_is_no_key_is_refused_everywhere(store: Store, key: str) -> None:
    with pytest.raises(ValueError):
        await store.storage.put(key, pieces(b"x"))
    with pytest.raises(ValueError):
        await content_of(store.storage, key)
    with pytest.raises(ValueError):
        await store.storage.delete(key)


async def test_the_longest_key_and_every_character_are_taken(store: Store) -> None:
    for key in ("A/z_0/9-a.b", "a/" + "x" * 126 + "/" + "y" * 126):
        await store.storage.put(key, pieces(b"x"))
        assert await content_of(store.storage, key) == b"x"
        assert await listed(store.storage, key.rpartition("/")[0]) == [key]


# --- what goes wrong while it is written ------------------------------------------------------------------------------


async def test_two_writers_leave_one_whole_content(store: Store) -> None:
    async def slowly(piece: bytes) -> AsyncIterator[bytes]:
        for _ in range(12):
            await asyncio.sleep(0)
            yield piece

    one, two = b"1" * MIB, b"2" * MIB
    puts = [store.storage.put(KEY, slowly(piece)) for piece in (one, two)]
    ended = await asyncio.gather(*puts, return_exceptions=True)
    assert 12 * MIB in ended
    # Azure throws the blocks of the slower one away.
    assert all(isinstance(one, StorageUnavailable) for one in ended if one != 12 * MIB)
    assert await content_of(store.storage, KEY) in {one * 12, two * 12}
    assert await store.unfinished() == 0


@pytest.mark.parametrize("after", [1, 12])
async def test_a_content_that_fails_in_the_middle_leaves_the_old_one_and_nothing_else(store: Store, after: int) -> None:
    await store.storage.put(KEY, pieces(b"old"))

    async def failing() -> AsyncIterator[bytes]:
        for _ in range(after):
            yield b"x" * MIB
        raise LookupError("the client went away")

    with pytest.raises(LookupError, match="went away"):
        await store.storage.put(KEY, failing())
    assert await content_of(store.storage, KEY) == b"old"
    assert await listed(store.storage) == [KEY]
    assert await store.unfinished() == 0


@pytest.mark.parametrize("after", [1, 12])
async def test_a_cancelled_upload_leaves_the_old_content_and_nothing_else(store: Store, after: int) -> None:
    await store.storage.put(KEY, pieces(b"old"))
    is_stuck = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        for _ in range(after):
            yield b"x" * MIB
        is_stuck.set()
        await asyncio.Event().wait()

    upload = asyncio.create_task(store.storage.put(KEY, stalling()))
    await is_stuck.wait()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert await content_of(store.storage, KEY) == b"old"
    assert await store.unfinished() == 0


async def test_a_content_is_read_in_the_task_of_the_caller(store: Store) -> None:
    tasks = set()

    async def produced() -> AsyncIterator[bytes]:
        for _ in range(8):
            tasks.add(asyncio.current_task())
            yield b"x" * MIB

    await store.storage.put(KEY, produced())
    assert tasks == {asyncio.current_task()}


# --- the store itself -------------------------------------------------------------------------------------------------


Call = Callable[[Storage], Awaitable[object]]
CALLS: dict[str, Call] = {
    "put": lambda storage: storage.put("a/b", pieces(b"x")),
    "put in parts": lambda storage: storage.put("a/b", pieces(*[b"x" * MIB] * 12)),
    "open": lambda storage: content_of(storage, "a/b"),
    "delete": lambda storage: storage.delete("a/b"),
    "keys": lambda storage: listed(storage, "a"),
    "ping": lambda storage: storage.ping(),
}


async def test_a_good_store_is_pinged_and_shows_nothing_of_it(store: Store) -> None:
    await store.storage.ping()
    await store.storage.ping()
    assert await listed(store.storage) == []


async def test_a_fresh_store_has_nothing_to_sweep(store: Store) -> None:
    await store.storage.put(KEY, pieces(b"x"))
    assert await store.storage.sweep() == 0
    assert await content_of(store.storage, KEY) == b"x"


@pytest.mark.parametrize("name", SERVERS)
async def test_a_server_that_is_down_is_unavailable_and_recovers_by_itself(
    name: str, clouds: Clouds, prepared_databases: Prepared, tmp_path: Path
) -> None:
    async with opened_behind_a_proxy(name, clouds, prepared_databases, tmp_path, 5.0) as (storage, between):
        await storage.put("a/b", pieces(b"old"))
        await between.close()
        async with asyncio.timeout(60):
            for call in CALLS.values():
                with pytest.raises(StorageUnavailable) as caught:
                    await call(storage)
                assert caught.value.explanation
                assert caught.value.action
        await between.open()
        assert await content_of(storage, "a/b") == b"old"
        await storage.ping()


@pytest.mark.parametrize("name", BUCKETS)
async def test_a_store_that_says_nothing_is_given_up_in_time(
    name: str, clouds: Clouds, prepared_databases: Prepared, tmp_path: Path
) -> None:
    async with opened_behind_a_proxy(name, clouds, prepared_databases, tmp_path, 0.3) as (storage, between):
        between.swallow()
        async with asyncio.timeout(60):
            for call in CALLS.values():
                with pytest.raises(StorageUnreachable) as caught:
                    await call(storage)
                assert "STORAGE_ENDPOINT" in str(caught.value.action)


@pytest.mark.parametrize("name", SERVERS)
async def test_a_server_that_goes_in_the_middle_of_an_upload_leaves_the_old_content(
    name: str, clouds: Clouds, prepared_databases: Prepared, tmp_path: Path
) -> None:
    async with opened_behind_a_proxy(name, clouds, prepared_databases, tmp_path, 2.0) as (storage, between):
        await storage.put("a/b", pieces(b"old"))
        taken = 0

        async def produced() -> AsyncIterator[bytes]:
            nonlocal taken
            for taken in range(100):
                if taken == 8:
                    await between.close()
                yield b"x" * MIB

        with pytest.raises(StorageUnavailable):
            await storage.put("a/b", produced())
        assert taken < 50, "the content was read to its end for nobody"
        await between.open()
        assert await content_of(storage, "a/b") == b"old"


@pytest.mark.parametrize("name", BUCKETS)
async def test_a_missing_bucket_is_told_from_a_missing_content(
    name: str, clouds: Clouds, prepared_databases: Prepared, tmp_path: Path
) -> None:
    async with opened(name, clouds, prepared_databases, tmp_path) as store:
        options = msgspec.structs.replace(store.options, bucket="not-there")
        await _all_raise(BucketMissing, options, store, "`not-there`", "STORAGE_BUCKET STORAGE_CONTAINER")


@pytest.mark.parametrize("name", BUCKETS)
async def test_a_wrong_secret_is_refused_and_not_shown(
    name: str, clouds: Clouds, prepared_databases: Prepared, tmp_path: Path
) -> None:
    async with opened(name, clouds, prepared_databases, tmp_path) as store:
        secret = "Y2FuYXJ5LW9mLWEtc2VjcmV0" * 2
        options = with_secret(store.options, secret)
        said = await _all_raise(
            StorageDenied, options, store, "refuses us", "STORAGE_SECRET_ACCESS_KEY STORAGE_ACCOUNT_KEY"
        )
        assert secret not in said


async def _all_raise(kind: type[Exception], options: StorageOptions, store: Store, what: str, variables: str) -> str:
    said = ""
    async with aclosing(await open_storage(options, store.database)) as storage:
        for name, call in CALLS.items():
            with pytest.raises(StorageUnavailable) as caught:
                await call(storage)
            error = caught.value
            assert isinstance(error, kind), (name, error, error.explanation)
            assert what in error.message
            assert any(variable in str(error.action) for variable in variables.split())
            said += f"{error.message} {error.explanation} {error.action} {error.__cause__!r}"
    return said
