"""Who comes into the routing table, and who is asked first whether it is there.

Erlang: macula_routing_server. RoutingServer hands it what comes in.
"""

from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import Final

from macula_actors.actors.routing.clock import Clock
from macula_actors.actors.routing.pings import Ping, PingAgain, Pings
from macula_actors.actors.routing.upkeep import Upkeep
from macula_actors.config import DhtConfig
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.bucket_decisions import Added, Evicted, PingFirst, Refusal, Refused
from macula_actors.core.kademlia.bucket_decisions import Ping as AskFirst
from macula_actors.core.kademlia.contact_book import ContactBook
from macula_actors.core.kademlia.exchange import Verdict, contacts_of, node_infos_of, verdict_of
from macula_actors.core.kademlia.guests import Guests
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.handshake import Security
from macula_actors.core.wire.messages import FindNodeReply, Message, NodeInfo
from macula_actors.errors import MaculaError, OverloadedError
from macula_actors.messages.routing_server import Learned
from supervisors import From, RequestId, SupervisorsError, current, send_after

__all__ = ["Neighbours"]


class Neighbours:
    """The contacts of the table, as far as they change by what nodes say and do not say.

    Contacts come into the table after they have answered a query of this node, over a connection that proves who they
    are; what others tell of them only leads to a query. One that called this node waits in a full bucket's cache.

    Args:
        config: how many are asked, how often, and how long.
        contacts: the table.
        upkeep: is told whom this node has met, by whom it may join, and when it is alone.
        clock: the present.
        rng: for the jitter of delays.
    """

    def __init__(self, config: DhtConfig, contacts: ContactBook, upkeep: Upkeep, clock: Clock, rng: Random) -> None:
        self._config: Final = config
        self._node_id: Final = config.identity.node_id
        self._is_open: Final = config.security is Security.OPEN
        self._contacts: Final = contacts
        self._upkeep: Final = upkeep
        self._clock: Final = clock
        self._rng: Final = rng
        self._guests: Final = Guests()
        self._pings: Final = Pings(config)

    @property
    def asked(self) -> int:
        """How many contacts are being asked whether they are there."""
        return len(self._pings)

    def closest(self, target: NodeId, asker: Contact) -> tuple[NodeInfo, ...]:
        """Return what ``asker`` is told of the nodes closest to ``target``."""
        count = self._config.buckets.k
        nearest = self._contacts.table.closest(target, count, without=asker.node_id)
        if self._is_open:
            nearest = self._guests.among(nearest, target, count, self._clock.now())
        return node_infos_of(nearest)

    def heard_from(self, sender: Contact) -> None:
        """Take note of who has called this node."""
        now = self._clock.now()
        if sender.node_id is None or sender.endpoint is None:
            return  # whom nobody can dial asks, and keeps nothing for others
        if self._contacts.is_fresh(sender, now):
            return
        if self._is_open:
            self._guests.heard(sender.node_id, sender, now)
        match self._contacts.heard_of(sender):
            case AskFirst():
                self._pings.ask_newcomer(sender, sender.node_id, now)
            case Refused(Refusal.KNOWN | Refusal.FULL):
                self._seen(sender, sender.node_id)
            case _:
                pass

    def learn(self, learned: Learned) -> None:
        """Take note of who has answered a query, and who has not."""
        for contact in learned.answered:
            if contact.node_id is not None:
                self._seen(contact, contact.node_id)
        for contact in learned.silent:
            if contact.node_id is not None:
                self._lost(contact.node_id)

    def add(self, contact: Contact, from_: From) -> None:
        """Ask ``contact``, and tell ``from_`` whether it is in the table then.

        Raises:
            OverloadedError: too many are being asked.
        """
        if not self._pings.ask(Ping(contact, waiting=[from_])):
            raise OverloadedError("contacts being asked", self._config.max_pings)

    def find_again(self, endpoints: Iterable[Endpoint], former: Iterable[Contact]) -> None:
        """Ask those that may lead to a network: bootstrap ``endpoints``, and contacts that were lost."""
        for endpoint in endpoints:
            ping = Ping(Contact(endpoint), bootstrap=endpoint, is_way_back=True)
            if not self._pings.ask(ping):
                self._not_found(ping)
        for contact in former:
            self._pings.ask(Ping(contact, is_way_back=True))

    def again(self, ping: Ping) -> None:
        """Ask once more, as a `PingAgain` says."""
        self._pings.again(ping)

    def answered(self, reqid: RequestId) -> None:
        """Take what came of a question, if ``reqid`` was one."""
        ping = self._pings.take(reqid)
        if ping is None:
            return
        try:
            reply: Message | None = reqid.result()
        except MaculaError as error:
            self._failed(ping, verdict_of(error))
        except SupervisorsError:
            self._failed(ping, Verdict.LATER)
        else:
            self._done(ping)
            self._replied(ping, reply if isinstance(reply, FindNodeReply) else None)

    def _done(self, ping: Ping) -> None:
        self._pings.done(ping)
        if ping.contact.node_id is not None:
            self._contacts.asked(ping.contact.node_id)

    def _replied(self, ping: Ping, reply: FindNodeReply | None) -> None:
        contact = ping.contact
        if ping.is_way_back and reply is not None:
            self._upkeep.join(contacts_of(reply.nodes, self._config.locate.max_contacts))
        if contact.node_id is None:
            self._found_out(ping, reply)
            return
        self._seen(contact, contact.node_id)
        if ping.bootstrap is not None:
            self._upkeep.joining.answered(ping.bootstrap, self._clock.now(), self._rng)
            self._upkeep.join((contact,))
        self._tell(ping, contact.node_id)

    def _found_out(self, ping: Ping, reply: FindNodeReply | None) -> None:
        """Ask who has answered at an endpoint once more, by the id that it says it has."""
        node_id = None if reply is None else self._id_of(ping.contact, reply)
        if node_id is None:
            self._not_found(ping)
        elif node_id == self._node_id:
            self._is_self(ping)
        elif not self._pings.ask(replace(ping, contact=Contact(ping.contact.endpoint, node_id), attempt=1)):
            self._not_found(ping)

    def _id_of(self, contact: Contact, reply: FindNodeReply) -> NodeId | None:
        """Return who has answered at an endpoint. One of v0.8 does not say, and has an id here by where it is."""
        if reply.node_id is not None:
            return NodeId.normalize(reply.node_id)
        return NodeId.of(str(contact.endpoint).encode()) if self._is_open else None

    def _failed(self, ping: Ping, verdict: Verdict) -> None:
        if verdict is Verdict.LATER and ping.attempt <= self._config.max_retries:
            send_after(self._config.retry_after, current(), PingAgain(ping))
            return
        self._done(ping)
        node_id = ping.contact.node_id
        if verdict is Verdict.SELF:
            self._is_self(ping)
            return
        if node_id is not None and verdict is Verdict.ALIVE:
            self._seen(ping.contact, node_id)
        elif node_id is not None and verdict is Verdict.SILENT:
            self._lost(node_id)
        self._not_found(ping)

    def _not_found(self, ping: Ping) -> None:
        if ping.bootstrap is not None:
            self._upkeep.joining.failed(ping.bootstrap, self._clock.now(), self._rng)
        self._tell(ping, ping.contact.node_id)

    def _is_self(self, ping: Ping) -> None:
        if ping.bootstrap is not None:
            self._upkeep.joining.is_self(ping.bootstrap)
        self._tell(ping, None)

    def _tell(self, ping: Ping, node_id: NodeId | None) -> None:
        for from_ in ping.waiting:
            from_.reply(node_id is not None and node_id in self._contacts.table)

    def _seen(self, contact: Contact, node_id: NodeId) -> None:
        if contact.endpoint is None and node_id not in self._contacts.table:
            return
        now = self._clock.now()
        match self._contacts.seen(contact, now):
            case Added():
                self._upkeep.met(contact, node_id, now, self._clock.now_ms())
            case PingFirst(oldest):
                self._pings.ask(Ping(oldest))
            case _:
                pass

    def _lost(self, node_id: NodeId) -> None:
        now = self._clock.now()
        decision = self._contacts.failed(node_id, now)
        if isinstance(decision, Evicted):
            if decision.promoted is not None:
                self._pings.ask(Ping(decision.promoted))
            if not len(self._contacts):
                self._upkeep.isolated(now)
