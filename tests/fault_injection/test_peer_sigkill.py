"""A node in a process of its own, killed with SIGKILL: who talks to it hears of it within a second."""

import asyncio
import os
import secrets
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.identity import Identity
from macula_actors.errors import ConnectionLostError, MaculaError, NoRouteError
from supervisors.testing import wait_until
from tests.macula_actors.peers import LOOPBACK, Mesh, a_call

pytestmark = pytest.mark.real_clock

ROOT = Path(__file__).parents[2]
SOON = 1.0  # seconds


class NodeProcess:
    """A node that a process of the system is, with the same key and port each time."""

    def __init__(self, engine_name):
        self.engine_name = engine_name
        self.seed = secrets.token_bytes(32)
        self.port = 0

    @property
    def contact(self):
        return Contact(Endpoint(LOOPBACK, self.port), Identity.from_seed(self.seed).node_id)

    async def start(self):
        arguments = ["-m", "tests.macula_actors.peers", self.engine_name, self.seed.hex(), str(self.port)]
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, cwd=ROOT, env=os.environ | {"PYTHONPATH": "."}
        )
        self.port = int(await self.process.stdout.readline())

    async def kill(self):
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.communicate()


@pytest.fixture(params=["aioquic", "qh3"])
def talking(request):
    """Return a context of a node and a node process that talk, with three calls in flight, and their start."""

    @asynccontextmanager
    async def begin():
        peer = NodeProcess(request.param)
        await peer.start()
        try:
            async with Mesh(engine_name=request.param) as mesh:
                node = await mesh.node()
                await node.call(peer.contact)
                in_flight = [asyncio.create_task(ended(node, peer.contact, "never")) for _ in range(3)]
                await wait_until(lambda: len(node.connections[0]._process.server._outgoing) == 3)
                yield node, peer, in_flight
        finally:
            await peer.kill()

    return begin


async def ended(node, contact, procedure="echo"):
    """Return the error that a call ended with, and when."""
    with pytest.raises(MaculaError) as caught:
        await node.request(contact, a_call(procedure=procedure), 30.0)
    return type(caught.value), node.system.now()


async def test_calls_to_a_killed_node_fail_within_a_second(talking):
    async with talking() as (node, peer, in_flight):
        await peer.kill()
        killed_at = node.system.now()

        ends = await asyncio.gather(ended(node, peer.contact), *in_flight)

        assert {error for error, _ in ends} == {ConnectionLostError}
        assert max(at for _, at in ends) - killed_at <= SOON


async def test_a_killed_node_that_is_there_again_is_called_again(talking):
    async with talking() as (node, peer, in_flight):
        await peer.kill()
        await peer.start()
        started_at = node.system.now()

        with suppress(ConnectionLostError):  # it may be known before that the node has gone
            await node.call(peer.contact)
        ends = await asyncio.gather(*in_flight)

        assert {error for error, _ in ends} == {ConnectionLostError}
        assert max(at for _, at in ends) - started_at <= SOON
        assert await node.call(peer.contact) == b"x"


async def test_a_call_made_while_a_killed_node_is_away_waits_for_it(talking):
    async with talking() as (node, peer, in_flight):
        await peer.kill()
        await asyncio.gather(ended(node, peer.contact), *in_flight)

        call = asyncio.create_task(node.call(peer.contact, timeout=20.0))
        await peer.start()

        assert await call == b"x"


async def test_a_node_that_stays_away_is_no_route(talking):
    async with talking() as (node, peer, in_flight):
        await peer.kill()
        await asyncio.gather(ended(node, peer.contact), *in_flight)

        with pytest.raises(NoRouteError):
            await node.call(peer.contact, timeout=0.4)
