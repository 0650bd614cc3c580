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
        published, end = 0, nodes[0].system.now() + seconds
        while nodes[0].system.now() < end:
            await rng.choice(nodes).publish(TOPIC, published, qos=1, timeout=30.0)
            published += 1
            await asyncio.sleep(0.05)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await wait_until(lambda: all(len(log) >= published for log in logs), timeout=10.0)
        return published, [payloads(log) for log in logs]


@pytest.mark.parametrize("seed", range(1, 4))
async def test_who_is_there_throughout_gets_each_event_once(seed):
    published, logs = await churn(60.0, seed)

    assert published > 100
    assert logs == [list(range(published))] * NODES


@pytest.mark.slow
async def test_who_is_there_for_ten_minutes_gets_each_event_once():
    published, logs = await churn(600.0, 7)

    assert published > 100
    assert logs == [list(range(published))] * NODES
