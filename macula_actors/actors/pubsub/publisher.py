"""What this node publishes: to its own subscribers first, then to the nodes that have others.

Erlang: macula_pubsub_handler, macula_pubsub_delivery, macula_pubsub_qos. There an event that had to wait for a lookup
was lost (D-41), own subscribers got nothing (D-46), and nothing could be acknowledged (D-44).
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final

from macula_actors.actors.pubsub.lookups import Found, Lookups
from macula_actors.actors.pubsub.replays import Replays
from macula_actors.actors.pubsub.router import Router
from macula_actors.actors.pubsub.sender import Attempt, Sender
from macula_actors.config import PubsubConfig
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.pubsub.event import EncodedEvent
from macula_actors.core.pubsub.kept import KeptValues
from macula_actors.core.pubsub.outbox import Outbox
from macula_actors.core.pubsub.outbox_decisions import (
    Decision,
    Disconnect,
    Hold,
    OutboxStats,
    Outgoing,
    Resume,
    Send,
    Unacknowledged,
)
from macula_actors.core.pubsub.prefixes import by_prefix, prefixes_of
from macula_actors.core.pubsub.subscribers_cache import Known, Missing, SubscribersCache
from macula_actors.core.pubsub.subscription import Subscriber
from macula_actors.errors import CallTimeoutError, OverloadedError, UnacknowledgedError
from supervisors import From, RequestId, System

__all__ = ["Publisher", "Surroundings"]

TICK: Final = 0.25  # seconds between two looks at publications that wait
LOOK_PART: Final = 0.7  # of a publication's time, which it waits for lookups


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """What a `Publisher` uses of its process.

    Args:
        deliver: gives an event to own subscribers.
        is_new: tells whether one of this node has not been delivered to them, before a crash.
        would_hold: tells whether publishers of a topic are to wait for one of those.
        is_connected: tells whether there is a connection to a node.
        takes_batches: tells whether there is, and the node knows messages with several events.
        router: passes events on to other nodes.
    """

    deliver: Callable[[EncodedEvent], None]
    is_new: Callable[[EncodedEvent], bool]
    would_hold: Callable[[str], bool]
    is_connected: Callable[[NodeId], bool]
    takes_batches: Callable[[NodeId], bool]
    router: Router


@dataclass(slots=True, eq=False)
class _Publication:
    """An event that is being published. ``from_``: who waits; None: nobody."""

    event: EncodedEvent
    deadline: float
    timeout: float
    from_: From | None
    look_until: float  # then it goes to those that are known
    is_delivered_here: bool = False
    is_looked_up: bool = False
    is_handed_over: bool = False  # to the outbox
    missing: set[str] = field(default_factory=set)  # prefixes
    pending: set[NodeId] = field(default_factory=set)  # that have not acknowledged it yet
    failed: list[NodeId] = field(default_factory=list)
    error: Exception | None = None  # why not all could be found


class Publisher:
    """All publications of this node. It never waits.

    Args:
        config: bounds, and who this node is.
        kept: the last values that this node has, its own and others'; they outlive this. Put there by ``deliver``.
        epoch: greater than any that this node's former ones had.
        surroundings: see there.
    """

    def __init__(self, config: PubsubConfig, kept: KeptValues, epoch: int, surroundings: Surroundings) -> None:
        self._config: Final = config
        self._own_id: Final = config.identity.node_id
        self._system: Final = System.current()
        self._kept: Final = kept
        self._around: Final = surroundings
        self._cache: Final = SubscribersCache(
            stale_after=config.stale_after,
            expire_after=config.expire_after,
            max_prefixes=config.max_prefixes,
            max_patterns=config.max_patterns,
            dialect=config.dialect,
        )
        self._lookups: Final = Lookups(config)
        self._outbox: Final[Outbox[EncodedEvent]] = Outbox(config.outbox, epoch=epoch, rng=self._system.random)
        self._sender: Final = Sender(
            config, surroundings.is_connected, surroundings.takes_batches, surroundings.router, self._attempted
        )
        self.replays: Final = Replays(config, kept, self._cache, self._want, self._is_on_its_way, self._send_kept)
        """What gives others what is kept."""
        self._open: Final[dict[bytes, _Publication]] = {}
        self._looking: Final[dict[str, list[_Publication]]] = {}  # by prefix
        self._held: Final[dict[str, deque[_Publication]]] = {}  # by topic
        self._failing: Final[dict[NodeId, float]] = {}  # since when
        self._has_room = False
        self.published = 0

    @property
    def waiting(self) -> int:
        """How many publications are not done."""
        return len(self._open)

    @property
    def outbox(self) -> OutboxStats:
        """What waits for others."""
        return self._outbox.stats

    @property
    def prefixes(self) -> int:
        """How many prefixes are cached."""
        return len(self._cache)

    @property
    def lookups(self) -> int:
        """How many lookups are under way."""
        return len(self._lookups)

    @property
    def relayed(self) -> int:
        """How many nodes are reached through a gateway."""
        return self._sender.relayed

    # Publications

    def publish(self, event: EncodedEvent, timeout: float, from_: From | None) -> None:
        """Publish ``event``; ``from_`` is answered, or refused. Twice is once.

        Raises:
            OverloadedError: too many publications wait. Nothing has been done.
        """
        known = self._open.get(event.message_id)
        if known is not None:
            known.from_ = from_
            return
        if len(self._open) >= self._config.max_waiting:
            raise OverloadedError("publications that are not done", self._config.max_waiting)
        if event.retain:
            event = replace(event, published_at=self._next_published_at(event.topic))
        patience = min(timeout, self._config.max_timeout)
        now = self._system.now()
        publication = _Publication(event, now + patience, patience, from_, now + patience * LOOK_PART)
        self._open[event.message_id] = publication
        self.published += 1
        if event.topic in self._held:
            self._held[event.topic].append(publication)
        else:
            self._advance(publication)
        self.resume()

    def _next_published_at(self, topic: str) -> int:
        """Return an instant after that of the value that is known here, whatever the clock says."""
        last, now_ms = self._kept.get(topic), self._config.wall_clock_ms()
        return now_ms if last is None else max(now_ms, last.published_at + 1)

    def _advance(self, publication: _Publication) -> bool:
        """Do the next steps of ``publication``; return False if it is held."""
        event = publication.event
        if not publication.is_delivered_here:
            if self._around.would_hold(event.topic):
                return self._hold(publication)
            self._deliver_here(publication)
        known = self._plan(publication)
        if known is None:
            return True  # it goes on when the lookups are done
        for subscriber in known.subscribers.values():
            self._sender.learn(subscriber)
        targets = [node_id for node_id in known.subscribers if node_id != self._own_id]
        return self._give(publication, targets)

    def _deliver_here(self, publication: _Publication) -> None:
        event = publication.event
        publication.is_delivered_here = True
        if self._around.is_new(event):
            self._around.deliver(event)

    def _plan(self, publication: _Publication) -> Known | None:
        """Return who the subscribers are; None if that is looked up first, once.

        What is stale is looked up for qos 1, whose publisher relies on it, and what is to be kept; and for what comes
        after one that waits for that: it is not to come earlier.
        """
        now, event = self._system.now(), publication.event
        is_strict = bool(event.qos) or event.retain or self._is_awaited(event.topic)
        plan = self._cache.plan(event.topic, now, self._config.wall_clock_ms(), is_strict=is_strict)
        if isinstance(plan, Missing):
            if not publication.is_looked_up and self._look_up(publication, plan.prefixes):
                return None
            plan = plan.known
        for prefix in plan.refresh:
            self._want(prefix)
        return plan

    def _is_awaited(self, topic: str) -> bool:
        return bool(self._looking) and not self._looking.keys().isdisjoint(prefixes_of(topic, self._config.dialect))

    def _look_up(self, publication: _Publication, prefixes: Iterable[str]) -> bool:
        """Have ``prefixes`` looked up; return whether any of them is."""
        publication.is_looked_up = True
        for prefix in prefixes:
            try:
                self._lookups.want(prefix)
            except OverloadedError as error:
                publication.error = error
            else:
                publication.missing.add(prefix)
                self._looking.setdefault(prefix, []).append(publication)
        return bool(publication.missing)

    def _want(self, prefix: str) -> None:
        try:
            self._lookups.want(prefix)
        except OverloadedError:
            return  # at the next use

    def _give(self, publication: _Publication, targets: list[NodeId]) -> bool:
        """Hand ``publication`` to the outbox; return False if it is held."""
        event, now = publication.event, self._system.now()
        # of qos 0 the call, which the deadline is of, is over with this
        message = _outgoing(event, publication.deadline if event.qos else now + self._config.max_timeout)
        decisions = self._outbox.publish(message, targets, now)
        if decisions and isinstance(decisions[0], Hold):
            left = self._without_unreachable(decisions[0], targets)
            return self._give(publication, left) if len(left) < len(targets) else self._hold(publication)
        publication.is_handed_over = True
        if event.qos:
            publication.pending.update(targets)
        if event.retain:
            self._kept.note_given(event, targets)
        self._carry_out(decisions)
        if not publication.pending:
            self._close(publication)
        return True

    def _without_unreachable(self, hold: Hold, targets: list[NodeId]) -> list[NodeId]:
        """Give up those of the nodes that all is held for that can't be reached anyway; return the other targets."""
        since = self._system.now() - self._config.give_up_after
        lost = {node_id for node_id in hold.node_ids if self._failing.get(node_id, inf) <= since}
        for node_id in lost:
            self._cache.forget_node(node_id)
            self._carry_out(self._outbox.forget_node(node_id))
        return [node_id for node_id in targets if node_id not in lost]

    def _hold(self, publication: _Publication) -> bool:
        self._held.setdefault(publication.event.topic, deque()).append(publication)
        return False

    def resume(self) -> None:
        """Go on with what is held, of each topic in order, if there may be room now."""
        while self._has_room:
            self._has_room = False
            for topic in list(self._held):
                self._resume_topic(topic)

    def _resume_topic(self, topic: str) -> None:
        held = self._held.pop(topic)
        while held:
            publication = held.popleft()
            if publication.event.message_id in self._open and not self._advance(publication):
                break
        for publication in held:
            self._hold(publication)

    def room(self) -> None:
        """Take note that an own subscriber may have room again."""
        self._has_room = True
        self.resume()

    def _close(self, publication: _Publication) -> None:
        """Answer who waits: nothing more is to be done for it."""
        self._open.pop(publication.event.message_id, None)
        if publication.from_ is None:
            return
        if publication.failed:
            failed = tuple(publication.failed)
            publication.from_.refuse(UnacknowledgedError(publication.event.topic, failed))
        elif publication.error is not None and publication.event.qos:
            publication.from_.refuse(publication.error)
        else:
            publication.from_.reply(None)

    # What others say

    def is_one(self, request: RequestId) -> bool:
        """Tell whether ``request`` is of this one."""
        return self._lookups.is_one(request) or self._sender.is_one(request)

    def answered(self, request: RequestId) -> None:
        """Take an answer."""
        if self._sender.is_one(request):
            for attempt, is_done in self._sender.ended(request):
                self._attempted(attempt, is_done)
        elif (found := self._lookups.answered(request)) is not None:
            self._found(found)
        self.resume()

    def flush(self) -> None:
        """Send what waits to be sent together, at `Flush`."""
        for attempt in self._sender.flush():
            self._attempted(attempt, is_done=False)

    def ask_again(self) -> None:
        """Have looked up what has to wait for RoutingServer."""
        self._lookups.ask_again()

    def subscribed(self, subscriber: Subscriber) -> None:
        """Take note that a peer has subscribed to more: look it up, and give it what is kept."""
        for prefix, patterns in by_prefix(subscriber.patterns, subscriber.dialect).items():
            if not self._cache.has(prefix, subscriber.node_id, patterns):
                self._outdate(prefix)
        self.replays.changed((subscriber.node_id,), subscriber.patterns)
        self.replays.replay(subscriber)
        self.resume()

    def unsubscribed(self, node_id: NodeId, patterns: Iterable[str]) -> None:
        """Take note that a peer has these patterns no more."""
        for prefix, its_patterns in by_prefix(patterns, self._config.dialect).items():
            self._cache.unsubscribed(prefix, node_id, its_patterns)
            self._lookups.outdate(prefix)

    def changed(self, node_ids: Collection[NodeId], patterns: Iterable[str]) -> None:
        """Take note that nodes have begun or ended to want what matches ``patterns``; a lookup tells which of both."""
        for prefix in by_prefix(patterns, self._config.dialect):
            self._outdate(prefix)
        self.replays.changed(node_ids, patterns)

    def _outdate(self, prefix: str) -> None:
        self._cache.invalidate(prefix)
        self._lookups.outdate(prefix)

    def _found(self, found: Found) -> None:
        waiting = self._looking.pop(found.prefix, [])
        if isinstance(found.outcome, Exception):
            for publication in waiting:
                publication.error = found.outcome
        else:
            self._cache.store(found.prefix, found.outcome, self._system.now())
            for subscriber in found.outcome if len(self._kept) else ():
                self._sender.learn(subscriber)
                self.replays.replay(subscriber)
        for publication in waiting:
            if found.prefix in publication.missing:
                publication.missing.discard(found.prefix)
                self._go_on(publication)
        if found.is_outdated:
            self._cache.invalidate(found.prefix)

    def _go_on(self, publication: _Publication) -> None:
        if publication.missing or publication.event.message_id not in self._open:
            return
        held = self._held.get(publication.event.topic)
        if held is None:
            self._advance(publication)
        else:
            held.append(publication)

    def _attempted(self, attempt: Attempt, is_done: bool) -> None:  # noqa: FBT001 -- as `Sender` calls it
        node_id, message = attempt.send.node_id, attempt.send.message
        if not is_done:
            self._carry_out(self._failed(attempt.send))
            return
        self._failing.pop(node_id, None)
        self._carry_out(self._outbox.acknowledged(node_id, message.message_id, self._system.now()))
        self._outcome(message.message_id, node_id, is_acknowledged=True)

    def _failed(self, send: Send[EncodedEvent]) -> list[Decision[EncodedEvent]]:
        now = self._system.now()
        self._failing.setdefault(send.node_id, now)
        return self._outbox.failed(send.node_id, send.message.message_id, send.attempt, now)

    def _carry_out(self, decisions: Iterable[Decision[EncodedEvent]]) -> None:
        work = deque(decisions)
        while work:
            match work.popleft():
                case Send() as send:
                    if not self._sender.send(send):
                        work.extend(self._failed(send))
                case Unacknowledged(node_id, message_id):
                    self._outcome(message_id, node_id, is_acknowledged=False)
                case Disconnect(node_id):
                    self._cache.forget_node(node_id)
                case Resume():
                    self._has_room = True
                case Hold():
                    pass  # only ever alone, and seen to

    def _outcome(self, message_id: bytes, node_id: NodeId, *, is_acknowledged: bool) -> None:
        publication = self._open.get(message_id)
        if not is_acknowledged:
            self._kept.forget_given(node_id, message_id)
        if publication is None or node_id not in publication.pending:
            return
        publication.pending.discard(node_id)
        if not is_acknowledged:
            publication.failed.append(node_id)
        if not publication.pending:
            self._close(publication)

    # What is kept

    def _is_on_its_way(self, event: EncodedEvent) -> bool:
        publication = self._open.get(event.message_id)
        return publication is not None and not publication.is_handed_over

    def _send_kept(self, event: EncodedEvent, node_id: NodeId) -> bool:
        now = self._system.now()
        deadline = now + self._config.max_timeout
        message = _outgoing(event, deadline)
        decisions = self._outbox.publish(message, (node_id,), now)
        self._carry_out(decisions)
        return not (decisions and isinstance(decisions[0], Hold))

    # Time

    def next_due(self) -> float:
        """Return when to call `due`, at the latest."""
        is_waiting = self._held or self._looking
        return min(self._outbox.next_due(), self._system.now() + TICK if is_waiting else inf)

    def due(self) -> None:
        """Do what is due."""
        now = self._system.now()
        self._carry_out(self._outbox.due(now))
        if self._looking:
            for publication in [each for each in self._open.values() if each.missing and each.look_until <= now]:
                publication.error = _no_subscribers(publication)
                publication.missing.clear()
                self._go_on(publication)
        if self._held or self._looking:
            waiting = [p for p in self._open.values() if p.deadline <= now and not p.pending]
            for publication in waiting:
                self._expire(publication)
            if waiting:
                self._drop_expired()
        self.resume()

    def _expire(self, publication: _Publication) -> None:
        del self._open[publication.event.message_id]
        if publication.from_ is not None:
            publication.from_.refuse(_no_subscribers(publication))

    def _drop_expired(self) -> None:
        for topic, held in list(self._held.items()):
            left = deque(each for each in held if each.event.message_id in self._open)
            if left:
                self._held[topic] = left
            else:
                del self._held[topic]

    def sweep(self) -> None:
        """Forget what is too old."""
        while len(self._failing) > self._config.outbox.max_nodes:
            del self._failing[next(iter(self._failing))]
        self._cache.prune(self._system.now())


def _no_subscribers(publication: _Publication) -> CallTimeoutError:
    return CallTimeoutError(f"the subscribers of {publication.event.topic}", publication.timeout)


def _outgoing(event: EncodedEvent, deadline: float) -> Outgoing[EncodedEvent]:
    length = len(event.payload)
    return Outgoing(message_id=event.message_id, event=event, qos=event.qos, deadline=deadline, length=length)
