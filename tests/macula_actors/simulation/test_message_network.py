import asyncio
from dataclasses import asdict

import pytest

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.wire.messages import Ping, Pong
from macula_actors.errors import CallTimeoutError, IdentityMismatchError, OverloadedError, RefusedError
from macula_actors.simulation.errors import NameTakenError, SimulationError
from macula_actors.simulation.message_link import MessageLink
from macula_actors.simulation.message_network import MessageNetwork

PONG = Pong(timestamp=1, server_time=2)
NEARLY = 1e-4  # seconds


def contact(number):
    return Contact(Endpoint(f"10.0.0.{number}", 9443), NodeId(bytes(31) + bytes([number])))


def answers(exchange):
    exchange.answer(PONG)


def is_silent(exchange):
    pass


class Asker:
    """A node that asks, and notes when what came back."""

    def __init__(self, network, number=1):
        self.network = network
        self.port = network.attach(contact(number), is_silent)
        self.heard = []

    def ask(self, contact, timeout=1.0):
        self.port.request(contact, Ping(), timeout, lambda answer: self.heard.append((self.network.now, answer)))

    async def answer_of(self, contact, timeout=1.0):
        self.ask(contact, timeout)
        await asyncio.sleep(timeout + NEARLY)
        return self.heard[-1][1]


async def test_an_answer_comes_after_a_round_trip():
    with MessageNetwork(link=MessageLink(latency=0.25)) as network:
        asker = Asker(network)
        network.attach(contact(2), answers)

        asker.ask(contact(2))
        await asyncio.sleep(1.0)

        assert asker.heard == [(pytest.approx(0.5, abs=NEARLY), PONG)]


async def test_a_handler_may_answer_later():
    with MessageNetwork(link=MessageLink(latency=0.0)) as network:
        asker, kept = Asker(network), []
        network.attach(contact(2), kept.append)
        asker.ask(contact(2))
        await asyncio.sleep(0.5)

        kept[0].answer(PONG)
        kept[0].answer(RefusedError("late", "a second answer"))
        await asyncio.sleep(1.0)

        assert [answer for _, answer in asker.heard] == [PONG]


async def test_what_is_answered_too_late_has_timed_out():
    with MessageNetwork() as network:
        asker, kept = Asker(network), []
        network.attach(contact(2), kept.append)

        assert isinstance(await asker.answer_of(contact(2)), CallTimeoutError)

        kept[0].answer(PONG)
        await asyncio.sleep(1.0)
        assert len(asker.heard) == 1


async def test_an_answer_that_would_arrive_too_late_has_timed_out():
    with MessageNetwork(link=MessageLink(latency=0.75)) as network:
        asker = Asker(network)
        network.attach(contact(2), answers)

        assert isinstance(await asker.answer_of(contact(2), 1.0), CallTimeoutError)


async def test_silence_nobody_and_a_stopped_node_time_out():
    with MessageNetwork() as network:
        asker = Asker(network)
        network.attach(contact(2), is_silent)
        stopped = network.attach(contact(3), answers)
        stopped.detach()
        stopped.detach()

        heard = [await asker.answer_of(contact(number)) for number in (2, 3, 4)]

        assert [type(each) for each in heard] == [CallTimeoutError] * 3
        assert network.counters.nobody == 2


async def test_a_refusal_comes_back_as_the_error_it_is():
    with MessageNetwork() as network:
        asker, error = Asker(network), RefusedError("full", "no room")
        network.attach(contact(2), lambda exchange: exchange.answer(error))

        assert await asker.answer_of(contact(2)) is error


async def test_a_node_that_is_another_one_than_was_dialled_refuses_and_handles_nothing():
    with MessageNetwork() as network:
        asker = Asker(network)
        other = network.attach(contact(2), answers)

        answer = await asker.answer_of(Contact(contact(2).endpoint, contact(3).node_id))

        assert isinstance(answer, IdentityMismatchError)
        assert other.received == 0


async def test_a_node_is_reached_by_its_address_or_by_its_id_alone():
    with MessageNetwork() as network:
        asker = Asker(network)
        network.attach(contact(2), answers)

        assert await asker.answer_of(Contact(contact(2).endpoint)) == PONG
        assert await asker.answer_of(Contact(None, contact(2).node_id)) == PONG


async def test_a_partition_cuts_groups_and_what_is_in_flight_and_heals():
    with MessageNetwork() as network:
        asker, other = Asker(network), Asker(network, 5)
        near, far, free = (network.attach(contact(number), answers) for number in (2, 3, 4))
        other.ask(far.contact)

        network.partition([asker.port, other.port, near], [far])
        heard = [await asker.answer_of(each.contact) for each in (near, far, free)]
        network.heal()
        healed = await asker.answer_of(far.contact)

        assert [type(each) for each in heard] == [Pong, CallTimeoutError, Pong]
        assert healed == PONG
        assert [type(answer) for _, answer in other.heard] == [CallTimeoutError]
        assert network.counters.cut == 2


async def test_lost_messages_time_out():
    with MessageNetwork(link=MessageLink(loss=1.0)) as network:
        asker = Asker(network)
        network.attach(contact(2), answers)

        assert isinstance(await asker.answer_of(contact(2)), CallTimeoutError)
        assert network.counters.lost == 1


async def test_one_request_beyond_the_most_in_flight_is_refused():
    with MessageNetwork(max_in_flight=1) as network:
        asker = Asker(network)
        network.attach(contact(2), answers)
        asker.ask(contact(2))

        assert isinstance(await asker.answer_of(contact(2)), PONG.__class__)
        assert [type(answer) for _, answer in asker.heard] == [OverloadedError, Pong]


async def test_nothing_comes_back_to_a_node_that_has_stopped():
    with MessageNetwork() as network:
        asker = Asker(network)
        network.attach(contact(2), answers)
        called = []
        asker.ask(contact(2))
        asker.port.call_at(0.5, called.append)

        asker.port.detach()
        await asyncio.sleep(2.0)

        assert (asker.heard, called, network.in_flight) == ([], [], 0)
        assert network.counters.forgotten == 1


async def test_all_requests_come_to_one_end_each():
    with MessageNetwork(link=MessageLink(loss=0.3, jitter=0.1)) as network:
        asker = Asker(network)
        network.attach(contact(2), answers)
        for number in [2, 3] * 50:
            asker.ask(contact(number))
            await asyncio.sleep(0.01)
        await asyncio.sleep(2.0)

        counters = asdict(network.counters)
        ends = sum(counters[name] for name in ("answered", "refused", "timed_out", "forgotten"))
        assert (ends, len(asker.heard), network.in_flight) == (100, 100, 0)
        assert asker.port.sent == counters["requests"] == 100


async def test_addresses_and_ids_are_taken_once():
    with MessageNetwork() as network:
        network.attach(contact(1), answers)

        with pytest.raises(NameTakenError):
            network.attach(contact(1), answers)


async def test_a_node_needs_an_address_an_id_and_room():
    with MessageNetwork(max_nodes=1) as network:
        with pytest.raises(SimulationError, match="endpoint and an id"):
            network.attach(Contact(contact(1).endpoint), answers)
        network.attach(contact(1), answers)
        with pytest.raises(SimulationError, match="no room"):
            network.attach(contact(2), answers)


async def test_a_timer_never_fires_before_its_instant():
    with MessageNetwork() as network:
        fired = []
        instants = [0.1 + n * 3e-10 for n in range(10)]
        for instant in instants:
            network.call_at(instant, fired.append)
        await asyncio.sleep(1.0)

        assert all(at >= instant for at, instant in zip(fired, instants, strict=True))


async def test_nothing_is_left_in_flight_when_it_is_closed():
    network = MessageNetwork()
    asker = Asker(network)
    asker.ask(contact(2))

    network.close()
    network.close()

    assert (network.in_flight, network.ports, network.counters.forgotten) == (0, [], 1)
