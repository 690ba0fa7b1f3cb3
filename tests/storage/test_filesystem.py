"""What only the driver `filesystem` does: a directory of ours, and what happens when it is not (S002, S011)."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.database.engine import Database, DatabaseOptions
from penstock.storage.base import BlobNotFound, Storage, StorageFull, StorageNotWritable
from penstock.storage.drivers import open_storage
from penstock.storage.options import StorageOptions
from tests.storage.stores import MIB, content_of, listed, pieces

NO_DATABASE = Database(DatabaseOptions(driver="sqlite", path="/nonexistent/none.db"))


async def open_in(directory: Path) -> Storage:
    return await open_storage(StorageOptions(location=directory), NO_DATABASE)


async def test_the_directory_is_made_for_us_alone_and_files_lie_under_their_keys(tmp_path: Path) -> None:
    storage = await open_in(tmp_path / "deep" / "files")
    assert (tmp_path / "deep" / "files").stat().st_mode & 0o777 == 0o700
    await storage.put("f/t/1", pieces(b"x"))
    assert (tmp_path / "deep" / "files" / "f" / "t" / "1").read_bytes() == b"x"
    await storage.delete("f/t/1")
    assert list((tmp_path / "deep" / "files").iterdir()) == []


async def test_a_start_leaves_nothing_behind_and_keeps_the_mode_of_what_is_there(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    await open_in(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert tmp_path.stat().st_mode & 0o777 == 0o750


async def test_files_outside_of_the_directory_are_out_of_reach(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    storage = await open_in(tmp_path / "files")
    for key in ("../secret", "a/../../secret", str(tmp_path / "secret"), "..%2fsecret", "%2e%2e/secret"):
        with pytest.raises(ValueError):
            await content_of(storage, key)
    assert await listed(storage) == []


async def test_a_directory_is_no_content(tmp_path: Path) -> None:
    storage = await open_in(tmp_path)
    await storage.put("f/t/1", pieces(b"x"))
    with pytest.raises(BlobNotFound):
        await content_of(storage, "f/t")


async def test_drafts_of_dead_uploads_are_removed_after_a_day(tmp_path: Path) -> None:
    storage = await open_in(tmp_path)
    await storage.put("f/t/1", pieces(b"x"))
    old, young = tmp_path / "f" / "t" / "2#1", tmp_path / "f" / "t" / "3#1"
    for path in (old, young):
        path.write_bytes(b"x")
    os.utime(old, (0, time.time() - 25 * 3600))
    assert await storage.sweep() == 1
    assert not old.exists()
    assert young.exists()
    assert await listed(storage) == ["f/t/1"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a small disk can only be mounted by root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("size", [3 * MIB, 20 * MIB])
async def test_a_full_disk_is_named_and_leaves_what_was_there(small_disk: Path, size: int) -> None:
    storage = await open_in(small_disk)
    await storage.put("f/t/1", pieces(b"old"))
    with pytest.raises(StorageFull) as caught:
        await storage.put("f/t/1", pieces(*[b"x" * MIB] * (size // MIB)))
    assert str(small_disk) in caught.value.message
    assert "STORAGE_LOCATION" in str(caught.value.action)
    assert await content_of(storage, "f/t/1") == b"old"
    assert not list(small_disk.rglob("*#*"))
    await storage.put("f/t/2", pieces(b"x"))


async def test_s002_a_file_in_the_place_of_the_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageNotWritable) as caught:
        await open_in(tmp_path / "file" / "files")
    assert "not a directory" in caught.value.message


async def test_a_directory_that_is_lost_at_run_time_is_named_and_comes_back(tmp_path: Path) -> None:
    root = tmp_path / "files"
    storage = await open_in(root)
    root.rmdir()
    root.write_text("a file in its place")
    for call in (storage.ping(), storage.put("f/t/1", pieces(b"x")), storage.put("f/t/1", pieces(b"x" * 6 * MIB))):
        with pytest.raises(StorageNotWritable) as caught:
            await call
        assert f"{root} cannot be used: not a directory." in caught.value.message
        assert f"chown -R {os.getuid()} {root}" in str(caught.value.action)
    root.unlink()
    root.mkdir()
    await storage.put("f/t/1", pieces(b"x"))
    await storage.ping()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_s002_somebody_elses_directory_is_named_with_the_command_that_helps() -> None:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        root = Path(directory) / "files"
        root.mkdir(mode=0o755)
        said = _as_nobody(root)
    assert f"{root} cannot be used: permission denied. We run as uid 65534; {root} belongs to uid 0." in said
    assert f"`mkdir -p {root} && chown -R 65534 {root}`" in said
    assert "STORAGE_DRIVER to database, s3 or azure" in said


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_s011_a_directory_that_is_taken_from_us_at_run_time_is_named() -> None:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        root = Path(directory) / "files"
        root.mkdir()
        root.chmod(0o755)
        os.chown(root, 65534, 65534)
        said = _as_nobody(root, "os.chmod(root, 0o500)")
    assert said.count(f"{root} cannot be used: permission denied. We run as uid 65534;") == 2
    assert "chown -R 65534" in said


def _as_nobody(root: Path, meanwhile: str = "") -> str:
    """What a start says, or, after `meanwhile`, a ping and an upload."""
    program = f"""
import asyncio, os, pathlib, random, tempfile
from penstock.database.engine import Database, DatabaseOptions
from penstock.errors import PenstockError
from penstock.storage import filesystem  # the interpreter's own files may be out of reach later
from penstock.storage.drivers import open_storage
from penstock.storage.options import StorageOptions

async def content():
    yield b"x"

async def tried(work):
    try:
        await work
    except PenstockError as error:
        print(error.message, error.action)

async def main():
    root = pathlib.Path({str(root)!r})
    none = Database(DatabaseOptions(driver="sqlite", path="/nonexistent/none.db"))
    await asyncio.to_thread(os.getpid)
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    opening = open_storage(StorageOptions(location=root), none)
    if not {meanwhile!r}:
        await tried(opening)
        return
    storage = await opening
    {meanwhile or "pass"}
    await tried(storage.ping())
    await tried(storage.put("f/t/1", content()))

asyncio.run(main())
"""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
