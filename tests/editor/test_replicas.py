"""Several replicas: a stop, a delete and a crash on one of them are understood by the others."""

import signal

import pytest

from tests.editor.conftest import Replicas, eventually
from tests.editor.test_stop_and_continue import answers, read_until, stop_after_three
from tests.fakes.editor_client import Refused
from tests.fakes.openai_upstream import Finish, Hold, Stall, Text

THREE = (Text("one "), Text("two "), Text("three "))


@pytest.fixture(autouse=True)
def _forgotten(replicas: Replicas) -> None:
    replicas.upstream.reset()


def test_s083_a_stop_on_one_replica_frees_the_conversation_on_the_other(replicas: Replicas) -> None:
    with replicas.editor(replicas.first) as here, replicas.editor(replicas.second) as there:
        made = here.create(title="t")
        replicas.upstream.always_plays(*THREE, Stall())
        for one in (here, there) * 4:
            stop_after_three(one, made)
        eventually(lambda: len(answers(there, made)) == 8)
        assert all(item["attributes"] == {"aborted": True} for item in answers(here, made))
        eventually(lambda: replicas.upstream.cancelled == 8)


def test_a_live_stream_on_another_replica_is_respected(replicas: Replicas) -> None:
    with replicas.editor(replicas.first) as here, replicas.editor(replicas.second) as there:
        made = here.create(title="t")
        replicas.upstream.plays(Text("Slow"), Hold(), Finish())
        with here.say(made, "First") as reply:
            read_until(reply, "Slow")
            with pytest.raises(Refused, match="409: conversation in use"):
                there.said(made, "Second")
            replicas.upstream.go_on()
            assert reply.read().names[-1] == "done"


def test_deleting_on_one_replica_stops_the_answer_on_the_other(replicas: Replicas) -> None:
    with replicas.editor(replicas.first) as here, replicas.editor(replicas.second) as there:
        made = here.create(title="t")
        replicas.upstream.plays(*THREE, Stall())
        with here.say(made, "Count") as reply:
            read_until(reply, "three")
            there.delete(made)
            assert reply.read().names[-1] == "error"
        eventually(lambda: replicas.upstream.cancelled == 1)


def test_t_17_a_conversation_outlives_the_replica_that_was_answering(replicas: Replicas) -> None:
    with replicas.editor(replicas.first) as here, replicas.editor(replicas.second) as there:
        made = here.create(title="t")
        replicas.upstream.plays(*THREE, Stall())
        with here.say(made, "Count") as reply:
            read_until(reply, "three")
            eventually(lambda: len(answers(there, made)) == 1)
            replicas.first.stop(signal.SIGKILL)
        assert there.said(made, "Go on").names[-1] == "done"
        assert [item["content"][0]["content"] for item in answers(there, made)] == [
            "one two three ",
            "Hello from the upstream.",
        ]
        assert answers(there, made)[0]["attributes"] == {"aborted": True}
