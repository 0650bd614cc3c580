"""A DHT that is open to v0.8, whose nodes do not say who they are, answer no STORE, and read no str."""

import asyncio

import pytest

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.sender_limits import SenderLimits
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.handshake import Security
from macula_actors.core.wire.messages import FindNode, FindNodeReply, FindValue, FindValueReply, NodeInfo, Store
from macula_actors.errors import LocalProtocolError, OverloadedError, RefusedError
from macula_actors.messages import routing_server
from macula_actors.messages.names import ROUTING_SERVER
from supervisors import GenServer, Reply, System
from tests.macula_actors.actors.routing.mesh import KEY, dht, key, until

OPEN = {"security": Security.OPEN}
CLIENT = Contact(Endpoint("10.9.9.9", 1), key("a client"))
STRANGER = Contact(Endpoint("10.9.9.9", 5000))
VALUE = {b"node_id": b"x", b"endpoint": b"y"}
STORE = Store(key=bytes(KEY), value=VALUE)


async def handle(node, message, sender=CLIENT):
    return await routing_server.handle_message(node.server, sender, message)


class OldServer(GenServer):
    """Answers as a gateway of v0.8 that knows ``nodes``, and puts what it is sent into ``handled``."""

    def init(self, nodes, handled):
        self.nodes = nodes
        self.handled = handled

    def handle_call(self, request, from_):
        self.handled.append(request.message)
        match request.message:
            case FindValue(key=key) if key == bytes(KEY):
                return Reply(FindValueReply(result="value", value=(VALUE,)))
            case FindValue():
                return Reply(FindValueReply(result="nodes", nodes=self.nodes))
            case FindNode():
                return Reply(FindNodeReply(nodes=self.nodes))
            case _:
                return Reply(None)


class OldNode:
    """A node of v0.8 in a network without QUIC. ``name`` is known to who knows it; by default it says it to nobody."""

    def __init__(self, network, host, name=None):
        self.endpoint = Endpoint(host, 9443)
        self.node_id = name or NodeId.of(str(self.endpoint).encode())
        self.info = NodeInfo(node_id=self.node_id, endpoint=self.endpoint.url)
        self.system = System(host)
        self.handled = []
        network.wires.at[self.endpoint] = self
        network.nodes.append(self)

    async def start(self, *known):
        self.system._bind()
        nodes = tuple(each.info for each in known)
        await self.system.start(OldServer, nodes, self.handled, name=ROUTING_SERVER)

    async def stop(self):
        await self.system.stop()


async def old_network(network):
    """Return a gateway of v0.8 that names another one, which names nobody."""
    first, second = OldNode(network, "10.8.0.1"), OldNode(network, "10.8.0.2", key("second"))
    await first.start(second)
    await second.start()
    return first, second


# Contacts


async def test_a_node_joins_by_a_bootstrap_of_v08_and_meets_whom_it_names():
    async with dht() as network:
        first, second = await old_network(network)
        node = await network.node(first, **OPEN)

        await until(lambda: node.knows(first, second))
        assert (await node.stats()).is_joined


async def test_a_bootstrap_of_v08_that_names_nobody_is_a_contact_itself():
    async with dht() as network:
        alone = OldNode(network, "10.8.0.1")
        await alone.start()
        node = await network.node(alone, **OPEN)

        await until(lambda: node.knows(alone))
        assert await node.store(KEY, "x") == 2
        assert [type(message) for message in alone.handled][-1] is Store


async def test_a_verified_node_does_not_join_by_a_bootstrap_that_does_not_say_who_it_is():
    async with dht() as network:
        first, _ = await old_network(network)
        node = await network.node(first)
        await asyncio.sleep(60.0)

        assert await node.size() == 0


async def test_a_value_is_found_over_nodes_of_v08():
    async with dht() as network:
        first, second = await old_network(network)
        node = await network.node(first, **OPEN)
        await until(lambda: node.knows(first, second))

        assert await node.find(KEY) == [VALUE]
        assert await node.find(key("nothing")) == []


async def test_who_has_connected_is_told_of_at_once_though_it_answers_nothing():
    async with dht() as network:
        node = await network.node(**OPEN)

        routing_server.touch(node.server, CLIENT)

        reply = await handle(node, FindNode(target=CLIENT.node_id), STRANGER)
        assert reply.nodes == (NodeInfo(node_id=CLIENT.node_id, endpoint=str(CLIENT.endpoint)),)
        assert await node.size() == 0


# Messages of peers


async def test_a_store_is_kept_whoever_sends_it_and_not_answered():
    async with dht() as network:
        node = await network.node(**OPEN)

        assert await handle(node, STORE, STRANGER) is None
        assert await node.local(KEY) == [VALUE]
        assert (await handle(node, FindValue(key=bytes(KEY)), STRANGER)).value == (VALUE,)


async def test_who_does_not_say_its_id_comes_into_no_table():
    async with dht() as network:
        node = await network.node(**OPEN)
        await handle(node, FindNode(target=KEY), STRANGER)

        assert await node.size() == 0
        assert not network.wires.sent


async def test_a_verified_node_refuses_who_does_not_say_its_id():
    async with dht() as network:
        node = await network.node()

        with pytest.raises(RefusedError, match="who it is"):
            await handle(node, FindNode(target=KEY), STRANGER)


async def test_those_that_do_not_say_their_ids_share_the_limits_of_their_address():
    async with dht() as network:
        node = await network.node(**OPEN, senders=SenderLimits(stores_per_minute=2))
        for port in (1, 2):
            await handle(node, STORE, Contact(Endpoint("10.9.9.9", port)))

        with pytest.raises(OverloadedError):
            await handle(node, STORE, Contact(Endpoint("10.9.9.9", 3)))
        assert await handle(node, STORE, Contact(Endpoint("10.9.9.8", 3))) is None


# What is stored


async def test_texts_are_stored_as_bin_which_v08_reads():
    async with dht() as network:
        alone = OldNode(network, "10.8.0.1")
        await alone.start()
        node = await network.node(alone, **OPEN)
        await until(lambda: node.knows(alone))

        await node.store(KEY, {"text": ["ü", b"x", 1]})

        assert alone.handled[-1].value[b"text"] == ["ü".encode(), b"x", 1]
        assert await node.local(KEY) == [{b"text": ["ü".encode(), b"x", 1]}]


async def test_what_came_from_v08_goes_on_as_it_came():
    async with dht() as network:
        node = await network.node(**OPEN)
        value = {b"node_id": b"x", b"list": "\x01\x02\x03", b"empty": ""}
        await handle(node, Store(key=bytes(KEY), value=value), STRANGER)

        assert (await handle(node, FindValue(key=bytes(KEY)), STRANGER)).value == (value,)


async def test_what_v08_would_not_keep_is_refused_and_not_kept_here_either():
    async with dht() as network:
        node = await network.node(**OPEN)

        with pytest.raises(LocalProtocolError, match="reads 768"):
            await node.store(KEY, "x" * 1000)
        assert await node.local(KEY) == []


async def test_what_a_part_of_the_node_stores_may_be_longer():
    async with dht() as network:
        node = await network.node(**OPEN)

        assert await node.store(KEY, "x" * 1000, durable=False) == 1
