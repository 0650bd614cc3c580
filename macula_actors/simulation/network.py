"""Carries datagrams between simulated hosts in the time of the running loop.

The same seed gives the same run: each path and each NAT box has a chance of its own, seeded by names, and nothing
depends on hashes. Use it on `supervisors.testing.VirtualClockLoop`, where waiting costs nothing; with QUIC, inside
`macula_actors.simulation.determinism.deterministic`.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Self, TypeAlias

from typing_extensions import override

from macula_actors.simulation.counters import Counters
from macula_actors.simulation.delay_line import DelayLine
from macula_actors.simulation.host import Host, Router, SimSocket
from macula_actors.simulation.link import LAN, LOOPBACK, Link, Path
from macula_actors.simulation.nat import Nat, NatType
from macula_actors.simulation.topology import Names, Topology
from macula_actors.simulation.trace import Trace
from macula_actors.transport.interface import Address

__all__ = ["SimNetwork"]

# the path; the socket it is from; the data (None: it comes back to that socket); its source as seen outside; where it
# is sent to; who is there
_InFlight: TypeAlias = tuple[Path, SimSocket, bytes | None, Address, Address, Host | Nat]


class SimNetwork(Router):
    """A network of `Host`s, public or behind NAT boxes.

    Public hosts are reached by everybody, with IPv4 and IPv6. A host behind a box has an IPv4 address that only its
    neighbours reach. Names are those of the hosts; of those behind a box only their neighbours know them.

    Args:
        seed: of all chance in it.
        link: between any two hosts, unless `set_link` says otherwise. Neighbours behind one box have
            `macula_actors.simulation.link.LAN`, a host to itself ``LOOPBACK``.
        trace: gets what is sent and what becomes of it.
        icmp: a host tells the sender when nobody listens at a port (`DatagramReceiver.unreachable`); never lost.

    Close it, or all its sockets: what is in flight keeps a timer. It is a context manager for that.
    """

    def __init__(
        self, *, seed: int = 0, link: Link | None = None, trace: Trace | None = None, icmp: bool = True
    ) -> None:
        self.trace = trace
        self.counters = Counters()
        self._seed = seed
        self._link = Link() if link is None else link
        self._icmp = icmp
        self._topology = Topology(seed)
        self._links: dict[tuple[str, str], Link] = {}
        self._paths: dict[tuple[str, str], Path] = {}
        self._cuts: set[tuple[str, str]] = set()  # from, to; only asked, never listed
        self._in_flight = DelayLine(self._arrive)
        self._open_sockets = 0

    @property
    def hosts(self) -> Sequence[str]:
        """The names of all hosts, in the order they were added."""
        return list(self._topology.hosts)

    def host(self, name: str, *, behind: Nat | None = None, ipv4: str | None = None, ipv6: str | None = None) -> Host:
        """Add a host, which is the `macula_actors.transport.interface.Network` of its node.

        Args:
            name: in lower case; `Host.resolve` knows it.
            behind: the NAT box it is behind; it has no IPv6 then.
            ipv4: its address; else one is given out.
            ipv6: likewise.

        Raises:
            NameTakenError: another one has the name or the address.
            ValueError: an address is none.
        """
        if behind is None:
            return self._topology.add_host(name, ipv4, ipv6, self)
        return self._topology.add_inner_host(name, ipv4, behind, self)

    def nat(
        self,
        name: str,
        nat_type: NatType,
        *,
        mapping_lifetime: float = 120.0,
        refresh_on_inbound: bool = False,
        max_mappings: int = 4096,
    ) -> Nat:
        """Add a NAT box, to put hosts behind; the arguments are those of `Nat`.

        Raises:
            NameTakenError: another one has the name.
        """
        return self._topology.add_nat(
            name, nat_type, mapping_lifetime, refresh_on_inbound=refresh_on_inbound, max_mappings=max_mappings
        )

    def add_name(self, name: str, addresses: Sequence[str]) -> None:
        """Let every host resolve ``name`` to ``addresses`` in this order, as a DNS name of several seeds does."""
        self._topology.add_name(name, addresses)

    def set_link(self, a: Names, b: Names, link: Link, *, both_ways: bool = True) -> None:
        """Have ``link`` from each of ``a`` to each of ``b``, and back. What is in flight arrives as it would have.

        The name of a NAT box stands for the hosts behind it, and for itself: what it has no mapping for goes to it.

        Raises:
            UnknownHostError: there is no such host or box.
        """
        for pair in self._topology.pairs(a, b, both_ways=both_ways):
            self._links[pair] = link
            if pair in self._paths:
                self._paths[pair].change(link)

    def cut(self, a: Names, b: Names, *, both_ways: bool = True) -> None:
        """Lose all that each of ``a`` sends to each of ``b``, and back, from now on and what is in flight.

        The name of a NAT box stands for all hosts behind it.

        Raises:
            UnknownHostError: there is no such host or box.
        """
        self._cuts.update(self._topology.pairs(a, b, both_ways=both_ways))

    def heal(self, a: Names, b: Names, *, both_ways: bool = True) -> None:
        """Undo `cut`. What was lost stays lost.

        Raises:
            UnknownHostError: there is no such host.
        """
        self._cuts.difference_update(self._topology.pairs(a, b, both_ways=both_ways))

    def partition(self, *groups: Names) -> None:
        """Cut each host of a group from all hosts of the other groups.

        Raises:
            UnknownHostError: there is no such host.
        """
        for a, b in combinations(groups, 2):
            self.cut(a, b)

    def isolate(self, name: str) -> None:
        """Pull the cable of host ``name``: cut it from all other hosts there are now.

        Raises:
            UnknownHostError: there is no such host.
        """
        self.cut(name, [other for other in self.hosts if other != name])

    def heal_all(self) -> None:
        """Undo every `cut`, `partition` and `isolate`."""
        self._cuts.clear()

    def close(self) -> None:
        """Crash all hosts; nothing is in flight any more. Twice is once."""
        for host in self._topology.hosts.values():
            host.crash()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @override
    def route(self, socket: SimSocket, datagrams: Sequence[bytes], destination: Address) -> None:
        now = socket.loop.time()
        self.counters.sent += len(datagrams)
        sender, source = socket.host, socket.address
        place = self._topology.place(sender, destination[0])
        source_ip = sender.source_ip(source[0], destination[0])
        if place is None or source_ip is None:
            self._drop("unroutable", now, source, destination, datagrams)
            return
        outer: Address | None = (source_ip, source[1])
        if sender.nat is not None and (isinstance(place, Nat) or place.lan is not sender.lan):
            # no hairpin: a box does not take from inside what is sent to itself
            outer = None if place is sender.nat else sender.nat.outbound((source_ip, source[1]), destination, now)
        if outer is None:
            self._drop("filtered", now, source, destination, datagrams)
            return
        path = self._path(sender, place, destination[1])
        if (path.source, path.target) in self._cuts:
            self._drop("cut", now, outer, destination, datagrams)
            return
        for data in datagrams:
            self._send(path, socket, data, outer, destination, place, now)

    @override
    def socket_opened(self, socket: SimSocket) -> None:
        self._open_sockets += 1

    @override
    def socket_closed(self, socket: SimSocket) -> None:
        self._open_sockets -= 1
        if not self._open_sockets:
            self.counters.no_socket += self.counters.in_flight
            self.counters.in_flight = 0
            for path in self._paths.values():
                path.in_flight = 0
            self._in_flight.clear()

    @override
    def addresses_of(self, name: str, asker: Host) -> Sequence[str]:
        return self._topology.addresses_of(name, asker)

    def _send(
        self,
        path: Path,
        socket: SimSocket,
        data: bytes,
        source: Address,
        destination: Address,
        place: Host | Nat,
        now: float,
    ) -> None:
        dues = path.transit(len(data), now)
        self.counters.in_flight += len(dues)
        if self.trace is not None:
            self.trace.add(now, "sent" if dues else "lost", source, destination, data)
        for due in dues:
            self._in_flight.put(due, (path, socket, data, source, destination, place), socket.loop)

    def _arrive(self, datagram: _InFlight, now: float) -> None:
        path, socket, data, source, destination, place = datagram
        if data is None:
            if (path.source, path.target) not in self._cuts:
                socket.returned(destination)
            return
        path.in_flight -= 1
        self.counters.in_flight -= 1
        host: Host | None
        if isinstance(place, Nat):
            inner = place.inbound(source, destination[1], now)
            host = None if inner is None else self._topology.inner_host(place, inner[0])
            if inner is None or host is None:
                self._drop("filtered", now, source, destination, [data])
                return
        else:
            inner, host = destination, place
        if (path.source, host.name) in self._cuts:
            self._drop("cut", now, source, destination, [data])
            return
        there = host.find(*inner)
        if there is None:
            self._drop("no_socket", now, source, destination, [data])
            if self._icmp:
                back = self._path(host, socket.host, 0)
                due = now + back.link.latency
                self._in_flight.put(due, (back, socket, None, source, destination, place), socket.loop)
            return
        self.counters.delivered += 1
        if self.trace is not None:
            self.trace.add(now, "delivered", source, inner, data)
        there.arrived(data, source)

    def _drop(
        self, counter: str, now: float, source: Address, destination: Address, datagrams: Sequence[bytes]
    ) -> None:
        setattr(self.counters, counter, getattr(self.counters, counter) + len(datagrams))
        if self.trace is not None:
            for data in datagrams:
                self.trace.add(now, counter, source, destination, data)

    def _path(self, sender: Host, place: Host | Nat, port: int) -> Path:
        target: Host | Nat = place
        if isinstance(place, Nat):
            owner = place.owner(port)
            target = (owner and self._topology.inner_host(place, owner[0])) or place
        pair = (sender.name, target.name)
        path = self._paths.get(pair)
        if path is None:
            link = self._links.get(pair) or self._usual_link(sender, target)
            path = self._paths[pair] = Path(*pair, link, seed=self._seed, counters=self.counters)
        return path

    def _usual_link(self, sender: Host, target: Host | Nat) -> Link:
        if target is sender:
            return LOOPBACK
        is_neighbour = not isinstance(target, Nat) and sender.lan is not None and target.lan is sender.lan
        return LAN if is_neighbour else self._link
