"""A client of v0.8 at a whole open node, over real sockets: publish and subscribe."""

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace

import pytest

from macula_actors import Mode, Node, NodeConfig
from macula_actors.core.wire.messages import Connect, Error, Publish, Subscribe
from macula_actors.messages.names import PEER_CONNECTOR, PUBSUB_HANDLER
from supervisors.testing import wait_until
from tests.macula_actors.peers import REALM, Mesh

pytestmark = pytest.mark.real_clock


def config(*bootstrap, **values):
    settings = {"realm": REALM, "security": "open", "listen": "127.0.0.1:0", "health_port": "none"}
    return NodeConfig(**{**settings, "bootstrap": [str(node.endpoint) for node in bootstrap], **values})


class Client:
    """One of the original: all it sends goes on the one stream that it opens, and it reads no other."""

    def __init__(self, line):
        self.line = line
        self.stream = None

    def send(self, message):
        self.stream = self.line.send(message, stream_id=self.stream, end=False)

    def publish(self, topic, payload):
        self.send(Publish(topic=topic, payload=payload, message_id=bytes(16)))

    @property
    def got(self):
        return [(each.topic, each.payload) for each in self.line.on_stream(self.stream) if isinstance(each, Publish)]

    @property
    def errors(self):
        return [each.code for each in self.line.on_stream(self.stream) if isinstance(each, Error)]


async def connect(mesh, node):
    line = await mesh.attacker().dial(SimpleNamespace(address=(node.endpoint.host, node.endpoint.port)))
    client = Client(line)
    client.send(Connect(node_id=bytes(32), realm_id=REALM, capabilities=(), endpoint="https://10.0.0.9:9443"))
    await line.answers(client.stream, 1)
    return client


@asynccontextmanager
async def open_mesh():
    """Start a gateway and another node; connect a client to the gateway."""
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(Node(config(mode=Mode.HYBRID)))
        node = await stack.enter_async_context(Node(config(gateway, mode=Mode.EDGE)))
        mesh = await stack.enter_async_context(Mesh())
        yield gateway, node, await connect(mesh, gateway)


@pytest.mark.parametrize(
    ("payload", "value"),
    [(b"hello", b"hello"), (b"\xff\x00raw", b"\xff\x00raw"), (b"", b""), (b'{"c":  1}', {"c": 1})],
)
async def test_whatever_bytes_a_client_publishes_reach_programs_and_clients(payload, value):
    async with open_mesh() as (gateway, node, client):
        here, there = [], []
        await gateway.subscribe("s.*", here.append)
        await node.subscribe("s.*", there.append)
        client.send(Subscribe(topics=("s.x",)))
        await wait_until(lambda: gateway.stats()["gateway_pubsub"].clients == 1)
        await asyncio.sleep(0.2)

        client.publish("s.x", payload)

        await wait_until(lambda: here and there and client.got, timeout=5.0)
        assert [event.payload for event in here + there] == [value] * 2
        assert client.got == [("s.x", payload)]


async def test_a_client_gets_what_nodes_publish_on_its_one_stream_in_order():
    async with open_mesh() as (_, node, client):
        client.send(Subscribe(topics=("s.**",)))
        await node.publish("other", 0)
        await asyncio.sleep(0.5)

        for number in range(50):
            await node.publish("s.y", {"z": number}, qos=1)
        await node.publish("s.y", b"bytes", qos=1)

        await wait_until(lambda: len(client.got) == 51, timeout=5.0)
        assert [json.loads(payload) for _, payload in client.got[:50]] == [{"z": number} for number in range(50)]
        assert client.got[50] == ("s.y", b"bytes")
        assert not [message for _, message, _ in client.line.messages if isinstance(message, Publish)][51:]


@pytest.mark.parametrize(
    ("topic", "length"), [("ok.a", 1_048_442), ("ok.a", 1_000_001), ("ok.*", 1), ("**", 1), ("." * 250, 1)]
)
async def test_what_a_client_may_not_publish_is_refused_and_hurts_nobody(topic, length):
    async with open_mesh() as (gateway, node, client):
        got = []
        await node.subscribe("ok.**", got.append)
        await gateway.publish("ok.a", 1, qos=1)
        processes = [gateway.system.whereis(name) for name in (PUBSUB_HANDLER, PEER_CONNECTOR)]

        for _ in range(3):
            client.publish(topic, b"x" * length)
        await wait_until(lambda: len(client.errors) == 3, timeout=5.0)
        client.publish("ok.a", b"2")

        await wait_until(lambda: len(got) == 2, timeout=5.0)
        assert [event.payload for event in got] == [1, 2]
        assert [gateway.system.whereis(name) for name in (PUBSUB_HANDLER, PEER_CONNECTOR)] == processes
