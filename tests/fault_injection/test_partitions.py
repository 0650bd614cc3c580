"""Whole nodes that were cut off from one another for a while, and are not any more: over QUIC, in virtual time."""

import asyncio
from contextlib import AsyncExitStack

from macula_actors import Mode
from macula_actors.messages.names import ROUTING_SERVER
from macula_actors.messages.routing_server import get_routing_table
from macula_actors.simulation import SimNetwork, deterministic
from supervisors.testing import wait_until
from tests.fault_injection.test_many_clients import a_node

A_WHILE = 60.0  # virtual seconds


async def mesh_of(stack, network, *names):
    """Start a bootstrap node and edges; return them by name when each knows all."""
    first = await stack.enter_async_context(a_node(network, "bootstrap", Mode.BOOTSTRAP))
    known = [str(first.config.advertise)]
    nodes = [first, *[await stack.enter_async_context(a_node(network, name, bootstrap=known)) for name in names]]
    await all_know_all(nodes)
    return nodes


async def all_know_all(nodes, timeout=A_WHILE):
    async with asyncio.timeout(timeout):
        while not await knows_all(nodes):
            await asyncio.sleep(0.5)


async def knows_all(nodes):
    ids = {node.node_id for node in nodes}
    known = [{each.node_id for each in await get_routing_table(node.server(ROUTING_SERVER))} for node in nodes]
    return all(ids - {node.node_id} <= contacts for node, contacts in zip(nodes, known, strict=True))


async def test_two_nodes_that_are_cut_off_from_one_another_call_each_other_over_a_third_one_until_they_are_not():
    with deterministic(1), SimNetwork(seed=1, icmp=False) as network:
        async with AsyncExitStack() as stack:
            nodes = await mesh_of(stack, network, "one", "two", "three")
            _, one, two, _ = nodes
            await two.advertise("test.echo", lambda args: args)
            direct = await one.trace("test.echo", 1)

            network.cut("one", "two")
            await wait_until(lambda: two.node_id not in {up.peer.node_id for up in one.peers()}, timeout=A_WHILE)
            around = await one.trace("test.echo", 2, timeout=10.0)

            network.heal_all()
            await asyncio.sleep(A_WHILE)
            again = await one.trace("test.echo", 3)

            assert [len(each.nodes) for each in (direct, around, again)] == [1, 2, 1]


async def test_nodes_that_were_cut_off_from_one_another_know_each_other_a_minute_later():
    with deterministic(1), SimNetwork(seed=1, icmp=False) as network:
        async with AsyncExitStack() as stack:
            nodes = await mesh_of(stack, network, "one", "two", "three")

            network.cut("one", ["bootstrap", "two"])
            for _ in range(2):
                await asyncio.sleep(A_WHILE / 2)
                looked_for = (node.discover("test.echo", refresh=True) for node in nodes)
                await asyncio.gather(*looked_for, return_exceptions=True)
            assert not await knows_all(nodes)
            network.heal_all()

            await all_know_all(nodes)
