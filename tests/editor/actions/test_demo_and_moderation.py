"""What a new user sees without any key, and what moderation keeps from the models."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from penstock.editor.actions.catalog import ACTIONS
from penstock.editor.reviews.catalog import REVIEWS
from tests.editor.conftest import Tenant
from tests.fakes.edit_grammar import offences_in_continuation, offences_in_replacement
from tests.fakes.editor_client import EditorClient, Refused
from tests.fakes.editor_merge import merge_continuation, merge_replacement
from tests.fakes.openai_upstream import Upstream, running_upstream
from tests.service import service_env, start_service

DOCUMENT = (
    '<h1 data-id="aaaa">Our garden</h1>'
    '<p data-id="bbbb">It <strong>has</strong> a pond.</p>'
    '<ul data-id="cccc"><li data-id="dddd">roses</li><li data-id="eeee">tulips</li></ul>'
)
IDS = ["aaaa", "bbbb", "cccc", "dddd", "eeee"]
EVERYTHING = ["ai:actions:*", "ai:reviews:*", "ai:models:*"]


@contextmanager
def editor_of(folder: Path, **settings: str) -> Iterator[tuple[Upstream, EditorClient]]:
    with (
        running_upstream() as upstream,
        start_service(service_env(upstream, folder, **settings), upstream) as service,
        EditorClient(service.url, Tenant(service).headers(permissions=EVERYTHING)) as editor,
    ):
        yield upstream, editor


def test_the_demo_model_does_every_action_and_every_review(tmp_path: Path) -> None:
    language = {"args": {"language": "German"}}
    with editor_of(tmp_path, PROVIDERS="", MODELS="") as (_, editor):
        for name in ACTIONS:
            reply = editor.acted(name, DOCUMENT, **language)
            if name == "continue":
                assert offences_in_continuation(DOCUMENT, reply.edit) == []
                assert merge_continuation(DOCUMENT, reply.edit).startswith(DOCUMENT + '<p data-id="new-element">')
            else:
                assert offences_in_replacement(DOCUMENT, reply.edit) == []
                assert merge_replacement(DOCUMENT, reply.edit) == DOCUMENT.replace("Our", "[Demo] Our")
        for name in REVIEWS:
            answers = editor.reviewed(name, DOCUMENT, **language).answers
            assert sorted(data_id for data_id, _ in answers) == IDS
            assert sorted(data_id for data_id, html in answers if html) == ["aaaa", "eeee"]
        custom = {"prompt": "Shorter.", "model": "agent-1"}
        assert "[Demo] Our garden" in editor.acted("custom", DOCUMENT, **custom).edit
        text = editor.acted("custom", DOCUMENT, outputFormat="plainText", **custom).edit
        assert text == "[Demo] Our garden It has a pond. roses tulips"
        assert len([html for _, html in editor.reviewed("custom", DOCUMENT, **custom).answers if html]) == 2


class Screen(BaseHTTPRequestHandler):
    """Flags whatever has the word `poison` in it."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        is_bad = b"poison" in body
        answer = json.dumps({"flagged": is_bad, "categories": {"harm": is_bad}}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Tests are silent."""


@pytest.fixture
def screen_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Screen) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/screen"
        server.shutdown()
        thread.join(10)


def test_what_is_flagged_never_reaches_a_model(tmp_path: Path, screen_url: str) -> None:
    moderation = json.dumps({"enabled": True, "provider": {"type": "custom", "url": screen_url}})
    bad = DOCUMENT.replace("roses", "poison")
    custom = {"prompt": "Tell of poison.", "model": "one"}
    with editor_of(tmp_path, MODERATION=moderation) as (upstream, editor):
        for call in (editor.acted, editor.reviewed):
            for name, html, fields in (("make-shorter", bad, {}), ("custom", DOCUMENT, custom)):
                with pytest.raises(Refused) as refused:
                    call(name, html, **fields)
                assert (refused.value.status, refused.value.body["code"]) == (422, "content-moderated")
        assert upstream.chats == []
