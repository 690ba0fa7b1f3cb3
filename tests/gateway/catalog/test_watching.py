import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from penstock.gateway.catalog.documents import Refused, Source
from penstock.gateway.catalog.reading import CatalogOptions
from penstock.gateway.catalog.service import Catalog
from penstock.gateway.catalog.snapshot import Snapshot
from tests.gateway.catalog.texts import OPENAI, model

ROUND_S = 0.01


@pytest.fixture
def files(tmp_path: Path) -> CatalogOptions:
    write(tmp_path / "providers.json", {"main": OPENAI})
    write(tmp_path / "models.json", [model()])
    return CatalogOptions(
        providers=Source("PROVIDERS", "providers.json", path=tmp_path / "providers.json"),
        models=Source("MODELS", "models.json", path=tmp_path / "models.json"),
    )


def write(path: Path, value: Any) -> None:
    path.write_text(value if isinstance(value, str) else json.dumps(value))


@asynccontextmanager
async def watched(catalog: Catalog) -> AsyncIterator[None]:
    task = asyncio.create_task(catalog.watch(ROUND_S))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(ROUND_S)


async def some_rounds() -> None:
    await asyncio.sleep(10 * ROUND_S)


def keys_of(catalog: Catalog) -> list[str]:
    return [key.reveal() for key in catalog.current.providers["main"].api_keys]


async def test_s063_a_rotated_key_takes_effect_without_a_restart(files: CatalogOptions, tmp_path: Path) -> None:
    catalog = Catalog.open(files)
    before = catalog.current
    told: list[Snapshot] = []

    async def note(snapshot: Snapshot) -> None:
        told.append(snapshot)

    catalog.on_change(note)
    async with watched(catalog):
        write(tmp_path / "providers.json", {"main": {**OPENAI, "apiKeys": ["sk-two"]}})
        await until(lambda: bool(told))
    assert keys_of(catalog) == ["sk-two"]
    assert told == [catalog.current]
    assert catalog.current.version == before.version + 1
    assert before.models[0].backends[0].provider.api_keys[0].reveal() == "sk-one"


async def test_s063_a_mounted_volume_that_swaps_its_link_is_followed(tmp_path: Path) -> None:
    for name, key in (("first", "sk-one"), ("second", "sk-two")):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "providers.json", {"main": {**OPENAI, "apiKeys": [key]}})
    (tmp_path / "data").symlink_to("first")
    catalog = Catalog.open(
        CatalogOptions(providers=Source("PROVIDERS", "file", path=tmp_path / "data" / "providers.json"))
    )
    async with watched(catalog):
        (tmp_path / "fresh").symlink_to("second")
        (tmp_path / "fresh").replace(tmp_path / "data")
        await until(lambda: keys_of(catalog) == ["sk-two"])


async def test_s063_a_change_that_cannot_be_used_is_reported_once_and_the_old_catalog_goes_on(
    files: CatalogOptions, tmp_path: Path
) -> None:
    catalog = Catalog.open(files)
    before = catalog.current
    with capture_logs() as lines:
        async with watched(catalog):
            write(tmp_path / "providers.json", '{"main": {"type": "openai", "apiKeys": ["canary')
            await until(lambda: any("refused" in line["event"] for line in lines))
            await some_rounds()
            assert catalog.current is before
            write(tmp_path / "providers.json", {"main": {**OPENAI, "apiKeys": ["sk-three"]}})
            await until(lambda: keys_of(catalog) == ["sk-three"])
    assert sum("refused" in line["event"] for line in lines) == 1
    assert "canary" not in repr(lines)


async def test_a_file_that_vanishes_and_comes_back_unchanged_costs_nothing(
    files: CatalogOptions, tmp_path: Path
) -> None:
    catalog = Catalog.open(files)
    before = catalog.current
    with capture_logs() as lines:
        async with watched(catalog):
            (tmp_path / "models.json").unlink()
            await until(lambda: any("refused" in line["event"] for line in lines))
            write(tmp_path / "models.json", [model()])
            await some_rounds()
    assert catalog.current is before


async def test_a_change_of_the_spacing_changes_nothing(files: CatalogOptions, tmp_path: Path) -> None:
    catalog = Catalog.open(files)
    before = catalog.current
    async with watched(catalog):
        write(tmp_path / "models.json", json.dumps([model()]) + "\n\n")
        await some_rounds()
    assert catalog.current is before


async def test_t_29_the_log_names_a_misspelt_provider_of_a_changed_file(files: CatalogOptions, tmp_path: Path) -> None:
    catalog = Catalog.open(files)
    write(tmp_path / "models.json", [model(), model(id="mini", provider="mian")])
    with capture_logs() as lines:
        assert await catalog.reload()
    (line,) = [line for line in lines if line["log_level"] == "error"]
    assert "MODELS[1].provider: `mini` is skipped: its provider `mian`" in line["event"]
    assert line["action"] == "Did you mean `main`?"


async def test_only_the_catalog_of_a_configuration_file_is_read(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    write(config, {"port": 9000, "providers": {"main": OPENAI}, "models": [model()]})
    catalog = Catalog.open(
        CatalogOptions(
            providers=Source("PROVIDERS", str(config), path=config, root=("providers",)),
            models=Source("MODELS", str(config), path=config, root=("models",)),
        )
    )
    assert [one.slug for one in catalog.current.models] == ["main/gpt-5"]
    write(config, {"providers": {"main": OPENAI}})
    assert not await catalog.reload()


async def test_values_of_the_environment_are_not_watched() -> None:
    text = json.dumps({"main": OPENAI})
    catalog = Catalog.open(CatalogOptions(providers=Source("PROVIDERS", "environment", text=text)))
    assert not catalog.is_watched
    await catalog.watch()


def test_a_file_that_cannot_be_read_at_start_is_refused(tmp_path: Path) -> None:
    missing = Source("PROVIDERS", "providers.json", path=tmp_path / "providers.json")
    with pytest.raises(Refused) as caught:
        Catalog.open(CatalogOptions(providers=missing))
    assert "No such file" in caught.value.problems[0].message


async def test_w04_what_was_refused_is_kept_until_it_can_be_used(files: CatalogOptions, tmp_path: Path) -> None:
    catalog = Catalog.open(files)
    write(tmp_path / "models.json", [{"id": "x"}])
    assert not await catalog.read_again("test")
    assert {one.path for one in catalog.refused} >= {"[0].provider"}
    write(tmp_path / "models.json", [model(), model(id="mini")])
    assert await catalog.read_again("test")
    assert catalog.refused == ()
    assert len(catalog.current.models) == 2
