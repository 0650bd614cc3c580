"""Which connection a message goes over: the book-keeping of the peer connector.

Erlang: macula_peer_connector (a connection for each message), macula_gateway_mesh and macula_connection_pool (pools
that connect while everybody waits, evict without closing, and retry for ever).

Two connections to one node. Both nodes must prefer the same one, or each closes the one that the other uses. If the two
were dialled by different nodes at about the same time, the one dialled by the node with the smaller id is preferred;
otherwise the newer one is: whoever dials again has lost the old one, or does not know it. The other connection stays
open for what is in flight and in the air. It is closed only by the node that dialled it, when it was idle for a
moment: should the two nodes ever disagree, both connections live on, and no message is lost. A dial is not given up
because the peer's arrived first: the peer would do the same, and no connection would be left.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import inf
from random import Random
from typing import Generic, TypeVar

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.backoff import Backoff
from macula_actors.core.peer.contact import Contact, Key
from macula_actors.core.peer.deadlines import Deadlines
from macula_actors.core.peer.idle_connections import IdleConnections, Standing
from macula_actors.core.peer.pool_decisions import (
    Answer,
    BackingOff,
    Close,
    CloseReason,
    Decision,
    Dialling,
    Fail,
    Live,
    PoolStats,
    Refusal,
    Refuse,
    Serve,
    StartDial,
    State,
    Use,
    Wait,
)

__all__ = ["ConnectionPool", "PoolLimits"]

C = TypeVar("C", bound=Hashable)
W = TypeVar("W", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """Tunables of a pool. Durations are seconds.

    Raises:
        ValueError: a number is not above 0.
    """

    max_connections: int = 1_000  # macula_gateway_mesh, max_mesh_connections
    max_dials: int = 256  # in progress
    max_waiters: int = 16_384
    max_waiters_per_peer: int = 1_024
    max_backing_off: int = 10_000  # without a waiter
    max_duplicates: int = 3  # more than one connection to a node; the oldest beyond that is closed, busy or not
    max_aliases: int = 4  # endpoints by which a live connection is found
    idle_timeout: float = 60.0  # v0.10 and later
    duplicate_idle_timeout: float = 5.0  # longer than what the peer sent over it is in the air
    simultaneous_within: float = 10.0  # two dials of one another; about what a dial may take
    stable_after: float = 10.0  # a dialled connection that is lost before counts as a failed dial
    forget_after: float = 300.0  # after the end of a back-off, if nobody asks

    def __post_init__(self) -> None:
        if min(getattr(self, name) for name in self.__slots__) <= 0:
            raise ValueError(f"{self}: all numbers are above 0")


class ConnectionPool(Generic[C, W]):
    """Connections by node and by endpoint, dials in progress, failures, and who waits.

    It decides; its owner dials, closes and answers. ``C`` is a handle of a connection, ``W`` of somebody who waits for
    one. All instants are of one monotonic clock, in seconds. After each operation the owner carries out what was
    returned, in order, and sees to it that `due` is called at `next_due`.

    A peer is known by its node id, or by the endpoint while it is not known who is there. A contact that names a node
    does not wait for a dial to an endpoint that expects nobody: another node may answer it.

    A connection that must stay without a message in flight, such as a session with a gateway, is kept `busy`.
    """

    def __init__(self, node_id: NodeId, *, limits: PoolLimits | None = None, backoff: Backoff | None = None) -> None:
        self._node_id = node_id
        self._limits = limits or PoolLimits()
        self._backoff = backoff or Backoff()
        self._peers: dict[Key, _Peer[C, W]] = {}  # live ones also by their aliases
        self._links: dict[C, _Link[C, W]] = {}
        self._idle = IdleConnections[C]({
            Standing.DIALLED: self._limits.idle_timeout,
            Standing.SURPLUS: self._limits.duplicate_idle_timeout,
        })
        self._waiting: dict[W, _Peer[C, W]] = {}
        self._deadlines = Deadlines[W]()
        self._retries = Deadlines[Key]()  # of peers that back off and have waiters
        self._failed: OrderedDict[Key, float] = OrderedDict()  # peers that back off and have none: when to forget them
        self._dials = 0
        self._counts = _Counts()

    def use(self, contact: Contact, now: float) -> C | None:
        """Return the live connection to ``contact``, if there is one; it is used."""
        peer = self._peers.get(contact.key)
        if peer is None or not peer.links:
            return None
        self._counts.hits += 1
        connection = peer.links[0].connection
        self.used(connection, now)
        return connection

    def want(self, contact: Contact, waiter: W, deadline: float, now: float) -> Answer[C]:
        """Return a connection, or what must happen for ``waiter`` to get one by ``deadline``.

        After StartDial and Wait it gets a Serve or a Fail later, unless it is withdrawn.

        Raises:
            ValueError: ``waiter`` waits already.
        """
        if waiter in self._waiting:
            raise ValueError(f"{waiter} waits already")
        connection = self.use(contact, now)
        if connection is not None:
            return Use(connection)
        peer = self._peers.get(contact.key)
        if peer is not None and peer.lasting and contact.endpoint not in {None, peer.contact.endpoint}:
            peer.until, peer.lasting = -inf, False  # another endpoint than the one that is another node's
        refusal = self._refusal(contact, peer, deadline, now)
        if refusal is not None:
            self._counts.refusals += 1
            return refusal
        return self._enqueue(peer or self._add(contact), contact, waiter, deadline, now)

    @property
    def waiters(self) -> tuple[W, ...]:
        """Who waits."""
        return tuple(self._waiting)

    def withdraw(self, waiter: W) -> None:
        """Forget ``waiter``, if it waits: it has ended or does not want any more. A dial goes on for others to come."""
        peer = self._waiting.pop(waiter, None)
        if peer is not None:
            self._deadlines.discard(waiter)
            self._unlist(waiter, peer)

    def established(self, key: Key, connection: C, node_id: NodeId | None, now: float) -> Sequence[Decision[C, W]]:
        """Take the connection that the dial for ``key`` made, to ``node_id`` (None: it did not tell).

        Raises:
            ValueError: the dial expected another node, or ``connection`` is in the pool.
        """
        if isinstance(key, NodeId) and node_id not in {key, None}:
            raise ValueError(f"the dial to node {key} led to {node_id}; it should have failed")
        self._check_new(connection)
        origin = self._end_dial(key)
        contact = origin.contact if origin is not None else _contact(key)
        link = _Link[C, W](connection, contact, now, failures=origin.failures if origin is not None else 0)
        if node_id == self._node_id:
            return [Close(connection, CloseReason.OWN_NODE), *self._refuse_own_node(origin, now)]
        room = self._make_room(now)
        if room is None:
            return [Close(connection, CloseReason.OVERLOADED), *self._give_up(origin, Refusal.TOO_MANY_CONNECTIONS)]
        return [*room, *self._enter(link, node_id or key, origin, now)]

    def accepted(self, connection: C, node_id: NodeId, now: float) -> Sequence[Decision[C, W]]:
        """Take a connection that ``node_id`` dialled; who waits for that node is served.

        Raises:
            ValueError: ``connection`` is in the pool.
        """
        self._check_new(connection)
        link = _Link[C, W](connection, None, now, failures=0)
        if node_id == self._node_id:
            return [Close(connection, CloseReason.OWN_NODE)]
        room = self._make_room(now)
        if room is None:
            return [Close(connection, CloseReason.OVERLOADED)]
        self._counts.accepted += 1
        return [*room, *self._enter(link, node_id, None, now)]

    def failed(
        self, key: Key, error: Exception, now: float, rng: Random, *, lasting: bool = False
    ) -> Sequence[Decision[C, W]]:
        """Note that the dial for ``key`` failed.

        Waiters whose deadline is after the back-off wait for the next attempt, which `due` starts; if the failure is
        ``lasting``, a matter of how the nodes are set up, nobody waits.
        """
        peer = self._end_dial(key)
        if peer is None:
            return []
        self._counts.dial_failures += 1
        if peer.links:
            return []
        self._back_off(peer, Refusal.DIAL_FAILED, error, now + self._backoff.delay(peer.failures + 1, rng, error))
        peer.lasting = lasting
        late = [waiter for waiter, deadline in peer.waiters.items() if lasting or deadline <= peer.until]
        return [self._fail(waiter, Refusal.DIAL_FAILED) for waiter in late]

    def closed(self, connection: C, error: Exception | None, now: float, rng: Random) -> None:
        """Note that ``connection`` has ended by itself or by the peer; one that is not in the pool is no news.

        If it was dialled and lasted only a moment, the next dial waits as after a failed one.
        """
        link = self._links.get(connection)
        if link is None:
            return
        self._drop(link, now)
        if link.contact is None or now - link.established_at >= self._limits.stable_after:
            return
        peer = self._peers.get(link.contact.key) or self._add(link.contact)
        if not peer.links and not peer.dialling:
            peer.failures = max(peer.failures, link.failures)
            delay = self._backoff.delay(peer.failures + 1, rng, error)
            self._back_off(peer, Refusal.DIAL_FAILED, error, now + delay)

    def discard(self, connection: C, now: float) -> None:
        """Forget ``connection``, if it is in the pool: it is going to be closed because somebody wants it so."""
        link = self._links.get(connection)
        if link is not None:
            self._drop(link, now)

    def used(self, connection: C, now: float) -> None:
        """Note that something went over ``connection``, if it is in the pool."""
        link = self._links.get(connection)
        if link is not None and not link.in_flight:
            self._idle.put(connection, link.standing(), now)

    def busy(self, connection: C, in_flight: int, now: float) -> None:
        """Note how much work is in flight over ``connection``, if it is in the pool. With any, it is not idle."""
        link = self._links.get(connection)
        if link is not None:
            link.in_flight = in_flight
            self._idle.discard(connection)
            self.used(connection, now)

    def due(self, now: float) -> Sequence[Decision[C, W]]:
        """Return what time has brought: waiters past their deadline, dials to repeat, idle connections to close."""
        decisions: list[Decision[C, W]] = [
            self._fail(waiter, Refusal.EXPIRED) for waiter in self._deadlines.pop_due(now)
        ]
        keys = islice(self._retries.pop_due(now), max(self._limits.max_dials - self._dials, 0))
        decisions.extend(self._dial(self._peers[key]) for key in keys)
        decisions.extend(self._close_idle(now))
        while self._failed and next(iter(self._failed.values())) <= now:
            self._forget(self._peers[next(iter(self._failed))])
        return decisions

    def next_due(self) -> float:
        """Return the instant at which `due` has something to do; infinity if there is none."""
        # with all dials in use, a retry waits for one of them to end
        retry = self._retries.next() if self._dials < self._limits.max_dials else inf
        forget = next(iter(self._failed.values()), inf)
        return min(self._deadlines.next(), retry, self._idle.next(), forget)

    def state(self, contact: Contact) -> State[C] | None:
        """Return how things stand with a peer; None if nothing is known of it."""
        peer = self._peers.get(contact.key)
        if peer is None:
            return None
        if peer.links:
            return Live(peer.links[0].connection, peer.links[0].in_flight)
        if peer.dialling:
            return Dialling(peer.failures + 1, len(peer.waiters))
        return BackingOff(peer.until, peer.failures, peer.last_error)

    def stats(self) -> PoolStats:
        """Return the counts."""
        counts = self._counts
        return PoolStats(
            live=len(self._links),
            dialling=self._dials,
            backing_off=len(self._failed) + len(self._retries),
            waiters=len(self._waiting),
            dials=counts.dials,
            dial_failures=counts.dial_failures,
            hits=counts.hits,
            refusals=counts.refusals,
            accepted=counts.accepted,
            duplicates=counts.duplicates,
            evictions=counts.evictions,
            idle_closes=counts.idle_closes,
        )

    def _refusal(self, contact: Contact, peer: "_Peer[C, W] | None", deadline: float, now: float) -> Refuse | None:
        limits = self._limits
        error = peer.last_error if peer is not None else None
        needs_dial = peer is None or (not peer.dialling and now >= peer.until)
        if contact.node_id == self._node_id:
            return Refuse(Refusal.OWN_NODE)
        if deadline <= now:
            return Refuse(Refusal.EXPIRED, error)
        is_late = peer is not None and (deadline <= peer.until or (peer.lasting and now < peer.until))
        if peer is not None and not peer.dialling and is_late:
            return Refuse(peer.reason, error)
        if len(self._waiting) >= limits.max_waiters:
            return Refuse(Refusal.TOO_MANY_WAITERS)
        if peer is not None and len(peer.waiters) >= limits.max_waiters_per_peer:
            return Refuse(Refusal.TOO_MANY_WAITERS)
        if needs_dial and self._dials >= limits.max_dials:
            return Refuse(Refusal.TOO_MANY_DIALS)
        # nothing is evicted before the dial succeeded: a contact that leads nowhere must not cost a connection
        if needs_dial and len(self._links) >= limits.max_connections and not self._idle:
            return Refuse(Refusal.TOO_MANY_CONNECTIONS)
        return None

    def _enqueue(
        self, peer: "_Peer[C, W]", contact: Contact, waiter: W, deadline: float, now: float
    ) -> StartDial | Wait:
        if contact.endpoint is not None:
            peer.contact = contact  # the next attempt goes where the node was last said to be
        peer.waiters[waiter] = deadline
        self._waiting[waiter] = peer
        self._deadlines.set(waiter, deadline)
        if peer.dialling:
            return Wait()
        if now >= peer.until:
            return self._dial(peer)
        self._failed.pop(peer.key, None)
        self._retries.set(peer.key, peer.until)
        return Wait()

    def _dial(self, peer: "_Peer[C, W]") -> StartDial:
        self._failed.pop(peer.key, None)
        self._retries.discard(peer.key)
        peer.dialling = True
        self._dials += 1
        self._counts.dials += 1
        return StartDial(peer.key, peer.contact, peer.failures + 1)

    def _end_dial(self, key: Key) -> "_Peer[C, W] | None":
        peer = self._peers.get(key)
        if peer is None or not peer.dialling or peer.key != key:
            return None
        peer.dialling = False
        self._dials -= 1
        return peer

    def _check_new(self, connection: C) -> None:
        if connection in self._links:
            raise ValueError(f"{connection} is in the pool")

    def _make_room(self, now: float) -> list[Close[C]] | None:
        if len(self._links) < self._limits.max_connections:
            return []
        evicted = self._idle.least_dear()
        if evicted is None:
            return None
        self._counts.evictions += 1
        self._drop(self._links[evicted], now)
        return [Close(evicted, CloseReason.EVICTED)]

    def _enter(
        self, link: "_Link[C, W]", key: Key, origin: "_Peer[C, W] | None", now: float
    ) -> Iterator[Decision[C, W]]:
        waiters = self._take_waiters(origin) if origin is not None else []
        if origin is not None and origin.key != key:
            self._forget(origin)
        peer = self._peers.get(key) or self._add(_contact(key))
        waiters += self._take_waiters(peer)
        self._links[link.connection] = link
        surplus = self._link(peer, link, now)
        self._succeed(peer)
        self._alias(peer, link.contact)
        yield from (Serve(waiter, peer.links[0].connection) for waiter in waiters)
        if surplus is not None:
            self._drop(surplus, now)
            yield Close(surplus.connection, CloseReason.DUPLICATE)

    def _link(self, peer: "_Peer[C, W]", link: "_Link[C, W]", now: float) -> "_Link[C, W] | None":
        link.peer = peer
        self._counts.duplicates += bool(peer.links)
        is_preferred = not peer.links or self._prefers(link, peer.links[0], peer)
        peer.links.insert(0 if is_preferred else 1, link)
        for affected in peer.links[:2]:
            self.used(affected.connection, now)
        return peer.links[-1] if len(peer.links) > 1 + self._limits.max_duplicates else None

    def _prefers(self, new: "_Link[C, W]", old: "_Link[C, W]", peer: "_Peer[C, W]") -> bool:
        is_simultaneous = new.established_at - old.established_at <= self._limits.simultaneous_within
        if new.is_dialled == old.is_dialled or not is_simultaneous or not isinstance(peer.key, NodeId):
            return True
        return new.is_dialled == (self._node_id < peer.key)

    def _succeed(self, peer: "_Peer[C, W]") -> None:
        self._failed.pop(peer.key, None)
        self._retries.discard(peer.key)
        peer.failures = 0
        peer.lasting = False
        peer.until = -inf
        peer.last_error = None

    def _alias(self, peer: "_Peer[C, W]", contact: Contact | None) -> None:
        endpoint = contact.endpoint if contact is not None else None
        if endpoint is None:
            return
        known = self._peers.get(endpoint)
        # an endpoint that has an entry of its own is looked after by it
        if known is peer or (known is not None and known.key == endpoint):
            return
        if known is not None:
            known.aliases.remove(endpoint)
        self._peers[endpoint] = peer
        peer.aliases.append(endpoint)
        if len(peer.aliases) > self._limits.max_aliases:
            del self._peers[peer.aliases.pop(0)]

    def _drop(self, link: "_Link[C, W]", now: float) -> None:
        peer = link.peer
        del self._links[link.connection]
        self._idle.discard(link.connection)
        peer.links.remove(link)
        if peer.links:
            self.used(peer.links[0].connection, now)  # it may be the preferred one from now on
            return
        for endpoint in peer.aliases:
            del self._peers[endpoint]
        peer.aliases.clear()
        self._settle(peer)

    def _close_idle(self, now: float) -> Iterator[Close[C]]:
        for connection in self._idle.pop_due(now):
            self._counts.idle_closes += 1
            link = self._links[connection]
            reason = CloseReason.IDLE if link is link.peer.links[0] else CloseReason.DUPLICATE
            self._drop(link, now)
            yield Close(connection, reason)

    def _back_off(self, peer: "_Peer[C, W]", reason: Refusal, error: Exception | None, until: float) -> None:
        peer.failures += 1
        peer.reason, peer.last_error, peer.until = reason, error, until
        self._settle(peer)

    def _settle(self, peer: "_Peer[C, W]") -> None:
        # puts a peer where it belongs that may have lost its dial, its last connection or its last waiter
        if peer.links or peer.dialling:
            return
        if not peer.failures:
            self._forget(peer)
        elif peer.waiters:
            self._retries.set(peer.key, peer.until)
        else:
            self._remember(peer)

    def _remember(self, peer: "_Peer[C, W]") -> None:
        self._retries.discard(peer.key)
        self._failed.pop(peer.key, None)
        self._failed[peer.key] = peer.until + self._limits.forget_after
        if len(self._failed) > self._limits.max_backing_off:
            self._forget(self._peers[next(iter(self._failed))])

    def _add(self, contact: Contact) -> "_Peer[C, W]":
        peer = _Peer[C, W](contact.key, contact)
        self._peers[peer.key] = peer
        return peer

    def _forget(self, peer: "_Peer[C, W]") -> None:
        del self._peers[peer.key]
        self._failed.pop(peer.key, None)
        self._retries.discard(peer.key)

    def _give_up(self, peer: "_Peer[C, W] | None", reason: Refusal) -> list[Fail[W]]:
        if peer is None:
            return []
        error = peer.last_error
        fails = [Fail(waiter, reason, error) for waiter in self._take_waiters(peer)]
        self._settle(peer)
        return fails

    def _refuse_own_node(self, peer: "_Peer[C, W] | None", now: float) -> list[Fail[W]]:
        # the endpoint is remembered: a node's own is often among its bootstrap peers
        if peer is None:
            return []
        fails = [Fail(waiter, Refusal.OWN_NODE) for waiter in self._take_waiters(peer)]
        self._back_off(peer, Refusal.OWN_NODE, None, now + self._limits.forget_after)
        return fails

    def _take_waiters(self, peer: "_Peer[C, W]") -> list[W]:
        waiters = list(peer.waiters)
        peer.waiters.clear()
        for waiter in waiters:
            del self._waiting[waiter]
            self._deadlines.discard(waiter)
        return waiters

    def _fail(self, waiter: W, reason: Refusal) -> Fail[W]:
        peer = self._waiting.pop(waiter)
        self._deadlines.discard(waiter)
        self._unlist(waiter, peer)
        return Fail(waiter, reason, peer.last_error)

    def _unlist(self, waiter: W, peer: "_Peer[C, W]") -> None:
        del peer.waiters[waiter]
        if not peer.waiters:
            self._settle(peer)


@dataclass(slots=True, eq=False)
class _Peer(Generic[C, W]):
    key: Key
    contact: Contact  # for the next dial
    links: list["_Link[C, W]"] = field(default_factory=list)  # the preferred one first, then the newest
    aliases: list[Endpoint] = field(default_factory=list)
    waiters: dict[W, float] = field(default_factory=dict)  # with their deadlines; none while there are links
    dialling: bool = False
    lasting: bool = False  # the last failure: dialling again does not help
    failures: int = 0  # since the last success
    until: float = -inf  # end of the back-off
    reason: Refusal = Refusal.DIAL_FAILED
    last_error: Exception | None = None


@dataclass(slots=True, eq=False)
class _Link(Generic[C, W]):
    connection: C
    contact: Contact | None  # as dialled; None: accepted
    established_at: float
    failures: int  # of the dials before it
    in_flight: int = 0
    peer: _Peer[C, W] = field(init=False)

    @property
    def is_dialled(self) -> bool:
        return self.contact is not None

    def standing(self) -> Standing:
        if not self.is_dialled:
            return Standing.ACCEPTED
        return Standing.DIALLED if self is self.peer.links[0] else Standing.SURPLUS


@dataclass(slots=True)
class _Counts:
    dials: int = 0
    dial_failures: int = 0
    hits: int = 0
    refusals: int = 0
    accepted: int = 0
    duplicates: int = 0
    evictions: int = 0
    idle_closes: int = 0


def _contact(key: Key) -> Contact:
    return Contact(node_id=key) if isinstance(key, NodeId) else Contact(key)
