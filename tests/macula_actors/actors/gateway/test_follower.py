import pytest

from macula_actors.actors.gateway.follower import Follower
from macula_actors.errors import OverloadedError
from supervisors import GenServer, Refuse, Reply, suspend
from supervisors.testing import wait_until_idle
from tests.macula_actors.actors.gateway.stand_ins import until
from tests.support import kill, supervise


class Asked(GenServer):
    """Answers each request with itself and keeps it in ``log``; refuses what ``refused`` holds."""

    def init(self, log, refused):
        self.log, self.refused = log, refused

    def handle_call(self, request, from_):
        self.log.append(request)
        return Refuse(OverloadedError("requests", 0)) if request in self.refused else Reply(request)


class Following(GenServer):
    def init(self, answers):
        self.follower = Follower("asked", lambda: ["a", "b"], answers.append)

    def handle_call(self, request, from_):
        return Reply(self.follower.is_done)

    def handle_info(self, info):
        assert self.follower.takes(info)


async def start(system, refused=()):
    log, answers = [], []
    await supervise(system, [Asked.child_spec(log, refused, id="asked", name="asked")])
    return log, answers, await system.start(Following, answers)


async def test_all_is_asked_at_the_start_and_the_answers_are_given_on(system):
    log, answers, following = await start(system)

    await until(lambda: following.call("?"))

    assert log == answers == ["a", "b"]


async def test_all_is_asked_again_of_each_new_process_of_that_name(system):
    log, answers, following = await start(system)

    for _ in range(3):
        await until(lambda: following.call("?"))
        await kill(system.whereis("asked"))
        assert not await following.call("?")
    await until(lambda: following.call("?"))

    assert log == answers == ["a", "b"] * 4


@pytest.mark.parametrize("which", ["a", "b"])
async def test_a_server_that_refuses_is_asked_again_until_it_takes_all(system, which):
    refused = {which}
    log, answers, following = await start(system, refused)
    await wait_until_idle(system)
    assert not await following.call("?")
    assert len(answers) == 1

    refused.clear()
    await until(lambda: following.call("?"))

    assert log == ["a", "b", "a", "b"]
    assert answers[1:] == ["a", "b"]


async def test_a_server_that_ends_before_it_answers_is_asked_once_more_not_twice(system):
    log, answers, following = await start(system)
    await until(lambda: following.call("?"))
    await suspend("asked")

    await kill(system.whereis("asked"))
    await until(lambda: following.call("?"))

    assert log == ["a", "b"] * 2
    assert len(answers) == 4
