"""Who should have what a find has found: those of the nodes closest to the key that answered without it, or with less.

Erlang: none. Paper: Kademlia, section 2.3 (who finds a value stores it at the closest node that did not return it).
"""

from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

from macula_actors.core.kademlia.lookup_decisions import LookupResult, Outcome
from macula_actors.core.peer.contact import Contact

__all__ = ["repairs"]

V = TypeVar("V")


def repairs(result: LookupResult[V], latest: Iterable[V], most: int) -> list[tuple[Contact, V]]:
    """Return up to ``most`` of the values ``latest`` and whom to give each, the nearest to the target first.

    What no other node had is given to nobody: it may be meant to be here only. Of a lookup that ended when enough
    holders had answered, nodes farther off than all of these get nothing: they may not be among the closest.
    """
    held = {holder.contact: frozenset(holder.values) for holder in result.holders}
    known = frozenset[V]().union(*held.values())
    wanted = [value for value in latest if value in known]
    missing = (
        (contact, value)
        for contact in _closest(result)
        for value in wanted
        if value not in held.get(contact, frozenset())
    )
    return list(islice(missing, most))


def _closest(result: LookupResult[V]) -> tuple[Contact, ...]:
    if result.outcome is Outcome.CLOSEST:
        return result.contacts
    holders = {holder.contact for holder in result.holders}
    last = max((place for place, contact in enumerate(result.contacts) if contact in holders), default=-1)
    return result.contacts[: last + 1]
