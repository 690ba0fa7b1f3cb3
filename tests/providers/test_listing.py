"""The lists of models, and what a probe finds out about a key."""

from typing import Any

import pytest

from penstock.providers.base import ProviderConfig
from penstock.providers.listing import Listed, list_models, probe, unlisted
from penstock.providers.provider import Providers
from tests.fakes.media_lists import (
    GOOD,
    anthropic_list,
    azure_list,
    azure_models,
    bedrock_list,
    entry,
    google_list,
    openai_list,
    vertex_list,
)
from tests.fakes.media_server import Asked, Reply, Vendor, as_json, media_serving
from tests.gateway.catalog.texts import catalog
from tests.service import free_port


def config(kind: str, url: str, *keys: str, **more: Any) -> ProviderConfig:
    return catalog({"mine": entry(kind, url, *keys, **more)}, []).providers["mine"]


LISTS: list[tuple[str, Vendor, dict[str, Any], Listed]] = [
    ("openai", openai_list, {}, Listed(("gpt-4o", "gpt-4o-mini", "llama3:latest"))),
    ("openai", openai_list, {"api": "responses"}, Listed(("gpt-4o", "gpt-4o-mini", "llama3:latest"))),
    ("openai-compatible", openai_list, {}, Listed(("gpt-4o", "gpt-4o-mini", "llama3:latest"))),
    ("mistral", openai_list, {}, Listed(("gpt-4o", "gpt-4o-mini", "llama3:latest"))),
    ("qwen", openai_list, {}, Listed(("gpt-4o", "gpt-4o-mini", "llama3:latest"))),
    ("anthropic", anthropic_list, {}, Listed(("claude-a-20250101", "claude-b-20250202"))),
    ("google", google_list, {}, Listed(("gemini-a", "gemini-b"))),
    ("vertex", vertex_list, {}, Listed(("gemini-a", "claude-a"))),
    (
        "bedrock",
        bedrock_list,
        {},
        Listed(("amazon.nova-lite-v1:0", "eu.amazon.nova-lite-v1:0", "us.amazon.nova-lite-v1:0")),
    ),
    ("azure", azure_list, {}, Listed(("my-gpt-4o", "my-embeddings"), of_deployments=True)),
    ("azure", azure_list, {"apiVersion": "v1"}, Listed(("my-gpt-4o", "my-embeddings"), of_deployments=True)),
    ("azure", azure_models, {"apiVersion": "v1"}, Listed(("gpt-4o",))),
]


@pytest.mark.parametrize(("kind", "vendor", "more", "listed"), LISTS)
async def test_every_type_lists_its_models_page_by_page(
    providers: Providers, kind: str, vendor: Vendor, more: dict[str, Any], listed: Listed
) -> None:
    with media_serving(vendor) as (server,):
        assert await list_models(providers.of(config(kind, server.url, **more))) == listed
        assert server.faults == []


async def test_a_bare_list_counts_too(providers: Providers) -> None:
    with media_serving(lambda _: as_json([{"id": "a"}, {"id": 5}, "b"])) as (server,):
        assert (await list_models(providers.of(config("openai-compatible", server.url)))).names == ("a",)


async def test_pages_without_end_end(providers: Providers) -> None:
    with media_serving(lambda _: as_json({"models": [{"name": "models/a"}], "nextPageToken": "again"})) as (server,):
        assert (await list_models(providers.of(config("google", server.url)))).names == ("a",)
        assert len(server.seen) == 20


async def test_each_key_is_tried_by_itself(providers: Providers) -> None:
    with media_serving(openai_list) as (server,):
        entry_ = config("openai", server.url, "bad-key-000000000009", GOOD)
        bad, good = await probe(entry_, providers.of)
    assert (bad.key, bad.is_reachable, bad.is_accepted, bad.listed) == ("0009", True, False, None)
    assert bad.failure is not None
    assert "Incorrect API key" in bad.failure.message
    assert (good.key, good.is_reachable, good.is_accepted, good.failure) == ("0001", True, True, None)


async def test_credentials_are_tried_one_by_one_too(providers: Providers) -> None:
    aws = [{"accessKeyId": f"AKIAEXAMPLE000{n}", "secretAccessKey": "secret"} for n in (1, 2)]

    def vendor(asked: Asked) -> Reply:
        first = "Credential=AKIAEXAMPLE0001/" in asked.headers["authorization"]
        assert "/bedrock/aws4_request" in asked.headers["authorization"], "service"
        return as_json({"modelSummaries": [], "inferenceProfileSummaries": []}, 200 if first else 403)

    with media_serving(vendor) as (server,):
        one = catalog(
            {"mine": {"type": "bedrock", "region": "eu-west-1", "credentials": aws, "baseUrl": server.url}}, []
        ).providers["mine"]
        found = await probe(one, providers.of)
        assert server.faults == []
    assert [one.failure is None for one in found] == [True, False]


async def test_a_server_without_a_list_is_reachable_and_no_failure(providers: Providers) -> None:
    with media_serving(lambda _: None) as (server,):
        (found,) = await probe(config("openai-compatible", server.url), providers.of)
    assert (found.is_reachable, found.is_accepted, found.listed, found.failure) == (True, None, None, None)


async def test_nobody_there_is_not_reachable(providers: Providers) -> None:
    (found,) = await probe(config("openai", f"http://127.0.0.1:{free_port()}"), providers.of)
    assert (found.is_reachable, found.is_accepted) == (False, None)
    assert found.failure is not None
    assert "ECONNREFUSED" in found.failure.message


async def test_a_server_in_trouble_is_reachable_and_fails(providers: Providers) -> None:
    with media_serving(lambda _: as_json({"error": {"message": "boom"}}, 500)) as (server,):
        (found,) = await probe(config("openai", server.url), providers.of)
    assert (found.is_reachable, found.is_accepted, found.failure is None) == (True, None, False)


async def test_bedrocks_lists_are_at_another_host(providers: Providers) -> None:
    seen: list[ProviderConfig] = []
    one = catalog({"mine": {"type": "bedrock", "region": "eu-west-1", "apiKeys": ["k" * 16]}}, []).providers["mine"]

    def opened(given: ProviderConfig) -> Any:
        seen.append(given)
        return providers.of(config("openai", f"http://127.0.0.1:{free_port()}"))

    await probe(one, opened)
    assert [given.base_url for given in seen] == ["https://bedrock.eu-west-1.amazonaws.com"]


@pytest.mark.parametrize(
    ("kind", "listed", "configured", "missing"),
    [
        ("openai", ("gpt-4o", "gpt-5"), ("gpt-4o", "gpt-4oo"), {"gpt-4oo": "gpt-4o"}),
        ("openai-compatible", ("llama3:latest",), ("llama3", "mistral"), {"mistral": None}),
        ("anthropic", ("claude-a-20250101",), ("claude-a", "claude-a-latest", "claude-b"), {"claude-b": "claude-a"}),
        ("google", ("gemini-a",), ("models/gemini-a", "gemini-a"), {}),
        (
            "vertex",
            ("gemini-a", "claude-a"),
            ("claude-a@20250101", "publishers/google/models/gemini-a", "google/gemini-a", "meta/llama", "gemini-x"),
            {"gemini-x": "gemini-a"},
        ),
        ("bedrock", ("amazon.nova",), ("arn:aws:bedrock:eu:1:x/y", "amazon.novo"), {"amazon.novo": "amazon.nova"}),
        ("azure", ("my-gpt-4o",), ("gpt-4o",), {"gpt-4o": "my-gpt-4o"}),
    ],
)
def test_s048_what_is_configured_and_not_listed_is_found_with_the_nearest_name(
    kind: str, listed: tuple[str, ...], configured: tuple[str, ...], missing: dict[str, str | None]
) -> None:
    one = config(kind, "http://127.0.0.1:1")
    found = unlisted(one, Listed(listed), configured)
    assert set(found) == set(missing)
    for model, nearest in missing.items():
        assert (found[model] or "").startswith(nearest or ""), (model, found[model])
        assert (found[model] is None) == (nearest is None)
