import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.errors import MaculaError
from macula_actors.simulation.errors import NameTakenError, SimulationError, UnknownHostError
from macula_actors.simulation.link import Link
from macula_actors.simulation.nat import NatType
from macula_actors.simulation.network import SimNetwork
from macula_actors.simulation.trace import Trace
from supervisors.testing import run
from tests.macula_actors.simulation.receivers import Puncher, Recorder, Reflector

ANY = "0.0.0.0"
PORT = 9443
NAMES = ("alice", "bob", "carol")


class Party:
    """A host with one socket."""

    def __init__(self, network, name, **options):
        self.name = name
        self.host = network.host(name, **options)
        self.heard = Recorder()
        self.socket = self.host.open((ANY, PORT), self.heard)
        self.address = (self.host.ipv4, PORT)

    def send(self, to, *datagrams):
        self.socket.send(datagrams or (f"from {self.name}".encode(),), to.address)


def parties(network, *names):
    return [Party(network, name) for name in names]


async def all_send(everyone):
    """Have each send to each other one; return who heard whom."""
    for party in everyone:
        party.heard.batches.clear()
    for sender in everyone:
        for other in everyone:
            sender.send(other)
    await asyncio.sleep(1.0)
    return {party.name: [data.decode()[5:] for data in party.heard.received] for party in everyone}


async def test_a_datagram_arrives_with_its_source_after_the_latency():
    alice, bob = parties(SimNetwork(link=Link(latency=0.25)), "alice", "bob")

    alice.send(bob, b"hello")
    await asyncio.sleep(1.0)

    assert bob.heard.batches == [[(b"hello", ("10.0.0.1", PORT))]]
    assert bob.heard.times == pytest.approx([0.25], abs=1e-5)


async def test_what_arrives_at_one_instant_is_one_batch_in_the_order_sent():
    alice, bob, carol = parties(SimNetwork(), *NAMES)

    alice.send(carol, b"1", b"2")
    bob.send(carol, b"3")
    alice.send(carol, b"4")
    await asyncio.sleep(0.01)
    alice.send(carol, b"5")
    await asyncio.sleep(1.0)

    assert [[data for data, _ in batch] for batch in carol.heard.batches] == [[b"1", b"2", b"3", b"4"], [b"5"]]


async def test_one_timer_serves_all_and_an_earlier_arrival_moves_it():
    network = SimNetwork()
    alice, bob, carol = parties(network, *NAMES)
    network.set_link("alice", "bob", Link(latency=5.0))

    alice.send(bob)
    alice.send(carol)
    await asyncio.sleep(1.0)

    assert (len(bob.heard.received), len(carol.heard.received)) == (0, 1)
    assert len(asyncio.get_running_loop().pending_timers()) == 1
    await asyncio.sleep(5.0)
    assert len(bob.heard.received) == 1


async def test_a_receiver_that_raises_costs_no_other_one_its_datagrams():
    errors = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))
    alice, bob, carol = parties(SimNetwork(), *NAMES)
    bob.heard.datagrams_received = lambda _: 1 / 0

    alice.send(bob)
    alice.send(carol)
    await asyncio.sleep(1.0)

    assert [type(error) for error in errors] == [ZeroDivisionError]
    assert carol.heard.received == [b"from alice"]


async def test_a_host_may_send_to_itself_faster_than_to_others():
    (alice,) = parties(SimNetwork(), "alice")

    alice.send(alice)
    alice.socket.send([b"loopback"], ("127.0.0.1", PORT))
    await asyncio.sleep(0.001)

    assert alice.heard.batches == [[(b"from alice", ("10.0.0.1", PORT)), (b"loopback", ("127.0.0.1", PORT))]]


async def test_hosts_that_are_cut_hear_nothing_of_each_other_until_healed():
    network = SimNetwork()
    everyone = parties(network, *NAMES)

    network.cut("alice", "bob")
    assert await all_send(everyone) == {
        "alice": ["alice", "carol"],
        "bob": ["bob", "carol"],
        "carol": ["carol", "alice", "bob"],
    }

    network.heal("bob", "alice")
    assert all(len(heard) == 3 for heard in (await all_send(everyone)).values())
    assert network.counters.cut == 2


async def test_a_cut_may_be_one_way():
    network = SimNetwork()
    everyone = parties(network, "alice", "bob")

    network.cut("alice", "bob", both_ways=False)

    assert await all_send(everyone) == {"alice": ["alice", "bob"], "bob": ["bob"]}


async def test_what_is_in_flight_is_cut_too():
    network = SimNetwork()
    alice, bob = parties(network, "alice", "bob")

    alice.send(bob)
    network.cut("alice", "bob")
    await asyncio.sleep(1.0)

    assert (bob.heard.received, network.counters.cut) == ([], 1)


async def test_what_is_sent_during_a_cut_is_lost_even_if_it_heals_before_the_arrival():
    network = SimNetwork()
    alice, bob = parties(network, "alice", "bob")

    network.cut("alice", "bob")
    alice.send(bob)
    network.heal_all()
    await asyncio.sleep(1.0)

    assert (bob.heard.received, network.counters.cut) == ([], 1)


async def test_a_partition_leaves_each_group_whole():
    network = SimNetwork()
    everyone = parties(network, "a", "b", "c", "d")

    network.partition({"a", "b"}, {"c"}, "d")
    assert await all_send(everyone) == {"a": ["a", "b"], "b": ["b", "a"], "c": ["c"], "d": ["d"]}

    network.heal_all()
    assert all(len(heard) == 4 for heard in (await all_send(everyone)).values())


async def test_an_isolated_host_hears_itself_only():
    network = SimNetwork()
    everyone = parties(network, *NAMES)

    network.isolate("bob")

    assert (await all_send(everyone))["bob"] == ["bob"]


async def test_a_cut_holds_through_a_box_for_the_one_host_behind_it_that_is_named():
    network = SimNetwork()
    home = network.nat("home", NatType.FULLCONE)
    (alice,) = parties(network, "alice")
    bob, carol = Party(network, "bob", behind=home), Party(network, "carol", behind=home)
    bob.send(alice)
    carol.send(alice)
    await asyncio.sleep(1.0)

    network.cut("alice", "bob")
    for outer in alice.heard.sources:
        alice.socket.send([b"answer"], outer)
    await asyncio.sleep(1.0)

    assert (bob.heard.received, carol.heard.received) == ([], [b"answer"])


async def test_the_name_of_a_box_stands_for_the_hosts_behind_it():
    network = SimNetwork()
    home = network.nat("home", NatType.FULLCONE)
    (alice,) = parties(network, "alice")
    bob = Party(network, "bob", behind=home)

    network.cut("alice", "home")
    bob.send(alice)
    await asyncio.sleep(1.0)

    assert (alice.heard.received, network.counters.cut) == ([], 1)


async def test_a_link_may_be_set_for_a_pair_before_and_while_it_is_used():
    network = SimNetwork()
    alice, bob = parties(network, "alice", "bob")
    network.set_link("alice", "bob", Link(latency=1.0))

    alice.send(bob)
    await asyncio.sleep(2.0)
    network.set_link("alice", "bob", Link(latency=0.5), both_ways=False)
    alice.send(bob)
    bob.send(alice)
    await asyncio.sleep(2.0)

    assert bob.heard.times == pytest.approx([1.0, 2.5], abs=1e-4)
    assert alice.heard.times == pytest.approx([3.0], abs=1e-4)


async def test_one_pairs_chance_does_not_depend_on_who_else_is_there():
    async def heard(*others):
        network = SimNetwork(seed=3, link=Link(loss=0.5))
        alice, bob, *others = parties(network, "alice", "bob", *others)
        for number in range(100):
            for other in others:
                other.send(bob, b"other")
            alice.send(bob, bytes([number]))
        await asyncio.sleep(1.0)
        return [data for data in bob.heard.received if data != b"other"]

    assert await heard() == await heard("carol", "dave")


async def test_a_crashed_host_sends_and_hears_nothing_and_its_peers_hear_of_a_shut_port():
    network = SimNetwork()
    alice, bob = parties(network, "alice", "bob")
    alice.send(bob)

    bob.host.crash()
    bob.send(alice)
    await asyncio.sleep(1.0)

    assert (bob.heard.received, alice.heard.received) == ([], [])
    assert alice.heard.returned == [bob.address]
    assert network.counters.no_socket == 1


async def test_what_comes_back_takes_both_ways():
    network = SimNetwork(link=Link(latency=0.25))
    alice, bob = parties(network, "alice", "bob")
    bob.host.crash()

    alice.send(bob)
    await asyncio.sleep(0.49)
    assert alice.heard.returned == []

    await asyncio.sleep(0.02)
    assert alice.heard.returned == [bob.address]


async def test_a_crashed_host_may_come_back():
    network = SimNetwork()
    alice, bob = parties(network, "alice", "bob")
    bob.host.crash()
    heard = Recorder()

    bob.host.open((ANY, PORT), heard)
    alice.send(bob)
    await asyncio.sleep(1.0)

    assert heard.received == [b"from alice"]


@pytest.mark.parametrize(("icmp", "cuts"), [(False, []), (True, [("bob", "alice")])])
async def test_nothing_comes_back_where_hosts_are_silent_or_cut(icmp, cuts):
    network = SimNetwork(icmp=icmp)
    alice, bob = parties(network, "alice", "bob")
    bob.host.crash()

    alice.send(bob)
    for pair in cuts:
        network.cut(*pair, both_ways=False)
    await asyncio.sleep(1.0)

    assert network.counters.no_socket == 1
    assert alice.heard.returned == []


async def test_a_socket_that_is_closed_in_the_instant_of_an_arrival_hears_nothing():
    alice, bob, carol = parties(SimNetwork(), *NAMES)
    bob.heard.datagrams_received = lambda _: carol.socket.close()

    alice.send(bob)
    alice.send(carol)
    await asyncio.sleep(1.0)

    assert carol.heard.received == []


async def test_with_the_last_socket_all_in_flight_is_dropped_and_no_timer_is_left():
    with SimNetwork() as network:
        alice, bob = parties(network, "alice", "bob")
        alice.send(bob, b"1", b"2")

    assert asyncio.get_running_loop().pending_timers() == []
    assert (network.counters.in_flight, network.counters.no_socket) == (0, 2)


async def test_in_flight_is_bounded_per_link():
    network = SimNetwork(link=Link(max_in_flight=3))
    alice, bob = parties(network, "alice", "bob")

    alice.send(bob, *[b"data"] * 5)
    await asyncio.sleep(1.0)
    alice.send(bob)
    await asyncio.sleep(1.0)

    assert (network.counters.delivered, network.counters.overflowed) == (4, 2)


async def test_neighbours_behind_a_box_reach_each_other_directly():
    network = SimNetwork()
    home = network.nat("home", NatType.SYMMETRIC)
    bob, carol = Party(network, "bob", behind=home), Party(network, "carol", behind=home)

    bob.send(carol)
    await asyncio.sleep(0.001)

    assert carol.heard.sources == [("192.168.1.2", PORT)]


async def test_a_box_does_not_hairpin():
    network = SimNetwork()
    home = network.nat("home", NatType.FULLCONE)
    (alice,) = parties(network, "alice")
    bob, carol = Party(network, "bob", behind=home), Party(network, "carol", behind=home)
    bob.send(alice)
    await asyncio.sleep(1.0)

    carol.socket.send([b"data"], alice.heard.sources[0])
    await asyncio.sleep(1.0)

    assert (bob.heard.received, network.counters.filtered) == ([], 1)


async def test_an_inner_address_is_nobodys_elsewhere():
    network = SimNetwork()
    bob = Party(network, "bob", behind=network.nat("home", NatType.FULLCONE))
    carol = Party(network, "carol", behind=network.nat("other", NatType.FULLCONE))

    bob.send(carol)

    assert network.counters.unroutable == 1


async def test_two_sites_may_have_the_same_inner_address():
    network = SimNetwork()
    (alice,) = parties(network, "alice")
    homes = [network.nat(name, NatType.PORT) for name in ("home", "other")]
    bob, carol = (
        Party(network, name, behind=home, ipv4="192.168.1.7")
        for name, home in zip(["bob", "carol"], homes, strict=True)
    )

    bob.send(alice)
    carol.send(alice)
    await asyncio.sleep(1.0)

    assert alice.heard.sources == [(home.outer_ip, PORT) for home in homes]


async def test_an_unasked_datagram_to_a_box_is_filtered_in_silence():
    network = SimNetwork()
    home = network.nat("home", NatType.PORT)
    Party(network, "bob", behind=home)
    (alice,) = parties(network, "alice")

    alice.socket.send([b"data"], (home.outer_ip, PORT))
    await asyncio.sleep(1.0)

    assert (network.counters.filtered, alice.heard.returned) == (1, [])


@pytest.mark.parametrize("kind", [NatType.FULLCONE, NatType.PORT, NatType.SYMMETRIC, NatType.LINUX])
@pytest.mark.parametrize(("every", "holds"), [(0.8, True), (2.2, False)])
async def test_a_keep_alive_within_the_lifetime_holds_a_mapping(kind, every, holds):
    network = SimNetwork()
    home = network.nat("home", kind, mapping_lifetime=2.0)
    (alice,) = parties(network, "alice")
    bob = Party(network, "bob", behind=home)

    for _ in range(10):
        bob.send(alice, b"keep-alive")
        await asyncio.sleep(every)
    alice.socket.send([b"inbound"], alice.heard.sources[-1])
    await asyncio.sleep(1.0)

    assert (bob.heard.received == [b"inbound"]) is holds


async def test_after_a_rebind_a_host_is_seen_from_another_address():
    network = SimNetwork()
    home = network.nat("home", NatType.PORT)
    reflector = Reflector(network.host("rendezvous"), 3478)
    puncher = Puncher(network.host("bob", behind=home), adopts_source=False)
    await puncher.observe(("10.0.0.2", reflector.socket.address[1]))
    before, puncher.outer = puncher.outer, None

    home.rebind()
    await puncher.observe(("10.0.0.2", 3478))

    assert puncher.outer[0] == before[0] == home.outer_ip
    assert puncher.outer[1] != before[1]


async def test_the_trace_tells_what_became_of_each_datagram():
    network = SimNetwork(link=Link(latency=1.0), trace=Trace(max_records=10))
    alice, bob = parties(network, "alice", "bob")

    alice.send(bob, b"data", bytes(2000))
    alice.socket.send([b"data"], ("10.0.0.2", 1))
    alice.socket.send([b"data"], ("10.7.7.7", 1))
    await asyncio.sleep(2.0)

    events = [(round(record.at, 3), record.event, record.length) for record in network.trace.records]
    assert events == [
        (0.0, "sent", 4),
        (0.0, "lost", 2000),
        (0.0, "sent", 4),
        (0.0, "unroutable", 4),
        (1.0, "delivered", 4),
        (1.0, "no_socket", 4),
    ]


BAD = Link(latency=0.05, jitter=0.05, loss=0.1, duplication=0.1, reordering=0.1, rate=20_000.0, max_queue_bytes=5000)
pairs = st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES))


async def exchange(network, steps):
    """Have hosts send what ``steps`` say, 10 ms between them, some of it after a cut, and wait until all is there."""
    home = network.nat("home", NatType.PORT, mapping_lifetime=0.2)
    alice, bob, carol = [*parties(network, "alice", "bob"), Party(network, "carol", behind=home)]
    party = {"alice": alice, "bob": bob, "carol": carol}
    for (sender, target), length, cut in steps:
        for pair in cut:
            network.cut(*pair)
        party[sender].socket.send([bytes(length)] * 3, party[target].address)
        await asyncio.sleep(0.01)
        network.heal_all()
    await asyncio.sleep(10.0)
    network.close()


@given(st.lists(st.tuples(pairs, st.integers(0, 1600), st.lists(pairs, max_size=1)), max_size=30), st.integers(0, 99))
def test_every_datagram_is_accounted_for_and_one_seed_gives_one_trace(steps, seed):
    networks = [SimNetwork(seed=seed, link=BAD, trace=Trace()) for _ in range(2)]

    for network in networks:
        run(exchange(network, steps))

    one, again = networks
    counters = one.counters
    assert counters.sent == 3 * len(steps)
    assert counters.in_flight == 0
    assert counters.sent + counters.duplicated == (
        counters.delivered
        + counters.lost
        + counters.overflowed
        + counters.too_large
        + counters.cut
        + counters.filtered
        + counters.no_socket
        + counters.unroutable
    )
    assert one.trace.digest() == again.trace.digest()
    assert counters == again.counters


@pytest.mark.parametrize(
    "mistake",
    [
        lambda network: network.cut("alice", "nobody"),
        lambda network: network.heal("nobody", "alice"),
        lambda network: network.set_link("alice", ["bob", "nobody"], Link()),
        lambda network: network.partition({"alice"}, {"nobody"}),
        lambda network: network.isolate("nobody"),
        lambda network: network.host("dave", behind=SimNetwork().nat("elsewhere", NatType.PORT)),
    ],
)
def test_an_unknown_name_is_refused_with_those_there_are(mistake):
    network = SimNetwork()
    network.host("alice")
    network.host("bob")

    with pytest.raises(UnknownHostError, match="no host") as caught:
        mistake(network)
    assert isinstance(caught.value, SimulationError)
    assert isinstance(caught.value, MaculaError)


@pytest.mark.parametrize(
    "mistake",
    [
        lambda network: network.host("alice"),
        lambda network: network.nat("alice", NatType.PORT),
        lambda network: network.host("home"),
        lambda network: network.host("bob", ipv4="10.0.0.2"),
        lambda network: network.host("bob", ipv6="2001:db8::2"),
    ],
)
def test_a_name_or_address_that_is_taken_is_refused(mistake):
    network = SimNetwork()
    network.nat("home", NatType.PORT)
    network.host("alice")

    with pytest.raises(NameTakenError, match="taken"):
        mistake(network)


def test_an_inner_address_that_is_taken_is_refused():
    network = SimNetwork()
    home = network.nat("home", NatType.PORT)
    network.host("alice", behind=home)

    with pytest.raises(NameTakenError, match=r"192\.168\.1\.2"):
        network.host("bob", behind=home, ipv4="192.168.1.2")


def test_addresses_given_out_avoid_those_that_were_named():
    network = SimNetwork()
    network.host("alice", ipv4="10.0.0.2")

    assert [network.host(name).ipv4 for name in ("bob", "carol")] == ["10.0.0.3", "10.0.0.4"]


@pytest.mark.parametrize("options", [{"ipv4": "nonsense"}, {"ipv6": "10.0.0.1"}])
def test_an_address_that_is_none_is_refused(options):
    with pytest.raises(ValueError, match=r"Expected|At least"):
        SimNetwork().host("alice", **options)


def test_a_name_is_in_lower_case():
    with pytest.raises(ValueError, match="lower case"):
        SimNetwork().host("Alice")


def test_a_lan_that_is_full_is_refused():
    network = SimNetwork()
    home = network.nat("home", NatType.PORT)
    for number in range(253):
        network.host(f"host{number}", behind=home)

    with pytest.raises(SimulationError, match="no address is left"):
        network.host("one-more", behind=home)
