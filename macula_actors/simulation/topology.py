"""Who has which name and address in a simulated network, and who is reached by an address from where."""

import random
from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import product
from typing import Final, TypeAlias

from macula_actors.simulation.errors import NameTakenError, SimulationError, UnknownHostError
from macula_actors.simulation.host import Host, Router
from macula_actors.simulation.nat import Nat, NatType

__all__ = ["Names", "Topology"]

Names: TypeAlias = str | Collection[str]  # of one host, or of several

_PUBLIC4: Final = int(IPv4Address("10.0.0.0"))
_PUBLIC6: Final = int(IPv6Address("2001:db8::"))
_MOST_PUBLIC: Final = 1 << 24
_LAN: Final = int(IPv4Address("192.168.0.0"))
_MOST_LANS: Final = 255
_LAN_SIZE: Final = 256  # addresses; the first is the network, the second the box, the last everybody


class Topology:
    """Names and addresses; the latter are given out in the order of the calls."""

    def __init__(self, seed: int) -> None:
        self.hosts: dict[str, Host] = {}
        self._seed = seed
        self._nats: dict[str, Nat] = {}
        self._lans: dict[str, dict[str, Host]] = {}  # by name of the box, then by inner address
        self._places: dict[str, Host | Nat] = {}  # by public address
        self._names: dict[str, Sequence[str]] = {}
        self._public = 0

    def add_host(self, name: str, ipv4: str | None, ipv6: str | None, router: Router) -> Host:
        """Add a public host."""
        self._refuse_name(name)
        number = self._next_public()
        ips = str(IPv4Address(ipv4 or _PUBLIC4 + number)), str(IPv6Address(ipv6 or _PUBLIC6 + number))
        for ip in ips:
            if ip in self._places:
                raise NameTakenError(ip)
        host = self.hosts[name] = self._places[ips[0]] = self._places[ips[1]] = Host(name, *ips, router=router)
        return host

    def add_inner_host(self, name: str, ipv4: str | None, nat: Nat, router: Router) -> Host:
        """Add a host behind ``nat``."""
        self._refuse_name(name)
        lan = self._lans.get(nat.name)
        if lan is None or self._nats[nat.name] is not nat:
            raise UnknownHostError(nat.name, self._nats)
        ip = str(IPv4Address(ipv4 or self._lan_address(nat.name)))
        if ip in lan:
            raise NameTakenError(ip)
        host = lan[ip] = self.hosts[name] = Host(name, ip, None, router=router, nat=nat, lan=lan)
        return host

    def add_nat(
        self, name: str, nat_type: NatType, mapping_lifetime: float, *, refresh_on_inbound: bool, max_mappings: int
    ) -> Nat:
        """Add a NAT box."""
        self._refuse_name(name)
        nat = Nat(
            name,
            nat_type,
            str(IPv4Address(_PUBLIC4 + self._next_public())),
            random.Random(f"{self._seed}/nat/{name}"),
            mapping_lifetime=mapping_lifetime,
            refresh_on_inbound=refresh_on_inbound,
            max_mappings=max_mappings,
        )
        self._nats[name] = self._places[nat.outer_ip] = nat
        self._lans[name] = {}
        return nat

    def add_name(self, name: str, addresses: Sequence[str]) -> None:
        """Add a name of several addresses."""
        self._names[name.lower()] = [str(ip_address(ip)) for ip in addresses]

    def addresses_of(self, name: str, asker: Host) -> Sequence[str]:
        """Return the addresses of ``name`` as ``asker`` sees it, best first; none if it has none."""
        if name == "localhost":
            return ("127.0.0.1", "::1")
        if name in self._names:
            return self._names[name]
        host = self.hosts.get(name)
        if host is None or (host.lan is not None and host.lan is not asker.lan):
            return ()
        return (host.ipv4,) if host.ipv6 is None or asker.ipv6 is None else (host.ipv4, host.ipv6)

    def place(self, sender: Host, ip: str) -> Host | Nat | None:
        """Return who is at ``ip`` for ``sender``."""
        if sender.is_own(ip):
            return sender
        return (sender.lan and sender.lan.get(ip)) or self._places.get(ip)

    def inner_host(self, nat: Nat, ip: str) -> Host | None:
        """Return the host at the inner address ``ip`` behind ``nat``."""
        return self._lans[nat.name].get(ip)

    def pairs(self, a: Names, b: Names, *, both_ways: bool) -> Sequence[tuple[str, str]]:
        """Return each of ``a`` with each of ``b``, and the other way round."""
        there = list(product(self._known(a), self._known(b)))
        return there + [(target, source) for source, target in there] if both_ways else there

    def _known(self, names: Names) -> list[str]:
        listed = []
        for name in [names] if isinstance(names, str) else names:
            if name not in self.hosts and name not in self._nats:
                raise UnknownHostError(name, [*self.hosts, *self._nats])
            listed += [name, *(host.name for host in self._lans.get(name, {}).values())]
        return listed

    def _refuse_name(self, name: str) -> None:
        if name != name.lower():
            raise ValueError(f"name {name!r}; allowed is lower case, as names are compared")
        if name in self.hosts or name in self._nats:
            raise NameTakenError(name)

    def _next_public(self) -> int:
        self._public += 1
        while {
            str(IPv4Address(_PUBLIC4 + self._public)),
            str(IPv6Address(_PUBLIC6 + self._public)),
        } & self._places.keys():
            self._public += 1
        if self._public >= _MOST_PUBLIC:
            raise SimulationError("all addresses are given out; name one")
        return self._public

    def _lan_address(self, nat_name: str) -> int:
        site, number = list(self._nats).index(nat_name) + 1, len(self._lans[nat_name]) + 2
        if site > _MOST_LANS or number >= _LAN_SIZE - 1:
            raise SimulationError(f"no address is left behind {nat_name!r}; name one")
        return _LAN + site * _LAN_SIZE + number
