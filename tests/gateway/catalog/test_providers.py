from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from penstock.gateway.catalog.private_keys import UnusableKey, repaired
from penstock.kit.secret import Secret
from penstock.providers.base import AwsKeys, ServiceAccount
from tests.gateway.catalog.texts import EXAMPLES, OPENAI, catalog, refusal, warnings

AZURE = EXAMPLES["azure"]
BEDROCK = EXAMPLES["bedrock"]
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
        ({**AZURE, "apiVersion": " "}, "apiVersion"),
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


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        ("openai", "https://api.openai.com/v1"),
        ("anthropic", "https://api.anthropic.com"),
        ("google", "https://generativelanguage.googleapis.com/v1beta"),
        ("azure", "https://mine.openai.azure.com/openai"),
        ("bedrock", "https://bedrock-runtime.eu-central-1.amazonaws.com"),
        ("vertex", "https://europe-west4-aiplatform.googleapis.com/v1beta1"),
        ("openai-compatible", "http://ollama:11434/v1"),
        ("mistral", "https://api.mistral.ai/v1"),
        ("qwen", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"),
    ],
)
def test_the_example_of_each_type_is_read_without_a_remark(kind: str, address: str) -> None:
    found = catalog({"a": EXAMPLES[kind]})
    assert found.providers["a"].base_url == address
    assert not warnings(found)


def test_the_credentials_of_bedrock_are_one_or_several() -> None:
    keys = {"accessKeyId": "AKID", "secretAccessKey": "canary-secret", "sessionToken": "canary-token"}
    other = {"accessKeyId": "OTHER", "secretAccessKey": "canary-other"}
    one = catalog({"a": {**BEDROCK, "credentials": keys}}).providers["a"]
    two = catalog({"a": {**BEDROCK, "credentials": [keys, other]}}).providers["a"]
    assert one.credentials == (AwsKeys("AKID", Secret("canary-secret"), Secret("canary-token")),)
    assert [found.access_key_id for found in two.credentials if isinstance(found, AwsKeys)] == ["AKID", "OTHER"]
    assert "canary" not in repr(one) + repr(two)


@pytest.mark.parametrize("missing", ["accessKeyId", "secretAccessKey"])
def test_half_a_pair_of_aws_keys_is_refused(missing: str) -> None:
    half = {name: value for name, value in BEDROCK["credentials"].items() if name != missing}
    (problem,) = refusal({"a": {**BEDROCK, "credentials": half}})
    assert problem.path == f'["a"].credentials.{missing}'


def test_aws_keys_that_cannot_be_such_are_refused() -> None:
    (problem,) = refusal({"a": {**BEDROCK, "credentials": {"accessKeyId": "AKID", "secretAccessKey": "canary b"}}})
    assert "Copy it again" in problem.fix
    assert "canary" not in problem.message + problem.fix


def test_s046_the_credentials_of_vertex_are_repaired_and_kept(private_key: str) -> None:
    mangled = private_key.replace("\n", "\\\\n")
    entry = {**VERTEX, "credentials": {"clientEmail": "x@y", "privateKey": mangled, "privateKeyId": "7"}}
    found = catalog({"a": entry}).providers["a"]
    assert found.credentials == (ServiceAccount("x@y", Secret(private_key), "7"),)
    assert "PRIVATE" not in repr(found)


def test_the_whole_file_of_google_gives_the_account(private_key: str) -> None:
    file = {
        "type": "service_account",
        "project_id": "other",
        "private_key_id": "8",
        "private_key": private_key,
        "client_email": "x@y",
        "token_uri": "http://127.0.0.1:9/token",
        "universe_domain": "googleapis.com",
    }
    found = catalog({"a": {**VERTEX, "credentials": [file, file]}})
    assert found.providers["a"].credentials == 2 * (
        ServiceAccount("x@y", Secret(private_key), "8", "http://127.0.0.1:9/token"),
    )
    assert dict(found.providers["a"].details)["project"] == "mine"
    assert not warnings(found)


@pytest.mark.parametrize(
    "address",
    [
        *("http://oauth2.googleapis.com/token", "ftp://x", "token", "http://169.254.169.254"),
        *("https://me:canary@x/token", "https://x/to ken", "https://x:99999", "https://[x", "https://x/tökén"),
    ],
)
def test_a_token_is_not_asked_for_where_others_can_read_it(private_key: str, address: str) -> None:
    account = {"clientEmail": "x@y", "privateKey": private_key, "tokenUri": address}
    (problem,) = refusal({"a": {**VERTEX, "credentials": account}})
    assert "tokenUri" in problem.path
    assert "canary" not in f"{problem}"


@pytest.mark.parametrize("kind, version", [("google", "v1beta"), ("vertex", "v1beta1")])
def test_an_address_of_googles_formats_has_a_version(kind: str, version: str) -> None:
    found = warnings(catalog({"a": {**EXAMPLES[kind], "baseUrl": "https://relay.example/gemini"}}))
    assert list(found) == ['PROVIDERS["a"].baseUrl']
    assert f"has no /{version};" in found['PROVIDERS["a"].baseUrl']
    assert not warnings(catalog({"a": {**EXAMPLES[kind], "baseUrl": f"https://relay.example/gemini/{version}/"}}))


def test_other_google_files_than_those_of_service_accounts_are_refused() -> None:
    user = {"type": "authorized_user", "client_id": "c", "refresh_token": "canary"}
    (problem,) = refusal({"a": {**VERTEX, "credentials": user}})
    assert problem.path == '["a"].credentials.type'
    assert "canary" not in problem.message + problem.fix


def test_s046_a_key_that_is_not_rsa_is_reported_at_start() -> None:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(UnusableKey, match="RSA"):
        repaired(pem.decode())


@pytest.mark.parametrize("kind", ["azure", "bedrock", "vertex"])
def test_w02_the_clouds_need_no_credentials_unless_ambient_ones_are_switched_off(kind: str) -> None:
    bare = {name: value for name, value in EXAMPLES[kind].items() if name not in ("apiKeys", "credentials")}
    found = catalog({"a": bare}).providers["a"]
    assert (found.ambient, found.api_keys, found.credentials) == (True, (), ())
    (problem,) = refusal({"a": {**bare, "apiKeys": [], "ambientCredentials": False}})
    assert "`ambientCredentials` is false" in problem.fix
    assert not catalog({"a": {**EXAMPLES[kind], "ambientCredentials": False}}).providers["a"].ambient


def test_credentials_beside_keys_are_warned_of() -> None:
    found = catalog({"a": {**BEDROCK, "apiKeys": ["key"]}})
    assert "is not used" in warnings(found)['PROVIDERS["a"].credentials']


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("mine", "https://mine.openai.azure.com/openai"),
        ("mine.openai.azure.com", "https://mine.openai.azure.com/openai"),
        ("https://mine.openai.azure.com/", "https://mine.openai.azure.com/openai"),
        ("mine.services.ai.azure.com", "https://mine.services.ai.azure.com/openai"),
        ("https://mine.cognitiveservices.azure.com", "https://mine.cognitiveservices.azure.com/openai"),
    ],
)
def test_an_azure_resource_keeps_its_host(name: str, address: str) -> None:
    found = catalog({"a": {**AZURE, "resourceName": name}})
    assert found.providers["a"].base_url == address
    assert dict(found.providers["a"].details)["resourceName"] == "mine"
    assert bool(warnings(found)) == ("." in name)


def test_the_extensions_of_anthropic_are_read() -> None:
    entry = {**EXAMPLES["anthropic"], "apiVersion": "2026-10-21", "betas": ["a-1", "b-2"], "baseUrl": "http://x/v1/"}
    found = catalog({"a": entry})
    assert dict(found.providers["a"].details) == {"apiVersion": "2026-10-21", "betas": "a-1,b-2"}
    assert found.providers["a"].base_url == "http://x"
    assert "it is cut" in warnings(found)['PROVIDERS["a"].baseUrl']
    (problem,) = refusal({"a": {**EXAMPLES["anthropic"], "apiVersion": "latest"}})
    assert problem.path == '["a"].apiVersion'


@pytest.mark.parametrize("kind", sorted(EXAMPLES))
def test_times_proxy_and_authorities_can_be_set_for_every_type(kind: str) -> None:
    entry = {**EXAMPLES[kind], "timeouts": {"connectMs": 500}, "proxy": "http://proxy:3128", "tls": {"verify": False}}
    found = catalog({"a": entry}).providers["a"]
    assert (found.connect_s, found.proxy, found.verify_tls) == (0.5, Secret("http://proxy:3128"), False)


def test_equal_texts_give_equal_providers() -> None:
    entry = {**LOCAL, "apiKeys": ["a", "b"], "headers": {"x": "y"}, "timeouts": {"idleMs": 5}}
    one, other = (catalog({"a": dict(entry)}).providers["a"] for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)


def test_a_misspelt_private_key_is_named_and_no_right_field_is_suspected() -> None:
    credentials = {"clientEmail": "a@b.iam.gserviceaccount.com", "privateKye": "x", "privateKeyId": "1"}
    entry = {"type": "vertex", "project": "p", "location": "global", "credentials": credentials}
    problems = refusal({"v": entry}, [])
    (missing,) = [problem for problem in problems if problem.message == "is missing."]
    assert "`privateKye`" in missing.fix
    assert "privateKeyId" not in missing.fix
