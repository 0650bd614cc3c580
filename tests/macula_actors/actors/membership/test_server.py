import asyncio
from contextlib import asynccontextmanager

import pytest

from macula_actors.actors.membership.server import Membership
from macula_actors.config import MembershipConfig
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.handshake import PeerInfo
from macula_actors.core.wire.messages import Pong, SwimAck, SwimPing, SwimPingReq, SwimUpdate
from macula_actors.errors import (
    CallTimeoutError,
    ConnectionLostError,
    NoRouteError,
    OverloadedError,
    RefusedError,
)
from macula_actors.messages import membership
from macula_actors.messages.names import MEMBERSHIP, PEER_CONNECTOR, ROUTING_SERVER, SERVICE_REGISTRY, TABLES
from macula_actors.messages.peer import GetPeers, Inbound, PeerUp
from macula_actors.messages.routing_server import Learned
from macula_actors.messages.service_registry import ForgetNode
from supervisors import GenServer, Kill, NoReply, Refuse, Reply, System, TableOwner, call, cast, exit_signal
from tests.macula_actors.actors.membership.nodes import connect, identity, swimming
from tests.macula_actors.actors.routing.mesh import until


async def all_think(swimmers, status, *others, patience=30.0):
    """Wait until each of ``swimmers`` thinks ``status`` of each of ``others``, and return how long that took."""
    began = asyncio.get_running_loop().time()
    for each in swimmers:

        async def thinks(each=each):
            about = [other for other in others if other is not each]
            return await each.statuses(*about) == [status] * len(about)

        await until(thinks, patience)
    return asyncio.get_running_loop().time() - began


async def deaths(swimmers):
    return [(await each.stats()).deaths for each in swimmers]


async def test_nodes_that_are_connected_are_members_for_each_other():
    async with swimming() as group:
        swimmers = await group.group(3)
        await all_think(swimmers, "alive", *swimmers)

        assert [(await each.stats()).connected for each in swimmers] == [2, 2, 2]


async def test_a_node_without_peers_does_nothing():
    async with swimming() as group:
        one = await group.swimmer()
        await asyncio.sleep(3600.0)

        assert await one.members() == {}
        assert (await one.stats()).pings == 0
        assert group.mesh.network.counters.sent == 0


async def test_a_node_that_does_not_swim_is_no_member_and_is_never_pinged():
    async with swimming() as group:
        one = await group.swimmer()
        other = await group.mesh.node("bystander")
        await other.call(one.node)
        await asyncio.sleep(30.0)

        assert await one.members() == {}
        assert (await one.stats()).pings == 0


async def test_a_node_is_heard_of_by_those_it_is_not_connected_to():
    async with swimming() as group:
        hub, *leaves = [await group.swimmer() for _ in range(5)]
        for leaf in leaves:
            await connect(hub, leaf)

        await all_think([hub, *leaves], "alive", hub, *leaves)
        assert [len(await leaf.peers()) for leaf in leaves] == [1] * 4


@pytest.mark.parametrize("count", [3, 8])
async def test_a_node_that_falls_silent_is_dead_for_all_within_a_bound_and_no_other_is(count):
    async with swimming() as group:
        victim, *others = await group.group(count)
        await all_think(others, "alive", *others, victim)
        group.cut(victim, *others)

        assert await all_think(others, "dead", victim) < 2 * count + 5.0 + 2.0
        assert await deaths(others) == [1] * (count - 1)


async def test_a_node_that_is_stopped_is_dead_for_all_soon_and_its_return_is_seen():
    async with swimming() as group:
        victim, *others = await group.group(4)
        await all_think(others, "alive", *others, victim)
        await victim.stop()
        assert await all_think(others, "dead", victim) < 10.0
        back = await group.swimmer(1)
        await connect(back, others[0])

        assert await all_think(others, "alive", back) < 5.0
        assert (await back.stats()).incarnation > 0


async def test_what_others_knew_of_a_dead_node_is_forgotten_once():
    async with swimming() as group:
        victim, *others = await group.group(3)
        await all_think(others, "alive", victim)
        await victim.stop()
        await all_think(others, "dead", victim)
        await asyncio.sleep(30.0)

        for other in others:
            contact = Contact((await other.members())[victim.node_id].endpoint, victim.node_id)
            assert await other.told(SERVICE_REGISTRY) == (ForgetNode(victim.node_id),)
            assert await other.told(ROUTING_SERVER) == (Learned(silent=(contact,)),)


async def test_two_nodes_that_cannot_reach_each_other_stay_alive_through_others():
    async with swimming() as group:
        one, other, *rest = await group.group(4)
        await all_think([one, other], "alive", one, other)
        group.cut(one, other)
        await asyncio.sleep(120.0)

        assert await deaths([one, other, *rest]) == [0] * 4
        assert [(await each.stats()).incarnation for each in (one, other)] == [0, 0]
        assert await one.statuses(other, *rest) == ["alive"] * 3
        assert await other.statuses(one, *rest) == ["alive"] * 3


async def test_a_link_that_was_cut_and_healed_brings_a_node_back():
    async with swimming() as group:
        victim, *others = await group.group(3)
        await all_think(others, "alive", victim)
        group.cut(victim, *others)
        await all_think(others, "dead", victim)
        group.heal(victim, *others)
        await connect(victim, *others)

        await all_think([victim, *others], "alive", victim, *others)


async def test_a_dead_node_is_forgotten_in_the_end():
    async with swimming() as group:
        victim, other = await group.group(2, config={"forget_after": 20.0})
        await all_think([other], "alive", victim)
        await victim.stop()
        await all_think([other], "dead", victim)
        await asyncio.sleep(25.0)

        assert await other.members() == {}


async def test_a_killed_membership_keeps_its_members_and_its_incarnation_and_nobody_suspects_it():
    async with swimming() as group:
        one, *others = swimmers = await group.group(3)
        await all_think(swimmers, "alive", *swimmers)
        suspect = SwimUpdate(node_id=one.node_id, status="suspect", incarnation=6)
        await others[0].node.request(one.node, SwimPing(seq=1, gossip=(suspect,)))
        one.kill()

        assert await one.statuses(*others) == ["alive"] * 2
        await asyncio.sleep(30.0)
        stats = await one.stats()
        assert (stats.incarnation, stats.connected) == (7, 2)
        assert stats.pings > 10
        assert await deaths(swimmers) == [0] * 3
        assert {(await each.members())[one.node_id].incarnation for each in others} == {7}


async def test_a_node_that_is_said_to_be_dead_says_that_it_is_not():
    async with swimming() as group:
        one, *others = swimmers = await group.group(4)
        await all_think(swimmers, "alive", *swimmers)
        slander = SwimUpdate(node_id=one.node_id, status="dead", incarnation=3)
        await others[0].node.request(others[1].node, SwimPing(seq=1, gossip=(slander,)))

        assert await all_think(others, "alive", one) < 3.0
        assert (await one.stats()).incarnation == 4


async def test_a_killed_connector_costs_no_member():
    async with swimming() as group:
        one, *_ = swimmers = await group.group(3)
        await all_think(swimmers, "alive", *swimmers)
        one.kill(PEER_CONNECTOR)
        await asyncio.sleep(30.0)

        assert await deaths(swimmers) == [0] * 3
        assert (await one.stats()).connected == 2


async def test_a_node_never_dials_in_order_to_probe():
    async with swimming() as group:
        one, *others = await group.group(3)
        await all_think([one], "alive", *others)
        await others[0].stop()
        await asyncio.sleep(60.0)
        dials = (await one.node.pool()).dials

        assert dials == 2
        assert (await one.stats()).relaying == 0


# Messages


def inbound(message, node_id):
    peer = PeerInfo(node_id=node_id, public_key=None, endpoint=None, capabilities=(), verified=True)
    return Inbound(peer, message, None)


async def test_a_ping_is_answered_with_the_incarnation():
    async with swimming() as group:
        one, other = await group.group(2)
        ack = await other.node.request(one.node, SwimPing(seq=5, node_id=other.node_id))

        assert isinstance(ack, SwimAck)
        assert (ack.seq, ack.node_id, ack.incarnation, ack.status) == (5, one.node_id, 0, "alive")


async def test_who_does_not_say_its_id_is_refused():
    async with swimming() as group:
        one = await group.swimmer()

        with pytest.raises(RefusedError):
            await call(one.server, inbound(SwimPing(seq=1), None))


async def test_a_ping_for_another_is_answered_with_what_that_one_answers():
    async with swimming() as group:
        asker, helper, target = await group.group(3)
        ack = await asker.node.request(helper.node, SwimPingReq(seq=5, target=target.node_id))

        assert (ack.seq, ack.node_id, ack.incarnation) == (5, target.node_id, 0)


async def test_a_ping_for_another_fails_if_that_one_is_silent_or_not_connected():
    async with swimming() as group:
        asker, helper, target = await group.group(3)
        group.cut(helper, target)
        with pytest.raises(RefusedError, match="no_answer"):
            await asker.node.request(helper.node, SwimPingReq(seq=5, target=target.node_id, timeout=300))
        with pytest.raises(RefusedError, match="not_connected"):
            await asker.node.request(helper.node, SwimPingReq(seq=5, target=bytes(32)))

        assert (await helper.stats()).relaying == 0


async def test_what_a_peer_says_that_cannot_be_refuted_is_ignored():
    async with swimming() as group:
        one, other = await group.group(2)
        for status, incarnation in [("dead", 2**32 - 1), ("alive", 2**64 - 1)]:
            claim = SwimUpdate(node_id=one.node_id, status=status, incarnation=incarnation)
            await other.node.request(one.node, SwimPing(seq=1, gossip=(claim,)))

        assert (await one.stats()).incarnation == 0


async def test_the_endpoint_of_who_has_dialled_is_known():
    async with swimming() as group:
        one, other = await group.group(2)
        await all_think([one, other], "alive", one, other)

        assert (await other.members())[one.node_id].endpoint == one.node.endpoint


# Alone, with a connector that does what a test says


class Connector(GenServer):
    """Answers each ping with ``answer``: a message, an error; None: never."""

    def init(self, answer):
        self.answer = answer

    def handle_call(self, request, from_):
        match request, self.answer:
            case GetPeers(), _:
                return Reply(())
            case _, None:
                return NoReply()
            case _, Exception() as error:
                return Refuse(error)
            case _, message:
                return Reply(message)


class Connection(GenServer):
    def init(self):
        pass


PEER, OTHER = identity(2).node_id, identity(3).node_id


@asynccontextmanager
async def alone(answer, *, name=PEER_CONNECTOR, node_id=PEER):
    """Start a Membership with one peer, whose connection is given with it."""
    async with System(seed=0) as system:
        await system.start(TableOwner, name=TABLES)
        await system.start(Connector, answer, name=name)
        server = await system.start(Membership, MembershipConfig(identity=identity(1)), name=MEMBERSHIP)
        connection = await system.start(Connection)
        peer = PeerInfo(node_id=node_id, public_key=None, endpoint=None, capabilities=("swim",), verified=True)
        for _ in range(2):
            cast(server, PeerUp(peer, connection, is_dialled=True))
        yield server, connection


async def status_after(seconds, answer):
    async with alone(answer) as (server, _):
        await asyncio.sleep(seconds)
        (member,) = await membership.members(server)
        return member.status


HERE = [
    RefusedError("unavailable", "its membership is being restarted"),
    RefusedError("unsupported", "it has none"),
    OverloadedError("messages"),
    NoRouteError("a node"),
    ConnectionLostError("local", 0),
    SwimAck(seq=1),
    SwimAck(seq=1, incarnation=2**63),
    Pong(timestamp=0, server_time=0),
]
SILENT = [CallTimeoutError("a node", 1.0), ConnectionLostError("peer", 0), ConnectionLostError("network", 0)]


@pytest.mark.parametrize("answer", HERE, ids=str)
async def test_a_member_that_answers_anything_is_not_suspected_and_for_this_nodes_faults_nobody_is(answer):
    assert await status_after(30.0, answer) == "alive"


@pytest.mark.parametrize("answer", SILENT, ids=str)
async def test_a_member_that_does_not_answer_is_dead_in_the_end(answer):
    assert await status_after(1.5, answer) == "suspect"
    assert await status_after(8.0, answer) == "dead"


async def test_news_come_with_answers_too():
    news = SwimUpdate(node_id=OTHER, status="alive", incarnation=3)
    async with alone(SwimAck(seq=1, incarnation=4, gossip=(news,))) as (server, _):
        await asyncio.sleep(0.1)
        found = {member.node_id: member.incarnation for member in await membership.members(server)}

    assert found == {PEER: 4, OTHER: 3}


async def test_a_connection_that_ends_is_noticed_though_no_connector_tells():
    async with alone(SwimAck(seq=1)) as (server, connection):
        assert (await membership.stats(server)).connected == 1
        exit_signal(connection, Kill())
        await asyncio.sleep(0.1)

        assert (await membership.stats(server)).connected == 0


async def test_a_connector_that_never_answers_leaves_nothing_under_way():
    async with alone(None) as (server, connection):
        with pytest.raises(RefusedError, match="no_answer"):
            await call(server, inbound(SwimPingReq(seq=1, target=PEER), OTHER))
        exit_signal(connection, Kill())
        await asyncio.sleep(60.0)
        stats = await membership.stats(server)

    assert (stats.probing, stats.relaying, stats.dead) == (0, 0, 1)


async def test_only_so_many_pings_for_others_are_under_way(monkeypatch):
    monkeypatch.setattr("macula_actors.actors.membership.server.MAX_RELAYED", 0)
    async with alone(SwimAck(seq=1)) as (server, _):
        with pytest.raises(OverloadedError):
            await call(server, inbound(SwimPingReq(seq=1, target=PEER), OTHER))


async def test_without_a_connector_nobody_is_suspected():
    async with alone(None, name="something else") as (server, _):
        await asyncio.sleep(30.0)
        stats = await membership.stats(server)

    assert (stats.alive, stats.pings > 10) == (1, True)


async def test_a_ping_for_another_is_given_up_in_time_though_nothing_else_happens():
    async with alone(None) as (server, _):
        began = asyncio.get_running_loop().time()
        with pytest.raises(RefusedError, match="no_answer"):
            await call(server, inbound(SwimPingReq(seq=1, target=PEER, timeout=100), OTHER))

    assert asyncio.get_running_loop().time() - began == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("node_id", [None, identity(1).node_id])
async def test_a_node_is_no_peer_of_its_own_and_one_without_an_id_is_none(node_id):
    async with alone(None, node_id=node_id) as (server, _):
        assert (await membership.stats(server)).connected == 0
