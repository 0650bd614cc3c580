"""RoutingServer: the node's routing table and records, and what it does for the DHT.

Erlang: macula_routing_server (which waited for the network inside its callbacks: D-53).
"""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial
from typing import Final

from typing_extensions import override

from macula_actors.actors.alarm import Alarm
from macula_actors.actors.routing.clock import Clock
from macula_actors.actors.routing.job_book import JobBook, JobKind
from macula_actors.actors.routing.jobs import Job, JobDone, Purpose
from macula_actors.actors.routing.neighbours import Neighbours
from macula_actors.actors.routing.pings import PingAgain
from macula_actors.actors.routing.upkeep import Upkeep
from macula_actors.config import DhtConfig
from macula_actors.core.kademlia.contact_book import ContactBook
from macula_actors.core.kademlia.node_id import ID_BITS, NodeId
from macula_actors.core.kademlia.own_records import OwnRecords
from macula_actors.core.kademlia.record import Record, for_v08
from macula_actors.core.kademlia.record_decisions import RecordRefusal, Refreshed, Stored
from macula_actors.core.kademlia.record_decisions import Refused as RecordRefused
from macula_actors.core.kademlia.record_store import RecordStore
from macula_actors.core.kademlia.sender_limits import Excess, SenderBook, sender_of
from macula_actors.core.kademlia.table import RoutingTable
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.handshake import Security
from macula_actors.core.wire.messages import (
    FindNode,
    FindNodeReply,
    FindValue,
    FindValueReply,
    Store,
    StoreReply,
)
from macula_actors.core.wire.values import Value
from macula_actors.errors import MaculaError, OverloadedError, QuorumError, RefusedError
from macula_actors.messages.gateway_dht import DhtMessage, DhtReply
from macula_actors.messages.names import ROUTING_KEEPER, TABLES
from macula_actors.messages.routing_keeper import Load, SaveContacts, Saved, SaveRecord
from macula_actors.messages.routing_server import (
    AddNode,
    AwaitJoined,
    DeleteLocal,
    DeleteRecord,
    FindClosest,
    GetLocal,
    GetRoutingTable,
    GetSize,
    GetStats,
    HandleMessage,
    Learned,
    LookUpNode,
    LookUpValue,
    RemoveNode,
    RoutingStats,
    StoreLocal,
    StoreRecord,
    Touch,
)
from supervisors import (
    Continue,
    Down,
    ExitReason,
    From,
    GenServer,
    NoReply,
    Ref,
    Refuse,
    Reply,
    RequestId,
    Response,
    SupervisorsError,
    System,
    TableOwner,
    UnexpectedRequestError,
    cast,
    send_after,
    send_request,
)

__all__ = ["RoutingServer"]

CONTACTS: Final = "dht_contacts"
RECORDS: Final = "dht_records"
PUBLISHED: Final = "dht_published"
MAX_JOINERS: Final = 1024  # callers that wait until this node has joined


@dataclass(frozen=True, slots=True)
class _Wake:
    """Time for a round of upkeep."""


@dataclass(frozen=True, slots=True)
class _PublishDue:
    """Time to look whether own records are due."""


@dataclass(frozen=True, slots=True)
class _SaveDue:
    """Time to save the contacts."""


class RoutingServer(GenServer):
    """Keeps contacts and records, in tables that outlive it, and never waits.

    Lookups and stores are processes of their own, which answer who waits for them even if this one is restarted.
    """

    trap_exit = True  # to save the contacts

    @override
    async def init(self, config: DhtConfig) -> Continue:
        self._config = config
        self._node_id = config.identity.node_id
        self._is_open = config.security is Security.OPEN
        system = System.current()
        self._clock, self._random = Clock(system, config.wall_clock_ms), system.random
        self._handled = self._refused = self._throttled = 0
        self._loading: RequestId | None = None
        self._wake = Alarm(_Wake())
        self._publication = Alarm(_PublishDue())
        self._joiners: list[From] = []
        now, limits, most = self._clock.now(), config.buckets, config.records.max_records
        contacts = await TableOwner.claim(TABLES, CONTACTS, max_entries=limits.k * ID_BITS)
        records = await TableOwner.claim(TABLES, RECORDS, max_entries=most)
        published = await TableOwner.claim(TABLES, PUBLISHED, max_entries=most)
        table = RoutingTable(self._node_id, limits, refresh_after=config.refresh_after)
        self.contacts = ContactBook(table, contacts, max_former=config.max_former, now=now)
        self.records = RecordStore(self._node_id, config.records, security=config.security, table=records)
        self.own = OwnRecords(config.identity, self.records, published, config.republish, now, most=most)
        self.upkeep = Upkeep(config, self.contacts, self.records, self.own, now)
        self.upkeep.replication.resume(now, self._clock.now_ms(), self._random)
        self._senders = SenderBook(config.senders, self.records)
        self._neighbours = Neighbours(config, self.contacts, self.upkeep, self._clock, self._random)
        self._jobs = JobBook(config, self._job_failed)
        return Continue(None)

    @override
    def handle_continue(self, term: object) -> None:
        if self._config.data_dir is not None:
            self._loading = send_request(ROUTING_KEEPER, Load())
            send_after(self._config.save_interval, self.actor_ref, _SaveDue())
        self._schedule()

    @override
    def handle_call(self, request: object, from_: From) -> Reply | NoReply | Refuse:
        try:
            reply = self._answer(request, from_)
        except MaculaError as error:
            self._refused += 1
            reply = Refuse(error)
        self._schedule()
        return reply

    @override
    def handle_cast(self, request: object) -> None:
        match request:
            case Learned():
                self._neighbours.learn(request)
            case JobDone(ref, job, has_failed, is_ended, learned):
                self._neighbours.learn(learned)
                self._jobs.done(ref, is_ended=is_ended)
                self._job_done(job, has_failed=has_failed)
            case Touch(contact):
                self._neighbours.heard_from(contact)
            case _:
                raise UnexpectedRequestError(request)
        self._schedule()

    @override
    def handle_info(self, info: object) -> None:
        match info:
            case Response(reqid) if self._jobs.is_start(reqid):
                if self._jobs.started(reqid):
                    return  # nothing is due earlier by that
            case Response(reqid) if reqid is self._loading:
                self._loaded(reqid)
            case Response(reqid):
                self._neighbours.answered(reqid)
            case Down(_, Ref() as ref, _):
                self._jobs.down(ref)
            case PingAgain(ping):
                self._neighbours.again(ping)
            case _Wake():
                self._wake.rang()
                self._round()
            case _PublishDue():
                self._publication.rang()
                self._publish()
            case _SaveDue():
                self._save_contacts()
                send_after(self._config.save_interval, self.actor_ref, _SaveDue())
            case _:
                raise UnexpectedRequestError(info)
        self._schedule()

    @override
    def terminate(self, reason: ExitReason) -> None:
        if self._config.data_dir is not None:
            self._save_contacts()

    # Requests

    def _answer(self, request: object, from_: From) -> Reply | NoReply | Refuse:
        table = self.contacts.table
        match request:
            case HandleMessage(sender, message):
                return Reply(self._handle(sender, message))
            case LookUpValue(key) if self._is_outside() and not self.records.get_all(key, self._clock.now_ms()):
                raise QuorumError(0, 1)
            case LookUpValue(key):
                return self._look_up(Purpose.FIND_VALUE, key, from_)
            case LookUpNode(target):
                return self._look_up(Purpose.FIND_NODE, target, from_)
            case StoreRecord(key, payload, ttl, durable):
                self._jobs.check_room()  # what is refused is not kept
                record = self.own.seal(key, self._for_all(payload, is_short=durable), ttl, self._clock.now_ms())
                self.own.publish(record, self._clock.now(), self._clock.now_ms(), self._random)
                return self._store(record, from_, is_durable=durable)
            case DeleteRecord(key):
                self._jobs.check_room()
                tombstone = self.own.delete(key, self._clock.now(), self._clock.now_ms(), self._random)
                return Reply(0) if tombstone is None else self._store(tombstone, from_)
            case StoreLocal(key, payload, ttl):
                self._jobs.changed(key)
                return Reply(self.own.seal(key, self._for_all(payload), ttl, self._clock.now_ms()))
            case DeleteLocal(key):
                self._jobs.changed(key)
                self._save_record(key, None)
                return Reply(self.own.withdraw(key))
            case GetLocal(key):
                return Reply(self.records.get(key, self._clock.now_ms()))
            case AddNode(contact):
                self._neighbours.add(contact, from_)
                return NoReply()
            case RemoveNode(node_id):
                return Reply(self.contacts.remove(node_id, self._clock.now()) is not None)
            case FindClosest(target, most):
                return Reply(self.closest(target, most))
            case GetRoutingTable():
                return Reply(tuple(table))
            case GetSize():
                return Reply(len(table))
            case GetStats():
                return Reply(self.statistics())
            case AwaitJoined():
                return self._await_joined(from_)
            case _:
                raise UnexpectedRequestError(request)

    def _for_all(self, payload: Value, *, is_short: bool = False) -> Value:
        """Return ``payload`` as all nodes of this mesh read it; ``is_short``: one too long for some is refused."""
        return for_v08(payload, is_short=is_short) if self._is_open else payload

    def _is_outside(self) -> bool:
        """Tell whether there is a mesh to join, or was one, of which this node has not met anybody yet."""
        is_new = not len(self.contacts) and not self.upkeep.is_joined
        return is_new and bool(len(self.upkeep.joining) or self._loading is not None or self.contacts.has_unasked)

    def _await_joined(self, from_: From) -> NoReply:
        if len(self._joiners) >= MAX_JOINERS:
            raise OverloadedError("callers that wait until this node has joined", MAX_JOINERS)
        self._joiners.append(from_)
        return NoReply()

    def _tell_joiners(self) -> None:
        is_alone = not len(self.contacts)
        if self.upkeep.is_joined or (is_alone and not self._is_outside()):
            for from_ in self._joiners:
                from_.reply(not is_alone)
            self._joiners.clear()

    def _look_up(self, purpose: Purpose, target: NodeId, from_: From) -> NoReply:
        if not self._jobs.join(purpose, target, from_):
            self._jobs.start(purpose, target, partial(self._lookup_job, purpose, target), from_)
        return NoReply()

    def _lookup_job(self, purpose: Purpose, target: NodeId) -> Job:
        is_for_value = purpose is Purpose.FIND_VALUE
        known = self.records.get_all(target, self._clock.now_ms()) if is_for_value else ()
        return self.upkeep.job(purpose, target, known)

    def _store(self, record: Record, from_: From, *, is_durable: bool = True) -> NoReply:
        self._jobs.changed(record.key)
        self._save_record(record.key, record if is_durable else None)
        self._jobs.start(Purpose.STORE, record.key, partial(self._store_job, record), from_)
        return NoReply()

    def _store_job(self, record: Record) -> Job:
        return self.upkeep.publication(record, self._clock.now())

    def closest(self, target: NodeId, count: int) -> tuple[Contact, ...]:
        """Return up to ``count`` contacts of the table, nearest to ``target`` first."""
        return tuple(self.contacts.table.closest(target, count))

    def statistics(self) -> RoutingStats:
        """Return its counts."""
        return RoutingStats(
            contacts=len(self.contacts),
            buckets=len(self.contacts.table.indices),
            records=self.records.stats(),
            published=len(self.own),
            is_joined=self.upkeep.is_joined or not len(self.upkeep.joining),
            lookups=self._jobs.lookups,
            waiting=self._jobs.waiting,
            upkeep=self._jobs.upkeep,
            pings=self._neighbours.asked,
            handled=self._handled,
            refused=self._refused,
            throttled=self._throttled,
        )

    # Messages of peers

    def _handle(self, sender: Contact, message: DhtMessage) -> DhtReply | None:
        self._handled += 1
        if sender.node_id is None and not self._is_open:
            raise RefusedError("no_node_id", "who sends this did not say who it is")
        self._neighbours.heard_from(sender)
        match message:
            case FindNode(target=target, request_id=request_id):
                nodes = self._neighbours.closest(NodeId.normalize(target), sender)
                return FindNodeReply(nodes=nodes, request_id=request_id, node_id=bytes(self._node_id))
            case FindValue(key=key, request_id=request_id):
                target = NodeId.normalize(key)
                values = tuple(record.to_value() for record in self.records.get_all(target, self._clock.now_ms()))
                nodes = self._neighbours.closest(target, sender)
                if not values:
                    return FindValueReply(result="nodes", nodes=nodes, request_id=request_id)
                return FindValueReply(result="value", value=values, nodes=nodes, request_id=request_id)
            case Store(key=key, value=value, request_id=request_id):
                self._keep(sender_of(sender), NodeId.normalize(key), value)
                return None if self._is_open else StoreReply(request_id=request_id)  # spec/wire.md: nothing

    def _keep(self, sender: Hashable, key: NodeId, value: Value) -> None:
        """Keep what a peer has sent. Of an older one than there is, it is told nothing: the newer one is kept."""
        now, now_ms = self._clock.now(), self._clock.now_ms()
        self._check(self._senders.sent(sender, now))
        record = Record.from_value(key, value, security=self._config.security, now_ms=now_ms)
        slot = record.key, record.owner
        is_new = slot not in self.records
        if is_new:
            self._check(self._senders.room(sender, now))
        put = self.records.put(record, now_ms)
        if is_new and isinstance(put, Stored):
            self._senders.brought(sender, slot, now)
        match put:
            case Stored() | Refreshed():
                self._jobs.changed(key)
                self.upkeep.replication.heard(record, now, self._random)
            case RecordRefused(RecordRefusal.FULL):
                raise OverloadedError("records")
            case RecordRefused(reason):
                raise RefusedError(reason, "the record is not kept")
            case _:
                pass

    def _check(self, excess: Excess | None) -> None:
        if excess is not None:
            self._throttled += 1
            raise OverloadedError(excess.what, excess.limit)

    # Upkeep

    def _round(self) -> None:
        room = self._jobs.room(JobKind.UPKEEP, self._config.max_upkeep)
        due = self.upkeep.round(self._clock.now(), self._clock.now_ms(), self._random, room)
        self._neighbours.find_again(due.endpoints, due.former)
        for job in due.jobs:
            self._jobs.start_upkeep(job, JobKind.UPKEEP)

    def _publish(self) -> None:
        now = self._clock.now()
        room = self._jobs.room(JobKind.PUBLICATION, self._config.max_publishing)
        for job in self.upkeep.publications(now, self._clock.now_ms(), self._random, room):
            self._jobs.start_upkeep(job, JobKind.PUBLICATION)

    def _job_done(self, job: Job, *, has_failed: bool) -> None:
        self.upkeep.done(job, self._clock.now(), self._clock.now_ms(), self._random, has_failed=has_failed)

    def _job_failed(self, job: Job) -> None:
        self._job_done(job, has_failed=True)

    def _schedule(self) -> None:
        """Have a round of upkeep when there is something to do, and not too soon after the last one."""
        now, now_ms = self._clock.now(), self._clock.now_ms()
        self._wake.set(self.upkeep.next_round(now, now_ms), now)
        self._publication.set(self.upkeep.next_publication(now, now_ms), now)
        if self._joiners:
            self._tell_joiners()

    # What outlives the node

    def _loaded(self, reqid: RequestId) -> None:
        self._loading = None
        try:
            saved: Saved = reqid.result()
        except SupervisorsError:
            return
        now, now_ms = self._clock.now(), self._clock.now_ms()
        for record in saved.records:
            self.own.restore(record, now, now_ms)
        self.contacts.remember(each.contact for each in saved.contacts)
        if not len(self.contacts):
            self.upkeep.isolated(now)
            self.upkeep.hurry()  # ask them

    def _save_record(self, key: NodeId, record: Record | None) -> None:
        if self._config.data_dir is not None:
            cast(ROUTING_KEEPER, SaveRecord(key, record))

    def _save_contacts(self) -> None:
        if self._loading is not None:
            return  # those that are saved are not here yet
        cast(ROUTING_KEEPER, SaveContacts(self.contacts.snapshot(self._clock.now()), self._clock.now_ms()))
