import json

import pytest

from macula_actors.actors.gateway.mesh import GatewayMesh
from macula_actors.actors.gateway.pubsub import MAX_TOPICS, GatewayPubsub
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.handshake import Security
from macula_actors.core.pubsub.event import EncodedEvent
from macula_actors.core.pubsub.topic import MQTT
from macula_actors.core.wire.decoder import decode_frame
from macula_actors.core.wire.frame import whole_frame
from macula_actors.core.wire.messages import Puback, Publish, PubsubRoute, Subscribe, Unsubscribe
from macula_actors.errors import NoRouteError, OverloadedError, RefusedError
from macula_actors.messages.gateway import GetStats, Session, SessionUp
from macula_actors.messages.names import GATEWAY_MESH, GATEWAY_PUBSUB, PUBSUB_HANDLER, TABLES
from macula_actors.messages.pubsub import AddSubscription, ForClients, RemoveSubscription
from supervisors import GenServer, TableOwner, sys
from supervisors import Reply as Answer
from supervisors.testing import wait_until, wait_until_idle
from tests.macula_actors.actors.gateway.stand_ins import config, connections, inbound, never, node_id
from tests.support import kill, supervise

MESSAGE_ID = bytes(range(16))


class Handler(GenServer):
    """Stands in for PubsubHandler: keeps what it was asked."""

    def init(self, asked):
        self.asked = asked

    def handle_call(self, request, from_):
        self.asked.append(request)
        return Answer(None)


async def start(system, **limits):
    asked = []
    specs = [
        TableOwner.child_spec(id=TABLES, name=TABLES),
        Handler.child_spec(asked, id=PUBSUB_HANDLER, name=PUBSUB_HANDLER),
        GatewayPubsub.child_spec(config(security=Security.OPEN, **limits), id=GATEWAY_PUBSUB, name=GATEWAY_PUBSUB),
    ]
    await supervise(system, specs)
    return asked


def gateway(system):
    return system.whereis(GATEWAY_PUBSUB)


async def subscribe(system, connection, *topics, number=2, **about):
    message = inbound(Subscribe(topics=topics), connection, number, **{"verified": False, **about})
    await gateway(system).call(message)


async def unsubscribe(system, connection, *topics):
    await gateway(system).call(inbound(Unsubscribe(topics=topics), connection, verified=False))


async def publish(system, topic, payload):
    await publish_bytes(system, topic, json.dumps(payload).encode())


async def publish_bytes(system, topic, payload):
    event = EncodedEvent(topic=topic, payload=payload, publisher=node_id(7), message_id=MESSAGE_ID)
    await gateway(system).call(event)
    await wait_until_idle(system)


async def got(connection):
    messages = [decode_frame(whole_frame(each.frame)) for each in await connection.call("exchanges")]
    return [(message.topic, json.loads(message.payload)) for message in messages]


def wanted(asked):
    """Return the patterns that PubsubHandler was told last."""
    match asked[-1]:
        case AddSubscription(patterns=patterns):
            return set(patterns)
        case RemoveSubscription():
            return set()


async def test_clients_get_the_events_that_they_have_subscribed_to_each_once(system):
    asked = await start(system)
    first, second = await connections(system, 2)
    await subscribe(system, first, "a.*", "a.**")
    await subscribe(system, second, "b")

    await publish(system, "a.b", {"x": 1})
    await publish(system, "b", 2)

    assert wanted(asked) == {"a.*", "a.**", "b"}
    assert (await got(first), await got(second)) == ([("a.b", {"x": 1})], [("b", 2)])


@pytest.mark.parametrize("payload", [b"hello", b"\xff\x00raw", b"", b'{"x": 1.0}'])
async def test_a_payload_is_passed_on_as_it_was_published(system, payload):
    asked = await start(system)
    (client,) = await connections(system, 1)
    await subscribe(system, client, "a")

    await publish_bytes(system, "a", payload)

    (exchange,) = await client.call("exchanges")
    assert decode_frame(whole_frame(exchange.frame)) == Publish(topic="a", payload=payload, message_id=MESSAGE_ID)
    assert exchange.is_event
    assert asked[-1].is_encoded


async def test_clients_write_their_patterns_as_the_realm_does(system):
    await start(system, dialect=MQTT)
    (client,) = await connections(system, 1)
    await subscribe(system, client, "a/+", "b/#")

    await publish(system, "a/x", 1)
    await publish(system, "b/x/y", 2)
    await unsubscribe(system, client, "a/+")
    await publish(system, "a/x", 3)

    assert await got(client) == [("a/x", 1), ("b/x/y", 2)]


async def test_who_has_unsubscribed_gets_nothing_more_and_is_forgotten_with_its_monitor(system):
    asked = await start(system)
    (client,) = await connections(system, 1)
    await subscribe(system, client, "a", "b")
    await unsubscribe(system, client, "a")
    assert wanted(asked) == {"b"}
    await unsubscribe(system, client, "b")
    assert wanted(asked) == set()

    for _ in range(3):
        await subscribe(system, client, "a")
        await unsubscribe(system, client, "a")

    assert (await gateway(system).call(GetStats())).clients == 0
    assert (await sys.get_state(gateway(system)))._monitors == {}


async def test_a_client_whose_connection_ends_is_forgotten(system):
    asked = await start(system)
    first, second = await connections(system, 2)
    await subscribe(system, first, "a")
    await subscribe(system, second, "b")

    await kill(first)
    await wait_until_idle(system)

    assert wanted(asked) == {"b"}
    assert (await gateway(system).call(GetStats())).subscriptions == 1


async def test_subscriptions_of_clients_survive_a_crash(system):
    asked = await start(system)
    (client,) = await connections(system, 1)
    await subscribe(system, client, "a.*")
    before = gateway(system)

    await kill(before)
    await wait_until(lambda: gateway(system) not in {None, before})
    await wait_until(lambda: asked[-1].target is gateway(system))
    await publish(system, "a.b", 1)

    assert await got(client) == [("a.b", 1)]


async def test_a_handler_that_is_restarted_is_told_again(system):
    asked = await start(system)
    (client,) = await connections(system, 1)
    await subscribe(system, client, "a.*")
    asked.clear()

    await kill(system.whereis(PUBSUB_HANDLER))

    await wait_until(lambda: asked)
    assert wanted(asked) == {"a.*"}


async def test_a_client_that_takes_nothing_loses_events_and_the_others_none(system):
    await start(system, max_relayed_per_client=2)
    (stuck,) = await connections(system, 1, never)
    (other,) = await connections(system, 1)
    await subscribe(system, stuck, "a")
    await subscribe(system, other, "a")

    for number in range(5):
        await publish(system, "a", number)

    assert len(await stuck.call("exchanges")) == 2
    assert len(await got(other)) == 5
    assert (await gateway(system).call(GetStats())).dropped == 3


async def test_a_client_has_a_bound_of_topics(system):
    await start(system)
    (client,) = await connections(system, 1)
    await subscribe(system, client, *[f"t{number}" for number in range(MAX_TOPICS)])

    with pytest.raises(OverloadedError):
        await subscribe(system, client, "one.more")


async def test_what_a_node_of_ours_tells_goes_to_the_handler(system):
    asked = await start(system)
    (client,) = await connections(system, 1)

    await subscribe(system, client, "a.*", verified=True)

    assert asked[-1].message == Subscribe(topics=("a.*",))
    assert (await gateway(system).call(GetStats())).clients == 0


def a_route(to, **fields):
    message = Publish(topic="a", payload=b"1", message_id=bytes(16))
    ids = {"destination_node_id": node_id(to), "source_node_id": node_id(2)}
    return PubsubRoute(**ids, topic="a", payload=message, **fields)


async def test_an_event_is_relayed_over_the_session_with_its_destination(system):
    await start(system)
    mesh = await system.start(GatewayMesh, config(), name=GATEWAY_MESH)
    (session,) = await connections(system, 1, lambda _: Answer(Puback(message_id=bytes(16))))
    mesh.cast(SessionUp(Session(node_id(9), session)))

    answer = await gateway(system).call(ForClients(a_route(9), node_id(2), 1.0))

    (exchange,) = await session.call("exchanges")
    route = decode_frame(whole_frame(exchange.frame))
    assert answer == Puback(message_id=bytes(16))
    assert (NodeId(route.destination_node_id), route.hop_count) == (node_id(9), 1)


async def test_an_event_that_cannot_be_relayed_is_refused(system):
    await start(system)
    with pytest.raises(RefusedError, match="restarted"):
        await gateway(system).call(ForClients(a_route(9), node_id(2), 1.0))
    await system.start(GatewayMesh, config(), name=GATEWAY_MESH)

    with pytest.raises(NoRouteError):
        await gateway(system).call(ForClients(a_route(9), node_id(2), 1.0))
    with pytest.raises(RefusedError, match="too many nodes"):
        await gateway(system).call(ForClients(a_route(9, hop_count=10), node_id(2), 1.0))
