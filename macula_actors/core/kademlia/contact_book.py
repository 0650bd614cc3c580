"""A routing table whose contacts are also in a mapping that outlives it, and those that it has lost.

Erlang: the table in macula_routing_server's state, which a crash empties. The lost ones are asked again now and then:
two halves of a network that had lost each other come together again, and a node that was cut off needs no bootstrap.
"""

from collections.abc import Iterable, MutableMapping
from itertools import islice
from random import Random
from typing import Final, NamedTuple

from macula_actors.core.kademlia.bucket_decisions import Added, Evicted, Kept, Ping, Refused, Seen, Updated
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.table import RoutingTable, SavedContact
from macula_actors.core.peer.contact import Contact

__all__ = ["ContactBook", "Known"]

_FRESH: Final = 1.0  # seconds that who was seen need not be noted down again


class Known(NamedTuple):
    """A contact of the mapping, and when it was seen."""

    contact: Contact
    seen_at: float


class ContactBook:
    """The contacts. All instants are of one monotonic clock, in seconds.

    Args:
        table: an empty one.
        saved: where its contacts are kept as well, and what is in there already.
        max_former: how many of the lost are remembered.
        now: the present.
    """

    def __init__(
        self, table: RoutingTable, saved: MutableMapping[NodeId, Known], *, max_former: int, now: float
    ) -> None:
        self.table: Final = table
        self._saved: Final = saved
        self._max_former: Final = max_former
        self._former: dict[NodeId, Contact] = {}  # lost last at the end
        self._unasked: dict[NodeId, None] = {}  # of those, from disk
        for node_id, known in sorted(saved.items(), key=lambda item: item[1].seen_at):
            if not isinstance(table.seen(known.contact, min(known.seen_at, now)), Added):
                del saved[node_id]

    def __len__(self) -> int:
        return len(self.table)

    @property
    def has_former(self) -> bool:
        """Whether any of the lost is remembered."""
        return bool(self._former)

    @property
    def has_unasked(self) -> bool:
        """Whether there are some, from an earlier life, of whom it is not known yet whether they are there."""
        return bool(self._unasked)

    def asked(self, node_id: NodeId) -> None:
        """Take note that a contact was asked, and has answered or is silent."""
        self._unasked.pop(node_id, None)

    def is_fresh(self, contact: Contact, now: float) -> bool:
        """Tell whether `seen` would change nothing, since ``contact`` was seen a moment ago."""
        return self.table.is_fresh(contact, now, _FRESH)

    def seen(self, contact: Contact, now: float) -> Seen:
        """Do as `RoutingTable.seen`; of who is seen many times a second, once."""
        if self.is_fresh(contact, now):
            return Updated()
        decision = self.table.seen(contact, now)
        if contact.node_id is not None and isinstance(decision, Added | Updated):
            self._keep(contact.node_id, contact, now)
        return decision

    def heard_of(self, contact: Contact) -> Ping | Refused:
        """Do as `RoutingTable.heard_of`."""
        return self.table.heard_of(contact)

    def failed(self, node_id: NodeId, now: float) -> Kept | Evicted | None:
        """Do as `RoutingTable.failed`; who is evicted is remembered."""
        decision = self.table.failed(node_id, now)
        if isinstance(decision, Evicted):
            self._dropped(node_id, decision, now)
            self._remember(node_id, decision.contact)
        return decision

    def remove(self, node_id: NodeId, now: float) -> Evicted | None:
        """Take a contact out of the table, and out of mind."""
        self._forget(node_id)
        decision = self.table.remove(node_id)
        if decision is not None:
            self._dropped(node_id, decision, now)
        return decision

    def remember(self, contacts: Iterable[Contact]) -> None:
        """Have ``contacts`` asked as the lost ones are, and before those."""
        for contact in contacts:
            if contact.node_id is not None and contact.node_id not in self.table:
                self._unasked[contact.node_id] = None
                self._remember(contact.node_id, contact)

    def former(self, most: int, rng: Random) -> list[Contact]:
        """Return up to ``most`` of the lost, by chance; first those that have not been asked yet."""
        if self._unasked:
            return [self._former[node_id] for node_id in islice(self._unasked, most)]
        return rng.sample(list(self._former.values()), min(most, len(self._former)))

    def snapshot(self, now: float) -> tuple[SavedContact, ...]:
        """Return the contacts of the table, and for how long each has been silent."""
        return tuple(SavedContact(known.contact, now - known.seen_at) for known in self._saved.values())

    def _keep(self, node_id: NodeId, contact: Contact, now: float) -> None:
        self._forget(node_id)
        before = self._saved.get(node_id)
        # One that came without an endpoint keeps the one it had.
        kept = before.contact if contact.endpoint is None and before is not None else contact
        self._saved[node_id] = Known(kept, now)

    def _dropped(self, node_id: NodeId, decision: Evicted, now: float) -> None:
        self._saved.pop(node_id, None)
        promoted = decision.promoted
        if promoted is not None and promoted.node_id is not None:
            self._keep(promoted.node_id, promoted, now)

    def _remember(self, node_id: NodeId, contact: Contact) -> None:
        self._former.pop(node_id, None)
        self._former[node_id] = contact
        if len(self._former) > self._max_former:
            self._forget(next(iter(self._former)))

    def _forget(self, node_id: NodeId) -> None:
        self._former.pop(node_id, None)
        self._unasked.pop(node_id, None)
