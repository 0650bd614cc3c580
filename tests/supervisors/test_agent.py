"""The agent, beyond the OTP cases of group Z."""

import asyncio
import operator

import pytest

from supervisors import (
    BadReturnValueError,
    CallTimeoutError,
    Crashed,
    NoProcess,
    Ref,
    ServerDownError,
    Supervisor,
    SupFlags,
    UnexpectedRequestError,
)
from supervisors.agent import Agent
from tests.support import Runner, outcome_in, raises, run_in


async def test_an_agent_begins_with_what_its_function_returns(system):
    agent = await system.start(Agent, max, 1, 2)

    assert await Agent.get(agent, str) == "2"


async def test_get_leaves_the_value_as_it_is(system):
    agent = await system.start(Agent, lambda: 1)

    assert await Agent.get(agent, operator.add, 5) == 6
    assert await Agent.get(agent, int) == 1


async def test_update_replaces_the_value(system):
    agent = await system.start(Agent, lambda: 1)

    assert await Agent.update(agent, operator.add, 5) is None
    assert await Agent.get(agent, int) == 6


async def test_get_and_update_returns_one_and_keeps_the_other(system):
    agent = await system.start(Agent, lambda: 1)

    assert await Agent.get_and_update(agent, lambda value: (str(value), value + 1)) == "1"
    assert await Agent.get(agent, int) == 2


async def test_a_cast_replaces_the_value_before_what_is_asked_later(system):
    await system.start(Agent, lambda: 1, name="agent")

    Agent.cast("agent", operator.add, 1)

    assert await Agent.get("agent", int) == 2


async def test_functions_may_wait(system):
    async def later(value, more=0):
        await asyncio.sleep(1)
        return value + more

    agent = await system.start(Agent, later, 1)
    await Agent.update(agent, later, 2)

    assert await Agent.get(agent, later, 3) == 6


async def test_a_function_that_takes_too_long_is_given_up(system):
    agent = await system.start(Agent, lambda: 1)

    with pytest.raises(CallTimeoutError):
        await Agent.get(agent, lambda _: asyncio.sleep(60), timeout=0.5)


async def test_a_function_that_raises_ends_the_agent(system):
    agent = await system.start(Agent, lambda: 1)
    error = ValueError("wrong")

    with pytest.raises(ServerDownError):
        await Agent.update(agent, raises(error))

    assert agent.exit_reason == Crashed(error)


async def test_get_and_update_wants_a_pair(system):
    agent = await system.start(Agent, lambda: 1)

    with pytest.raises(ServerDownError) as caught:
        await Agent.get_and_update(agent, lambda value: [value, value])

    assert isinstance(caught.value.__cause__, BadReturnValueError)


async def test_an_agent_that_is_not_there_is_down_and_a_cast_to_it_lost(system):
    Agent.cast("nobody", int)

    with pytest.raises(ServerDownError) as caught:
        await Agent.get("nobody", int)

    assert caught.value.reason == NoProcess()


@pytest.mark.parametrize("ask", [Ref.cast, Ref.call])
async def test_an_agent_knows_no_other_requests(system, ask):
    agent = await system.start(Agent, lambda: 1)
    runner = await system.start(Runner)

    await outcome_in(runner, ask, agent, "x")

    assert isinstance((await agent.wait_exit()).error, UnexpectedRequestError)


async def test_an_agent_is_a_child_like_any_other(system):
    await system.start(Supervisor, SupFlags(), [Agent.child_spec(dict, name="agent")])

    assert await Agent.get("agent", len) == 0


async def test_an_agent_may_be_linked_to_a_process(system):
    runner = await system.start(Runner)

    agent = await run_in(runner, Agent.start_link, list)

    assert agent.parent is runner
