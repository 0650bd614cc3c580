"""Whole nodes, and attackers that speak the bare transport: over real loopback sockets, or over a `SimNetwork`.

As a program it is one node, killed at will: ``python -m tests.macula_actors.peers ENGINE SEED PORT`` prints its port.
"""

import asyncio
import sys
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace

from macula_actors.actors.peer.connection import PeerConnection
from macula_actors.config import MeshConfig, PeerConfig
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.handshake import HandshakeSettings
from macula_actors.core.peer.identity import Identity
from macula_actors.core.peer.transcript import Purpose, Transcript
from macula_actors.core.wire.decoder import decode_frame
from macula_actors.core.wire.encoder import encode
from macula_actors.core.wire.messages import Call, Challenge, Connect, Connected, Reply
from macula_actors.errors import MaculaError
from macula_actors.messages import peer
from macula_actors.messages.names import ENDPOINT, MESH_SYSTEM, PEER_CONNECTOR, TABLES
from macula_actors.simulation import SimNetwork, deterministic
from macula_actors.systems.mesh_system import MeshSystem
from macula_actors.transport.certificate import fingerprint, self_signed
from macula_actors.transport.endpoint import QuicEndpoint
from macula_actors.transport.engines import engine
from macula_actors.transport.interface import ConnectionOwner, QuicSettings
from macula_actors.transport.udp import UdpNetwork
from supervisors import GenServer, NoReply, Refuse, System, TableOwner
from supervisors import Reply as Answer

LOOPBACK = "127.0.0.1"
REALM = "com.example"
PORT = 443  # in a simulated network
CALL_ID = bytes(16)
PATIENCE = 3.0  # seconds that a test waits at most for what must come


def a_call(args=b"x", procedure="echo"):
    return Call(procedure=procedure, args=args, call_id=CALL_ID)


def echo(inbound):
    """Answer a `Call` with its arguments."""
    return Reply(call_id=inbound.message.call_id, result=inbound.message.args)


def never(inbound):
    """Answer a `Call` never."""
    return NoReply()


class Answering(GenServer):
    """Answers each `Inbound` with ``answers[type of the message](inbound)``, after ``delay`` seconds.

    That is a message, None, an error to refuse it with, or `NoReply()`. What was handled is put into ``handled``; so is
    the `Abandoned` of a call that nobody waits for any more.
    """

    def init(self, answers, delay, handled):
        self.answers = answers
        self.delay = delay
        self.handled = handled

    async def handle_call(self, request, from_):
        if self.delay:
            await asyncio.sleep(self.delay)
        self.handled.append(request.message)
        answer = self.answers[type(request.message)](request)
        if isinstance(answer, MaculaError):
            return Refuse(answer)
        return answer if isinstance(answer, NoReply) else Answer(answer)

    def handle_cast(self, request):
        self.handled.append(request)


class Node:
    """A started node. ``connections`` are the refs of all `PeerConnection` processes there were, oldest first."""

    def __init__(self, name, config):
        self.config = config
        self.system = System(name, seed=0)
        self.handled = []
        self.connections = []
        self.endpoint = None
        self.system.fault_rules.append(self._remember)

    def _remember(self, process):
        if process.ref.actor_class is PeerConnection:
            self.connections.append(process.ref)

    async def start(self, answers, delay):
        self.system._bind()
        await self.system.start(TableOwner, name=TABLES)
        await self.system.start(Answering, answers, delay, self.handled, name="answering")
        await self.system.start(MeshSystem, self.config, name=MESH_SYSTEM)
        listens = await self.process(ENDPOINT).call(peer.GetAddress())
        host = getattr(self.config.network(), "ipv4", listens.host)
        self.endpoint = Endpoint(host, listens.port)

    async def stop(self):
        await self.system.stop()

    @property
    def identity(self):
        return self.config.peer.handshake.identity

    @property
    def contact(self):
        """Who it is and where."""
        return Contact(self.endpoint, self.identity.node_id)

    @property
    def address(self):
        return (self.endpoint.host, self.endpoint.port)

    @property
    def connector(self):
        return (PEER_CONNECTOR, self.system)

    def process(self, name):
        return self.system.whereis(name)

    @property
    def quic(self):
        """Its endpoint of the transport."""
        return self.process(ENDPOINT)._process.server.quic

    @property
    def counted(self):
        return self.quic.counters

    async def request(self, whom, message=None, timeout=PATIENCE):
        """Return what ``whom`` (a node or a contact) answers."""
        return await peer.request(self.connector, _contact(whom), message or a_call(), timeout)

    async def call(self, whom, args=b"x", timeout=PATIENCE):
        """Return the result of a `Call`."""
        return (await self.request(whom, a_call(args), timeout)).result

    async def send(self, whom, message, timeout=PATIENCE):
        await peer.send_message(self.connector, _contact(whom), message, timeout)

    async def pool(self):
        """Return the counts of the connector's pool."""
        return (await peer.stats(self.connector)).pool

    async def end_of(self, index=-1, timeout=PATIENCE):
        """Wait until a connection has ended and return the error that it ended with."""
        async with asyncio.timeout(timeout):
            reason = await self.connections[index].wait_exit()
        return reason.detail


def _contact(whom):
    return whom.contact if isinstance(whom, Node) else whom


class Line(ConnectionOwner):
    """An attacker's connection: remembers all that it is told."""

    def __init__(self):
        self.link = None
        self.messages = []  # (stream id, message, whether the stream ended with it)
        self.failed = []  # (stream id, error)
        self.error = None
        self.has_established = False
        self._news = asyncio.Event()

    def established(self):
        self.has_established = True
        self._news.set()

    def frames_received(self, frames):
        self.messages += [(at, None if frame is None else decode_frame(frame), end) for at, frame, end in frames]
        self._news.set()

    def stream_failed(self, stream_id, error):
        self.failed.append((stream_id, error))
        self._news.set()

    def writable(self):
        self._news.set()

    def ponged(self, uid):
        pass

    def doubted(self):
        pass

    def lost(self, error):
        self.error = error
        self._news.set()

    async def until(self, condition, timeout=PATIENCE):
        """Wait until ``condition()`` holds, and return what it returns."""
        async with asyncio.timeout(timeout):
            while not (found := condition()):
                self._news.clear()
                await self._news.wait()
        return found

    async def lost_error(self, timeout=PATIENCE):
        return await self.until(lambda: self.error, timeout)

    async def first(self, kind, timeout=PATIENCE):
        """Wait for a message of class ``kind`` and return the stream it came on, and it."""
        return await self.until(
            lambda: next(((at, m) for at, m, _ in self.messages if isinstance(m, kind)), None), timeout
        )

    def on_stream(self, stream_id):
        """Return the messages that came on a stream."""
        return [message for at, message, _ in self.messages if at == stream_id]

    async def answers(self, stream_id, count=1, timeout=PATIENCE):
        """Wait for ``count`` messages on a stream and return all."""
        await self.until(lambda: len(self.on_stream(stream_id)) >= count, timeout)
        return self.on_stream(stream_id)

    def send(self, *messages, stream_id=None, end=True):
        """Send messages, or bytes, on a stream, in one write; return its id. Without a stream nothing happens."""
        stream_id = self.link.open_stream() if stream_id is None else stream_id
        if stream_id is None:
            return None
        data = b"".join(message if isinstance(message, bytes) else encode(message) for message in messages)
        self.link.send(stream_id, data, end_stream=end)
        return stream_id

    async def ask(self, message):
        """Return the answer to a message on a stream of its own."""
        return (await self.answers(self.send(message)))[0]

    @property
    def fingerprint(self):
        return fingerprint(self.link.peer_certificate())

    async def shake_hands(self, identity, *, realm=REALM, secret=None):
        """Do the dialler's part of the handshake as `connect_to` proves it; return the acceptor's answer."""
        stream_id, challenge = await self.first(Challenge)
        self.send(connect_to(challenge, self.fingerprint, identity, realm=realm, secret=secret), stream_id=stream_id)
        return (await self.answers(stream_id, 2))[1]


def connect_to(challenge, shown, identity, *, realm=REALM, secret=None):
    """Return the CONNECT with proofs that answers ``challenge``, over the certificate with fingerprint ``shown``."""
    bare = Connect(node_id=identity.node_id, realm_id=realm, capabilities=(), public_key=identity.public_key)
    transcript = Transcript(fingerprint=shown, acceptor=challenge.node_id, nonce=challenge.nonce, connect=bare)
    mac = transcript.realm_mac(secret, Purpose.DIALLER_MEMBERSHIP)
    return replace(bare, signature=transcript.signature(identity), realm_mac=mac)


def connected_of(challenge, shown, connect, *, secret=None):
    """Return the CONNECTED that an acceptor answers ``connect`` with."""
    transcript = Transcript(fingerprint=shown, acceptor=challenge.node_id, nonce=challenge.nonce, connect=connect)
    mac = transcript.realm_mac(secret, Purpose.ACCEPTOR_MEMBERSHIP)
    return Connected(node_id=challenge.node_id, capabilities=(), realm_mac=mac)


class Attacker:
    """A bare `QuicEndpoint`, with whatever certificate; nothing is answered unless a test does. ``accepted``: lines."""

    def __init__(self, network, engine_name, credentials, host=LOOPBACK, port=0):
        self.identity = Identity.generate()
        self.credentials = credentials or self_signed(self.identity)
        self.accepted = []
        self._came = asyncio.Event()
        made = engine(engine_name, self.credentials, QuicSettings())
        self.quic = QuicEndpoint(network, made, (host, port), accept=self._accept)

    @property
    def endpoint(self):
        return Endpoint(*self.quic.address)

    def dial_nowait(self, node):
        line = Line()
        line.link = self.quic.dial(node.address, line)
        return line

    async def dial(self, node):
        """Return a line to ``node`` whose QUIC handshake is done."""
        line = self.dial_nowait(node)
        await line.until(lambda: line.has_established)
        return line

    async def join(self, node, **proofs):
        """Return a line to ``node`` whose handshake is done."""
        line = await self.dial(node)
        assert isinstance(await line.shake_hands(self.identity, **proofs), Connected)
        return line

    async def next_accepted(self, timeout=PATIENCE):
        """Return the next line that a node has dialled."""
        async with asyncio.timeout(timeout):
            while not self.accepted:
                self._came.clear()
                await self._came.wait()
        return self.accepted.pop(0)

    def _accept(self, link):
        line = Line()
        line.link = link
        link.own(line)
        self.accepted.append(line)
        self._came.set()

    def close(self):
        self.quic.close()


class Mesh:
    """Nodes and attackers that are stopped when it is left. Over ``network``, a `SimNetwork`, or real sockets."""

    def __init__(self, network=None, *, engine_name="aioquic"):
        self.network = network
        self.engine_name = engine_name
        self.hosts = {}
        self._count = Counter()
        self._stack = AsyncExitStack()

    async def __aenter__(self):
        if self.network is not None:
            self._stack.callback(self.network.close)
        return self

    async def __aexit__(self, *error):
        await self._stack.aclose()

    async def node(self, name=None, *, answers=None, delay=0.0, port=None, mesh=(), peer=(), **handshake):
        """Start a node. ``mesh`` and ``peer`` are fields of the two configs, ``handshake`` of `HandshakeSettings`.

        In a simulated network its host is ``name``; one that is there already is used again.
        """
        name = name or self._name("node")
        answers = {Call: echo} if answers is None else answers
        settings = HandshakeSettings(**{"identity": Identity.generate(), "realm": REALM} | handshake)
        routes = dict.fromkeys(answers, "answering")
        node = Node(
            name,
            MeshConfig(**{
                **self._place(name, port),
                "engine": self.engine_name,
                "peer": PeerConfig(**{"handshake": settings, "routes": routes, **dict(peer)}),
                **dict(mesh),
            }),
        )
        self._stack.push_async_callback(node.stop)
        await node.start(answers, delay)
        return node

    async def nodes(self, count, **how):
        return [await self.node(**how) for _ in range(count)]

    def attacker(self, *, credentials=None, host=None, engine_name=None):
        network = UdpNetwork() if self.network is None else self._host(self._name("attacker"))
        at = (host or LOOPBACK, 0) if self.network is None else (network.ipv4, PORT)
        attacker = Attacker(network, engine_name or self.engine_name, credentials, *at)
        self._stack.callback(attacker.close)
        return attacker

    @asynccontextmanager
    async def bystander(self, victim, **handshake):
        """Start a node that calls ``victim`` again and again; every call must be answered, over one connection."""
        node = await self.node(**handshake)
        await node.call(victim)
        calls = asyncio.create_task(self._call_on(node, victim))
        try:
            yield node
            assert not calls.done(), calls
        finally:
            calls.cancel()
            with suppress(asyncio.CancelledError):
                await calls
        assert await node.call(victim, timeout=1.0) == b"x"
        assert len(node.connections) == 1

    async def _call_on(self, node, victim):
        while True:
            await node.call(victim, timeout=1.0)
            await asyncio.sleep(0.02)

    def _place(self, name, port):
        if self.network is None:
            return {"listen": Endpoint(LOOPBACK, port or 0)}
        host = self._host(name)
        return {"listen": Endpoint("0.0.0.0", PORT if port is None else port), "network": lambda: host}

    def _host(self, name):
        if name not in self.hosts:
            self.hosts[name] = self.network.host(name)
        return self.hosts[name]

    def _name(self, kind):
        self._count[kind] += 1
        return f"{kind}{self._count[kind]}"


@asynccontextmanager
async def simulated(*, seed=1, **network):
    """Return a context of a mesh over a `SimNetwork`, in which all goes as it goes with this seed each time."""
    with deterministic(seed):
        async with Mesh(SimNetwork(seed=seed, **network)) as mesh:
            yield mesh


async def _be_a_node(engine_name, seed, port):
    async with Mesh(engine_name=engine_name) as mesh:
        answers = {Call: lambda inbound: never(inbound) if inbound.message.procedure == "never" else echo(inbound)}
        node = await mesh.node(port=int(port), identity=Identity.from_seed(bytes.fromhex(seed)), answers=answers)
        print(node.endpoint.port, flush=True)  # noqa: T201 -- whoever started it waits for that
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(_be_a_node(*sys.argv[1:]))
