"""What a `macula_actors.core.kademlia.lookup.Lookup` decides and finds: values for its owner."""

from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeAlias, TypeVar

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact

__all__ = ["Finished", "Holder", "LookupResult", "Outcome", "Query", "Step", "Wait"]

V = TypeVar("V", bound=Hashable)


class Outcome(StrEnum):
    """Why a lookup has ended."""

    CLOSEST = "closest"  # the k closest have answered, or all there are
    ENOUGH = "enough"  # so many holders as were asked for have answered
    TIMEOUT = "timeout"  # the result is what was found until then


@dataclass(frozen=True, slots=True)
class Holder(Generic[V]):
    """A node that had values, and which; never none."""

    contact: Contact
    values: tuple[V, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupResult(Generic[V]):
    """What a lookup has found. All contacts have answered it, and are given nearest to the target first."""

    target: NodeId
    outcome: Outcome
    contacts: tuple[Contact, ...]  # the closest, k at most
    holders: tuple[Holder[V], ...]  # all that were met, not only among the k closest
    without_value: tuple[Contact, ...]  # the closest that had none: where a copy belongs
    queries: int  # sent
    failures: int  # of them
    hops: int  # how many nodes, one after the other, had to be asked to learn of the farthest-off of the closest

    @property
    def values(self) -> tuple[V, ...]:
        """What the holders had, each value once, those of the nearest holder first."""
        return tuple(dict.fromkeys(value for holder in self.holders for value in holder.values))


@dataclass(frozen=True, slots=True)
class Query:
    """Ask this contact, tell ``answered`` or ``failed``, and ask for the next step at once."""

    contact: Contact


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until somebody answers or fails, or until this instant."""

    until: float


@dataclass(frozen=True, slots=True)
class Finished(Generic[V]):
    """The lookup has ended; what comes in now is ignored."""

    result: LookupResult[V]


Step: TypeAlias = Query | Wait | Finished[V]
