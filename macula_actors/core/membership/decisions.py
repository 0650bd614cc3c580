"""What a `macula_actors.core.membership.detector.Detector` decides: values that its owner carries out."""

from dataclasses import dataclass
from typing import TypeAlias

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.membership.member import Member

__all__ = ["Alive", "Dead", "Decision", "Probe", "ProbeIndirectly", "Suspected"]


@dataclass(frozen=True, slots=True)
class Probe:
    """Ping ``member``, and tell the detector what came of it within ``timeout`` seconds."""

    member: Member
    timeout: float


@dataclass(frozen=True, slots=True)
class ProbeIndirectly:
    """Have each of ``via`` ping ``member``, and tell the detector of an answer within ``timeout`` seconds."""

    member: Member
    via: tuple[NodeId, ...]
    timeout: float


@dataclass(frozen=True, slots=True)
class Alive:
    """Be told that ``member`` is new, or is back."""

    member: Member


@dataclass(frozen=True, slots=True)
class Suspected:
    """Be told that ``member`` is suspected."""

    member: Member


@dataclass(frozen=True, slots=True)
class Dead:
    """Be told that ``member`` is dead now."""

    member: Member


Decision: TypeAlias = Probe | ProbeIndirectly | Alive | Suspected | Dead
