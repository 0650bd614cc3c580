"""Carries requests between thousands of simulated nodes in the time of the running loop, without sockets or QUIC.

One level above `macula_actors.simulation.network.SimNetwork`: what it carries are messages and their answers, as
GatewayDHT does. The same seed gives the same run. Use it on `supervisors.testing.VirtualClockLoop`.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Self, TypeAlias
from zlib import crc32

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.wire.messages import Message
from macula_actors.errors import CallTimeoutError, IdentityMismatchError, MaculaError, OverloadedError
from macula_actors.simulation.delay_line import DelayLine
from macula_actors.simulation.errors import NameTakenError, SimulationError
from macula_actors.simulation.message_counters import MessageCounters
from macula_actors.simulation.message_link import MessageLink

__all__ = ["Answer", "Exchange", "Handler", "MessageNetwork", "Port"]

Answer: TypeAlias = Message | MaculaError | None

Handler: TypeAlias = Callable[["Exchange"], None]


class Port:
    """A node's place in the network; made by `MessageNetwork.attach`.

    Attributes:
        contact: its address and id, which nobody can forge.
        is_up: whether it is attached.
        sent: requests of it.
        received: requests that its handler got.
    """

    __slots__ = ("_handler", "contact", "endpoint", "is_up", "network", "node_id", "number", "received", "sent", "side")

    def __init__(
        self, network: "MessageNetwork", endpoint: Endpoint, node_id: NodeId, number: int, handler: Handler
    ) -> None:
        self.network: Final = network
        self._handler = handler
        self.endpoint: Final = endpoint
        self.node_id: Final = node_id
        self.contact: Final = Contact(endpoint, node_id)
        self.number: Final = number  # of all that were ever attached
        self.is_up = True
        self.side: int | None = None  # of a partition; None: it reaches all
        self.sent = 0
        self.received = 0

    def request(self, contact: Contact, message: Message, timeout: float, done: Callable[[Answer], None]) -> None:
        """Ask ``contact``; ``done`` is called later, once, with the answer or a `MaculaError`.

        Not if this node is detached until then. A node that is not who the contact says refuses, as its handshake
        would.
        """
        self.network.send(Exchange(self, contact, message, timeout, done))

    def call_at(self, when: float, callback: Callable[[float], None]) -> None:
        """Call ``callback`` with the time at the instant ``when`` of the loop, if this node is attached then."""
        self.network.call_at(when, lambda now: callback(now) if self.is_up else None)

    def handle(self, exchange: "Exchange") -> None:
        """Give it a request."""
        self.received += 1
        self._handler(exchange)

    def detach(self) -> None:
        """Pull the plug: from now on it is silent, and nothing comes back to it. Twice is once."""
        self.network.detach(self)


class Exchange:
    """A request, for the handler of the node that got it, which answers now, later or never."""

    __slots__ = (
        "_done",
        "contact",
        "is_answered",
        "is_over",
        "message",
        "port",
        "result",
        "target",
        "timeout",
        "until",
    )

    def __init__(
        self, port: Port, contact: Contact, message: Message, timeout: float, done: Callable[[Answer], None]
    ) -> None:
        self.port = port  # of who asks
        self.contact = contact  # who is asked
        self.message = message
        self.timeout = timeout
        self.until = 0.0
        self.target: Port | None = None
        self.result: Answer = None
        self.is_answered = False  # by the handler
        self.is_over = False  # who asked was told
        self._done = done

    @property
    def sender(self) -> Contact:
        """Who asks."""
        return self.port.contact

    def answer(self, answer: Answer) -> None:
        """Answer with a message, None or an error; what comes second, or too late, is ignored."""
        if not self.is_answered:
            self.is_answered = True
            self.result = answer
            self.port.network.send_back(self)

    def end(self, answer: Answer) -> None:
        """Tell who asked, if it is still there; for `MessageNetwork`."""
        self.is_answered = self.is_over = True
        if self.port.is_up:
            self._done(answer)


class MessageNetwork:
    """Nodes by address, and what is between them.

    A message that is lost, cut off or sent to nobody is answered by a `CallTimeoutError` when its time is over.

    Args:
        seed: of all chance in it.
        link: between any two nodes.
        max_in_flight: requests; one more is refused with `OverloadedError`.
        max_nodes: attached at a time.

    Close it: what is in flight keeps a timer. It is a context manager for that.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        link: MessageLink | None = None,
        max_in_flight: int = 1_000_000,
        max_nodes: int = 100_000,
    ) -> None:
        self.counters = MessageCounters()
        self.link = MessageLink() if link is None else link  # change it at any time
        self._seed = seed
        self._max_in_flight = max_in_flight
        self._max_nodes = max_nodes
        self._loop = asyncio.get_running_loop()
        self._line: DelayLine[Callable[[float], None]] = DelayLine(_call)
        self._ports: dict[Endpoint, Port] = {}
        self._by_id: dict[NodeId, Port] = {}
        self.attached = 0  # nodes, ever
        self._in_flight = 0
        self._crc = 0

    @property
    def now(self) -> float:
        """The loop's time, in seconds."""
        return self._loop.time()

    @property
    def ports(self) -> Sequence[Port]:
        """The nodes that are attached, in the order they were."""
        return list(self._ports.values())

    @property
    def in_flight(self) -> int:
        """Requests that have come to no end."""
        return self._in_flight

    @property
    def digest(self) -> int:
        """A number that says which messages arrived where and when: two runs that have one are the same run."""
        return self._crc

    def attach(self, contact: Contact, handler: Handler) -> Port:
        """Put a node with an endpoint and an id into the network.

        Raises:
            NameTakenError: another one has the address or the id.
            SimulationError: a part of the contact is missing, or there are too many nodes.
        """
        endpoint, node_id = contact.endpoint, contact.node_id
        if endpoint is None or node_id is None:
            raise SimulationError("a node in a network has an endpoint and an id")
        if endpoint in self._ports or node_id in self._by_id:
            raise NameTakenError(str(contact))
        if len(self._ports) >= self._max_nodes:
            raise SimulationError(f"no room for more than {self._max_nodes} nodes")
        self.attached += 1
        port = self._ports[endpoint] = self._by_id[node_id] = Port(self, endpoint, node_id, self.attached, handler)
        return port

    def detach(self, port: Port) -> None:
        """Take a node out, silently."""
        if port.is_up:
            port.is_up = False
            del self._ports[port.endpoint], self._by_id[port.node_id]

    def partition(self, *groups: Iterable[Port]) -> None:
        """Cut the nodes of each group from those of the others. Who is in none reaches all."""
        self.heal()
        for side, group in enumerate(groups):
            for port in group:
                port.side = side

    def heal(self) -> None:
        """Undo `partition`. What was lost stays lost."""
        for port in self._ports.values():
            port.side = None

    def call_at(self, when: float, callback: Callable[[float], None]) -> None:
        """Call ``callback`` with the time at the instant ``when`` of the loop."""
        # never with a time a hair before it, or who waits for it would wait again, at once and for ever
        self._line.put(when, lambda now: callback(max(now, when)), self._loop)

    def close(self) -> None:
        """Detach all nodes; nothing is in flight any more. Twice is once."""
        for port in self.ports:
            port.detach()
        self.counters.forgotten += self._in_flight
        self._in_flight = 0
        self._line.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, exchange: Exchange) -> None:
        """Bring a request on its way; for `Port`."""
        now = self.now
        exchange.until = now + exchange.timeout
        exchange.port.sent += 1
        self.counters.requests += 1
        self._in_flight += 1
        if self._in_flight > self._max_in_flight:
            self.counters.overflowed += 1
            overloaded = OverloadedError("requests of a simulation", self._max_in_flight)
            self.call_at(now, lambda _: self._end(exchange, overloaded))
            return
        target = self._at(exchange.contact)
        exchange.target = target
        if target is None:
            self.counters.messages += 1
            self.counters.nobody += 1
            self._expire_later(exchange)
            return
        self._carry(exchange, exchange.port, target, lambda at: self._arrive(exchange, target, at))

    def send_back(self, exchange: Exchange) -> None:
        """Bring an answer on its way; for `Exchange`."""
        target = exchange.target
        if target is not None and target.is_up:
            self._carry(exchange, target, exchange.port, lambda _: self._return(exchange, target))

    def _carry(self, exchange: Exchange, source: Port, target: Port, arrive: Callable[[float], None]) -> None:
        self.counters.messages += 1
        due = self.link.transit(self._seed, source.number, target.number, self.now)
        if due is None:
            self.counters.lost += 1
        if due is None or due > exchange.until:
            self._expire_later(exchange)
        else:
            self._line.put(due, arrive, self._loop)

    def _arrive(self, exchange: Exchange, target: Port, now: float) -> None:
        if not self._passes(exchange.port, target):
            self._expire_later(exchange)
            return
        self._crc = crc32(b"%d %d %d" % (round(now * 1e6), exchange.port.number, target.number), self._crc)
        expected = exchange.contact.node_id
        if expected is not None and expected != target.contact.node_id:
            exchange.answer(IdentityMismatchError(expected, target.contact.node_id))
            return
        target.handle(exchange)
        if not exchange.is_answered:
            self._expire_later(exchange)

    def _return(self, exchange: Exchange, target: Port) -> None:
        if self._passes(target, exchange.port):
            self._end(exchange, exchange.result)
        else:
            self._expire_later(exchange)

    def _passes(self, source: Port, target: Port) -> bool:
        if not target.is_up:
            self.counters.nobody += 1
            return False
        is_cut = None not in {source.side, target.side} and source.side != target.side
        self.counters.cut += is_cut
        return not is_cut

    def _expire_later(self, exchange: Exchange) -> None:
        """Have it end when its time is over, unless it has been answered until then: so few of them need a timer."""
        self.call_at(exchange.until, lambda _: self._expire(exchange))

    def _expire(self, exchange: Exchange) -> None:
        self._end(exchange, CallTimeoutError(str(exchange.contact), exchange.timeout))

    def _end(self, exchange: Exchange, answer: Answer) -> None:
        if exchange.is_over:
            return
        self._in_flight -= 1
        if not exchange.port.is_up:
            self.counters.forgotten += 1
        elif isinstance(answer, CallTimeoutError):
            self.counters.timed_out += 1
        elif isinstance(answer, MaculaError):
            self.counters.refused += 1
        else:
            self.counters.answered += 1
        exchange.end(answer)

    def _at(self, contact: Contact) -> Port | None:
        if contact.endpoint is not None:
            return self._ports.get(contact.endpoint)
        return None if contact.node_id is None else self._by_id.get(contact.node_id)


def _call(callback: Callable[[float], None], now: float) -> None:
    callback(now)
