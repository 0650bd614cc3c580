"""What is promised of qos 1 while subscribers come and go, processes are killed and links are cut; in virtual time."""

import asyncio

import pytest

from macula_actors.messages.names import PUBSUB_HANDLER, PUBSUB_SUBSCRIBERS
from supervisors.testing import wait_until

from .nodes import payloads, pubsub_mesh

TOPIC = "sensors.kitchen.temperature"
NODES = 4


async def come_and_go(node, rng):
    """Subscribe and unsubscribe for ever."""
    while True:
        await node.subscribe("sensors.*.temperature", lambda event: None)
        await asyncio.sleep(rng.uniform(0.1, 1.0))
        await node.unsubscribe()
        await asyncio.sleep(rng.uniform(0.1, 1.0))


async def kill_on(nodes, rng):
    while True:
        await asyncio.sleep(rng.uniform(0.5, 2.0))
        rng.choice(nodes).kill(rng.choice([PUBSUB_HANDLER, PUBSUB_SUBSCRIBERS]))


async def cut_on(network, rng):
    """Cut two nodes off from one another for up to three seconds, again and again."""
    while True:
        await asyncio.sleep(rng.uniform(1.0, 5.0))
        one, other = rng.sample([f"node{number}" for number in range(1, NODES + 1)], 2)
        network.cut(one, other)
        await asyncio.sleep(rng.uniform(0.5, 3.0))
        network.heal(one, other)


async def churn(seconds, seed):
    async with pubsub_mesh(seed=seed) as mesh:
        nodes = await mesh.nodes(NODES, ttl=3600)
        rng = nodes[0].system.random
        logs = [await node.subscribe("sensors.**") for node in nodes]
        troubles = [come_and_go(node, rng) for node in nodes]
        troubles += [kill_on(nodes, rng), cut_on(mesh.mesh.network, rng)]
        running = [asyncio.create_task(trouble) for trouble in troubles]
        published, end = [], nodes[0].system.now() + seconds
        while nodes[0].system.now() < end:
            node, turn = rng.choice(nodes), len(published)
            together = [[turn, number] for number in range(rng.choice([1, 1, 5]))]
            await asyncio.gather(*[node.publish(TOPIC, each, qos=1, timeout=30.0) for each in together])
            published += together
            await asyncio.sleep(0.05)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await wait_until(lambda: all(len(log) >= len(published) for log in logs), timeout=10.0)
        return published, [payloads(log) for log in logs]


def assert_each_once(published, logs):
    """Each event came once, and after those of the turns before; what is published at once, a kill may mix up."""
    assert len(published) > 100
    assert [sorted(log) for log in logs] == [published] * NODES
    assert [[turn for turn, _ in log] for log in logs] == [[turn for turn, _ in published]] * NODES


@pytest.mark.parametrize("seed", range(1, 4))
async def test_who_is_there_throughout_gets_each_event_once(seed):
    assert_each_once(*await churn(60.0, seed))


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_who_is_there_for_ten_minutes_gets_each_event_once():
    assert_each_once(*await churn(600.0, 7))
