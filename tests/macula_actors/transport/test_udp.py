import asyncio
import errno
import os
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from macula_actors.transport import udp
from macula_actors.transport.udp import MAX_BATCH, UdpNetwork
from tests.macula_actors.transport.nodes import Heard

pytestmark = [pytest.mark.real_clock, pytest.mark.usefixtures("path")]


class Recorder(Heard):
    """Remembers what came, in batches, and what came back."""

    def __init__(self):
        super().__init__()
        self.batches = []
        self.returned = []
        self.lost = []

    @property
    def received(self):
        return [datagram for batch in self.batches for datagram, _ in batch]

    def datagrams_received(self, batch):
        self.batches.append(list(batch))
        self.wake()

    def unreachable(self, address):
        self.returned.append(address)
        self.wake()

    def socket_lost(self, error):
        self.lost.append(error.errno)


NO_OPTION = 9999


@pytest.fixture(params=[udp._UDP_GRO, NO_OPTION])
def path(request, monkeypatch):
    """Run each test with a system that joins no datagrams too."""
    monkeypatch.setattr(udp, "_UDP_GRO", request.param)


def opened(host="127.0.0.1", port=0):
    """Return a socket and what it receives."""
    recorder = Recorder()
    return UdpNetwork().open((host, port), recorder), recorder


async def test_datagrams_arrive_in_order_and_many_at_a_wake_up():
    (sender, _), (receiver, heard) = opened(), opened()
    sent = [bytes([number]) * 1200 for number in range(100)]

    sender.send(sent, receiver.address)
    await heard.until(lambda heard: len(heard.received) == 100)

    assert heard.received == sent
    assert {address for batch in heard.batches for _, address in batch} == {sender.address}
    assert len(heard.batches) < 10
    sender.close()
    receiver.close()


async def test_sizes_may_differ_and_be_nothing():
    (sender, _), (receiver, heard) = opened(), opened()
    sent = [b"", b"x", bytes(1200), b"", bytes(1199), bytes(1200), bytes(1200), bytes(3)]

    for at in range(0, len(sent), 4):
        sender.send(sent[at : at + 4], receiver.address)
    await heard.until(lambda heard: sum(map(len, heard.received)) == sum(map(len, sent)))

    assert [datagram for datagram in heard.received if datagram] == [datagram for datagram in sent if datagram]
    sender.close()
    receiver.close()


async def test_what_cannot_go_joined_goes_one_by_one(monkeypatch):
    monkeypatch.setattr(udp, "_MAX_JOINED", 1000)  # more than a kernel joins
    (sender, _), (receiver, heard) = opened(), opened()
    sent = [bytes([number % 256, number // 256]) for number in range(400)]

    sender.send(sent, receiver.address)
    await heard.until(lambda heard: len(heard.received) == 400)

    assert heard.received == sent
    assert sender.dropped == 0
    sender.close()
    receiver.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([0, 1, 2, 1200, 1500, 40_000, 65_507]), max_size=200))
def test_runs_are_all_datagrams_in_order_and_each_can_go_joined(lengths):
    datagrams = [bytes(length) for length in lengths]

    runs = list(udp._runs(datagrams))

    assert [each for run in runs for each in run] == datagrams
    for run in runs:
        longest, *_ = sizes = [len(each) for each in run]
        assert all(size == longest for size in sizes[:-1])
        assert len(run) == 1 or (0 < sizes[-1] <= longest and len(run) <= 64 and sum(sizes) <= 65_000)


async def test_others_get_their_turn_in_a_flood():
    (sender, _), (receiver, heard) = opened(), opened()

    for _ in range(1000):
        sender.send([bytes(100)], receiver.address)
    await heard.until(lambda heard: len(heard.received) == 1000)

    assert max(map(len, heard.batches)) < 2 * MAX_BATCH
    assert len(heard.batches) >= 2
    sender.close()
    receiver.close()


@pytest.mark.parametrize(("listening", "family"), [("::1", "::1"), ("::", "::1"), ("::", "127.0.0.1")])
async def test_an_address_is_in_its_short_form_in_either_family(listening, family):
    (sender, answered), (receiver, heard) = opened(family), opened(listening)

    sender.send([b"one", b"two"], (family, receiver.address[1]))
    await heard.until(lambda heard: len(heard.received) == 2)
    receiver.send([b"back", b"more"], heard.batches[0][0][1])
    await answered.until(lambda heard: len(heard.received) == 2)

    assert heard.batches[0][0][1] == sender.address
    assert answered.batches[0][0][1] == (family, receiver.address[1])
    sender.close()
    receiver.close()


@pytest.mark.parametrize("family", ["127.0.0.1", "::1"])
async def test_what_comes_back_is_told_with_the_address_it_was_sent_to(family):
    (sender, heard), (gone, _) = opened("::" if ":" in family else family), opened(family)
    address = gone.address
    gone.close()

    sender.send([b"anybody there?"], address)
    await heard.until(lambda heard: heard.returned)

    assert heard.returned == [address]
    sender.close()


async def test_what_comes_back_is_told_under_load_too_and_keeps_nothing_from_being_sent():
    (sender, heard), (gone, _), (receiver, taken) = opened(), opened(), opened()
    address = gone.address
    gone.close()

    for _ in range(50):
        sender.send([b"lost"], address)
        sender.send([b"kept"], receiver.address)
        receiver.send([b"busy"], sender.address)
    await heard.until(lambda heard: heard.returned and len(heard.received) == 50)
    await taken.until(lambda heard: len(heard.received) == 50)

    assert set(heard.returned) == {address}
    sender.close()
    receiver.close()


@pytest.mark.parametrize("address", [("127.0.0.1", 0), ("::1", 9), ("255.255.255.255", 9)])
async def test_what_the_system_does_not_take_is_counted_and_given_back(address):
    sender, heard = opened()

    sender.send([b"x"], address)
    sender.send([b"x", b"y"], address)
    await heard.until(lambda heard: len(heard.returned) == 3)

    assert sender.dropped == 3
    assert set(heard.returned) == {address}
    sender.close()


async def test_a_port_in_use_or_an_address_of_others_is_an_error():
    taken, _ = opened()

    with pytest.raises(OSError, match="in use"):
        opened(port=taken.address[1])
    with pytest.raises(OSError, match="assign"):
        opened("192.0.2.1")
    taken.close()


async def test_a_closed_socket_frees_its_port_and_does_nothing_more():
    closed, heard = opened()
    address = closed.address
    other, _ = opened()

    closed.close()
    closed.close()
    closed.send([b"x"], other.address)
    successor, taken = opened(port=address[1])
    other.send([b"y"], address)
    await taken.until(lambda heard: heard.received)

    assert (heard.batches, closed.dropped) == ([], 0)
    successor.close()
    other.close()


async def test_a_socket_that_somebody_else_closed_is_told_to_be_lost_once():
    (sender, heard), (receiver, _) = opened(), opened()
    os.close(sender._socket.fileno())

    sender.send([b"x", b"y"], receiver.address)
    sender.send([b"z"], receiver.address)
    sender.close()

    assert (heard.lost, sender.dropped) == ([errno.EBADF], 2)
    receiver.close()


async def test_a_lost_sockets_number_is_left_to_the_file_that_has_it_now(tmp_path):
    (sender, heard), (receiver, _) = opened(), opened()
    number = sender._socket.fileno()
    with (tmp_path / "another").open("wb") as another:
        os.dup2(another.fileno(), number)

    sender.send([b"x"], receiver.address)
    sender.close()

    assert heard.lost == [errno.ENOTSOCK]
    os.close(number)
    receiver.close()


async def test_a_socket_that_somebody_else_closed_can_be_closed():
    closed, heard = opened()
    os.close(closed._socket.fileno())

    closed.close()

    assert heard.lost == []


async def test_a_receiver_may_close_the_socket():
    sender, _ = opened()

    class Closes(Recorder):
        def datagrams_received(self, batch):
            super().datagrams_received(batch)
            receiver.close()

    heard = Closes()
    receiver = UdpNetwork().open(("127.0.0.1", 0), heard)
    sender.send([b"x"], receiver.address)
    await heard.until(lambda heard: heard.received)
    await asyncio.sleep(0)

    assert heard.received == [b"x"]
    sender.close()


async def test_a_name_has_addresses_and_an_address_is_its_own():
    network = UdpNetwork()

    assert ("127.0.0.1", 5) in await network.resolve("localhost", 5)
    assert await network.resolve("127.0.0.1", 5) == [("127.0.0.1", 5)]
    assert await network.resolve("::0001", 5) == [("::1", 5)]
    with pytest.raises(socket.gaierror):
        await network.resolve("no-such-name.invalid", 5)


async def test_the_clock_is_fine_and_goes_on():
    network = UdpNetwork()

    times = [network.now() for _ in range(1000)]

    assert times == sorted(times)
    assert len(set(times)) > 100


@pytest.mark.parametrize("library", ["asyncio", "uvloop"])
def test_what_comes_after_an_unreachable_address_is_received(library):
    loops = pytest.importorskip(library)

    async def be_told_and_receive():
        receiver, recorder = opened()
        sender, _ = opened()
        gone, _ = opened()
        nobody = gone.address
        gone.close()
        for number in range(5):
            receiver.send([b"to nobody"], nobody)
            sender.send([bytes([number])], receiver.address)
            await recorder.until(lambda heard: min(len(heard.received), len(heard.returned)) > number)  # noqa: B023
        receiver.close()
        sender.close()
        return recorder.received, recorder.returned == [nobody] * 5

    with asyncio.Runner(loop_factory=loops.new_event_loop) as runner:
        assert runner.run(be_told_and_receive()) == ([bytes([number]) for number in range(5)], True)
