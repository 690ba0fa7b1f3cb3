"""The demo provider: a whole conversation without a network, over the same port and wire as any other."""

import asyncio
import json
from typing import Any

import pytest

from penstock.providers.base import Call, Delta, Finish, Message, Quirks, TextDelta, Usage
from penstock.providers.demo import DemoTransport, reply_to
from penstock.providers.transport.base import Limits, Origin, Request, Response, ResponseTooLarge, TransportError
from penstock.providers.wires.openai.chat import WIRE
from penstock.providers.wires.openai.relay import RelayStream
from penstock.providers.wires.openai.whole import RelayWhole

ORIGIN = Origin("http", "demo.invalid", 80)


def post(body: bytes, path: bytes = b"/v1/chat/completions") -> Request:
    return Request(b"POST", ORIGIN, path, (), body)


def asked(text: str, **fields: Any) -> Request:
    return post(json.dumps({"model": "demo", "messages": [{"role": "user", "content": text}]} | fields).encode())


async def send(request: Request, delay_s: float = 0) -> Response:
    return await DemoTransport(delay_s).send(request, Limits())


async def deltas_of(call: Call) -> list[Delta]:
    response = await send(post(WIRE.request(call, "demo", Quirks()).body))
    reader = WIRE.reader(content_type=dict(response.headers)[b"content-type"].decode())
    deltas: list[Delta] = []
    while piece := await response.read():
        deltas.extend(reader.feed(piece))
    return [*deltas, *reader.end()]


async def answer(request: Request) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(await (await send(request)).read_all())
    return parsed


async def test_an_answer_streams_word_by_word_and_ends_in_good_order() -> None:
    deltas = await deltas_of(Call(messages=[Message(role="user", content="Say hi in five words.")]))
    assert [one.text for one in deltas if isinstance(one, TextDelta)] == ["Hi", " from", " your", " own", " Penstock."]
    usage, finish = deltas[-2:]
    assert finish == Finish("stop", "stop")
    assert isinstance(usage, Usage)
    assert not usage.estimated
    assert usage.output_tokens == 7


async def test_it_is_relayed_to_a_client_like_any_other() -> None:
    response = await send(asked("Hello!", stream=True, stream_options={"include_usage": True}))
    reader = RelayStream(keep_usage_chunk=True)
    output = b""
    while piece := await response.read():
        output += reader.feed(piece)
    output += reader.end()
    assert output.endswith(b"data: [DONE]\n\n")
    assert reader.usage is not None


async def test_a_whole_answer_has_text_finish_and_usage() -> None:
    response = await send(asked("Hello!"))
    reader = RelayWhole()
    reader.feed(await response.read_all())
    parsed = json.loads(reader.end())
    assert parsed["object"] == "chat.completion"
    assert "demo model" in parsed["choices"][0]["message"]["content"]
    assert (reader.finish, reader.usage is not None) == ("stop", True)


@pytest.mark.parametrize(
    "question, words",
    [
        ("Hello", "Hello!"),
        ("Say hi in five words.", "Hi from your own Penstock."),
        ("What is Penstock?", "one gateway"),
        ("Why is the sky blue?", "> Why is the sky blue?"),
        ("help", "What to try next"),
        ("", "You sent no text"),
        ([{"type": "text", "text": "Count the cats"}, {"type": "image_url"}], "> Count the cats"),
    ],
)
def test_the_answer_has_something_to_do_with_the_question(question: object, words: str) -> None:
    assert words in reply_to([{"role": "system", "content": "Be kind."}, {"role": "user", "content": question}])


def test_a_long_question_is_quoted_in_part() -> None:
    assert "…" in reply_to([{"role": "user", "content": "word " * 500}])


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "Generate a short title for this conversation: the tides of the North Sea"}],
        [
            {"role": "system", "content": "Write a title of at most five words."},
            {"role": "user", "content": "the tides of the North Sea"},
        ],
    ],
)
def test_a_title_is_a_few_words_about_the_matter(messages: list[dict[str, str]]) -> None:
    assert reply_to(messages) == "The tides of the north"


@pytest.mark.parametrize("messages", [None, [], [7, None], [{"role": "user"}], [{"role": "user", "content": {"a": 1}}]])
def test_any_messages_get_an_answer(messages: object) -> None:
    assert reply_to(messages)


async def test_stop_sequences_and_the_token_limit_are_kept_loosely() -> None:
    cut = (await answer(asked("What is Penstock?", max_tokens=3)))["choices"][0]
    assert (cut["finish_reason"], len(cut["message"]["content"].split())) == ("length", 3)
    stopped = (await answer(asked("Say hi in five words.", stop=["own"])))["choices"][0]
    assert (stopped["finish_reason"], stopped["message"]["content"]) == ("stop", "Hi from your ")


async def test_the_list_of_models_names_the_demo() -> None:
    response = await send(Request(b"GET", ORIGIN, b"/v1/models", ()))
    assert json.loads(await response.read_all())["data"][0]["id"] == "demo"


@pytest.mark.parametrize(
    "request_, status",
    [(post(b"{}", b"/v1/embeddings"), 404), (post(b"not json"), 400), (post(b"[]"), 400), (post(b"[" * 9000), 400)],
)
async def test_what_it_cannot_do_is_refused_as_a_provider_would(request_: Request, status: int) -> None:
    response = await send(request_)
    assert response.status == status
    assert WIRE.failure(status, response.headers, await response.read_all()).upstream_status == status


async def test_closing_ends_a_read_in_flight_at_once() -> None:
    transport = DemoTransport(word_delay_s=3600)
    response = await transport.send(asked("Hello", stream=True), Limits())
    assert await response.read()
    reading = asyncio.create_task(response.read())
    await asyncio.sleep(0)
    response.close()
    response.close()
    with pytest.raises(TransportError):
        await reading


async def test_cancelling_a_read_ends_it_at_once() -> None:
    response = await send(asked("Hello", stream=True), delay_s=3600)
    await response.read()
    reading = asyncio.create_task(response.read())
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    response.close()


async def test_closing_the_transport_ends_every_answer() -> None:
    transport = DemoTransport(word_delay_s=3600)
    response = await transport.send(asked("Hello", stream=True), Limits())
    await response.read()
    reading = asyncio.create_task(response.read())
    await asyncio.sleep(0)
    await transport.aclose()
    with pytest.raises(TransportError):
        await reading
    with pytest.raises(TransportError):
        await transport.send(asked("Hello"), Limits())


async def test_the_end_of_an_answer_is_the_end_for_ever() -> None:
    response = await send(asked("Hello"))
    assert await response.read()
    assert await response.read() == b""
    assert await response.read() == b""


async def test_an_answer_over_the_readers_limit_is_refused() -> None:
    with pytest.raises(ResponseTooLarge):
        await (await send(asked("Hello"))).read_all(10)


def test_an_action_on_content_gives_the_content_back_with_a_mark() -> None:
    content = '<p data-id="a">One <b>day</b></p>\n<img data-id="i">'
    question = f"<content-aB3dE5gH>\n{content}\n</content-aB3dE5gH>\n\nCarry on."
    rules = "Your answer replaces the content as a whole."
    reply = reply_to([{"role": "system", "content": rules}, {"role": "user", "content": question}])
    assert reply == content.replace("One", "[Demo] One")


def test_a_review_of_content_changes_its_first_and_its_last_element() -> None:
    elements = [f'<p data-id="p{number}">Text {number}</p>' for number in range(4)]
    question = "<content-aB3dE5gH>\n{}\n</content-aB3dE5gH>".format("\n".join(elements))
    rules = {"role": "system", "content": "If nothing needs a change, write only `<!-- unmodified -->`."}
    first, last = reply_to([rules, {"role": "user", "content": question}]).split("\n")
    assert first.startswith('<p data-id="p0">Text 0 (')
    assert last.startswith('<p data-id="p3">Text 3 (')
    later = f"<before-xY3dE5gH>\nText\n</before-xY3dE5gH>\n\n{question}"
    assert reply_to([rules, {"role": "user", "content": later}]) == "<!-- unmodified -->"


def test_whoever_only_talks_about_content_gets_an_answer() -> None:
    assert "You asked" in reply_to([{"role": "user", "content": "What is <content-aB3dE5gH>?"}])


EDITING = {"role": "system", "content": 'Put every change between <edit document="1"> and </edit>.'}


def changed_in_chat(document: str, wish: str) -> tuple[str, str]:
    """What is said, and what stands in the edit."""
    question = f"<document>\n{document}\n</document>\n\n{wish}"
    said, _, edit = reply_to([EDITING, {"role": "user", "content": question}]).partition('<edit document="1">\n')
    return said, edit.removesuffix("\n</edit>")


def test_a_chat_about_a_document_proposes_to_change_what_it_is_asked_about() -> None:
    document = (
        '<h1 data-id="aaaa">Mill</h1><p data-id="bbbb">About the wheel.</p><p data-id="cccc">A <b>terrace</b>.</p>'
    )
    said, edit = changed_in_chat(document, "Make the text about the terrace friendlier")
    assert len(said.split()) > 20
    assert edit == '<p data-id="cccc">A <b>terrace</b>. (A suggestion of the demo model.)</p>'


def test_a_chat_about_nothing_in_particular_changes_the_first_paragraph() -> None:
    document = (
        '<h1 data-id="aaaa">Mill</h1><ul data-id="bbbb"><li data-id="cccc">One</li></ul><p data-id="dddd">Two</p>'
    )
    assert changed_in_chat(document, "Better, please")[1].startswith('<p data-id="dddd">Two (')


def test_a_chat_about_an_empty_document_writes_its_first_words() -> None:
    edit = changed_in_chat('<p data-id="aaaa">&nbsp;</p>', "Write a poem")[1]
    assert edit.startswith('<p data-id="aaaa">This is where')


def test_a_chat_whose_document_has_no_elements_is_a_conversation() -> None:
    assert "demo model" in reply_to([EDITING, {"role": "user", "content": "Why is the sky blue?"}])
