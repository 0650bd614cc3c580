"""Runs one `macula_actors.core.kademlia.lookup.Lookup` over a `MessageNetwork`: asks whom it says, tells what comes."""

from collections.abc import Callable, Iterable
from math import inf
from typing import Protocol, assert_never

from macula_actors.core.kademlia.lookup import Lookup, LookupLimits
from macula_actors.core.kademlia.lookup_decisions import Finished, LookupResult, Query, Wait
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.record import Record
from macula_actors.core.peer.contact import Contact
from macula_actors.core.wire.messages import FindNode, FindValue
from macula_actors.simulation.message_network import Answer, Port

__all__ = ["Asker", "LookupRun"]


class Asker(Protocol):
    """What a lookup needs of its node."""

    port: Port

    def judge(self, contact: Contact, answer: Answer, key: NodeId) -> tuple[list[Contact], list[Record]] | None:
        """Return the contacts and the records in ``answer``; None if the query failed. The table hears of it."""
        ...


class LookupRun:
    """A lookup on its way; ``on_end`` gets the result.

    Args:
        asker: the node.
        target: whose closest nodes are looked for.
        contacts: whom to begin with.
        on_end: called once, unless the node stops before.
        limits: of the lookup.
        query_timeout: seconds.
        is_for_value: whether records are looked for too.
    """

    __slots__ = ("_asker", "_limits", "_lookup", "_message", "_on_end", "_target", "_timeout", "_wake_at", "is_over")

    def __init__(
        self,
        asker: Asker,
        target: NodeId,
        contacts: Iterable[Contact],
        on_end: Callable[[LookupResult[Record]], None],
        *,
        limits: LookupLimits,
        query_timeout: float,
        is_for_value: bool = False,
    ) -> None:
        now, node_id = asker.port.network.now, asker.port.node_id
        self._asker = asker
        self._target = target
        self._on_end = on_end
        self._timeout = query_timeout
        self._message = FindValue(key=target) if is_for_value else FindNode(target=target)
        self._lookup = Lookup[Record](target, node_id=node_id, contacts=contacts, limits=limits, now=now)
        self._wake_at = inf
        self.is_over = False
        self._advance(now)

    def _advance(self, now: float) -> None:
        while not self.is_over:
            step = self._lookup.next(now)
            match step:
                case Query(contact):
                    self._ask(contact)
                case Wait(until):
                    self._wake_later(until)
                    return
                case Finished(result):
                    self.is_over = True
                    self._on_end(result)
                case _:
                    assert_never(step)

    def _ask(self, contact: Contact) -> None:
        self._asker.port.request(contact, self._message, self._timeout, lambda answer: self._heard(contact, answer))

    def _heard(self, contact: Contact, answer: Answer) -> None:
        found = self._asker.judge(contact, answer, self._target)
        if self.is_over:
            return
        if found is None:
            self._lookup.failed(contact)
        else:
            self._lookup.answered(contact, *found)
        self._advance(self._asker.port.network.now)

    def _wake_later(self, until: float) -> None:
        """See to it that a timer is set at ``until`` or before: most of them wake it when there is nothing to do."""
        if until < self._wake_at:
            self._wake_at = until
            self._asker.port.call_at(until, self._wake)

    def _wake(self, now: float) -> None:
        self._wake_at = inf
        self._advance(now)
