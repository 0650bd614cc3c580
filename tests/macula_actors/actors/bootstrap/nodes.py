"""Nodes of a DHT over a simulated network, the first of which is a bootstrap node."""

from contextlib import asynccontextmanager
from dataclasses import replace

from macula_actors.config import BootstrapConfig, DhtConfig
from macula_actors.core.endpoint import Endpoint
from macula_actors.messages.gateway_dht import ROUTES
from macula_actors.messages.names import BOOTSTRAP_SERVER, BOOTSTRAP_SYSTEM
from macula_actors.systems.bootstrap_system import BootstrapSystem
from supervisors import Kill, exit_signal
from tests.macula_actors.actors.routing.mesh import all_know_all, identity, wall_clock_ms
from tests.macula_actors.actors.routing.quic import QuicNode
from tests.macula_actors.peers import PORT, REALM, simulated


def server(node, name=BOOTSTRAP_SERVER):
    return (name, node.system)


def kill(node, name):
    exit_signal(node.system.whereis(name), Kill())


async def a_node(mesh, number, *bootstrap):
    """Start a node that joins by ``bootstrap``."""
    own, name = identity(number), f"node{number}"
    node = await mesh.node(
        name,
        answers={},
        identity=own,
        endpoint=Endpoint(mesh._host(name).ipv4, PORT),
        mesh={"watchers": (BOOTSTRAP_SERVER,)},
        peer={"routes": ROUTES},
    )
    endpoints = tuple(each.endpoint for each in bootstrap)
    made = QuicNode(node, DhtConfig(identity=own, bootstrap=endpoints, wall_clock_ms=wall_clock_ms))
    await made.start()
    return made


@asynccontextmanager
async def bootstrap_mesh(others=0, **config):
    """Start a bootstrap node, and ``others`` that join by it; give all as a list."""
    async with simulated() as mesh:
        first = await a_node(mesh, 1)
        settings = replace(BootstrapConfig(identity=identity(1), realm=REALM), **config)
        await first.system.start(BootstrapSystem, settings, name=BOOTSTRAP_SYSTEM)
        nodes = [first, *[await a_node(mesh, number + 2, first) for number in range(others)]]
        await all_know_all(nodes)
        yield nodes
