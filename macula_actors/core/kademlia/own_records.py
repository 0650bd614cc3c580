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
from macula_actors.errors import MaculaError, OverloadedError, RefusedError

__all__ = ["OwnRecords"]


class OwnRecords:
    """This node's own records in ``store``, and which of them are published.

    Instants named ``now`` are monotonic seconds, ``now_ms`` milliseconds since 1970.

    Args:
        identity: the owner.
        store: where they are kept.
        published: for how many seconds each key is published; it may outlive this. All of it is due at once.
        settings: how often.
        now: the present.
    """

    def __init__(
        self,
        identity: Identity,
        store: RecordStore,
        published: MutableMapping[NodeId, int],
        settings: RepublishSettings,
        now: float,
    ) -> None:
        self._identity: Final = identity
        self._store: Final = store
        self._published: Final = published
        self._plan: Final = RepublishPlan(settings)
        for key, ttl in published.items():
            self._plan.add(key, ttl, now)

    def __len__(self) -> int:
        return len(self._published)

    def seal(self, key: NodeId, payload: Value, ttl: int, now_ms: int) -> Record:
        """Keep ``payload`` in the store, in place of what was there.

        Raises:
            LocalProtocolError: as `Record.seal`.
            OverloadedError: there is no room.
            RefusedError: the store refused it for another reason.
        """
        sequence = next_sequence(self._latest(key, now_ms), now_ms)
        return self._put(Record.seal(self._identity, key, payload, sequence=sequence, now_ms=now_ms, ttl=ttl), now_ms)

    def publish(self, record: Record, now: float, rng: Random) -> None:
        """Have ``record``, which is being stored at others now, stored again before it expires."""
        self._published[record.key] = record.ttl
        self._plan.add(record.key, record.ttl, now)
        self._plan.failed(record.key, now, rng)  # until it is told that somebody took it

    def restore(self, record: Record, now: float, now_ms: int) -> None:
        """Take a record back that was published before, due at once; what has expired meanwhile is sealed anew."""
        if record.expires_at <= now_ms:
            if record.is_tombstone:
                return
            sequence = next_sequence(record, now_ms)
            payload, ttl = record.payload, record.ttl
            record = Record.seal(self._identity, record.key, payload, sequence=sequence, now_ms=now_ms, ttl=ttl)
        if not isinstance(self._store.put(record, now_ms), Refused):
            self._published[record.key] = record.ttl
            self._plan.add(record.key, record.ttl, now)

    def delete(self, key: NodeId, now: float, now_ms: int, rng: Random) -> Record | None:
        """Replace the record by a tombstone, which is published in its place; None if there is none."""
        latest = self._latest(key, now_ms)
        if latest is None or latest.is_tombstone:
            return None
        tombstone = self._put(latest.tombstone(self._identity, now_ms=now_ms), now_ms)
        self.publish(tombstone, now, rng)
        return tombstone

    def withdraw(self, key: NodeId) -> bool:
        """Forget the record here and publish it no more; return whether there was one."""
        self._published.pop(key, None)
        self._plan.withdraw(key)
        return self._store.forget(key, self._identity.node_id)

    def stored(self, key: NodeId, now: float, rng: Random) -> None:
        """Take note that others have taken what is under ``key``."""
        self._plan.published(key, now, rng)

    def due(self, now: float, now_ms: int, rng: Random) -> list[Record]:
        """Return the records to store at others now, sealed anew; a tombstone as it is, till it expires."""
        renewed = (self._renewed(key, now_ms) for key in self._plan.due(now, rng))
        return [record for record in renewed if record is not None]

    def next_due(self) -> float:
        """Return when `due` next returns something; never: infinity."""
        return self._plan.next_due()

    def _latest(self, key: NodeId, now_ms: int) -> Record | None:
        return self._store.find(key, self._identity.node_id, now_ms)

    def _renewed(self, key: NodeId, now_ms: int) -> Record | None:
        latest = self._latest(key, now_ms)
        if latest is None:
            self.withdraw(key)
            return None
        if latest.is_tombstone:
            return latest
        try:
            return self.seal(key, latest.payload, latest.ttl, now_ms)
        except MaculaError:  # no room at present; the old one serves as long as it lives
            return latest

    def _put(self, record: Record, now_ms: int) -> Record:
        match self._store.put(record, now_ms, is_verified=True):  # signed a moment ago, here
            case Refused(reason) if reason == "full":
                raise OverloadedError("records kept here")
            case Refused(reason):
                raise RefusedError(reason, "this node does not keep the record")
            case _:
                return record
