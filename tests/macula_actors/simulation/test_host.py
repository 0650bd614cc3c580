import contextvars
import errno
import socket
from asyncio import sleep

import pytest

from macula_actors.simulation.nat import NatType
from macula_actors.simulation.network import SimNetwork
from tests.macula_actors.simulation.receivers import Recorder

ANY = "0.0.0.0"
place = contextvars.ContextVar("place", default="nowhere")


@pytest.fixture
def network():
    return SimNetwork()


async def test_a_socket_is_bound_where_asked_or_at_a_free_port(network):
    alice = network.host("alice")

    assert alice.open((ANY, 9443), Recorder()).address == (ANY, 9443)
    given = [alice.open(("10.0.0.1", 0), Recorder()).address for _ in range(2)]
    assert given == [("10.0.0.1", 32768), ("10.0.0.1", 32769)]


@pytest.mark.parametrize(
    ("taken", "wanted"),
    [
        (ANY, ANY),
        (ANY, "10.0.0.1"),
        ("10.0.0.1", ANY),
        ("::", ANY),
        (ANY, "::"),
        ("::", "10.0.0.1"),
        ("2001:db8::1", "::"),
    ],
)
async def test_a_port_in_use_is_refused(network, taken, wanted):
    alice = network.host("alice")
    alice.open((taken, 9443), Recorder())

    with pytest.raises(OSError, match="port 9443") as caught:
        alice.open((wanted, 9443), Recorder())
    assert caught.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize(("one", "other"), [("10.0.0.1", "127.0.0.1"), (ANY, "2001:db8::1"), ("10.0.0.1", "::1")])
async def test_different_addresses_may_share_a_port(network, one, other):
    alice = network.host("alice")
    alice.open((one, 9443), Recorder())

    assert alice.open((other, 9443), Recorder()).address == (other, 9443)


async def test_a_closed_socket_frees_its_port_and_twice_is_once(network):
    alice = network.host("alice")
    opened = alice.open((ANY, 9443), Recorder())

    opened.close()
    opened.close()

    assert alice.open((ANY, 9443), Recorder()).address == (ANY, 9443)


@pytest.mark.parametrize(
    ("address", "number"),
    [
        (("10.0.0.77", 1), errno.EADDRNOTAVAIL),
        (("alice", 1), errno.EADDRNOTAVAIL),
        ((ANY, 65536), errno.EINVAL),
        ((ANY, -1), errno.EINVAL),
    ],
)
async def test_an_address_that_is_not_the_hosts_is_refused(network, address, number):
    with pytest.raises(OSError, match=r"address|port") as caught:
        network.host("alice").open(address, Recorder())
    assert caught.value.errno == number


async def test_all_ports_in_use_is_an_error_too(network):
    alice = network.host("alice")
    for _ in range(32768, 61000):
        alice.open((ANY, 0), Recorder())

    with pytest.raises(OSError, match="no free port"):
        alice.open((ANY, 0), Recorder())


async def test_names_are_resolved_ipv4_first(network):
    alice = network.host("alice")
    network.host("bob")

    assert await alice.resolve("bob", 9443) == [("10.0.0.2", 9443), ("2001:db8::2", 9443)]
    assert await alice.resolve("BOB", 1) == await alice.resolve("bob", 1)
    assert await alice.resolve("localhost", 1) == [("127.0.0.1", 1), ("::1", 1)]


async def test_an_address_is_resolved_to_itself_in_its_short_form(network):
    alice = network.host("alice")

    assert await alice.resolve("10.9.9.9", 1) == [("10.9.9.9", 1)]
    assert await alice.resolve("2001:DB8:0::1", 1) == [("2001:db8::1", 1)]


async def test_an_unknown_name_is_the_error_that_real_resolvers_raise(network):
    with pytest.raises(socket.gaierror, match="'nobody' is no name"):
        await network.host("alice").resolve("nobody", 1)


async def test_hosts_behind_a_box_are_known_to_neighbours_only(network):
    home = network.nat("home", NatType.PORT)
    alice, bob, carol = network.host("alice"), network.host("bob", behind=home), network.host("carol", behind=home)

    assert await bob.resolve("carol", 1) == [("192.168.1.3", 1)]
    assert await carol.resolve("alice", 1) == [("10.0.0.2", 1)]
    with pytest.raises(socket.gaierror):
        await alice.resolve("bob", 1)


async def test_a_name_may_have_several_addresses(network):
    alice = network.host("alice")
    network.add_name("Seeds.example", ["10.0.0.9", "10.0.0.8"])

    assert await alice.resolve("seeds.example", 5) == [("10.0.0.9", 5), ("10.0.0.8", 5)]


async def test_a_receiver_is_called_in_the_context_its_socket_was_opened_in(network):
    heard = []
    recorder = Recorder()
    recorder.datagrams_received = recorder.unreachable = lambda _: heard.append(place.get())
    place.set("at the opener")
    opened = network.host("alice").open((ANY, 1), recorder)
    place.set("at the sender")

    opened.send([b""], ("10.0.0.1", 1))
    opened.send([b""], ("10.0.0.1", 2))
    await sleep(1.0)

    assert heard == ["at the opener"] * 2


async def test_each_address_of_a_host_may_have_a_socket_of_its_own(network):
    alice, exact, other = network.host("alice"), Recorder(), Recorder()
    alice.open(("10.0.0.1", 1), exact)
    alice.open(("127.0.0.1", 1), other)
    sender = alice.open((ANY, 0), Recorder())

    sender.send([b"exact"], ("10.0.0.1", 1))
    sender.send([b"other"], ("127.0.0.1", 1))
    await sleep(1.0)

    assert (exact.received, other.received) == ([b"exact"], [b"other"])


@pytest.mark.parametrize(
    ("bound", "destination", "source"),
    [
        (ANY, "10.0.0.2", "10.0.0.1"),
        ("::", "10.0.0.2", "10.0.0.1"),
        ("::", "2001:db8::2", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::2", "2001:db8::1"),
    ],
)
async def test_a_datagram_comes_from_the_address_of_its_family(network, bound, destination, source):
    alice, bob, recorder = network.host("alice"), network.host("bob"), Recorder()
    bob.open(("::", 9), recorder)

    alice.open((bound, 7), Recorder()).send([b"data"], (destination, 9))
    await sleep(1.0)

    assert recorder.sources == [(source, 7)]


@pytest.mark.parametrize(
    ("bound", "destination"),
    [
        (ANY, "2001:db8::2"),
        ("10.0.0.1", "2001:db8::2"),
        ("127.0.0.1", "10.0.0.2"),
        ("::", "10.7.7.7"),
        ("::", "192.168.1.2"),
        ("::", "bob"),
    ],
)
async def test_what_cannot_be_reached_is_counted_and_nothing_is_raised(network, bound, destination):
    alice = network.host("alice")
    network.host("bob").open(("::", 9), Recorder())

    alice.open((bound, 0), Recorder()).send([b"data"], (destination, 9))

    assert network.counters.unroutable == 1
