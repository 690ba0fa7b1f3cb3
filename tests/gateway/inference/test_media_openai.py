"""Embeddings, images, transcription and speech onto OpenAI and its relatives, with the official SDK, through the real
process."""

import struct
import threading
import time
from base64 import b64decode
from collections.abc import Iterator

import httpx
import pytest
from openai import BadRequestError, InternalServerError, NotFoundError, OpenAI, PermissionDeniedError
from openai._legacy_response import HttpxBinaryResponseContent

from tests.fakes.media_openai import EVENTS, PNG, SOUND, mistral, openai, packed, qwen, relative, vector_of
from tests.fakes.media_server import Asked, MediaServer, Reply, as_json, media_serving
from tests.gateway.inference.media import KEY, client_of, media_service, metric
from tests.service import FEATURES, Service

RECORDING = ("speech.wav", b"RIFF of the test \r\n--not-a-boundary\r\n", "audio/wav")
CLAUDE = {"type": "anthropic", "apiKeys": ["sk-ant-0001"], "baseUrl": "http://127.0.0.1:1"}


def slow(asked: Asked) -> Reply | None:
    time.sleep(0.4)
    return qwen(asked)


@pytest.fixture(scope="module")
def servers() -> Iterator[list[MediaServer]]:
    with media_serving(openai, relative, qwen, mistral, slow) as found:
        yield found


@pytest.fixture(scope="module")
def house(servers: list[MediaServer]) -> Iterator[Service]:
    first, other, ten, french, late = servers
    providers: dict[str, dict[str, object]] = {
        "main": {"type": "openai", "apiKeys": [KEY], "baseUrl": first.url + "/v1"},
        "azure": {"type": "azure", "apiKeys": ["azure-key-000001"], "baseUrl": first.url, "apiVersion": "2024-10-21"},
        "azure-v1": {
            "type": "azure",
            "apiKeys": ["azure-key-000001"],
            "baseUrl": first.url,
            "apiVersion": "v1",
            "api": "responses",
        },
        "local": {"type": "openai-compatible", "baseUrl": other.url + "/v1"},
        "qwen": {"type": "qwen", "apiKeys": ["q-key-00000001"], "baseUrl": ten.url + "/v1"},
        "mistral": {"type": "mistral", "apiKeys": ["m-key-00000001"], "baseUrl": french.url + "/v1"},
        "slow": {
            "type": "qwen",
            "apiKeys": ["q-key-00000001"],
            "baseUrl": late.url + "/v1",
            "timeouts": {"firstTokenMs": 1000, "totalMs": 1000},
        },
    }
    models = [
        ("main", "embed-3", ["embeddings"]),
        ("main", "gpt-image-1", ["images"]),
        ("main", "gpt-4o", FEATURES),
        ("main", "tts-1", ["audio"]),
        ("azure", "my-embeddings", ["embeddings"]),
        ("azure-v1", "my-embeddings", ["embeddings"]),
        ("local", "nomic", ["embeddings"]),
        ("local", "painter", ["images"]),
        ("main", "gpt-4o-transcribe", ["audio"]),
        ("qwen", "text-embedding-v4", ["embeddings"]),
        ("qwen", "shared", ["embeddings"]),
        ("local", "shared", ["embeddings"]),
        ("mistral", "mistral-embed", ["embeddings"]),
        ("slow", "text-embedding-v4", ["embeddings"]),
    ]
    larger = str(27 * 1024 * 1024)
    with media_service(providers, models, SSE_KEEPALIVE_SECONDS="0.2", MAX_BODY_BYTES=larger) as service:
        yield service


@pytest.fixture
def server(servers: list[MediaServer]) -> Iterator[MediaServer]:
    for one in servers:
        one.reset()
    yield servers[0]
    assert [fault for one in servers for fault in one.faults] == []


@pytest.fixture
def client(house: Service, server: MediaServer) -> Iterator[OpenAI]:
    with client_of(house) as client:
        yield client


# --- embeddings -------------------------------------------------------------------------------------------------------


def test_vectors_come_as_floats_and_the_answer_byte_for_byte(
    house: Service, client: OpenAI, server: MediaServer
) -> None:
    server.plays(as_json({"data": [{"embedding": [0.1234567891234, -1.50], "index": 0}], "odd": {"b": 1.0}}))
    sent = {"model": "embed-3", "input": "Hello", "user": "u", "invented": [1, {"x": None}]}
    response = httpx.post(house.url + "/oai/v1/embeddings", json=sent, headers=house.api_key_headers)
    assert response.content == b'{"data": [{"embedding": [0.1234567891234, -1.5], "index": 0}], "odd": {"b": 1.0}}'
    assert response.headers["content-type"] == "application/json"
    assert server.seen[-1].json == sent


@pytest.mark.parametrize("model", ["main/embed-3", "local/nomic", "mistral/mistral-embed"])
def test_both_formats_are_served_exactly_as_asked_whatever_the_upstream_answers(client: OpenAI, model: str) -> None:
    raw = client.embeddings.with_raw_response.create(model=model, input=["a", "bc"], encoding_format="base64")
    found = sorted(raw.http_response.json()["data"], key=lambda one: one["index"])
    assert [one["embedding"] for one in found] == [packed(vector_of("a")), packed(vector_of("bc"))]
    raw = client.embeddings.with_raw_response.create(model=model, input=["a", "bc"], encoding_format="float")
    found = sorted(raw.http_response.json()["data"], key=lambda one: one["index"])
    assert [one["embedding"] for one in found] == [vector_of("a"), vector_of("bc")]


def test_base64_that_nobody_asked_for_becomes_numbers(client: OpenAI, server: MediaServer) -> None:
    server.plays(as_json({"data": [{"embedding": packed([0.5, 2.0]), "index": 0}]}))
    found = client.embeddings.create(model="embed-3", input="x", encoding_format="float")
    assert found.data[0].embedding == [0.5, 2.0]
    assert found.model == "embed-3"


def test_token_numbers_reach_an_upstream_of_the_same_format(client: OpenAI, server: MediaServer) -> None:
    client.embeddings.create(model="embed-3", input=[[1, 2], [3]], encoding_format="float")
    assert server.seen[-1].json["input"] == [[1, 2], [3]]
    client.embeddings.create(model="embed-3", input=[5, 6, 7], encoding_format="float")
    assert server.seen[-1].json["input"] == [5, 6, 7]


def test_more_inputs_than_the_upstream_takes_are_sent_in_portions_in_order_and_counted_together(
    house: Service, client: OpenAI, servers: list[MediaServer]
) -> None:
    texts = [f"text {number}" for number in range(95)]
    raw = client.embeddings.with_raw_response.create(model="text-embedding-v4", input=texts, encoding_format="float")
    found = raw.parse()
    assert [one.embedding for one in found.data] == [vector_of(text) for text in texts]
    assert [one.index for one in found.data] == list(range(95))
    assert found.usage.prompt_tokens == found.usage.total_tokens == 3 * 95
    assert sorted(len(one.json["input"]) for one in servers[2].seen) == [5] + [10] * 9
    assert 1 < servers[2].most_at_once <= 4
    line = metric(house, raw.headers["x-request-id"])
    assert (line["model"], line["attempts"], line["inputTokens"]) == ("qwen/text-embedding-v4", 10, 285)


def test_a_portion_that_fails_fails_the_call(client: OpenAI, servers: list[MediaServer]) -> None:
    servers[2].plays(*[qwen_ten() for _ in range(2)], as_json({"error": {"message": "too odd", "code": "odd"}}, 400))
    with pytest.raises(BadRequestError, match="too odd"):
        client.embeddings.create(model="text-embedding-v4", input=["x"] * 40, encoding_format="float")


def test_s054_all_portions_together_have_the_time_of_one_call(
    house: Service, client: OpenAI, servers: list[MediaServer]
) -> None:
    with pytest.raises(InternalServerError, match=r"timeouts\.totalMs=1000") as caught:
        client.embeddings.create(model="slow/text-embedding-v4", input=["x"] * 200, encoding_format="float")
    assert caught.value.status_code == 504
    assert "`slow`" in str(caught.value.body)
    assert len(servers[4].seen) < 20
    line = metric(house, caught.value.response.headers["x-request-id"])
    assert 0 < line["attempts"] < 20
    assert line["tried"][-1]["outcome"] == "cancelled"
    assert line["inputTokens"] > 0


def qwen_ten() -> Reply:
    return as_json({"data": [{"embedding": [1.0], "index": index} for index in range(10)]})


def test_another_backend_answers_when_the_first_one_fails(
    house: Service, client: OpenAI, servers: list[MediaServer]
) -> None:
    servers[2].plays(as_json({"error": {"message": "boom"}}, 500))
    raw = client.embeddings.with_raw_response.create(model="shared", input=["a"] * 25, encoding_format="float")
    assert len(raw.parse().data) == 25
    assert [len(one.json["input"]) for one in servers[1].seen] == [25]
    line = metric(house, raw.headers["x-request-id"])
    assert (line["model"], line["attempts"]) == ("local/shared", 2)


def test_vectors_of_two_backends_are_never_mixed(client: OpenAI, servers: list[MediaServer]) -> None:
    servers[2].plays(qwen_ten(), as_json({"error": {"message": "boom"}}, 500))
    with pytest.raises(InternalServerError, match="boom"):
        client.embeddings.create(model="shared", input=["a"] * 25, encoding_format="float")
    assert servers[1].seen == []


def test_dimensions_have_mistrals_name_at_mistral(client: OpenAI, servers: list[MediaServer]) -> None:
    client.embeddings.create(model="mistral-embed", input="x", dimensions=256)
    assert servers[3].seen[-1].json == {"model": "mistral-embed", "input": "x", "output_dimension": 256}


def test_a_deployment_on_azure_has_its_own_path(client: OpenAI, server: MediaServer) -> None:
    server.plays(as_json({"data": [{"embedding": [1.0], "index": 0}]}))
    client.embeddings.create(model="azure/my-embeddings", input="x", encoding_format="float")
    asked = server.seen[-1]
    assert (asked.path, asked.query) == ("/deployments/my-embeddings/embeddings", "api-version=2024-10-21")
    assert asked.headers["api-key"] == "azure-key-000001"


def test_an_entry_that_is_called_by_responses_has_its_embeddings_where_azure_has_them(
    client: OpenAI, server: MediaServer
) -> None:
    server.plays(as_json({"data": [{"embedding": [1.0], "index": 0}]}))
    client.embeddings.create(model="azure-v1/my-embeddings", input="x", encoding_format="float")
    assert (server.seen[-1].path, server.seen[-1].query) == ("/v1/embeddings", "")


def test_an_answer_with_too_few_vectors_is_a_failure(client: OpenAI, server: MediaServer) -> None:
    server.plays(as_json({"data": [{"embedding": [1.0], "index": 0}]}))
    with pytest.raises(Exception, match="1 vectors for 2 inputs"):
        client.embeddings.create(model="embed-3", input=["a", "b"])


def test_an_error_inside_a_good_status_is_an_error(client: OpenAI, server: MediaServer) -> None:
    server.plays(as_json({"error": {"message": "The model is asleep", "code": "asleep"}}))
    with pytest.raises(Exception, match="The model is asleep"):
        client.embeddings.create(model="embed-3", input="x")


@pytest.mark.parametrize(
    "body",
    [
        {"model": "embed-3"},
        {"model": "embed-3", "input": []},
        {"model": "embed-3", "input": {}},
        {"model": "embed-3", "input": ["a", 1]},
        {"model": "embed-3", "input": [1, "a"]},
        {"model": "embed-3", "input": [[1], "a"]},
        {"model": "embed-3", "input": [None]},
        {"model": "embed-3", "input": "x", "encoding_format": "int8"},
        {"model": "embed-3", "input": "x", "dimensions": 0},
        {"model": "embed-3", "input": "x", "dimensions": "many"},
        {"model": "embed-3", "input": ["x"] * 16_385},
        {"model": 5, "input": "x"},
        {"input": "x"},
        [],
    ],
)
def test_what_is_no_request_for_vectors_is_refused_before_any_call(
    house: Service, server: MediaServer, body: object
) -> None:
    response = httpx.post(house.url + "/oai/v1/embeddings", json=body, headers=house.api_key_headers)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert server.seen == []


# --- who may, and which model -----------------------------------------------------------------------------------------


def test_a_key_of_one_model_may_use_that_one_only(house: Service, server: MediaServer) -> None:
    made = house.cli("api-key", "create", "--tenant", house.tenant_id, "--permission", "ai:models:main:embed-3")
    with client_of(house) as client:
        client.api_key = made["key"]
        assert client.embeddings.create(model="embed-3", input="x").data
        with pytest.raises(PermissionDeniedError, match="ai:models:local:nomic"):
            client.embeddings.create(model="nomic", input="x")


def test_a_model_that_only_makes_vectors_is_not_shown_in_the_editor(house: Service, client: OpenAI) -> None:
    shown = httpx.get(house.url + "/v1/models/1", headers=house.token_headers(permissions=["ai:models:*"])).json()
    assert [one["id"] for one in shown["items"]] == ["agent-1", "gpt-4o"]
    assert "main/embed-3" in [one.id for one in client.models.list()]


def test_an_unknown_model_is_not_found(client: OpenAI) -> None:
    with pytest.raises(NotFoundError, match="embed-4"):
        client.embeddings.create(model="embed-4", input="x")


def test_the_agent_chooses_a_model_with_the_feature(client: OpenAI, server: MediaServer) -> None:
    client.embeddings.create(model="agent-1", input="x", encoding_format="float")
    assert server.seen[-1].json["model"] == "embed-3"
    client.images.generate(model="agent-1", prompt="A cat")
    assert server.seen[-1].json["model"] == "gpt-image-1"


@pytest.mark.parametrize("model", ["mistral-embed", "text-embedding-v4"])
def test_a_provider_without_images_is_not_asked_for_any(client: OpenAI, servers: list[MediaServer], model: str) -> None:
    with pytest.raises(BadRequestError, match="makes no images") as caught:
        client.images.generate(model=model, prompt="A cat")
    assert caught.value.code == "upstream_unsupported"
    assert [one for server in servers for one in server.seen] == []


# --- images -----------------------------------------------------------------------------------------------------------


def test_an_image_is_made(house: Service, client: OpenAI, server: MediaServer) -> None:
    raw = client.images.with_raw_response.generate(model="gpt-image-1", prompt="A cat", n=2, size="1024x1024")
    found = raw.parse()
    assert [one.b64_json for one in found.data or []] == [PNG, PNG]
    assert found.usage is not None
    assert found.usage.output_tokens == 272
    line = metric(house, raw.headers["x-request-id"])
    assert (line["inputTokens"], line["outputTokens"]) == (9, 272)


def test_words_of_older_callers_are_put_into_todays_and_what_is_left_out_is_said(
    client: OpenAI, server: MediaServer
) -> None:
    raw = client.images.with_raw_response.generate(
        model="gpt-image-1", prompt="A cat", quality="hd", style="vivid", response_format="b64_json"
    )
    assert server.seen[-1].json == {"model": "gpt-image-1", "prompt": "A cat", "quality": "high"}
    assert "`style`" in raw.headers["x-warning"]


def test_an_address_of_an_image_is_refused_with_the_reason(client: OpenAI, server: MediaServer) -> None:
    with pytest.raises(BadRequestError, match="keeps no images"):
        client.images.generate(model="gpt-image-1", prompt="A cat", response_format="url")
    assert server.seen == []


def test_a_server_of_the_old_kind_is_asked_for_the_image_itself(client: OpenAI, servers: list[MediaServer]) -> None:
    found = client.images.generate(model="nomic", prompt="A cat")
    assert [one.b64_json for one in found.data or []] == [PNG]


def test_a_server_that_refuses_the_word_for_it_is_asked_without(client: OpenAI, servers: list[MediaServer]) -> None:
    error = {
        "message": "Unknown parameter: 'response_format'.",
        "param": "response_format",
        "code": "unknown_parameter",
    }
    picture = as_json({"created": 1, "data": [{"b64_json": PNG}]})
    servers[1].plays(as_json({"error": error}, 400), picture, picture)
    for _ in range(2):
        assert client.images.generate(model="painter", prompt="A cat").data
    assert ["response_format" in one.json for one in servers[1].seen] == [True, False, False]


def test_an_image_is_changed_and_every_file_arrives(client: OpenAI, server: MediaServer) -> None:
    client.images.edit(
        model="main/gpt-image-1",
        prompt="A hät",
        image=[("a.png", b"\x89PNG\r\n1"), ("b.png", b"\x89PNG\r\n2")],
        mask=("m.png", b"mask"),
        quality="standard",
    )
    parts = server.seen[-1].form
    assert [(name, file_name, value) for name, file_name, value in parts if file_name is not None] == [
        ("image[]", "a.png", b"\x89PNG\r\n1"),
        ("image[]", "b.png", b"\x89PNG\r\n2"),
        ("mask", "m.png", b"mask"),
    ]
    assert server.seen[-1].fields == {"model": "gpt-image-1", "prompt": "A hät", "quality": "medium"}


def test_images_are_streamed_event_for_event(house: Service, client: OpenAI) -> None:
    events = list(client.images.generate(model="gpt-image-1", prompt="A cat", stream=True, partial_images=1))
    assert [one.type for one in events] == ["image_generation.partial_image", "image_generation.completed"]
    assert events[-1].b64_json == PNG


def test_a_stream_that_ends_too_early_ends_with_an_error(house: Service, server: MediaServer) -> None:
    server.plays(
        Reply([b'data: {"type":"image_generation.partial_image","b64_json":"x"}\n\n'], content_type="text/event-stream")
    )
    body = {"model": "gpt-image-1", "prompt": "A cat", "stream": True}
    response = httpx.post(house.url + "/oai/v1/images/generations", json=body, headers=house.api_key_headers)
    assert "ended before the answer was complete" in response.text.split("\n\n")[1]


def test_silence_between_events_is_filled_with_comments(house: Service, server: MediaServer) -> None:
    heard = threading.Event()

    def slowly() -> Iterator[bytes]:
        yield EVENTS[0]
        assert heard.wait(20)
        yield from EVENTS[1:]

    server.plays(Reply(slowly(), content_type="text/event-stream"))
    body = {"model": "gpt-image-1", "prompt": "A cat", "stream": True}
    with httpx.stream(
        "POST", house.url + "/oai/v1/images/generations", json=body, headers=house.api_key_headers, timeout=30
    ) as response:
        found = b""
        for piece in response.iter_raw():
            found += piece
            if b": keep-alive\n\n" in found:
                heard.set()
    assert found.replace(b": keep-alive\n\n", b"") == b"".join(EVENTS)


# --- transcription ----------------------------------------------------------------------------------------------------


def test_a_recording_is_written_down(house: Service, client: OpenAI, server: MediaServer) -> None:
    raw = client.audio.transcriptions.with_raw_response.create(
        model="main/gpt-4o", file=RECORDING, language="en-US", prompt="Names", timestamp_granularities=["word"]
    )
    assert raw.parse().text == "Good morning."
    assert server.seen[-1].path == "/v1/audio/transcriptions"
    assert server.seen[-1].fields == {
        "model": "gpt-4o",
        "language": "en",
        "prompt": "Names",
        "timestamp_granularities[]": "word",
    }
    assert metric(house, raw.headers["x-request-id"])["inputTokens"] == 30


def test_a_refused_format_is_not_answered_with_another_one(client: OpenAI, server: MediaServer) -> None:
    error = {"message": "Unsupported value: 'srt'", "param": "response_format", "code": "unsupported_value"}
    server.plays(*[as_json({"error": error}, 400)] * 3)
    with pytest.raises(BadRequestError, match="srt"):
        client.audio.transcriptions.create(model="gpt-4o-transcribe", file=RECORDING, response_format="srt")
    assert len(server.seen) == 1


def test_granularities_may_come_without_brackets_and_the_model_last(house: Service, server: MediaServer) -> None:
    fields = {"timestamp_granularities": "segment", "response_format": "verbose_json", "model": "gpt-4o"}
    response = httpx.post(
        house.url + "/oai/v1/audio/transcriptions",
        data=fields,
        files={"file": RECORDING},
        headers=house.api_key_headers,
    )
    assert response.status_code == 200
    assert server.seen[-1].fields["timestamp_granularities[]"] == "segment"


@pytest.mark.parametrize(("wanted", "kind"), [("text", "text/plain"), ("srt", "text/plain"), ("vtt", "text/vtt")])
def test_transcripts_that_are_text_come_as_text(house: Service, server: MediaServer, wanted: str, kind: str) -> None:
    response = httpx.post(
        house.url + "/oai/v1/audio/translations",
        data={"model": "gpt-4o", "response_format": wanted},
        files={"file": RECORDING},
        headers=house.api_key_headers,
    )
    assert response.text == "Good morning.\n"
    assert response.headers["content-type"] == f"{kind}; charset=utf-8"
    assert server.seen[-1].path == "/v1/audio/translations"


def test_a_transcript_is_streamed_byte_for_byte(house: Service, server: MediaServer) -> None:
    response = httpx.post(
        house.url + "/oai/v1/audio/transcriptions",
        data={"model": "gpt-4o", "stream": "true"},
        files={"file": RECORDING},
        headers=house.api_key_headers,
    )
    assert response.headers["content-type"] == "text/event-stream"
    assert response.content == b"".join(EVENTS)
    line = metric(house, response.headers["x-request-id"])
    assert (line["inputTokens"], line["outputTokens"]) == (14, 4)


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"{}", "application/json"),
        (b"", "multipart/form-data; boundary=x"),
        (b"no boundary here", "multipart/form-data; boundary=x"),
        (b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\ngpt-4o\r\n', "multipart/form-data; boundary=x"),
        (
            b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\ngpt-4o\r\n--x--',
            "multipart/form-data; boundary=x",
        ),
        (b"--x\r\nContent-Disposition: form-data\r\n\r\ngpt-4o\r\n--x--", "multipart/form-data; boundary=x"),
        (b"--x--", "multipart/form-data"),
        (
            b'--a"b\r\nContent-Disposition: form-data; name="model"\r\n\r\ngpt-4o\r\n--a"b--',
            r'multipart/form-data; boundary="a\"b"',
        ),
        (b"--" + b"x" * 71 + b"--", "multipart/form-data; boundary=" + "x" * 71),
    ],
)
def test_what_is_no_form_with_a_file_is_refused(
    house: Service, server: MediaServer, content: bytes, content_type: str
) -> None:
    headers = {**house.api_key_headers, "content-type": content_type}
    response = httpx.post(house.url + "/oai/v1/audio/transcriptions", content=content, headers=headers)
    assert response.status_code == 400, response.text
    assert server.seen == []


def _sent_recording(house: Service, size: int) -> httpx.Response:
    form = {"data": {"model": "main/gpt-4o"}, "files": {"file": ("a.wav", b"R" * size, "audio/wav")}}
    url = house.url + "/oai/v1/audio/transcriptions"
    return httpx.post(url, **form, headers=house.api_key_headers, timeout=30)  # type: ignore[arg-type]


def test_a_recording_of_25_mib_is_taken_where_requests_may_be_that_large(house: Service, server: MediaServer) -> None:
    server.plays(as_json({"text": "A long speech."}))
    assert _sent_recording(house, 25 * 1024 * 1024).json() == {"text": "A long speech."}
    too_large = _sent_recording(house, 25 * 1024 * 1024 + 1)
    assert too_large.status_code == 413
    assert "recording is larger than 26214400 bytes" in too_large.json()["error"]["message"]
    assert len(server.seen) == 1


def test_a_request_that_is_too_large_for_this_service_names_the_setting(house: Service, server: MediaServer) -> None:
    refused = _sent_recording(house, 28 * 1024 * 1024)
    assert refused.status_code == 413
    assert "MAX_BODY_BYTES" in refused.text
    assert server.seen == []


# --- speech -----------------------------------------------------------------------------------------------------------


def test_speech_streams_byte_for_byte(client: OpenAI) -> None:
    with client.audio.speech.with_streaming_response.create(model="tts-1", voice="alloy", input="Hello") as response:
        assert response.headers["content-type"] == "audio/mpeg"
        assert b"".join(response.iter_bytes()) == b"".join(SOUND)


def test_speech_comes_whole_too(client: OpenAI) -> None:
    found: HttpxBinaryResponseContent = client.audio.speech.create(model="tts-1", voice="alloy", input="Hello")
    assert found.content == b"".join(SOUND)


def test_sound_that_breaks_off_does_not_look_whole(house: Service, server: MediaServer) -> None:
    server.plays(Reply(SOUND, content_type="audio/mpeg", cut=True))
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.post(
            house.url + "/oai/v1/audio/speech",
            json={"model": "tts-1", "voice": "alloy", "input": "Hello"},
            headers=house.api_key_headers,
        )


def test_a_client_that_hangs_up_frees_the_upstream(house: Service, server: MediaServer) -> None:
    def without_end() -> Iterator[bytes]:
        while True:
            yield b"\x00" * 65_536

    server.plays(Reply(without_end(), content_type="audio/mpeg"))
    body = {"model": "tts-1", "voice": "alloy", "input": "Hello"}
    with httpx.stream(
        "POST", house.url + "/oai/v1/audio/speech", json=body, headers=house.api_key_headers, timeout=30
    ) as response:
        next(response.iter_raw())
    assert server.cancelled.wait(20)
    assert metric(house, response.headers["x-request-id"])["outcome"] == "client-abort"


def test_an_error_instead_of_sound_is_an_error(client: OpenAI, server: MediaServer) -> None:
    server.plays(as_json({"error": {"message": "No such voice", "code": "invalid_value", "status": 400}}))
    with pytest.raises(Exception, match="No such voice"):
        client.audio.speech.create(model="tts-1", voice="alloy", input="Hello")


def test_sound_of_no_stated_kind_gets_the_kind_that_was_asked_for(client: OpenAI, server: MediaServer) -> None:
    server.plays(Reply(SOUND, content_type="application/octet-stream"))
    found = client.audio.speech.create(model="tts-1", voice="alloy", input="Hello", response_format="flac")
    assert found.response.headers["content-type"] == "audio/flac"


def test_vectors_are_little_endian_floats_of_four_bytes() -> None:
    assert struct.unpack("<3f", b64decode(packed(vector_of("a")))) == tuple(vector_of("a"))
