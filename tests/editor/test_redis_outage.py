"""Two replicas on MariaDB whose Redis goes away and comes back, and one of them is killed at last."""

import signal
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.coordination.servers import need_redis_binaries, redis_server
from tests.databases import fresh_database_env
from tests.editor.conftest import Replicas, Tenant, eventually
from tests.editor.test_stop_and_continue import answers, read_until, stop_after_three
from tests.fakes.editor_client import Refused
from tests.fakes.openai_upstream import Finish, Hold, Stall, Text, running_upstream
from tests.service import free_port, service_env, start_service

THREE = (Text("one "), Text("two "), Text("three "))


@dataclass
class OwnRedis:
    """A Redis that tests may stop and start; it forgets everything."""

    folder: Path
    port: int
    _running: ExitStack

    def start(self) -> None:
        self._running.enter_context(redis_server(self.folder, self.port))

    def stop(self) -> None:
        self._running.close()


@pytest.fixture(scope="module")
def redis() -> Iterator[OwnRedis]:
    need_redis_binaries()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        own = OwnRedis(Path(folder), free_port(), running)
        own.start()
        yield own


@pytest.fixture(scope="module")
def pair(redis: OwnRedis) -> Iterator[Replicas]:
    with ExitStack() as stack:
        shared = stack.enter_context(fresh_database_env("mysql"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = stack.enter_context(running_upstream())
        redis_env = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis.port)}
        env = service_env(upstream, folder, **redis_env, **shared)
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(lambda _: stack.enter_context(start_service(env, upstream)), range(2))
        yield Replicas(first, second, Tenant(first), upstream)


@pytest.fixture(autouse=True)
def _forgotten(pair: Replicas) -> None:
    pair.upstream.reset()


def test_a_conversation_goes_on_while_redis_is_away_and_after_it(pair: Replicas, redis: OwnRedis) -> None:
    with pair.editor(pair.first) as here, pair.editor(pair.second) as there:
        made = here.create(title="t")
        pair.upstream.plays(Text("begun with "), Hold(), Text("ended without"), Finish())
        with here.say(made, "First") as reply:
            read_until(reply, "begun")
            redis.stop()
            pair.upstream.go_on()
            assert reply.read().names[-1] == "done"
        pair.upstream.reset()
        pair.upstream.always_plays(*THREE, Stall())
        for one in (there, here) * 4:
            stop_after_three(one, made)
        eventually(lambda: [item.get("attributes") for item in answers(here, made)[1:]] == [{"aborted": True}] * 8)
        pair.upstream.reset()
        pair.upstream.plays(Text("begun without "), Hold(), Text("ended with"), Finish())
        with here.say(made, "Second") as reply:
            read_until(reply, "begun")
            redis.start()
            with pytest.raises(Refused, match="409: conversation in use"):
                there.said(made, "Meanwhile")  # it asks for the lock all the time, and must not get or break it
            pair.upstream.go_on()
            assert reply.read().text == "begun without ended with"
        assert reply.names[-1] == "done"
        for one in (there, here):
            assert one.said(made, "And now?").names[-1] == "done"


def test_t_17_a_conversation_outlives_the_replica_that_was_answering_on_mariadb(pair: Replicas) -> None:
    with pair.editor(pair.first) as here, pair.editor(pair.second) as there:
        made = here.create(title="t")
        pair.upstream.plays(*THREE, Stall())
        with here.say(made, "Count") as reply:
            read_until(reply, "three")
            eventually(lambda: len(answers(there, made)) == 1)
            pair.first.stop(signal.SIGKILL)
        assert there.said(made, "Go on").names[-1] == "done"
        assert answers(there, made)[0]["content"] == [{"type": "text", "content": "one two three "}]
        assert answers(there, made)[0]["attributes"] == {"aborted": True}
