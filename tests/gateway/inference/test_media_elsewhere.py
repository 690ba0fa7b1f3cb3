"""The OpenAI SDK's embeddings, images, transcripts and speech onto Google's and Amazon's formats, through the real
process."""

import io
import json
import wave
from collections.abc import Iterator
from typing import Literal

import boto3
import httpx
import pytest
from botocore.config import Config
from google import genai
from google.genai import types
from openai import BadRequestError, OpenAI

from tests.fakes import media_bedrock, media_gemini
from tests.fakes.media_server import MediaServer, as_json, media_serving
from tests.gateway.inference.media import client_of, media_service, metric
from tests.service import Service

RECORDING = ("speech.mp3", b"ID3 of the test", "audio/mpeg")
GOOGLE_KEY = "AIza-of-the-tests-0001"
PICTURE = ("a.png", b"\x89PNG given", "image/png")


@pytest.fixture(scope="module")
def servers() -> Iterator[list[MediaServer]]:
    with media_serving(media_gemini.gemini, media_gemini.vertex, media_bedrock.bedrock) as found:
        yield found


@pytest.fixture(scope="module")
def house(servers: list[MediaServer]) -> Iterator[Service]:
    studio, cloud, aws = servers
    providers = {
        "google": {"type": "google", "apiKeys": [GOOGLE_KEY], "baseUrl": studio.url + "/v1beta"},
        "vertex": {
            "type": "vertex",
            "project": "my-project",
            "location": "europe-west4",
            "apiKeys": ["vertex-key-0001"],
            "baseUrl": cloud.url + "/v1beta1",
        },
        "aws": {"type": "bedrock", "region": "eu-west-1", "apiKeys": ["bedrock-key-0001"], "baseUrl": aws.url},
        "claude": {"type": "anthropic", "apiKeys": ["sk-ant-000001"], "baseUrl": aws.url},
    }
    of_google = ["gemini-embedding-001", "gemini-2.5-flash-image", "imagen-4", "gemini-2.5-flash", "gemini-tts"]
    of_vertex = ["text-embedding-005", "gemini-embedding-001", "gemini-embedding-2", "publishers/meta/models/llama"]
    of_aws = [
        "amazon.titan-embed-text-v2:0",
        "amazon.titan-embed-text-v1",
        "eu.cohere.embed-v4:0",
        "cohere.embed-english-v3",
        "amazon.nova-2-multimodal-embeddings-v1:0",
        "amazon.nova-canvas-v1:0",
        "stability.sd3-5-large-v1:0",
        "amazon.nova-lite-v1:0",
    ]
    models = [("google", one, ["images"]) for one in of_google]
    models += [("vertex", one, ["embeddings"]) for one in of_vertex]
    models += [("aws", one, ["embeddings"]) for one in of_aws]
    models += [("claude", "claude-opus", ["conversations"])]
    with media_service(providers, models) as service:
        yield service


@pytest.fixture
def fakes(servers: list[MediaServer]) -> Iterator[list[MediaServer]]:
    for one in servers:
        one.reset()
    yield servers
    assert [fault for one in servers for fault in one.faults] == []


@pytest.fixture
def client(house: Service, fakes: list[MediaServer]) -> Iterator[OpenAI]:
    with client_of(house) as client:
        yield client


# --- embeddings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["google/gemini-embedding-001", "vertex/text-embedding-005"])
@pytest.mark.parametrize("wanted", ["float", "base64"])
def test_google_makes_vectors_in_either_format(client: OpenAI, model: str, wanted: Literal["float", "base64"]) -> None:
    raw = client.embeddings.with_raw_response.create(model=model, input=["a", "bc"], encoding_format=wanted)
    written = raw.http_response.json()["data"]
    assert all(isinstance(one["embedding"], str) == (wanted == "base64") for one in written)
    found = client.embeddings.create(model=model, input=["a", "bc"])
    assert [one.embedding for one in found.data] == [media_gemini.vector_of("a"), media_gemini.vector_of("bc")]
    assert found.model == model


def test_googles_batches_hold_a_hundred_and_carry_what_was_asked(client: OpenAI, fakes: list[MediaServer]) -> None:
    texts = [f"text {number}" for number in range(230)]
    found = client.embeddings.create(
        model="google/gemini-embedding-001",
        input=texts,
        dimensions=768,
        encoding_format="float",
        extra_body={"task_type": "retrieval_query"},
    )
    assert [one.embedding for one in found.data] == [media_gemini.vector_of(text) for text in texts]
    assert sorted(len(one.json["requests"]) for one in fakes[0].seen) == [30, 100, 100]
    one = fakes[0].seen[0].json["requests"][0]
    assert (one["outputDimensionality"], one["taskType"]) == (768, "RETRIEVAL_QUERY")


def test_vertex_is_asked_in_the_way_of_each_model(house: Service, client: OpenAI, fakes: list[MediaServer]) -> None:
    for model in ("text-embedding-005", "vertex/gemini-embedding-001", "gemini-embedding-2"):
        found = client.embeddings.create(model=model, input=["a", "b", "c"], encoding_format="float")
        assert [one.embedding for one in found.data] == [media_gemini.vector_of(text) for text in "abc"]
    verbs = [one.path.rpartition(":")[2] for one in fakes[1].seen]
    assert sorted(verbs) == ["embedContent"] * 3 + ["predict"] * 4
    raw = client.embeddings.with_raw_response.create(model="text-embedding-005", input=["a", "b"])
    assert raw.parse().usage.prompt_tokens == 8
    assert metric(house, raw.headers["x-request-id"])["inputTokens"] == 8


@pytest.mark.parametrize(
    ("model", "calls", "tokens"),
    [
        ("amazon.titan-embed-text-v2:0", 100, 300),
        ("amazon.titan-embed-text-v1", 100, 300),
        ("cohere.embed-english-v3", 2, None),
        ("eu.cohere.embed-v4:0", 2, None),
        ("amazon.nova-2-multimodal-embeddings-v1:0", 100, None),
    ],
)
def test_each_of_bedrocks_models_is_sent_its_own_body(
    client: OpenAI, fakes: list[MediaServer], model: str, calls: int, tokens: int | None
) -> None:
    texts = [f"text {number}" for number in range(100)]
    found = client.embeddings.create(model=model, input=texts, encoding_format="float")
    assert [one.embedding for one in found.data] == [media_bedrock.vector_of(text) for text in texts]
    assert len(fakes[2].seen) == calls
    assert found.usage.prompt_tokens > 0
    if tokens is not None:
        assert found.usage.prompt_tokens == tokens


def test_what_a_model_of_bedrock_cannot_do_is_refused_before_any_call(client: OpenAI, fakes: list[MediaServer]) -> None:
    with pytest.raises(BadRequestError, match="one length"):
        client.embeddings.create(model="cohere.embed-english-v3", input="x", dimensions=256)
    with pytest.raises(BadRequestError, match="makes no embeddings"):
        client.embeddings.create(model="amazon.nova-lite-v1:0", input="x")
    with pytest.raises(BadRequestError, match="makes no images"):
        client.images.generate(model="amazon.nova-lite-v1:0", prompt="A cat")
    with pytest.raises(BadRequestError, match="writes no speech down"):
        client.audio.transcriptions.create(model="amazon.nova-lite-v1:0", file=RECORDING)
    with pytest.raises(BadRequestError, match="does not speak"):
        client.audio.speech.create(model="amazon.nova-lite-v1:0", voice="alloy", input="x")
    assert fakes[2].seen == []


@pytest.mark.parametrize("model", ["google/gemini-embedding-001", "amazon.titan-embed-text-v2:0"])
def test_token_numbers_are_refused_where_only_texts_are_taken(
    client: OpenAI, fakes: list[MediaServer], model: str
) -> None:
    with pytest.raises(BadRequestError, match="Send the text itself") as caught:
        client.embeddings.create(model=model, input=[[1, 2, 3]])
    assert caught.value.param == "input"
    assert [one for fake in fakes for one in fake.seen] == []


@pytest.mark.parametrize("model", ["claude-opus", "publishers/meta/models/llama"])
def test_a_provider_that_only_chats_is_not_asked(client: OpenAI, fakes: list[MediaServer], model: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        client.embeddings.create(model=model, input="x")
    assert caught.value.code == "upstream_unsupported"
    assert [one for fake in fakes for one in fake.seen] == []


# --- images -----------------------------------------------------------------------------------------------------------


def test_gemini_draws_each_image_in_a_call_of_its_own(house: Service, client: OpenAI, fakes: list[MediaServer]) -> None:
    raw = client.images.with_raw_response.generate(
        model="gemini-2.5-flash-image", prompt="A cat", n=3, size="1536x1024", quality="high"
    )
    found = raw.parse()
    assert [one.b64_json for one in found.data or []] == [media_gemini.PNG] * 3
    assert [one.json["generationConfig"]["imageConfig"] for one in fakes[0].seen] == [{"aspectRatio": "3:2"}] * 3
    assert "`quality`" in raw.headers["x-warning"]
    line = metric(house, raw.headers["x-request-id"])
    assert (line["inputTokens"], line["outputTokens"]) == (33, 3870)


@pytest.mark.parametrize(
    ("size", "shape"),
    [("1024x1024", "1:1"), ("1536x1024", "4:3"), ("1792x1024", "16:9"), ("1024x1792", "9:16"), ("auto", None)],
)
def test_imagen_gets_the_nearest_shape(client: OpenAI, fakes: list[MediaServer], size: str, shape: str | None) -> None:
    found = client.images.generate(model="imagen-4", prompt="A cat", n=6, size=size)
    assert len(found.data or []) == 6
    assert sorted(one.json["parameters"]["sampleCount"] for one in fakes[0].seen) == [2, 4]
    assert {one.json["parameters"].get("aspectRatio") for one in fakes[0].seen} == {shape}


@pytest.mark.parametrize("model", ["gemini-2.5-flash-image", "imagen-4", "stability.sd3-5-large-v1:0"])
def test_a_prompt_that_a_filter_refuses_is_the_callers_to_change(client: OpenAI, model: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        client.images.generate(model=model, prompt="Something forbidden")
    assert caught.value.code == "upstream_content_filtered"


def test_a_model_that_only_talks_about_the_image_has_failed(client: OpenAI) -> None:
    with pytest.raises(Exception, match="I would rather not"):
        client.images.generate(model="gemini-2.5-flash-image", prompt="A shy cat")


def test_gemini_changes_images(client: OpenAI, fakes: list[MediaServer]) -> None:
    found = client.images.edit(model="gemini-2.5-flash-image", prompt="Add a hat", image=[PICTURE, PICTURE])
    assert [one.b64_json for one in found.data or []] == [media_gemini.PNG]
    parts = fakes[0].seen[-1].json["contents"][0]["parts"]
    assert parts[0] == {"text": "Add a hat"}
    assert [one["inlineData"]["mimeType"] for one in parts[1:]] == ["image/png", "image/png"]
    with pytest.raises(BadRequestError, match="masks"):
        client.images.edit(model="gemini-2.5-flash-image", prompt="Add a hat", image=PICTURE, mask=PICTURE)
    with pytest.raises(BadRequestError, match="does not change images"):
        client.images.edit(model="imagen-4", prompt="Add a hat", image=PICTURE)


def test_bedrocks_canvas_and_stability_draw(client: OpenAI, fakes: list[MediaServer]) -> None:
    found = client.images.generate(model="amazon.nova-canvas-v1:0", prompt="A cat", n=2, size="1024x1024", quality="hd")
    assert [one.b64_json for one in found.data or []] == [media_bedrock.PNG] * 2
    assert fakes[2].seen[-1].json["imageGenerationConfig"] == {
        "numberOfImages": 2,
        "width": 1024,
        "height": 1024,
        "quality": "premium",
    }
    found = client.images.generate(model="stability.sd3-5-large-v1:0", prompt="A cat", n=2, size="1792x1024")
    assert len(found.data or []) == 2
    assert fakes[2].seen[-1].json["aspect_ratio"] == "16:9"


def test_a_stream_of_images_is_refused_where_there_is_none(client: OpenAI, fakes: list[MediaServer]) -> None:
    for model in ("gemini-2.5-flash-image", "amazon.nova-canvas-v1:0"):
        with pytest.raises(BadRequestError, match="not streamed"):
            client.images.generate(model=model, prompt="A cat", stream=True)
    assert [one for fake in fakes for one in fake.seen] == []


# --- transcription and speech -----------------------------------------------------------------------------------------


def test_gemini_writes_a_recording_down_through_chat(house: Service, client: OpenAI, fakes: list[MediaServer]) -> None:
    raw = client.audio.transcriptions.with_raw_response.create(
        model="gemini-2.5-flash", file=RECORDING, language="de-AT", prompt="Häubchen"
    )
    found = raw.parse()
    assert found.text == "Good morning."
    assert raw.http_response.json()["usage"]["total_tokens"] == 1301
    parts = fakes[0].seen[-1].json["contents"][0]["parts"]
    assert "The language is de" in parts[0]["text"]
    assert "Häubchen" in parts[0]["text"]
    assert parts[1]["inlineData"]["mimeType"] in ("audio/mp3", "audio/mpeg")
    assert metric(house, raw.headers["x-request-id"])["outputTokens"] == 1290


def test_a_transcript_may_be_plain_text_and_english(house: Service, fakes: list[MediaServer]) -> None:
    response = httpx.post(
        house.url + "/oai/v1/audio/translations",
        data={"model": "gemini-2.5-flash", "response_format": "text"},
        files={"file": RECORDING},
        headers=house.api_key_headers,
    )
    assert (response.text, response.headers["content-type"]) == ("Good morning.\n", "text/plain; charset=utf-8")
    assert "in English" in fakes[0].seen[-1].json["contents"][0]["parts"][0]["text"]


@pytest.mark.parametrize("wanted", ["srt", "vtt", "verbose_json"])
def test_a_chat_model_has_no_times_to_tell(client: OpenAI, fakes: list[MediaServer], wanted: str) -> None:
    with pytest.raises(BadRequestError, match=wanted):
        client.audio.transcriptions.create(model="gemini-2.5-flash", file=RECORDING, response_format=wanted)  # type: ignore[call-overload]
    assert fakes[0].seen == []


def test_gemini_speaks_wav_unless_asked_for_bare_samples(
    house: Service, client: OpenAI, fakes: list[MediaServer]
) -> None:
    with client.audio.speech.with_streaming_response.create(model="gemini-tts", voice="Kore", input="Hi") as response:
        assert response.headers["content-type"] == "audio/wav"
        sound = b"".join(response.iter_bytes())
    with wave.open(io.BytesIO(sound)) as found:
        assert (found.getnchannels(), found.getsampwidth(), found.getframerate()) == (1, 2, 24_000)
        assert found.readframes(found.getnframes()) == media_gemini.SAMPLES
    bare = client.audio.speech.create(model="gemini-tts", voice="Kore", input="Hi", response_format="pcm", speed=2)
    assert bare.content == media_gemini.SAMPLES
    assert "`speed`" in bare.response.headers["x-warning"]
    with pytest.raises(BadRequestError, match="no `mp3`"):
        client.audio.speech.create(model="gemini-tts", voice="Kore", input="Hi", response_format="mp3")


def test_a_busy_model_at_google_is_said_to_be_busy(client: OpenAI, fakes: list[MediaServer]) -> None:
    error = {"code": 503, "status": "UNAVAILABLE", "message": "The model is overloaded."}
    fakes[0].plays(as_json({"error": error}, 503), as_json({"error": error}, 503))
    with pytest.raises(Exception, match="The model is overloaded") as caught:
        client.embeddings.create(model="google/gemini-embedding-001", input="x")
    assert getattr(caught.value, "status_code", None) == 503


# --- the fakes themselves ---------------------------------------------------------------------------------------------


def test_googles_own_sdk_agrees_with_the_fake(fakes: list[MediaServer]) -> None:
    options = types.HttpOptions(base_url=fakes[0].url, api_version="v1beta")
    with genai.Client(api_key=GOOGLE_KEY, http_options=options) as client:
        found = client.models.embed_content(model="gemini-embedding-001", contents=["a", "b"])  # type: ignore[arg-type]
        assert [one.values for one in found.embeddings or []] == [media_gemini.vector_of(text) for text in "ab"]
        config = types.GenerateContentConfig(response_modalities=["TEXT", "IMAGE"])
        drawn = client.models.generate_content(model="gemini-2.5-flash-image", contents="A cat", config=config)
        assert [part.inline_data.data for part in drawn.parts or [] if part.inline_data] == [b"\x89PNG of Google"]


def test_amazons_own_sdk_agrees_with_the_fake(fakes: list[MediaServer]) -> None:
    client = boto3.client(
        "bedrock-runtime",
        region_name="eu-west-1",
        endpoint_url=fakes[2].url,
        aws_access_key_id="AKIAEXAMPLE",
        aws_secret_access_key="secret",
        config=Config(retries={"max_attempts": 1}),
    )
    answer = client.invoke_model(
        modelId="amazon.titan-embed-text-v2:0",
        body=json.dumps({"inputText": "a"}),
        contentType="application/json",
    )
    assert json.loads(answer["body"].read())["embedding"] == media_bedrock.vector_of("a")
