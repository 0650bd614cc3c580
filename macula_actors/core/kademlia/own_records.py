"""What a node publishes itself: sealed again before it expires, until it is deleted.

Erlang: macula_advertisement_manager's timers; the original's DHT knows no owner. Paper: section 2.5.
"""

from collections.abc import MutableMapping
from random import Random
from typing import Final

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.record import Record, next_sequence
from macula_actors.core.kademlia.record_decisions import Refused
from macula_actors.core.kademlia.record_store import RecordStore
from macula_actors.core.kademlia.republish import RepublishPlan, RepublishSettings
from macula_actors.core.peer.identity import Identity
from macula_actors.core.wire.values import Value
from macula_actors.errors import LocalProtocolError, MaculaError, OverloadedError, RefusedError

__all__ = ["OwnRecords"]

MAX_PUBLISHED: Final = 100_000
_MS: Final = 1000  # in a second


class OwnRecords:
    """This node's own records in ``store``, and which of them are published.

    What is published is this node's until it is deleted or withdrawn, whatever the store has of it: one that has
    expired, because the node was late or asleep, is sealed anew.

    Instants named ``now`` are monotonic seconds, ``now_ms`` milliseconds since 1970.

    Args:
        identity: the owner.
        store: where they are kept.
        published: the latest record of each key that is published; it may outlive this. All of it is due at once.
        settings: how often.
        now: the present.
        most: how many may be published.
    """

    def __init__(
        self,
        identity: Identity,
        store: RecordStore,
        published: MutableMapping[NodeId, Record],
        settings: RepublishSettings,
        now: float,
        *,
        most: int = MAX_PUBLISHED,
    ) -> None:
        self._identity: Final = identity
        self._store: Final = store
        self._published: Final = published
        self._most: Final = most
        self._plan: Final = RepublishPlan(settings)
        self._clock: Final = _Clock()
        for key, record in published.items():
            self._plan.add(key, record.ttl, now)

    def __len__(self) -> int:
        return len(self._published)

    def seal(self, key: NodeId, payload: Value, ttl: int, now_ms: int) -> Record:
        """Keep ``payload`` in the store, in place of what was there.

        Raises:
            LocalProtocolError: as `Record.seal`; or ``bad_value``, for None.
            OverloadedError: there is no room.
            RefusedError: the store refused it for another reason.
        """
        if payload is None:
            raise LocalProtocolError("bad_value", "a record has a value, not None; to have none there, delete it")
        if key not in self._published and len(self._published) >= self._most:
            raise OverloadedError("records published here", self._most)
        sequence = next_sequence(self._latest(key, now_ms), now_ms)
        return self._put(Record.seal(self._identity, key, payload, sequence=sequence, now_ms=now_ms, ttl=ttl), now_ms)

    def publish(self, record: Record, now: float, now_ms: int, rng: Random) -> None:
        """Have ``record``, which is being stored at others now, stored again before it expires."""
        now = self._clock.time(now, now_ms)
        self._published[record.key] = record
        self._plan.add(record.key, record.ttl, now)
        self._plan.failed(record.key, now, rng)  # until it is told that somebody took it

    def restore(self, record: Record, now: float, now_ms: int) -> None:
        """Take a verified record back that was published before, due at once; not if a newer one is there."""
        is_over = record.is_tombstone and record.expires_at <= now_ms
        is_own = record.owner == self._identity.node_id
        if is_over or not is_own or self._latest(record.key, now_ms) is not None or len(self._published) >= self._most:
            return
        self._store.put(record, now_ms, is_verified=True)
        self._published[record.key] = record
        self._plan.add(record.key, record.ttl, self._clock.time(now, now_ms))

    def delete(self, key: NodeId, now: float, now_ms: int, rng: Random) -> Record | None:
        """Replace the record by a tombstone, which is published in its place; None if there is none."""
        latest = self._latest(key, now_ms)
        if latest is None or latest.is_tombstone:
            return None
        tombstone = self._put(latest.tombstone(self._identity, now_ms=now_ms), now_ms)
        self.publish(tombstone, now, now_ms, rng)
        return tombstone

    def withdraw(self, key: NodeId) -> bool:
        """Forget the record here and publish it no more; return whether there was one."""
        was_published = self._published.pop(key, None) is not None
        self._plan.withdraw(key)
        return self._store.forget(key, self._identity.node_id) or was_published

    def stored(self, key: NodeId, now: float, now_ms: int, rng: Random) -> None:
        """Take note that others have taken what is under ``key``."""
        self._plan.published(key, self._clock.time(now, now_ms), rng)

    def hurry(self, now: float, now_ms: int) -> None:
        """Have all that is published due now: who is to keep it was not there before."""
        self._plan.hurry(self._clock.time(now, now_ms))

    def due(self, now: float, now_ms: int, rng: Random, most: int) -> list[Record]:
        """Return up to ``most`` records to store at others now, sealed anew; a tombstone as it is, till it expires."""
        keys = self._plan.due(self._clock.time(now, now_ms), rng, most)
        renewed = (self._renewed(key, now_ms) for key in keys)
        return [record for record in renewed if record is not None]

    def next_due(self, now: float, now_ms: int) -> float:
        """Return when `due` next has something to do; minus infinity: as soon as may be; never: infinity."""
        return self._plan.next_due() - (self._clock.time(now, now_ms) - now)

    def _latest(self, key: NodeId, now_ms: int) -> Record | None:
        return self._store.find(key, self._identity.node_id, now_ms) or self._published.get(key)

    def _renewed(self, key: NodeId, now_ms: int) -> Record | None:
        latest = self._latest(key, now_ms)
        if latest is None or (latest.is_tombstone and latest.expires_at <= now_ms):
            self.withdraw(key)
            return None
        if latest.is_tombstone:
            return latest
        try:
            renewed = self.seal(key, latest.payload, latest.ttl, now_ms)
        except MaculaError:  # no room at present; the old one serves as long as it lives
            return latest if now_ms < latest.expires_at else None
        self._published[key] = renewed
        return renewed

    def _put(self, record: Record, now_ms: int) -> Record:
        match self._store.put(record, now_ms, is_verified=True):  # signed a moment ago, here
            case Refused(reason) if reason == "full":
                raise OverloadedError("records kept here")
            case Refused(reason):
                raise RefusedError(reason, "this node does not keep the record")
            case _:
                return record


class _Clock:
    """Monotonic seconds, and those by which the wall clock has jumped ahead of them: records expire by the latter."""

    def __init__(self) -> None:
        self._offset: float | None = None
        self._ahead = 0.0

    def time(self, now: float, now_ms: int) -> float:
        offset = now_ms / _MS - now
        if self._offset is None:
            self._offset = offset
        self._ahead = max(self._ahead, offset - self._offset)
        return now + self._ahead
