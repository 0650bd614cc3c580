"""The process of one lookup, and of storing at those that it found.

Erlang: macula_routing_dht, inside macula_routing_server, which waited for it (D-49, D-53).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from typing_extensions import override

from macula_actors.actors.routing.jobs import Await, Begin, Job, JobDone, Purpose
from macula_actors.config import DhtConfig
from macula_actors.core.kademlia.delivery import Delivery
from macula_actors.core.kademlia.exchange import Verdict, contacts_of, verdict_of
from macula_actors.core.kademlia.lookup import Lookup
from macula_actors.core.kademlia.lookup_decisions import Finished, LookupResult, Query, Wait
from macula_actors.core.kademlia.read_repair import repairs
from macula_actors.core.kademlia.record import Record
from macula_actors.core.kademlia.record_decisions import Refused
from macula_actors.core.kademlia.record_store import RecordLimits, RecordStore, Slot
from macula_actors.core.peer.contact import Contact
from macula_actors.core.wire.messages import FindNode, FindNodeReply, FindValue, FindValueReply, Message, Store
from macula_actors.core.wire.values import Value
from macula_actors.errors import MaculaError, OverloadedError, QuorumError, RefusedError, RemoteProtocolError
from macula_actors.messages.gateway_dht import DhtMessage, query_peer_nowait
from macula_actors.messages.names import GATEWAY_DHT, ROUTING_SERVER
from macula_actors.messages.routing_server import Learned
from supervisors import (
    From,
    GenServer,
    NoReply,
    Normal,
    Refuse,
    Reply,
    RequestId,
    Response,
    Stop,
    SupervisorsError,
    System,
    TimerRef,
    UnexpectedRequestError,
    cancel_timer,
    cast,
    send_after,
)

__all__ = ["LookupProcess"]

MERGE_LIMITS = RecordLimits(max_per_key=1024, max_bytes_per_key=8 * 1_048_576)  # of all holders together


@dataclass(frozen=True, slots=True)
class _Due:
    """Time to look at what is slow."""


@dataclass(frozen=True, slots=True)
class _Abandoned:
    """RoutingServer has ended before it could say `Begin`."""


@dataclass(frozen=True, slots=True, eq=False)
class _Question:
    contact: Contact
    message: DhtMessage
    attempt: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class _Again:
    """Time to ask once more."""

    question: _Question


class LookupProcess(GenServer):
    """Does one `Job` and ends. It lives on after its outcome until all it has asked have answered or are silent.

    RoutingServer may be restarted meanwhile: who waits, waits for this process.
    """

    @override
    def init(self, job: Job, config: DhtConfig) -> None:
        self.job = job
        self._config = config
        self._system = System.current()
        self._node_id = config.identity.node_id
        self._asked: dict[RequestId, _Question] = {}
        self._again = 0  # questions that wait to be asked once more
        self._waiting: list[From] = []
        self._outcome: object = None
        self._is_over = False
        self._answered: dict[Contact, None] = {}
        self._silent: dict[Contact, None] = {}
        self._due: TimerRef | None = None
        self._found: RecordStore = RecordStore(self._node_id, MERGE_LIMITS, security=config.security)
        self._lookup: Lookup[Record] = self._begin()
        self._message = self._query()  # one for all, so that it is encoded once
        self._stores: dict[Slot, Store] = {}
        self._delivery: Delivery | None = None
        self._patience_ends_at = 0.0
        self._refusal: MaculaError | None = None  # of one of those that should keep a record
        self._unbegun: TimerRef | None = send_after(config.query_timeout, self.actor_ref, _Abandoned())

    @override
    def handle_cast(self, request: object) -> NoReply | Stop:
        if not isinstance(request, Begin) or self._unbegun is None:
            raise UnexpectedRequestError(request)
        cancel_timer(self._unbegun)
        self._unbegun = None
        if self.job.is_direct:
            self._deliver_to(self.job.contacts)
        elif self.job.purpose is Purpose.FIND_VALUE:
            self._take(self.job.records)
        return self._advance()

    @override
    def handle_call(self, request: object, from_: From) -> NoReply | Reply | Refuse:
        if not isinstance(request, Await):
            raise UnexpectedRequestError(request)
        if not self._is_over:
            self._waiting.append(from_)
            return NoReply()
        return Refuse(self._outcome) if isinstance(self._outcome, MaculaError) else Reply(self._outcome)

    @override
    def handle_info(self, info: object) -> NoReply | Stop:
        match info:
            case Response(reqid):
                self._responded(self._asked.pop(reqid), reqid)
            case _Again(question):
                self._again -= 1
                if not self._is_over:
                    self._ask(replace(question, attempt=question.attempt + 1))
            case _Due():
                self._due = None
            case _Abandoned():
                return Stop(Normal())
            case _:
                raise UnexpectedRequestError(info)
        return self._advance()

    def _begin(self) -> Lookup[Record]:
        is_for_value = self.job.purpose is Purpose.FIND_VALUE
        return Lookup(
            self.job.target,
            node_id=self._node_id,
            contacts=() if self.job.is_direct else self.job.contacts,
            limits=self._config.find if is_for_value else self._config.locate,
            now=self._system.now(),
        )

    def _advance(self) -> NoReply | Stop:
        if not self._is_over:
            if self._delivery is None:
                self._look_up()
            if self._delivery is not None:
                self._deliver(self._delivery)
        if not self._is_over or self._asked or self._again:
            return NoReply()
        if self._answered or self._silent:  # after the outcome
            cast(ROUTING_SERVER, self._learned())
        return Stop(Normal())

    # The lookup

    def _look_up(self) -> None:
        while True:
            match self._lookup.next(self._system.now()):
                case Query(contact):
                    self._ask(_Question(contact, self._message))
                case Wait(until):
                    return self._wait(until)
                case Finished(result):
                    return self._looked_up(result)

    def _query(self) -> FindNode | FindValue:
        target = bytes(self.job.target)
        return FindValue(key=target) if self.job.purpose is Purpose.FIND_VALUE else FindNode(target=target)

    def _wait(self, until: float) -> None:
        if self._due is not None:
            cancel_timer(self._due)
        self._due = send_after(max(until - self._system.now(), 0.0), self.actor_ref, _Due())

    def _looked_up(self, result: LookupResult[Record]) -> None:
        match self.job.purpose:
            case Purpose.FIND_VALUE:
                self._conclude(self._values(result))
                self._repair(result)
            case Purpose.STORE:
                self._deliver_to(result.contacts)
            case _:
                self._conclude(result.contacts)

    def _values(self, result: LookupResult[Record]) -> tuple[Record, ...] | MaculaError:
        records = self._found.get(self.job.target, self._config.wall_clock_ms())
        is_unknown = not records and not self._found.keys() and bool(result.queries) and not result.contacts
        return QuorumError(0, 1) if is_unknown else records

    def _take(self, records: Sequence[Record]) -> tuple[Record, ...]:
        """Merge ``records``; return those that are their owners'."""
        now_ms = self._config.wall_clock_ms()
        return tuple(record for record in records if not isinstance(self._found.put(record, now_ms), Refused))

    def _records(self, values: Sequence[Value] | None) -> list[Record]:
        security, now_ms = self._config.security, self._config.wall_clock_ms()
        records = []
        for value in (values or ())[: self._config.find.max_values]:
            try:
                records.append(Record.from_value(self.job.target, value, security=security, now_ms=now_ms))
            except RemoteProtocolError:  # the other ones may be good
                continue
        return records

    # Storing

    def _deliver_to(self, contacts: Sequence[Contact]) -> None:
        self._delivery = Delivery(contacts, self.job.records, self._config.max_stores)
        self._patience_ends_at = self._system.now() + self._config.locate.slow_after
        self._wait(self._patience_ends_at)

    def _deliver(self, delivery: Delivery) -> None:
        for contact, record in delivery.next():
            self._ask(_Question(contact, self._store_of(record)))
        is_late = self._system.now() >= self._patience_ends_at
        # Those who wait are not held up by a few that are silent; these are waited for all the same.
        if delivery.is_done or (is_late and delivery.is_all_sent and delivery.takers):
            self._conclude(self._takers(delivery))

    def _store_of(self, record: Record) -> Store:
        slot = record.key, record.owner
        if slot not in self._stores:
            self._stores[slot] = Store(key=bytes(record.key), value=record.to_value())
        return self._stores[slot]

    def _repair(self, result: LookupResult[Record]) -> None:
        """Give what was found to those that should have it; nobody waits for that."""
        latest = self._found.get_all(self.job.target, self._config.wall_clock_ms())
        for contact, record in repairs(result, latest, self._config.max_repairs):
            self._ask(_Question(contact, self._store_of(record)))

    def _takers(self, delivery: Delivery) -> int | MaculaError:
        takers = delivery.takers
        if not self.job.contacts:
            return 1  # this node is alone
        if not takers:
            return QuorumError(0, 1, self._refusal)
        nearer = sum(taker.distance(self.job.target) < self._node_id.distance(self.job.target) for taker in takers)
        is_among = self.job.purpose is Purpose.STORE and nearer < self._config.locate.k
        return len(takers) + is_among

    # Questions

    def _ask(self, question: _Question) -> None:
        timeout = self._config.query_timeout
        reqid = query_peer_nowait(GATEWAY_DHT, question.contact, question.message, timeout, is_told=False)
        self._asked[reqid] = question

    def _responded(self, question: _Question, reqid: RequestId) -> None:
        try:
            reply: Message | None = reqid.result()
        except MaculaError as error:
            self._refusal = error if isinstance(error, RefusedError | OverloadedError) else self._refusal
            self._came_to_nothing(question, verdict_of(error))
        except SupervisorsError:
            self._came_to_nothing(question, Verdict.LATER)
        else:
            self._answered[question.contact] = None
            self._came(question, reply)

    def _came(self, question: _Question, reply: Message | None) -> None:
        contact, most = question.contact, self._config.locate.max_contacts
        match reply:
            case _ if isinstance(question.message, Store):
                if self._delivery is not None:
                    self._delivery.taken(contact)
            case FindNodeReply(nodes=nodes):
                self._lookup.answered(contact, contacts_of(nodes, most))
            case FindValueReply(nodes=nodes, value=values) if not self._is_over:
                records = () if values is None else self._take(self._records(values))
                self._lookup.answered(contact, contacts_of(nodes, most), records)
            case _:
                self._lookup.failed(contact)

    def _came_to_nothing(self, question: _Question, verdict: Verdict) -> None:
        match verdict:
            case Verdict.LATER if question.attempt <= self._config.max_retries and not self._is_over:
                self._again += 1
                send_after(self._config.retry_after, self.actor_ref, _Again(question))
                return
            case Verdict.ALIVE:
                self._answered[question.contact] = None
            case Verdict.SILENT:
                self._silent[question.contact] = None
            case _:
                pass
        if not isinstance(question.message, Store):
            self._lookup.failed(question.contact)
        elif self._delivery is not None:
            self._delivery.lost()

    # The end

    def _conclude(self, outcome: object) -> None:
        self._is_over, self._outcome = True, outcome
        has_found_nobody = self.job.purpose is Purpose.FIND_NODE and not outcome
        has_failed = isinstance(outcome, MaculaError) or has_found_nobody
        if self._due is not None:
            cancel_timer(self._due)
        for from_ in self._waiting:
            from_.refuse(outcome) if isinstance(outcome, MaculaError) else from_.reply(outcome)
        self._waiting.clear()
        # Who has found a value may go on to give it to others.
        is_ended = not self._asked and not self._again and self.job.purpose is not Purpose.FIND_VALUE
        cast(ROUTING_SERVER, JobDone(self.actor_ref, self.job, has_failed, is_ended, self._learned()))

    def _learned(self) -> Learned:
        """Return what was learned since this was called last."""
        learned = Learned(tuple(self._answered), tuple(self._silent))
        self._answered.clear()
        self._silent.clear()
        return learned
