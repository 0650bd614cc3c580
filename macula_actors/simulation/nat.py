"""NAT boxes: which address a datagram leaves with, and to whom one from outside is given.

Pure: told the time, with chance of its own. RFC: 4787, sections 4 (mapping) and 5 (filtering); the types are those
that were measured with Linux and nftables. Hairpinning is off.
"""

import random
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

from macula_actors.transport.interface import Address

__all__ = ["Nat", "NatType"]

_RANDOM_PORTS: Final = range(20000, 60000)
_MOST_BURNED: Final = len(_RANDOM_PORTS) // 2
_MOST_MAPPINGS: Final = len(_RANDOM_PORTS) // 4  # so that a free port is found soon


class NatType(StrEnum):
    """How a NAT box maps and filters."""

    FULLCONE = "fullcone"  # endpoint-independent mapping and filtering
    ADDR = "addr"  # endpoint-independent mapping, address-dependent filtering
    PORT = "port"  # endpoint-independent mapping, address and port-dependent filtering
    SYMMETRIC = "symmetric"  # a random port for each remote endpoint, which alone may answer
    LINUX = "linux"  # MASQUERADE: the port is kept unless that collides; only who was written to may answer
    UDPBLOCK = "udpblock"  # no UDP at all


_PER_ENDPOINT: Final = frozenset({NatType.SYMMETRIC, NatType.LINUX})

# of a mapping: the inner address, with the remote one where each remote has a mapping of its own
_InnerKey: TypeAlias = Address | tuple[Address, Address]
# of a mapping: the outer port, likewise
_OuterKey: TypeAlias = int | tuple[int, Address]


@dataclass(slots=True, eq=False)
class _Mapping:
    inner: Address
    inner_key: _InnerKey
    outer_key: _OuterKey
    port: int
    expires_at: float
    permits: dict[str | Address, float] = field(default_factory=dict)  # who may answer, until when


class Nat:
    """One NAT box.

    Args:
        mapping_lifetime: seconds after the last datagram out that a mapping, and the permission to answer, is kept.
        refresh_on_inbound: datagrams from outside keep both alive too (RFC 4787, REQ-6 leaves it open).
        max_mappings: of mappings, and of permissions on one mapping; what needs one more is dropped, as conntrack does.

    Raises:
        ValueError: ``max_mappings`` is more than the ports can serve.
    """

    def __init__(
        self,
        name: str,
        nat_type: NatType,
        outer_ip: str,
        rng: random.Random,
        *,
        mapping_lifetime: float = 120.0,
        refresh_on_inbound: bool = False,
        max_mappings: int = 4096,
    ) -> None:
        if max_mappings > _MOST_MAPPINGS:
            raise ValueError(f"max_mappings {max_mappings}; at most {_MOST_MAPPINGS} have ports to choose from")
        self.name = name
        self.outer_ip = outer_ip
        self._type = nat_type
        self._per_endpoint = nat_type in _PER_ENDPOINT
        self._rng = rng
        self._lifetime = mapping_lifetime
        self._refresh_on_inbound = refresh_on_inbound
        self._max_mappings = max_mappings
        self._by_inner: dict[_InnerKey, _Mapping] = {}
        self._by_outer: dict[_OuterKey, _Mapping] = {}
        self._owners: dict[int, Address] = {}
        self._uses: dict[int, int] = {}  # of each outer port, by how many mappings
        self._burned: set[int] = set()  # ports that a rebind took away; only asked, never listed

    @property
    def nat_type(self) -> NatType:
        """What it is now."""
        return self._type

    def change_type(self, nat_type: NatType) -> None:
        """Become another box; all mappings are forgotten, and ports may be given out again."""
        self._type = nat_type
        self._per_endpoint = nat_type in _PER_ENDPOINT
        self._forget()
        self._burned.clear()

    def rebind(self) -> None:
        """Forget all mappings, as after a power cut; whoever sends again is seen from a new port."""
        self._burned.update(self._owners)
        if len(self._burned) > _MOST_BURNED:
            self._burned = set(self._owners)
        self._forget()

    def outbound(self, source: Address, destination: Address, now: float) -> Address | None:
        """Return the address that a datagram of ``source`` leaves with, or None: it is dropped."""
        if self._type is NatType.UDPBLOCK:
            return None
        mapping = self._by_inner.get((source, destination) if self._per_endpoint else source)
        if mapping is None or mapping.expires_at <= now:
            mapping = self._map(source, destination, now)
        if mapping is None or not self._permit(mapping, destination, now):
            return None
        mapping.expires_at = now + self._lifetime
        return (self.outer_ip, mapping.port)

    def inbound(self, source: Address, port: int, now: float) -> Address | None:
        """Return whom a datagram of ``source`` to the outer ``port`` is given to, or None: it is dropped."""
        mapping = self._by_outer.get((port, source) if self._per_endpoint else port)
        if mapping is None or mapping.expires_at <= now:
            return None
        key = self._permit_key(source)
        if key is not None and mapping.permits.get(key, now) <= now:
            return None
        if self._refresh_on_inbound:
            mapping.expires_at = now + self._lifetime
            if key is not None:
                mapping.permits[key] = mapping.expires_at
        return mapping.inner

    def owner(self, port: int) -> Address | None:
        """Return the inner address that the outer ``port`` was last given to, if it has a mapping still."""
        return self._owners.get(port)

    def _permit_key(self, remote: Address) -> str | Address | None:
        match self._type:
            case NatType.ADDR:
                return remote[0]
            case NatType.PORT:
                return remote
            case _:
                return None

    def _permit(self, mapping: _Mapping, remote: Address, now: float) -> bool:
        key = self._permit_key(remote)
        if key is None:
            return True
        permits = mapping.permits
        if key not in permits and len(permits) >= self._max_mappings:
            mapping.permits = permits = {who: until for who, until in permits.items() if until > now}
            if len(permits) >= self._max_mappings:
                return False
        permits[key] = now + self._lifetime
        return True

    def _map(self, source: Address, destination: Address, now: float) -> _Mapping | None:
        inner_key: _InnerKey = (source, destination) if self._per_endpoint else source
        expired = self._by_inner.get(inner_key)
        if expired is not None:
            self._remove(expired)
        if len(self._by_inner) >= self._max_mappings:
            self._remove_expired(now)
            if len(self._by_inner) >= self._max_mappings:
                return None
        port = self._choose_port(source[1], destination, now)
        outer_key: _OuterKey = (port, destination) if self._per_endpoint else port
        mapping = _Mapping(source, inner_key, outer_key, port, now + self._lifetime)
        self._by_inner[inner_key] = self._by_outer[outer_key] = mapping
        self._owners[port] = source
        self._uses[port] = self._uses.get(port, 0) + 1
        return mapping

    def _choose_port(self, wanted: int, destination: Address, now: float) -> int:
        keeps_port = self._type is not NatType.SYMMETRIC and wanted not in self._burned
        if keeps_port and self._is_free(wanted, destination, now):
            return wanted
        while True:  # ends: at most three quarters of the ports are burned or in use
            port = self._rng.choice(_RANDOM_PORTS)
            if port not in self._burned and port not in self._owners:
                return port

    def _is_free(self, port: int, destination: Address, now: float) -> bool:
        there = self._by_outer.get((port, destination) if self._per_endpoint else port)
        if there is not None and there.expires_at <= now:
            self._remove(there)
            there = None
        return there is None

    def _remove_expired(self, now: float) -> None:
        for mapping in [mapping for mapping in self._by_inner.values() if mapping.expires_at <= now]:
            self._remove(mapping)

    def _remove(self, mapping: _Mapping) -> None:
        del self._by_inner[mapping.inner_key]
        del self._by_outer[mapping.outer_key]
        self._uses[mapping.port] -= 1
        if not self._uses[mapping.port]:
            del self._uses[mapping.port], self._owners[mapping.port]

    def _forget(self) -> None:
        self._by_inner.clear()
        self._by_outer.clear()
        self._owners.clear()
        self._uses.clear()
