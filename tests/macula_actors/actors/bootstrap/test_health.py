import asyncio
from contextlib import asynccontextmanager

import pytest

from macula_actors.actors.bootstrap.health import BootstrapHealth
from macula_actors.config import BootstrapConfig
from macula_actors.messages.bootstrap import GetHealth, HealthStatus, get_health, is_healthy
from macula_actors.messages.names import BOOTSTRAP_HEALTH, BOOTSTRAP_REGISTRY, BOOTSTRAP_SERVER, ROUTING_SERVER
from supervisors import GenServer, NoReply, Reply, System, call, exit_signal, suspend
from supervisors import Kill as KillSignal
from tests.macula_actors.actors.bootstrap.nodes import bootstrap_mesh, server
from tests.macula_actors.actors.routing.mesh import identity

CHECKED = (BOOTSTRAP_SERVER, BOOTSTRAP_REGISTRY, ROUTING_SERVER)


class Answering(GenServer):
    """Answers any call with ``answer``; None: never."""

    def init(self, answer):
        self.answer = answer

    def handle_call(self, request, from_):
        return NoReply() if self.answer is None else Reply(self.answer)


@asynccontextmanager
async def checked(*names, memory=10.0, answer=3):
    """Start a health monitor beside processes with ``names``."""
    async with System() as system:
        for name in names:
            await system.start(Answering, answer, name=name)
        config = BootstrapConfig(identity=identity(1), realm="com.example")
        yield await system.start(BootstrapHealth, config, lambda: memory, name=BOOTSTRAP_HEALTH), system


async def health_after(seconds, *names, **how):
    async with checked(*names, **how) as (monitor, _):
        await asyncio.sleep(seconds)
        return await get_health(monitor)


async def test_a_bootstrap_node_is_healthy_at_once():
    async with bootstrap_mesh() as (first,):
        await asyncio.sleep(0.1)
        health = await get_health(server(first, BOOTSTRAP_HEALTH))

        assert await is_healthy(server(first, BOOTSTRAP_HEALTH))
        assert [(check.name, check.is_ok) for check in health.checks] == [
            ("server", True),
            ("registry", True),
            ("routing_server", True),
            ("memory", True),
        ]
        assert health.timestamp > 1_700_000_000_000


async def test_health_is_unknown_before_the_first_check_is_done():
    health = await health_after(0.1, *CHECKED, answer=None)

    assert (health.status, health.checks) == (HealthStatus.UNKNOWN, ())


@pytest.mark.parametrize("missing", CHECKED)
async def test_without_one_of_its_processes_a_node_is_unhealthy_and_says_which(missing):
    health = await health_after(0.1, *(name for name in CHECKED if name != missing))

    assert health.status is HealthStatus.UNHEALTHY
    (failed,) = [check for check in health.checks if not check.is_ok]
    assert failed.name in missing
    assert health.message.startswith(failed.name)


async def test_a_process_that_hangs_does_not_run():
    async with checked(*CHECKED) as (monitor, system):
        await suspend((CHECKED[0], system))
        await asyncio.sleep(61.0)

        assert (await get_health(monitor)).status is HealthStatus.UNHEALTHY


async def test_a_routing_server_that_does_not_answer_is_a_failure():
    health = await health_after(6.0, *CHECKED, answer=None)

    assert health.status is HealthStatus.UNHEALTHY
    assert "no answer within 5 s" in health.message


async def test_too_much_memory_is_a_warning_and_no_failure():
    health = await health_after(0.1, *CHECKED, memory=2000.0)

    assert health.status is HealthStatus.HEALTHY
    assert "2000 MB, more than 1000 MB" in health.message


async def test_a_node_that_is_restored_is_healthy_again_soon():
    async with checked(BOOTSTRAP_SERVER, BOOTSTRAP_REGISTRY) as (monitor, system):
        await asyncio.sleep(0.1)
        assert not await is_healthy(monitor)
        await system.start(Answering, 3, name=ROUTING_SERVER)
        await asyncio.sleep(5.0)

        assert await is_healthy(monitor)


async def test_checks_are_made_again_and_again():
    async with checked(*CHECKED) as (monitor, system):
        await asyncio.sleep(30.0)
        exit_signal(system.whereis(BOOTSTRAP_REGISTRY), KillSignal())
        await asyncio.sleep(1.0)
        assert await is_healthy(monitor)
        await asyncio.sleep(30.0)

        assert (await call(monitor, GetHealth())).status is HealthStatus.UNHEALTHY
