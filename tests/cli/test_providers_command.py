"""`penstock providers check`, as an operator types it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.media_lists import GOOD, azure_list, entry, openai_list
from tests.fakes.media_server import MediaServer, media_serving
from tests.service import FEATURES, free_port

BAD = "bad-key-000000000009"


@pytest.fixture(scope="module")
def servers() -> Iterator[list[MediaServer]]:
    with media_serving(openai_list, azure_list, lambda _: None) as found:
        yield found


Command = subprocess.CompletedProcess[str]


def check(
    directory: Path,
    providers: Mapping[str, Any],
    models: Sequence[tuple[str, str]],
    *words: str,
    code: int,
    **more: str,
) -> Command:
    entries = [{"provider": key, "id": one, "description": "x", "features": FEATURES} for key, one in models]
    env = {
        "PATH": os.environ["PATH"],
        "STATE_DIR": str(directory),
        "PROVIDERS": json.dumps(providers),
        "MODELS": json.dumps(entries),
        **more,
    }
    command = [sys.executable, "-m", "penstock", "providers", "check", *words]
    done = subprocess.run(command, env=env, cwd=directory, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_good_entries_are_reported_and_the_exit_code_is_0(tmp_path: Path, servers: list[MediaServer]) -> None:
    providers = {"main": entry("openai", servers[0].url), "local": entry("openai-compatible", servers[2].url)}
    done = check(tmp_path, providers, [("main", "gpt-4o"), ("local", "x")], code=0)
    lines = done.stdout.splitlines()
    assert lines[0] == f"main (openai, {servers[0].url}/v1)"
    assert lines[1] == "  key …0001: good, 3 models"
    assert "no list of models" in lines[3]
    assert done.stderr == ""
    assert GOOD not in done.stdout


def test_one_bad_key_among_good_ones_fails_the_check_and_is_not_shown(
    tmp_path: Path, servers: list[MediaServer]
) -> None:
    providers = {"main": entry("openai", servers[0].url, GOOD, BAD)}
    done = check(tmp_path, providers, [("main", "gpt-4o")], code=1)
    assert "  key …0001: good, 3 models" in done.stdout
    assert "  key …0009: refused" in done.stdout
    assert "Incorrect API key" in done.stdout
    assert "Replace that key" in done.stdout
    assert BAD not in done.stdout + done.stderr


def test_a_misspelt_model_is_named_with_the_nearest_and_is_no_failure(
    tmp_path: Path, servers: list[MediaServer]
) -> None:
    done = check(tmp_path, {"main": entry("openai", servers[0].url)}, [("main", "gpt-4oo")], code=0)
    assert "gpt-4oo: MODELS names it, but the provider lists no such model. Did you mean `gpt-4o`?" in done.stdout


def test_s048_the_deployments_of_azure_are_listed_and_a_wrong_name_fails(
    tmp_path: Path, servers: list[MediaServer]
) -> None:
    providers = {"azure": entry("azure", servers[1].url)}
    done = check(tmp_path, providers, [("azure", "gpt-4o")], code=1)
    assert "good, 2 deployments" in done.stdout
    assert "no such deployment. Did you mean `my-gpt-4o`?" in done.stdout
    assert "There is: `my-gpt-4o`, `my-embeddings`." in done.stdout
    check(tmp_path, providers, [("azure", "my-gpt-4o")], code=0)


def test_nobody_there_fails_and_says_what_to_do(tmp_path: Path) -> None:
    done = check(
        tmp_path, {"local": entry("openai-compatible", f"http://127.0.0.1:{free_port()}")}, [("local", "x")], code=1
    )
    assert ": not reachable" in done.stdout
    assert "ECONNREFUSED" in done.stdout
    assert "Check that the model server runs" in done.stdout


def test_s041_an_identity_that_is_nowhere_is_not_found_and_every_source_is_named(tmp_path: Path) -> None:
    providers = {
        "aws": {"type": "bedrock", "region": "eu-central-1"},
        "gcp": {"type": "vertex", "project": "acme", "location": "global"},
    }
    alone = {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true", "NO_GCE_CHECK": "true"}
    done = check(tmp_path, providers, [], code=1, **alone)
    assert done.stdout.count("  the platform's identity: not found\n") == 2
    assert done.stdout.count("NoValidApiKeysFoundError") == 2
    for source in (
        "web identity:",
        "shared files:",
        "container:",
        "instance metadata:",
        "gcloud's file",
        "NO_GCE_CHECK",
    ):
        assert source in done.stdout
    assert "Set `credentials` (accessKeyId, secretAccessKey) or `apiKeys` of the entry" in done.stdout


def test_access_keys_and_accounts_are_called_what_they_are(tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    keys = {"accessKeyId": "AKIAEXAMPLE0000", "secretAccessKey": BAD}
    providers = {"aws": {"type": "bedrock", "region": "eu-central-1", "baseUrl": nowhere, "credentials": [keys]}}
    done = check(tmp_path, providers, [], code=1)
    assert "  access key …0000: not reachable\n" in done.stdout
    assert BAD not in done.stdout + done.stderr


def test_an_address_without_the_path_of_its_type_is_named_where_no_list_is_found(
    tmp_path: Path, servers: list[MediaServer]
) -> None:
    bare = {"type": "google", "apiKeys": [GOOD], "baseUrl": servers[2].url}
    done = check(tmp_path, {"gemini": bare, "claude": {**bare, "type": "anthropic"}}, [], code=0)
    assert "the address of the type `google` ends in /v1beta, `baseUrl` does not." in done.stdout
    assert "`anthropic`" not in done.stdout


def test_one_entry_may_be_checked_alone_and_an_unknown_one_is_refused(
    tmp_path: Path, servers: list[MediaServer]
) -> None:
    providers = {"main": entry("openai", servers[0].url), "bad": entry("openai", servers[0].url, BAD)}
    done = check(tmp_path, providers, [("main", "gpt-4o")], "main", code=0)
    assert "bad" not in done.stdout
    unknown = check(tmp_path, providers, [("main", "gpt-4o")], "mian", code=1)
    assert "PROVIDERS has no entry `mian`." in unknown.stderr
    assert "`main`, `bad`" in unknown.stderr


def test_programs_read_json(tmp_path: Path, servers: list[MediaServer]) -> None:
    providers = {"main": entry("openai", servers[0].url, GOOD, BAD)}
    done = check(tmp_path, providers, [("main", "gpt-4oo")], "--json", code=1)
    found = json.loads(done.stdout)
    assert found["ok"] is False
    (item,) = found["items"]
    assert (item["provider"], item["type"], item["ok"]) == ("main", "openai", False)
    assert item["unlisted_models"] == [{"id": "gpt-4oo", "nearest": "gpt-4o"}]
    good, bad = item["keys"]
    assert (good["key"], good["accepted"], good["models"][0], good["failure"]) == ("0001", True, "gpt-4o", None)
    assert (bad["accepted"], bad["failure"]["code"]) == (False, "upstream_auth")


def test_the_missing_v1_is_found_without_a_line_of_log(tmp_path: Path, servers: list[MediaServer]) -> None:
    providers = {"main": {**entry("openai-compatible", servers[0].url), "baseUrl": servers[0].url}}
    done = check(tmp_path, providers, [("main", "gpt-4o")], code=0)
    assert "good, 3 models" in done.stdout
    assert "{" not in done.stdout


def test_the_demo_needs_no_provider(tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "STATE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "penstock", "providers", "check"]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert "without a key: good" in done.stdout
