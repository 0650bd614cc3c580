"""Records on their way to the nodes that are to keep them: a bounded number at once, and who has taken them."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.record import Record
from macula_actors.core.peer.contact import Contact

__all__ = ["Delivery", "Parcel"]

Parcel: TypeAlias = tuple[Contact, Record]


class Delivery:
    """Each of ``records`` to each of ``contacts``, at most ``max_sent`` at once.

    The owner sends what `next` returns, tells `taken` or `lost` of each, and asks again.
    """

    def __init__(self, contacts: Iterable[Contact], records: Sequence[Record], max_sent: int) -> None:
        self._waiting: Final[deque[Parcel]] = deque((contact, record) for contact in contacts for record in records)
        self._max_sent: Final = max_sent
        self._sent = 0
        self._takers: Final[set[NodeId]] = set()

    @property
    def is_done(self) -> bool:
        """Whether there is nothing to send or to wait for."""
        return not self._waiting and not self._sent

    @property
    def is_all_sent(self) -> bool:
        """Whether there is nothing to send, at most to wait for."""
        return not self._waiting

    @property
    def takers(self) -> frozenset[NodeId]:
        """The nodes that have taken at least one."""
        return frozenset(self._takers)

    def next(self) -> list[Parcel]:
        """Return what to send now."""
        room = min(self._max_sent - self._sent, len(self._waiting))
        self._sent += room
        return [self._waiting.popleft() for _ in range(room)]

    def taken(self, contact: Contact) -> None:
        """Take note that a record was taken."""
        self._sent -= 1
        if contact.node_id is not None:
            self._takers.add(contact.node_id)

    def lost(self) -> None:
        """Take note that one was not."""
        self._sent -= 1
