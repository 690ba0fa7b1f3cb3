from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from penstock.gateway.catalog.private_keys import UnusableKey, repaired
from tests.gateway.catalog.texts import OPENAI, catalog, refusal, warnings

AZURE = {"type": "azure", "resourceName": "mine", "apiKeys": ["k"], "apiVersion": "2024-10-21"}
BEDROCK = {"type": "bedrock", "region": "eu-central-1", "credentials": {"accessKeyId": "a", "secretAccessKey": "b"}}
VERTEX = {"type": "vertex", "project": "mine", "location": "europe-west4"}
LOCAL = {"type": "openai-compatible", "baseUrl": "http://ollama:11434/v1"}


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_an_entry_becomes_a_provider_with_the_address_of_its_type() -> None:
    found = catalog({"main": {**OPENAI, "name": "Our account"}}).providers["main"]
    assert (found.key, found.type, found.name) == ("main", "openai", "Our account")
    assert found.base_url == "https://api.openai.com/v1"
    assert [key.reveal() for key in found.api_keys] == ["sk-one"]


def test_without_providers_there_is_the_demo() -> None:
    found = catalog()
    assert list(found.providers) == ["demo"]
    assert found.find("penstock-demo") == found.find("demo/penstock-demo")
    assert found.models[0].backends[0].provider.type == "demo"
    assert not found.problems


@pytest.mark.parametrize("text", ["{}", "[]", '"x"', "null", "1"])
def test_what_is_no_object_with_entries_is_refused(text: str) -> None:
    (problem,) = refusal(text)
    assert "Expected an object" in problem.fix


def test_every_problem_of_both_texts_is_in_one_refusal() -> None:
    found = refusal({"a": {"type": "openai"}, "b": {"type": "gogle"}, "c": {}}, [{"id": 3, "provider": "a"}])
    assert [problem.variable + problem.path for problem in found] == [
        'PROVIDERS["a"].apiKeys',
        'PROVIDERS["b"].type',
        'PROVIDERS["c"].type',
        "MODELS[0].id",
    ]


def test_an_unknown_type_is_refused_with_the_nearest() -> None:
    (problem,) = refusal({"a": {"type": "openai_compatible", "baseUrl": "http://x/v1"}})
    assert "Did you mean `openai-compatible`?" in problem.fix
    assert "anthropic, google, azure, bedrock, vertex" in problem.fix


def test_a_problem_stands_at_its_line_and_column() -> None:
    text = '{\n  "good": {"type": "openai", "apiKeys": ["k"]},\n  "bad": {\n    "type": "azur"\n  }\n}'
    (problem,) = refusal(text)
    assert (problem.line, problem.column) == (4, 13)


def test_a_misspelt_field_is_named_with_the_right_one() -> None:
    (problem,) = refusal({"a": {"type": "openai", "apiKey": "sk-1"}})
    assert "`apiKeys`" in problem.fix


@pytest.mark.parametrize(
    ("entry", "missing"),
    [
        ({"type": "anthropic"}, "apiKeys"),
        ({"type": "google", "apiKeys": []}, "apiKeys"),
        ({"type": "mistral"}, "apiKeys"),
        ({"type": "openai-compatible"}, "baseUrl"),
        ({"type": "bedrock"}, "region"),
        ({"type": "vertex", "location": "global"}, "project"),
        ({"type": "vertex", "project": "mine"}, "location"),
        ({**VERTEX, "ambientCredentials": False}, "credentials"),
        ({**AZURE, "resourceName": None}, "resourceName"),
    ],
)
def test_a_missing_field_is_refused_by_name(entry: Any, missing: str) -> None:
    (problem,) = refusal({"a": entry})
    assert problem.path == f'["a"].{missing}'
    assert "is missing" in problem.message


def test_s049_azure_without_a_version_is_refused_by_name() -> None:
    (problem,) = refusal({"cloud": {"type": "azure", "resourceName": "mine", "apiKeys": ["k"]}})
    assert problem.path == '["cloud"].apiVersion'
    assert "2024-10-21" in problem.fix


def test_the_address_of_an_azure_resource_is_cut_to_its_name() -> None:
    found = catalog({"a": {**AZURE, "resourceName": "https://mine.openai.azure.com/"}})
    assert "only its first part is used" in warnings(found)['PROVIDERS["a"].resourceName']


def test_s061_a_key_of_ai_studio_on_vertex_is_recognised() -> None:
    (problem,) = refusal({"a": {**VERTEX, "apiKeys": ["AIzaSyExample"]}})
    assert "AI Studio" in problem.message
    assert "`google`" in problem.fix
    assert "SyExample" not in problem.message + problem.fix


def test_s046_a_private_key_with_mangled_line_feeds_is_repaired(private_key: str) -> None:
    for mangled in (private_key.replace("\n", "\\n"), private_key.replace("\n", " "), f'"{private_key}"'):
        assert repaired(mangled) == private_key
        catalog({"a": {**VERTEX, "credentials": {"clientEmail": "x@y", "privateKey": mangled}}})


def test_s046_the_whole_file_of_a_service_account_is_accepted(private_key: str) -> None:
    account = {"type": "service_account", "client_email": "x@y", "private_key": private_key, "token_uri": "https://t"}
    assert not warnings(catalog({"a": {**VERTEX, "credentials": account}}))


@pytest.mark.parametrize(
    "key",
    ["canary", "-----BEGIN PRIVATE KEY-----canary-----END PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\nMII\n"],
)
def test_s046_a_private_key_that_is_none_is_reported_at_start(key: str) -> None:
    with pytest.raises(UnusableKey):
        repaired(key)
    (problem,) = refusal({"a": {**VERTEX, "credentials": {"clientEmail": "x@y", "privateKey": key}}})
    assert problem.path == '["a"].credentials.privateKey'
    assert "is not a private key" in problem.message
    assert "canary" not in problem.message + problem.fix


def test_s051_an_address_without_v1_is_warned_of() -> None:
    found = catalog({"local": {**LOCAL, "baseUrl": "http://ollama:11434/"}})
    assert "/v1" in warnings(found)['PROVIDERS["local"].baseUrl']
    assert found.providers["local"].base_url == "http://ollama:11434"


@pytest.mark.parametrize(
    "address", ["https://api.deepseek.com", "https://x.example/v1beta/openai", "https://api.groq.com/openai/v1/"]
)
def test_an_address_that_needs_no_v1_is_left_alone(address: str) -> None:
    assert not warnings(catalog({"a": {**LOCAL, "baseUrl": address}}))


@pytest.mark.parametrize("address", ["ollama:11434/v1", "ftp://x/v1", "http://", "http://x:99999/v1", "http://x y/v1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    (problem,) = refusal({"a": {**LOCAL, "baseUrl": address}})
    assert "is not an address" in problem.message


def test_a_password_in_an_address_is_refused() -> None:
    (problem,) = refusal({"a": {**LOCAL, "baseUrl": "http://me:canary@x/v1"}})
    assert "canary" not in problem.message + problem.fix


def test_one_key_as_a_string_is_accepted_with_a_warning() -> None:
    found = catalog({"a": {"type": "openai", "apiKeys": " sk-one\n"}})
    assert [key.reveal() for key in found.providers["a"].api_keys] == ["sk-one"]
    assert "one string" in warnings(found)['PROVIDERS["a"].apiKeys']


def test_a_key_that_cannot_be_one_is_refused() -> None:
    (problem,) = refusal({"a": {"type": "openai", "apiKeys": ["sk-one sk-two"]}})
    assert "Copy the key again" in problem.fix


def test_unknown_fields_are_warned_of() -> None:
    found = catalog({"a": {**OPENAI, "baseURL": "https://x/v1"}})
    assert "not a field" in warnings(found)['PROVIDERS["a"]["baseURL"]']
    assert found.providers["a"].base_url == "https://api.openai.com/v1"


def test_a_key_given_twice_is_warned_of() -> None:
    found = catalog('{"a": {"type": "qwen", "apiKeys": ["x"]}, "a": {"type": "openai", "apiKeys": ["y"]}}')
    assert "more than once" in warnings(found)['PROVIDERS["a"]']
    assert found.providers["a"].type == "openai"


def test_the_extensions_are_read() -> None:
    entry = {
        **LOCAL,
        "headers": {"X-Team": "writers", "Authorization": "Basic canary", "Host": "elsewhere"},
        "timeouts": {"connectMs": 500, "firstTokenMs": 900_000, "idleMs": 1_500},
        "proxy": "http://proxy:3128",
        "tls": {"verify": False},
        "flavor": "vllm",
        "api": "chat",
    }
    snapshot = catalog({"a": entry})
    found = snapshot.providers["a"]
    assert {name: str.__str__(value) for name, value in found.headers} == {
        "x-team": "writers",
        "authorization": "Basic canary",
    }
    assert (found.connect_s, found.first_byte_s, found.idle_s, found.total_s) == (0.5, 900.0, 1.5, 900.0)
    assert (found.proxy, found.verify_tls) == ("http://proxy:3128", False)
    assert dict(found.details) == {"api": "chat", "flavor": "vllm"}
    assert set(warnings(snapshot)) == {'PROVIDERS["a"].headers["Host"]', 'PROVIDERS["a"].tls.verify'}
    assert "canary" not in repr(found)


def test_a_header_cannot_replace_the_credentials_of_a_type_that_has_its_own() -> None:
    found = catalog({"a": {**OPENAI, "headers": {"authorization": "Bearer other"}}})
    assert found.providers["a"].headers == ()


@pytest.mark.parametrize(
    "extension",
    [
        {"headers": {"X-Team": "two\nlines"}},
        {"headers": {"X Team": "x"}},
        {"timeouts": {"connectMs": 0}},
        {"timeouts": {"idleMs": "90000"}},
        {"tls": {"caFile": "/nowhere/ca.pem"}},
        {"tls": {"caFile": "x" * 300}},
        {"proxy": "proxy:3128"},
        {"flavor": "olama"},
        {"api": "both"},
        {"name": 7},
    ],
)
def test_an_extension_that_cannot_work_is_refused(extension: Any) -> None:
    assert len(refusal({"a": {**LOCAL, **extension}})) == 1


@pytest.mark.parametrize("entry", [AZURE, BEDROCK, {**BEDROCK, "credentials": [BEDROCK["credentials"]]}, VERTEX])
def test_types_without_a_wire_are_accepted_and_not_called(entry: Any) -> None:
    found = catalog({"a": entry, "main": OPENAI})
    assert list(found.providers) == ["main"]
    assert not warnings(found)


def test_equal_texts_give_equal_providers() -> None:
    entry = {**LOCAL, "apiKeys": ["a", "b"], "headers": {"x": "y"}, "timeouts": {"idleMs": 5}}
    one, other = (catalog({"a": dict(entry)}).providers["a"] for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
