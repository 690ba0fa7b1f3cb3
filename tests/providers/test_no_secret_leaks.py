"""Canaries: secrets of every kind, at providers of every type, in calls that go well, are refused with the secret in
the answer, fall silent and break. None of them may come out anywhere, with every line logged that there is."""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.editor.conftest import Tenant
from tests.fakes.editor_client import EditorClient
from tests.fakes.openai_upstream import running_upstream
from tests.fakes.parrot import Parrot, parrot
from tests.gateway.catalog.texts import catalog
from tests.service import FEATURES, MANAGEMENT_SECRET, Service, service_env, start_service, with_tenant

USER = "me:canary-of-the-proxy-1"
REFUSALS = ("400", "401", "403", "404", "429", "500", "late")
FATES = ("ok", "stall", "reset", *REFUSALS)
_CANARY = re.compile(r"canary-of-[a-z-]+\d?")
IN_HASTE = {"firstTokenMs": 400, "idleMs": 400}


@dataclass
class House:
    service: Service
    parrot: Parrot
    providers: Mapping[str, Any]
    canaries: tuple[str, ...]

    def leaked(self, text: str) -> set[str]:
        return {canary for canary in self.canaries if canary in text}


@dataclass(frozen=True)
class Kind:
    """`entry` lacks its address; `suffix` goes behind it. `told` is what the provider is told beside what it sees."""

    model: str
    entry: Mapping[str, Any]
    suffix: str = ""
    told: tuple[str, ...] = ()


def _pem() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _kinds(url: str, pem: str) -> dict[str, Kind]:
    aws = {"accessKeyId": "AKIDEXAMPLE", "secretAccessKey": "canary-of-aws-1", "sessionToken": "canary-of-a-session-1"}
    account = {"clientEmail": "me@p.iam.gserviceaccount.com", "privateKey": pem, "tokenUri": f"{url}/token"}
    vertex = {"type": "vertex", "project": "p", "location": "us-east5"}
    local = {"type": "openai-compatible"}
    azure = {"type": "azure", "resourceName": "r", "apiVersion": "2024-10-21"}
    aws_given = ("canary-of-a-given-secret", "canary-of-a-given-session")
    return {
        "chat": Kind("gpt-4o", {"type": "openai", "apiKeys": ["canary-of-openai-1"], "api": "chat"}, "/v1"),
        "responses": Kind("gpt-5", {"type": "openai", "apiKeys": ["canary-of-openai-2"], "api": "responses"}, "/v1"),
        "mistral": Kind("m", {"type": "mistral", "apiKeys": ["canary-of-mistral-1"]}, "/v1"),
        "qwen": Kind("q", {"type": "qwen", "apiKeys": ["canary-of-qwen-1"]}, "/v1"),
        "keyed": Kind("l", {**local, "apiKeys": ["canary-of-local-1"]}, "/v1"),
        "header": Kind("l", {**local, "headers": {"X-Gateway-Secret": "canary-of-a-header-1"}}, "/v1"),
        "own-auth": Kind("l", {**local, "headers": {"Authorization": "Bearer canary-of-a-header-2"}}, "/v1"),
        "query": Kind("l", local, "/v1?token=canary-of-a-query-1"),
        "proxied": Kind("l", {**local, "proxy": f"http://{USER}@{url[7:]}"}, "/v1", (USER, "canary-of-the-proxy-1")),
        "anthropic": Kind("claude-sonnet-4-5", {"type": "anthropic", "apiKeys": ["canary-of-anthropic-1"]}),
        "google": Kind("gemini-2.5-flash", {"type": "google", "apiKeys": ["canary-of-google-1"]}, "/v1beta"),
        "azure": Kind("d", {**azure, "apiKeys": ["canary-of-azure-1"]}, "/openai"),
        "entra": Kind("d", azure, "/openai"),
        "bedrock": Kind(
            "amazon.nova-pro-v1:0",
            {"type": "bedrock", "region": "us-east-1", "credentials": aws},
            told=("canary-of-aws-1",),
        ),
        "bedrock-key": Kind(
            "amazon.nova-pro-v1:0", {"type": "bedrock", "region": "us-east-1", "apiKeys": ["canary-of-bedrock-1"]}
        ),
        "aws-role": Kind("amazon.nova-pro-v1:0", {"type": "bedrock", "region": "us-east-1"}, told=aws_given),
        "vertex-key": Kind("gemini-2.5-flash", {**vertex, "apiKeys": ["canary-of-vertex-1"]}, "/v1beta1"),
        "account": Kind(
            "gemini-2.5-flash", {**vertex, "credentials": account}, "/v1beta1", (json.dumps(pem)[1:-1], pem)
        ),
        "vertex-claude": Kind("claude-sonnet-4-5", {**vertex, "credentials": account}, "/v1beta1"),
        "adc": Kind("gemini-2.5-flash", vertex, "/v1beta1"),
    }


def _machine(folder: Path, url: str) -> dict[str, str]:
    """Every identity that a platform gives out."""
    gcloud, assertion, web_identity = folder / "adc.json", folder / "assertion", folder / "web-identity"
    user = {
        "client_id": "c",
        "client_secret": "canary-of-a-client-secret",
        "refresh_token": "canary-of-a-refresh-token",
    }
    gcloud.write_text(json.dumps({"type": "authorized_user", "token_uri": f"{url}/token", **user}))
    assertion.write_text("canary-of-an-assertion")
    web_identity.write_text("canary-of-a-web-identity")
    return {
        "GOOGLE_APPLICATION_CREDENTIALS": str(gcloud),
        "AZURE_FEDERATED_TOKEN_FILE": str(assertion),
        "AZURE_TENANT_ID": "tenant",
        "AZURE_CLIENT_ID": "client",
        "AZURE_AUTHORITY_HOST": url,
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(web_identity),
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/r",
        "AWS_ENDPOINT_URL_STS": url,
    }


def _entry(kind: Kind, url: str, name: str, fate: str) -> dict[str, Any]:
    base = f"{url}/{fate}/{name}{kind.suffix}"
    return {**kind.entry, "baseUrl": base} | ({"timeouts": IN_HASTE} if fate == "stall" else {})


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("canaries")
    pem = _pem()
    with parrot() as bird, running_upstream() as unused:
        kinds = _kinds(bird.url, pem)
        bird.also = {name: kind.told for name, kind in kinds.items()}
        providers = {f"{name}-{fate}": _entry(kinds[name], bird.url, name, fate) for name in kinds for fate in FATES}
        models = [
            {"id": kinds[key.rpartition("-")[0]].model, "provider": key, "description": "x", "features": FEATURES}
            for key in providers
        ]
        env = service_env(
            unused,
            folder,
            PROVIDERS=json.dumps(providers),
            MODELS=json.dumps(models),
            LOG_LEVEL="10",
            **_machine(folder, bird.url),
        )
        lines = pem.split("\n")
        canaries = ("canary-of-", base64.b64encode(USER.encode()).decode(), lines[3], lines[9])
        with start_service(env, unused) as service:
            yield House(with_tenant(service), bird, providers, canaries)


def _ask(house: House, key: str, model: str) -> tuple[int, str]:
    """Streamed, over the OpenAI surface."""
    body = {"model": f"{key}/{model}", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    url, headers = house.service.url + "/oai/v1/chat/completions", house.service.api_key_headers
    answer = httpx.post(url, json=body, headers=headers, timeout=60)
    return answer.status_code, f"{answer.text} {dict(answer.headers)}"


def _edit(house: House, tenant: Tenant, key: str, model: str) -> str:
    with EditorClient(house.service.url, tenant.headers()) as editor:
        reply = editor.said(editor.create(), "Hello", model=f"{key}/{model}")
    return " ".join(f"{event.name} {event.data}" for event in reply.events)


@pytest.fixture(scope="module")
def told(house: House) -> dict[str, tuple[int, str]]:
    """What each call was answered with: by the entry's key."""
    models = {key: kind.model for key, kind in _kinds(house.parrot.url, "").items()}
    with ThreadPoolExecutor(32) as pool:
        asked = {key: pool.submit(_ask, house, key, models[key.rpartition("-")[0]]) for key in house.providers}
    return {key: one.result() for key, one in asked.items()}


def test_each_call_met_its_fate_and_the_provider_has_repeated_every_canary(
    house: House, told: Mapping[str, tuple[int, str]]
) -> None:
    """Without this, the others would prove nothing."""
    for key, (status, text) in told.items():
        fate = key.rpartition("-")[2]
        assert (status == 200) == (fate in ("ok", "late")), (key, status, text)
        assert ("Hi" in text) == (fate in ("ok", "late")), (key, text)
    repeated = " ".join(house.parrot.repeated)
    configured = set(_CANARY.findall(json.dumps(house.providers)))
    expected = configured | {f"canary-of-a-given-{name}" for name in ("token", "secret", "session")}
    assert expected - set(_CANARY.findall(repeated)) == set()
    assert house.leaked(repeated) == set(house.canaries)


@pytest.mark.parametrize("fate", FATES)
def test_answers_to_callers_have_no_secret(house: House, told: Mapping[str, tuple[int, str]], fate: str) -> None:
    of_this_fate = {key: text for key, (_, text) in told.items() if key.rpartition("-")[2] == fate}
    assert of_this_fate
    leaky = {key: text for key, text in of_this_fate.items() if house.leaked(text)}
    assert not leaky


def test_replies_of_the_editor_have_no_secret(house: House, told: Mapping[str, tuple[int, str]]) -> None:
    tenant = Tenant(house.service)
    for name, kind in _kinds(house.parrot.url, "").items():
        reply = _edit(house, tenant, f"{name}-400", kind.model)
        assert "error" in reply, reply
        assert house.leaked(reply) == set(), reply


def test_vectors_and_pictures_that_are_refused_have_no_secret(house: House) -> None:
    url, headers = house.service.url + "/oai/v1/", house.service.api_key_headers
    for name, kind in _kinds(house.parrot.url, "").items():
        model = f"{name}-400/{kind.model}"
        for path, more in (("embeddings", {"input": "x"}), ("images/generations", {"prompt": "x"})):
            answer = httpx.post(url + path, json={"model": model, **more}, headers=headers, timeout=60)
            assert answer.status_code >= 400
            assert house.leaked(answer.text) == set(), answer.text


def test_the_health_page_has_no_secret(house: House, told: Mapping[str, tuple[int, str]]) -> None:
    headers = {"Authorization": f"Bearer {MANAGEMENT_SECRET}"}
    answer = httpx.get(house.service.url + "/health/ready?detail", headers=headers)
    assert all(f'"{key}"' in answer.text for key in told)
    assert house.leaked(answer.text) == set()


@pytest.mark.parametrize(
    "command, code",
    [(("config", "show"), 0), (("config", "check"), 0), (("providers", "check"), 1)],
)
@pytest.mark.parametrize("form", [("--json",), ()])
def test_commands_print_no_secret(house: House, command: tuple[str, ...], code: int, form: tuple[str, ...]) -> None:
    words = [sys.executable, "-m", "penstock", *command, *form]
    env = {**os.environ, **house.service.env}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    assert house.leaked(done.stdout + done.stderr) == set()


def test_a_configuration_that_is_printed_has_no_secret(house: House) -> None:
    found = catalog(dict(house.providers)).providers
    assert len(found) == len(house.providers)
    for config in found.values():
        assert house.leaked(f"{config!r} {config} {[config]}") == set(), config.key


def test_the_log_has_every_call_and_no_secret(house: House, told: Mapping[str, tuple[int, str]]) -> None:
    """Last, when all has happened: standard output and error of the whole life of the service."""
    house.service.stop()
    assert len(house.service.lines) > len(told)
    assert [line for line in house.service.lines if house.leaked(line)] == []
