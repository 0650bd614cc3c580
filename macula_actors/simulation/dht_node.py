"""A whole node of the DHT over a `MessageNetwork`: the pure core, and what RoutingServer does with it.

It joins, refreshes, stores with a lookup, finds, publishes again, replicates, hands over and forgets. It has no
processes: thousands of them run in one.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf
from random import Random
from typing import Final

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.bucket_decisions import Added, PingFirst
from macula_actors.core.kademlia.hand_over import HandOver
from macula_actors.core.kademlia.lookup_decisions import LookupResult
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.record import DEFAULT_TTL, Record, next_sequence
from macula_actors.core.kademlia.record_decisions import Ignored, Refreshed, Stored
from macula_actors.core.kademlia.record_decisions import Refused as RecordRefused
from macula_actors.core.kademlia.record_store import RecordStore
from macula_actors.core.kademlia.republish import ReplicationPlan, RepublishPlan
from macula_actors.core.kademlia.table import RoutingTable
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.handshake import Security
from macula_actors.core.peer.identity import Identity
from macula_actors.core.wire.messages import (
    FindNode,
    FindNodeReply,
    FindValue,
    FindValueReply,
    NodeInfo,
    Store,
    StoreReply,
)
from macula_actors.core.wire.values import Value
from macula_actors.errors import MaculaError, RefusedError, RemoteProtocolError
from macula_actors.simulation.dht_lookup import LookupRun
from macula_actors.simulation.dht_settings import DhtSettings
from macula_actors.simulation.message_network import Answer, Exchange, MessageNetwork, Port
from macula_actors.simulation.node_infos import NodeInfos

__all__ = ["DhtNode", "Found", "Published"]

_EPOCH_MS: Final = 1_700_000_000_000  # milliseconds since 1970 at the loop's instant 0
_RETRY_AFTER: Final = 0.6  # of the refresh period: the least since a bucket's last lookup
_PUBLISH_INTERVAL: Final = 0.1  # seconds between two looks at which own records are due


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a find has found.

    Args:
        key: that was looked for.
        records: of all owners, the latest of each; none is deleted.
        seconds: it took.
        hops: nodes asked one after the other to learn of the nearest holder, and that one itself; 0: it was here.
        queries: sent.
        failures: of them.
    """

    key: NodeId
    records: tuple[Record, ...]
    seconds: float
    hops: int
    queries: int
    failures: int


@dataclass(frozen=True, slots=True)
class Published:
    """How many nodes took a record that was published, and how many lookups and STOREs it took."""

    key: NodeId
    accepted: int
    messages: int


class DhtNode:
    """A node; see the module.

    Args:
        network: where it lives.
        identity: its key; the node id is that of it.
        endpoint: its address, which no other node has.
        settings: its tunables.
        infos: one for all nodes of a network.
        seed: of its chance, with its node id.
    """

    def __init__(
        self,
        network: MessageNetwork,
        identity: Identity,
        endpoint: Endpoint,
        *,
        settings: DhtSettings | None = None,
        infos: NodeInfos | None = None,
        seed: int = 0,
    ) -> None:
        self.settings: Final = settings or DhtSettings()
        self.identity: Final = identity
        self.port: Port = network.attach(Contact(endpoint, identity.node_id), self.handle)
        self.table: Final = RoutingTable(
            identity.node_id, self.settings.bucket, refresh_after=_RETRY_AFTER * self.settings.refresh_period
        )
        self.records: Final = RecordStore(identity.node_id, self.settings.records)
        self._network = network
        self._infos = infos or NodeInfos()
        self._rng = Random(seed ^ int.from_bytes(identity.node_id))
        self._bootstrap: tuple[Contact, ...] = ()
        self._own: dict[NodeId, tuple[Value, int]] = {}  # payload and ttl, by key
        self._republish = RepublishPlan(self.settings.republish)
        self._replication = ReplicationPlan(self.records, identity.node_id, self.settings.republish)
        self._wake_at = inf
        self._has_joined = False

    @property
    def node_id(self) -> NodeId:
        """Its id."""
        return self.port.node_id

    @property
    def contact(self) -> Contact:
        """Its address and id."""
        return self.port.contact

    @property
    def is_up(self) -> bool:
        """Whether it runs."""
        return self.port.is_up

    @property
    def has_joined(self) -> bool:
        """Whether it runs and knows anybody."""
        return self.is_up and self._has_joined

    def join(self, bootstrap: Iterable[Contact], on_joined: Callable[[], None] | None = None) -> None:
        """Look up its own id, beginning with ``bootstrap``, again and again until somebody answers; then refresh."""
        self._bootstrap = tuple(each for each in bootstrap if each.node_id != self.node_id)
        self._look_up(self.node_id, lambda result: self._joined(result, on_joined), self._bootstrap)

    def stay(self, bootstrap: Iterable[Contact] = ()) -> None:
        """Begin to refresh, as a node that has joined does."""
        self._has_joined = True
        self._bootstrap = self._bootstrap or tuple(each for each in bootstrap if each.node_id != self.node_id)
        period = self.settings.refresh_period
        self.port.call_at(self._network.now + period * (0.5 + 0.5 * self._rng.random()), self._refresh)

    def stop(self) -> None:
        """Be gone, without a word."""
        self.port.detach()

    def publish(
        self,
        key: NodeId,
        payload: Value,
        *,
        ttl: int = DEFAULT_TTL,
        on_end: Callable[[Published], None] | None = None,
    ) -> None:
        """Store ``payload`` under ``key`` at the k closest nodes, now and again before it expires."""
        self._own[key] = (payload, ttl)
        self._republish.add(key, ttl, self._network.now)
        self._republish.failed(key, self._network.now, self._rng)  # this time is now
        self._publish(key, on_end)

    def find(self, key: NodeId, on_end: Callable[[Found], None], *, stop_after: float | None = None) -> None:
        """Find the records under ``key``, here or at the nodes closest to it; ``stop_after`` holders have answered."""
        started = self._network.now
        here = self.records.get(key, self.now_ms())
        if here:
            on_end(Found(key=key, records=here, seconds=0.0, hops=0, queries=0, failures=0))
            return
        limits = self.settings.find if stop_after is None else replace(self.settings.find, stop_after=stop_after)
        LookupRun(
            self,
            key,
            self.table.closest(key, limits.k),
            lambda result: on_end(self._found(result, started)),
            limits=limits,
            query_timeout=self.settings.query_timeout,
            is_for_value=True,
        )

    def find_node(self, target: NodeId, on_end: Callable[[LookupResult[Record]], None]) -> None:
        """Find the k nodes closest to ``target``."""
        self._look_up(target, on_end)

    def handle(self, exchange: Exchange) -> None:
        """Answer a request."""
        self._seen(exchange.sender)
        match exchange.message:
            case FindNode(target=target):
                exchange.answer(FindNodeReply(nodes=self.closest(target, exchange.sender)))
            case FindValue(key=key):
                exchange.answer(self._value_reply(NodeId.normalize(key), exchange.sender))
            case Store(key=key, value=value):
                exchange.answer(self._keep(NodeId.normalize(key), value))
            case _:
                exchange.answer(RefusedError("unexpected", "a simulated node knows the DHT's messages only"))

    def now_ms(self) -> int:
        """Return the milliseconds since 1970 by its clock."""
        return _EPOCH_MS + int(self._network.now * 1000)

    def closest(self, target: bytes, asker: Contact) -> tuple[NodeInfo, ...]:
        """Return whom it tells ``asker`` of."""
        k = self.settings.bucket.k
        return self._infos.of(self.table.closest(NodeId.normalize(target), k, without=asker.node_id))

    def judge(self, contact: Contact, answer: Answer, key: NodeId) -> tuple[list[Contact], list[Record]] | None:
        """Return the contacts and the valid records in ``answer``; None if the query failed. The table hears of it."""
        if not isinstance(answer, FindNodeReply | FindValueReply):
            self._failed(contact)
            return None
        self._seen(contact)
        records = self._valid(key, answer.value or ()) if isinstance(answer, FindValueReply) else []
        return self._infos.contacts(answer.nodes or ()), records

    def _value_reply(self, key: NodeId, asker: Contact) -> FindValueReply:
        nodes = self.closest(key, asker)
        records = self.records.get_all(key, self.now_ms())
        if not records:
            return FindValueReply(result="nodes", nodes=nodes)
        return FindValueReply(result="value", value=tuple(each.to_value() for each in records), nodes=nodes)

    def _valid(self, key: NodeId, values: Iterable[Value]) -> list[Record]:
        return [record for value in values if (record := self._verified(key, value)) is not None]

    def _verified(self, key: NodeId, value: Value) -> Record | None:
        try:
            record = Record.from_value(key, value, security=Security.VERIFIED, now_ms=self.now_ms())
            record.verify()
        except RemoteProtocolError:
            return None
        return record if record.expires_at > self.now_ms() else None

    def _keep(self, key: NodeId, value: Value) -> StoreReply | MaculaError:
        now_ms = self.now_ms()
        try:
            record = Record.from_value(key, value, security=Security.VERIFIED, now_ms=now_ms)
        except RemoteProtocolError as error:
            return RefusedError(error.code, error.detail)
        match self.records.put(record, now_ms):
            case RecordRefused(reason):
                return RefusedError(reason.value, "")
            case Ignored():
                pass
            case Stored() | Refreshed():
                self._replication.heard(record, self._network.now, self._rng)
                self._wake_for_plans()
        return StoreReply()

    def _found(self, result: LookupResult[Record], started: float) -> Found:
        latest: dict[NodeId, Record] = {}
        for record in result.values:
            if record.owner not in latest or latest[record.owner].version < record.version:
                latest[record.owner] = record
        return Found(
            key=result.target,
            records=tuple(each for each in latest.values() if not each.is_tombstone),
            seconds=self._network.now - started,
            hops=result.hops + 1,
            queries=result.queries,
            failures=result.failures,
        )

    # --- staying ------------------------------------------------------------------------------------------------------

    def _look_up(
        self,
        target: NodeId,
        on_end: Callable[[LookupResult[Record]], None] | None = None,
        others: Sequence[Contact] = (),
    ) -> None:
        LookupRun(
            self,
            target,
            [*self.table.closest(target, self.settings.locate.k), *others],
            lambda result: self._looked_up(result, on_end),
            limits=self.settings.locate,
            query_timeout=self.settings.query_timeout,
        )

    def _looked_up(self, result: LookupResult[Record], on_end: Callable[[LookupResult[Record]], None] | None) -> None:
        if result.target == self.node_id:
            self.table.looked_up_self(self.settings.locate.k, self._network.now, self._rng)
        else:
            self.table.looked_up(result.target, self._network.now, self._rng)
        if on_end is not None:
            on_end(result)

    def _joined(self, result: LookupResult[Record], on_joined: Callable[[], None] | None) -> None:
        if not result.contacts and self._bootstrap:
            again = self._network.now + self.settings.rejoin_after * (0.5 + self._rng.random())
            self.port.call_at(again, lambda _: self.join(self._bootstrap, on_joined))
            return
        self._refresh_buckets()
        self.stay()
        if on_joined is not None:
            on_joined()

    def _refresh(self, now: float) -> None:
        """Look up its own id, beginning with whom its bootstrap nodes know too: so parts of a mesh find together."""
        heard: list[Contact] = []
        for each in self._bootstrap:
            if each.node_id not in self.table:
                self._ping(each, heard)
        self.port.call_at(now + self.settings.query_timeout, lambda _: self._refresh_nearest(heard))
        self.stay()

    def _refresh_nearest(self, heard: Sequence[Contact]) -> None:
        self._look_up(self.node_id, lambda _: self._refresh_buckets(), heard)

    def _refresh_buckets(self) -> None:
        for index in self.table.to_refresh(self._network.now):
            self._look_up(self.table.random_id(index, self._rng))

    def _seen(self, contact: Contact) -> None:
        decision = self.table.seen(contact, self._network.now)
        match decision:
            case Added():
                self._hand_over(contact)
            case PingFirst(oldest):
                self._ping(oldest)
            case _:
                pass

    def _failed(self, contact: Contact) -> None:
        if contact.node_id is not None:
            self.table.failed(contact.node_id, self._network.now)

    def _ping(self, contact: Contact, heard: list[Contact] | None = None) -> None:
        def pinged(answer: Answer) -> None:
            if isinstance(answer, FindNodeReply):
                self._seen(contact)
                if heard is not None:
                    heard.extend(self._infos.contacts(answer.nodes or ()))
            else:
                self._failed(contact)

        self.port.request(contact, FindNode(target=self.node_id), self.settings.query_timeout, pinged)

    # --- records ------------------------------------------------------------------------------------------------------

    def _publish(self, key: NodeId, on_end: Callable[[Published], None] | None = None) -> None:
        payload, ttl = self._own[key]
        now_ms = self.now_ms()
        sequence = next_sequence(self.records.find(key, self.node_id, now_ms), now_ms)
        record = Record.seal(self.identity, key, payload, sequence=sequence, now_ms=now_ms, ttl=ttl)
        self.records.put(record, now_ms)
        self._look_up(key, lambda result: self._store_at(result, [record], on_end))
        self._wake_for_plans()

    def _store_at(
        self,
        result: LookupResult[Record],
        records: Sequence[Record],
        on_end: Callable[[Published], None] | None = None,
    ) -> None:
        stores = _Stores(result, len(records), lambda published: self._published(published, on_end))
        for record in records:
            for contact in result.contacts:
                self._send(contact, record, stores.one_done)
        stores.begin()

    def _send(self, contact: Contact, record: Record, done: Callable[[Answer], None] | None = None) -> None:
        message = Store(key=record.key, value=record.to_value())
        self.port.request(contact, message, self.settings.query_timeout, done or (lambda _: None))

    def _published(self, published: Published, on_end: Callable[[Published], None] | None) -> None:
        if published.key in self._own and published.accepted:
            self._republish.published(published.key, self._network.now, self._rng)
            self._wake_for_plans()
        if on_end is not None:
            on_end(published)

    def _hand_over(self, newcomer: Contact) -> None:
        if newcomer.node_id is None or not self.records.stats().records:
            return
        plan = HandOver(newcomer.node_id, self.table, k=self.settings.bucket.k, senders=self.settings.senders)
        now_ms = self.now_ms()
        for key in filter(plan.includes, self.records.keys()):
            for record in self.records.get_all(key, now_ms):
                self._send(newcomer, record)

    def _wake_for_plans(self) -> None:
        due = max(min(self._republish.next_due(), self._replication.next_due()), self._network.now + _PUBLISH_INTERVAL)
        if due < self._wake_at:
            self._wake_at = due
            self.port.call_at(due, self._carry_out_plans)

    def _carry_out_plans(self, now: float) -> None:
        self._wake_at = inf
        now_ms = self.now_ms()
        self.records.expire(now_ms)
        for key in self._republish.due(now, self._rng, len(self._republish)):
            self._publish(key)
        for each in self._replication.due(now, now_ms, self._rng):
            self._replicate(each.key, each.owners)
        self._wake_for_plans()

    def _replicate(self, key: NodeId, owners: Sequence[NodeId]) -> None:
        now_ms = self.now_ms()
        found = (self.records.find(key, owner, now_ms) for owner in owners)
        records = [each for each in found if each is not None]
        self._look_up(key, lambda result: self._store_at(result, records))


class _Stores:
    """Counts the answers to STOREs."""

    __slots__ = ("_accepted", "_left", "_messages", "_on_end", "_target")

    def __init__(self, result: LookupResult[Record], records: int, on_end: Callable[[Published], None]) -> None:
        self._target = result.target
        self._left = len(result.contacts) * records
        self._messages = result.queries + self._left
        self._accepted = 0
        self._on_end = on_end

    def begin(self) -> None:
        """Be done at once, if there is nobody to wait for."""
        if not self._left:
            self._end()

    def one_done(self, answer: Answer) -> None:
        """Take an answer."""
        self._left -= 1
        self._accepted += isinstance(answer, StoreReply)
        if not self._left:
            self._end()

    def _end(self) -> None:
        self._on_end(Published(self._target, self._accepted, self._messages))
