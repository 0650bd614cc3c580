"""Endpoints over loopback or a simulated network, and owners that remember what they hear."""

import asyncio
from functools import partial

from macula_actors.core.wire.frame import MAX_PAYLOAD_BYTES, Frame, encode_frame
from macula_actors.simulation import SimNetwork
from macula_actors.transport.endpoint import STRAYS, QuicEndpoint
from macula_actors.transport.interface import QuicSettings
from macula_actors.transport.udp import UdpNetwork
from tests.macula_actors.transport.conftest import made

PATIENCE = 20.0  # seconds, for what happens in milliseconds
HELLO = encode_frame(3, b"hello")
BIG = encode_frame(3, bytes(MAX_PAYLOAD_BYTES))


async def poll(condition):
    """Wait for a condition that nobody tells of."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


class Heard:
    """Wakes who waits for a condition at each event."""

    def __init__(self):
        self._event = asyncio.Event()

    def wake(self):
        self._event.set()

    async def until(self, condition):
        async with asyncio.timeout(PATIENCE):
            while not condition(self):
                self._event.clear()
                await self._event.wait()


class Owner(Heard):
    """Remembers what it hears of a connection; one that echoes sends each frame back and ends the stream."""

    def __init__(self, *, echoes=False):
        super().__init__()
        self.link = None
        self.echoes = echoes
        self.events = []
        self.items = []
        self.failed = []
        self.pongs = []
        self.error = None

    def _heard(self, name):
        self.events.append(name)
        self.wake()

    def count(self, name):
        return self.events.count(name)

    @property
    def payloads(self):
        return [getattr(item.frame, "payload", item.frame) for item in self.items]

    def established(self):
        self._heard("established")

    def frames_received(self, frames):
        self.items += frames
        for stream_id, frame, _ in frames:
            if self.echoes and isinstance(frame, Frame) and stream_id % 2 == self.link.dialled:
                self.link.send(stream_id, encode_frame(frame.type_id, frame.payload))
        self._heard("frames")

    def stream_failed(self, stream_id, error):
        self.failed.append((stream_id, error))
        self._heard("failed")

    def writable(self):
        self._heard("writable")

    def ponged(self, uid):
        self.pongs.append(uid)
        self._heard("ponged")

    def doubted(self):
        self._heard("doubted")

    def lost(self, error):
        self.error = error
        self._heard("lost")

    async def lost_by(self):
        """Wait for the end, and return why."""
        await self.until(lambda owner: owner.error is not None)
        return self.error

    async def pour(self, seconds):
        """Send large frames for some time, whenever there is room and a stream; return how many."""
        sent = 0
        for _ in range(round(seconds / 0.01)):
            while self.link.has_room() and (stream_id := self.link.open_stream()) is not None:
                self.link.send(stream_id, BIG)
                sent += 1
            await asyncio.sleep(0.01)
        return sent

    async def exchange(self, frame=HELLO):
        """Send ``frame`` on a stream of its own and return the payload that comes back."""
        stream_id = self.link.open_stream()
        self.link.send(stream_id, frame)
        await self.until(lambda owner: any(item.stream_id == stream_id for item in owner.items))
        return next(item.frame.payload for item in self.items if item.stream_id == stream_id)


class Node(Heard):
    """An endpoint whose accepted connections have owners that echo."""

    def __init__(self, network, address, engine_name, *, accepts=True, takes=True, limits=None, settings=None):
        super().__init__()
        self.takes = takes
        self.owners = []
        self.links = []
        self.network = network
        engine = made(engine_name, settings or QuicSettings())
        self.endpoint = QuicEndpoint(network, engine, address, accept=self._accept if accepts else None, limits=limits)

    @property
    def address(self):
        return self.endpoint.address

    def _accept(self, link):
        self.links.append(link)
        if self.takes:
            owner = Owner(echoes=True)
            owner.link = link
            self.owners.append(owner)
            link.own(owner)
        self.wake()

    def dial(self, address):
        """Begin a connection, and return its owner."""
        owner = Owner()
        owner.link = self.endpoint.dial(address, owner)
        return owner

    async def connect(self, other):
        """Return the owners of a new connection to the node ``other``, here and there."""
        return await self.connect_to(other, other.address)

    async def connect_to(self, other, address):
        """Likewise, by one of its addresses."""
        known = len(other.links)
        here = self.dial(address)
        await here.until(lambda owner: "established" in owner.events)
        await other.until(lambda node: len(node.links) > known)
        return here, other.owners[-1] if other.takes else None

    async def until_counted(self, name, count):
        """Wait until the endpoint has counted ``count`` of ``name``."""
        await poll(lambda: self.endpoint.counters[name] >= count)

    async def until_gone(self, count):
        """Wait until the endpoint knows no more than ``count`` connections: closing ones are gone too."""
        await poll(lambda: len(self.endpoint.connections) <= count)

    def assert_counted(self):
        """See that each datagram that came in is counted once."""
        counters = self.endpoint.counters
        assert counters["datagrams"] == counters["delivered"] + sum(counters[name] for name in STRAYS)

    def assert_empty(self):
        """See that nothing of any connection is left."""
        endpoint = self.endpoint
        assert endpoint.connections == []
        assert (endpoint._routes, endpoint._peers, endpoint._touched) == ({}, {}, {})
        assert endpoint._admission.stats().connections == endpoint._admission.stats().handshakes == 0
        assert endpoint._admission.stats().addresses == 0


class Stranger(Heard):
    """A bare socket."""

    def __init__(self, network, address):
        super().__init__()
        self.received = []
        self.socket = network.open(address, self)

    def datagrams_received(self, batch):
        self.received += [datagram for datagram, _ in batch]
        self.wake()

    def unreachable(self, address):
        self.wake()

    async def answer(self, datagram, node):
        """Send ``datagram`` to ``node`` and return what comes back first."""
        known = len(self.received)
        self.socket.send([datagram], node.address)
        await self.until(lambda stranger: len(stranger.received) > known)
        return self.received[known]


class Way(Stranger):
    """One socket of a `Relay`."""

    def __init__(self, network, address, take):
        super().__init__(network, address)
        self._take = take

    def datagrams_received(self, batch):
        for datagram, sender in batch:
            self._take(datagram, sender)


class Relay(Heard):
    """Passes on what a dialler sends it, by one of its ways, and what comes back by those that are not ``dead``."""

    def __init__(self, network, ip, acceptor):
        super().__init__()
        self.acceptor = acceptor
        self.way = 0
        self.dead = set()
        self.passed = []
        self._dialler = None
        self._inside = Way(network, (ip, 0), self._forth)
        self._ways = [Way(network, (ip, 0), partial(self._back, number)) for number in range(5)]

    @property
    def address(self):
        return self._inside.socket.address

    def address_of(self, way):
        return self._ways[way].socket.address

    def _forth(self, datagram, sender):
        self._dialler = sender
        self._ways[self.way].socket.send([datagram], self.acceptor.address)
        self.passed.append((self.way, datagram))
        self.wake()

    def _back(self, way, datagram, _):
        if way not in self.dead:
            self._inside.socket.send([datagram], self._dialler)

    def close(self):
        for way in (self._inside, *self._ways):
            way.socket.close()


class World:
    """Makes nodes on one network, which it closes at the end. Enter it in the test."""

    def __init__(self, engine_name, *, is_simulated):
        self.engine_name = engine_name
        self.is_simulated = is_simulated
        self._opened = []
        self._hosts = 0

    async def __aenter__(self):
        self.network = SimNetwork() if self.is_simulated else UdpNetwork()
        return self

    async def __aexit__(self, *_):
        for opened in self._opened:
            opened.close()
        await asyncio.sleep(0)

    def place(self):
        """Return a network and an address of it, on a host of its own where there are such."""
        if not self.is_simulated:
            return self.network, "127.0.0.1"
        self._hosts += 1
        host = self.network.host(f"host-{self._hosts}")
        return host, host.ipv4

    def node(self, *, at=None, port=0, engine_name=None, **how):
        network, ip = at or self.place()
        node = Node(network, (ip, port), engine_name or self.engine_name, **how)
        self._opened.append(node.endpoint)
        return node

    def stranger(self, *, at=None):
        network, ip = at or self.place()
        stranger = Stranger(network, (ip, 0))
        self._opened.append(stranger.socket)
        return stranger

    def relay(self, acceptor):
        relay = Relay(*self.place(), acceptor)
        self._opened.append(relay)
        return relay

    async def pair(self, **how):
        """Return the owners of a connection between two new nodes; ``how`` is for the accepting one."""
        return await self.node().connect(self.node(**how))
