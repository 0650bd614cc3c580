"""What a node does for the DHT without being asked: joining, refreshing, publishing, replicating, handing over.

Erlang: none of it (D-50, D-52). Paper: sections 2.3 and 2.5. It decides; RoutingServer carries out.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from math import inf
from random import Random
from typing import Final

from macula_actors.actors.routing.jobs import Job, Purpose
from macula_actors.config import DhtConfig
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.contact_book import ContactBook
from macula_actors.core.kademlia.hand_over import HandOver
from macula_actors.core.kademlia.joining import Joining
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.own_records import OwnRecords
from macula_actors.core.kademlia.record import Record
from macula_actors.core.kademlia.record_store import RecordStore
from macula_actors.core.kademlia.republish import ReplicationPlan
from macula_actors.core.peer.contact import Contact

__all__ = ["Round", "Upkeep"]

MAX_GIFTS: Final = 64  # newcomers that wait for their records; replication sees to further ones
KEYS_A_ROUND: Final = 2000  # that are looked at for a newcomer; 2 us each, 30 us those that this node is closest to
JITTER: Final = 0.5  # part of an interval by which it may be shorter, at random
FORMER_A_ROUND: Final = 8  # lost contacts that are asked at once
UNASKED_A_ROUND: Final = 32  # of those from disk, that have not been asked yet


@dataclass(frozen=True, slots=True)
class Round:
    """What is to be done now: endpoints and lost contacts to ask, and jobs to start."""

    endpoints: tuple[Endpoint, ...]
    former: tuple[Contact, ...]
    jobs: tuple[Job, ...]


@dataclass(frozen=True, slots=True)
class _Gift:
    """What a newcomer is to get: of ``keys``, an iterator, those that ``hand_over`` includes."""

    newcomer: Contact
    hand_over: HandOver
    keys: Iterator[NodeId]


class Upkeep:
    """When what is to be done. Instants named ``now`` are monotonic seconds, ``now_ms`` milliseconds since 1970.

    Args:
        config: how often, and how much. ``republish.max_batch`` bounds the jobs of a round, publications apart.
        contacts: the routing table; with contacts that were known before, the node joins by them.
        records: what the node keeps.
        own: what it publishes.
        now: the present.
    """

    def __init__(
        self, config: DhtConfig, contacts: ContactBook, records: RecordStore, own: OwnRecords, now: float
    ) -> None:
        self._config: Final = config
        self._node_id: Final = config.identity.node_id
        self._contacts: Final = contacts
        self._records: Final = records
        self._own: Final = own
        self.replication: Final = ReplicationPlan(records, self._node_id, config.republish)
        self.joining: Final = Joining(config.bootstrap, config.backoff, rejoin_after=config.refresh_after, now=now)
        self.is_joined = False
        self._is_join_due = bool(len(contacts))
        self._starts: list[Contact] = []  # of the lookup by which it joins
        self._refreshing: NodeId | None = None
        self._gifts: deque[_Gift] = deque()
        self._former_at = now + config.refresh_after
        self._isolated_rounds = 0
        self._round_at = self._published_at = -inf

    def round(self, now: float, now_ms: int, rng: Random, room: int) -> Round:
        """Return what to do now, with ``room`` for so many jobs; it may be a batch more."""
        self._round_at = now
        self._records.expire(now_ms)
        endpoints, former = tuple(self.joining.due(now)), tuple(self._former(now, rng))
        jobs = tuple(self._jobs(now, now_ms, rng)) if room > 0 and len(self._contacts) else ()
        return Round(endpoints, former, jobs)

    def next_round(self, now: float, now_ms: int) -> float:
        """Return when to ask for a `round`: when there is something to do, not too soon after the last one."""
        return max(self._next_due(now, now_ms), self._round_at + self._config.upkeep_interval)

    def hurry(self) -> None:
        """Have the next round as soon as there is something to do."""
        self._round_at = -inf

    def _next_due(self, now: float, now_ms: int) -> float:
        expiry = self._records.next_expiry()
        alone = min(
            self.joining.next_due(),
            self._former_at if self._contacts.has_former else inf,
            inf if expiry is None else now + (expiry - now_ms) / 1000,
        )
        return min(alone, self._next_job(now)) if len(self._contacts) else alone

    def publications(self, now: float, now_ms: int, rng: Random, most: int) -> list[Job]:
        """Return up to ``most`` jobs that store own records again, which are sealed anew: also if nobody is there."""
        self._published_at = now
        records = self._own.due(now, now_ms, rng, most)
        if len(self._contacts):
            return [self.publication(record, now) for record in records]
        for record in records:
            self._own.stored(record.key, now, now_ms, rng)
        return []

    def next_publication(self, now: float, now_ms: int) -> float:
        """Return when to ask for `publications`: when some are due, not too soon after the last ones."""
        latest = now + self._config.clock_interval if len(self._own) else inf
        due = min(self._own.next_due(now, now_ms), latest)
        return max(due, self._published_at + self._config.publish_interval)

    def met(self, contact: Contact, node_id: NodeId, now: float, now_ms: int) -> None:
        """Take note that ``contact`` has come into the table: it may be a newcomer who should have some records."""
        if len(self._contacts) == 1:
            self.join(())
            self.hurry()
            self._own.hurry(now, now_ms)
        if len(self._gifts) >= MAX_GIFTS or not self._records.stats().keys:
            return
        hand_over = HandOver(node_id, self._contacts.table, k=self._config.buckets.k)
        self._gifts.append(_Gift(contact, hand_over, iter(self._records.keys())))

    def join(self, starts: Iterable[Contact]) -> None:
        """Have this node's own id looked up, beginning with ``starts`` as well."""
        self._is_join_due = True
        self._starts += starts
        del self._starts[: -4 * self._config.buckets.k]

    def isolated(self, now: float) -> None:
        """Take note that the table is empty, or that there are lost contacts that have not been asked yet."""
        self.is_joined = False
        self._isolated_rounds = 0
        self._former_at = now
        self.joining.isolated(now)

    def done(self, job: Job, now: float, now_ms: int, rng: Random, *, has_failed: bool) -> None:
        """Take note that ``job`` is over."""
        match job.purpose:
            case Purpose.STORE if not has_failed and job.contacts:
                if not job.is_direct:
                    self._contacts.table.looked_up(job.target, now, rng)
                for record in job.records:
                    if record.owner == self._node_id:
                        self._own.stored(record.key, now, now_ms, rng)
            case Purpose.FIND_NODE | Purpose.FIND_VALUE:
                self._looked_up(job, now, rng, has_failed=has_failed)
            case _:
                pass

    def publication(self, record: Record, now: float) -> Job:
        """Return the job that stores an own record at others.

        Where the closest nodes are known for certain it needs no lookup: the first of a neighbourhood looks it up for
        all that are there, else 10,000 records took as many lookups each time.
        """
        job = self.job(Purpose.STORE, record.key, (record,))
        return replace(job, is_direct=job.is_direct or self._is_sure_of(record.key, now))

    def job(self, purpose: Purpose, target: NodeId, records: Iterable[Record] = ()) -> Job:
        """Return a job that begins with the closest contacts of the table."""
        contacts = tuple(self._contacts.table.closest(target, self._config.locate.k))
        is_direct = purpose is Purpose.STORE and self._knows_all
        return Job(purpose=purpose, target=target, contacts=contacts, records=tuple(records), is_direct=is_direct)

    def _is_sure_of(self, key: NodeId, now: float) -> bool:
        return self.is_joined and self._contacts.table.knows_closest(
            key, self._config.locate.k, now, self._config.trust_for
        )

    @property
    def _knows_all(self) -> bool:
        """Whether the network is so small that a lookup could find no more than the table has.

        A lookup of this node's own id has found fewer than k nodes, so they are all, and who joins asks them all.
        """
        return self.is_joined and len(self._contacts) < min(self._config.locate.k, self._config.buckets.k)

    def _looked_up(self, job: Job, now: float, rng: Random, *, has_failed: bool) -> None:
        if job.target == self._refreshing:
            self._refreshing = None
        self.is_joined |= job.target == self._node_id and bool(len(self._contacts))
        if has_failed:
            return
        if job.target != self._node_id:
            self._contacts.table.looked_up(job.target, now, rng)
        elif job.purpose is Purpose.FIND_NODE:
            self._contacts.table.looked_up_self(self._config.locate.k, now, rng)

    def _next_job(self, now: float) -> float:
        if self._gifts or (self._is_join_due and self._refreshing is None):
            return now
        refresh_at = self._contacts.table.next_refresh() if self._refreshing is None else inf
        return min(refresh_at, self.replication.next_due())

    def _jobs(self, now: float, now_ms: int, rng: Random) -> Iterator[Job]:
        if self._refreshing is None:
            yield from self._refresh(now, rng)
        for due in self.replication.due(now, now_ms, rng):
            records = (self._records.find(due.key, owner, now_ms) for owner in due.owners)
            yield self.job(Purpose.STORE, due.key, [record for record in records if record is not None])
        yield from self._give(now_ms)

    def _refresh(self, now: float, rng: Random) -> Iterator[Job]:
        if self._is_join_due:
            self._is_join_due = False
            self._refreshing = self._node_id
            job = self.job(Purpose.FIND_NODE, self._node_id)
            yield replace(job, contacts=tuple(dict.fromkeys((*job.contacts, *self._starts))))
            self._starts.clear()
            return
        for index in self._contacts.table.to_refresh(now)[:1]:
            self._refreshing = self._contacts.table.random_id(index, rng)
            yield self.job(Purpose.FIND_NODE, self._refreshing)

    def _give(self, now_ms: int) -> Iterator[Job]:
        if not self._gifts:
            return
        gift = self._gifts[0]
        keys = tuple(islice(gift.keys, KEYS_A_ROUND))
        if len(keys) < KEYS_A_ROUND:
            self._gifts.popleft()
        wanted = filter(gift.hand_over.includes, keys)
        records = [record for key in wanted for record in self._records.get_all(key, now_ms)]
        if records:
            yield Job(
                purpose=Purpose.GIVE,
                target=self._node_id,
                contacts=(gift.newcomer,),
                records=tuple(records),
                is_direct=True,
            )

    def _former(self, now: float, rng: Random) -> list[Contact]:
        if now < self._former_at:
            return []
        if self._contacts.has_unasked:
            return self._contacts.former(UNASKED_A_ROUND, rng)
        if len(self._contacts):
            self._former_at = now + self._config.refresh_after * (1 - JITTER * rng.random())
        else:
            self._isolated_rounds += 1
            self._former_at = now + self._config.backoff.delay(self._isolated_rounds, rng)
        return self._contacts.former(FORMER_A_ROUND, rng)
