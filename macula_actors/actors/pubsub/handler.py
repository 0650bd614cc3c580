"""PubsubHandler: this node's subscriptions, what it publishes, and what others publish for it.

Erlang: macula_pubsub_handler, macula_pubsub_server; defects D-04, D-41 to D-46.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from typing_extensions import override

from macula_actors.actors.alarm import Alarm
from macula_actors.actors.pubsub import lookups, records
from macula_actors.actors.pubsub.announcements import Announcements
from macula_actors.actors.pubsub.last_values import LastValues
from macula_actors.actors.pubsub.neighbours import Neighbours
from macula_actors.actors.pubsub.passing import Passing, PassOn
from macula_actors.actors.pubsub.publisher import Publisher, Surroundings
from macula_actors.actors.pubsub.receiver import Here, Memory, Receiver
from macula_actors.actors.pubsub.records import Records, Told
from macula_actors.actors.pubsub.router import Router
from macula_actors.actors.pubsub.sender import Flush
from macula_actors.actors.pubsub.subscriptions import LocalSubscription, Subscriptions
from macula_actors.actors.pubsub.worker import Done
from macula_actors.config import PubsubConfig
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.handshake import Security
from macula_actors.core.pubsub.event import EncodedEvent, event_of_client
from macula_actors.core.pubsub.gathering import Gathering
from macula_actors.core.pubsub.kept import KeptValues
from macula_actors.core.pubsub.subscription import Subscriber
from macula_actors.core.rpc.failure import Code
from macula_actors.core.wire.messages import (
    Message,
    Publish,
    PublishBatch,
    PubsubRoute,
    Subscribe,
    SubscriptionsChanged,
    Unsubscribe,
)
from macula_actors.errors import MaculaError, RefusedError
from macula_actors.messages.names import GATEWAY_PUBSUB, PEER_CONNECTOR, TABLES
from macula_actors.messages.peer import GatewaysChanged, GetGateways, GetPeers, Inbound, PeerDown, PeerUp
from macula_actors.messages.pubsub import (
    AddSubscription,
    GetStats,
    PublishEvent,
    PubsubStats,
    RemoveSubscription,
    Withdraw,
)
from supervisors import (
    Continue,
    Down,
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
    Table,
    TableOwner,
    UnexpectedRequestError,
    send_after,
    send_request,
    whereis,
)

__all__ = ["PubsubHandler"]

SUBSCRIPTIONS: Final = "pubsub_subscriptions"
RECORDS: Final = "pubsub_records"
STATE: Final = "pubsub_state"

RELAY_TIMEOUT: Final = 10.0  # seconds that a relayed event may take to its destination
EPOCH_STEP: Final = 1_000_000  # more nodes than one process forgets: each of them takes one of its epochs


@dataclass(frozen=True, slots=True)
class _Due:
    """Time for what waits."""


@dataclass(frozen=True, slots=True)
class _Sweep:
    """Time to forget what is too old."""


@dataclass(frozen=True, slots=True)
class _Look:
    """Time to look for new subscribers of what is kept."""


@dataclass(slots=True, eq=False)
class _State:
    """What a crash must not lose: else events would come twice, or in another order, or be kept no more."""

    epoch: int
    memory: Memory
    kept: KeptValues
    gathering: Gathering


class PubsubHandler(GenServer):
    """Passes events on to the processes of the subscriptions, and to other nodes; it never waits.

    A crash of it costs nothing of the subscriptions: they are in a table, with what waits in their queues, and so is
    what has come already. Who was publishing is told, or asks again.
    """

    @override
    async def init(self, config: PubsubConfig) -> Continue:
        self.config = config
        self._system = System.current()
        self._own_id = config.identity.node_id
        self._state = await self._claim_state()
        entries: Table[str, LocalSubscription] = await TableOwner.claim(
            TABLES, SUBSCRIPTIONS, max_entries=config.max_subscriptions
        )
        told: Table[str, Told] = await TableOwner.claim(TABLES, RECORDS, max_entries=2 * config.max_patterns)
        self._subscriptions = Subscriptions(config, entries)
        self._records = Records(config, told, self._subscriptions.patterns)
        self._neighbours = Neighbours(config)
        self._announcements = Announcements(self._records, self._neighbours)
        self._passing = Passing(self._neighbours)
        would_hold = self._subscriptions.would_hold
        self._receiver = Receiver(
            config,
            self._state.memory,
            Here(self._deliver, self._subscriptions.takes_early, self._offered, would_hold),
        )
        self._router = Router(config, self._neighbours.is_connected)
        around = Surroundings(
            self._deliver,
            self._receiver.is_new,
            would_hold,
            self._neighbours.is_connected,
            self._neighbours.takes_batches,
            self._router,
        )
        kept = self._state.kept
        self._publisher = Publisher(config, kept, self._state.epoch, around)
        self._last_values = LastValues(
            config, kept, self._state.gathering, self._subscriptions, self._deliver, self._publisher.replays.give
        )
        self._asked: set[RequestId] = set()  # of the connector
        self._due = Alarm(_Due())
        return Continue(None)

    async def _claim_state(self) -> _State:
        config, now_ms = self.config, self.config.wall_clock_ms()
        table: Table[str, _State] = await TableOwner.claim(TABLES, STATE, max_entries=1)
        state = table.get(STATE)
        if state is None:
            topics, size = config.max_retained, config.max_retained_bytes
            state = table[STATE] = _State(
                now_ms,
                Memory.empty(config),
                KeptValues(max_topics=topics, max_bytes=size, dialect=config.dialect),
                Gathering(patience=config.gather_for, max_topics=topics),
            )
        else:
            state.epoch = max(now_ms, state.epoch + EPOCH_STEP)
        return state

    @override
    def handle_continue(self, term: object) -> None:
        self._subscriptions.adopt()
        self._ask(GetPeers())
        self._ask(GetGateways())
        self._records.put_right()
        send_after(self.config.sweep_interval, self.actor_ref, _Sweep())
        send_after(self.config.look_interval, self.actor_ref, _Look())
        self._schedule()

    @override
    def handle_call(self, request: object, from_: From) -> Reply | NoReply | Refuse:
        try:
            return self._answer(request, from_)
        except MaculaError as error:
            return Refuse(error)
        finally:
            self._schedule()

    @override
    def handle_cast(self, request: object) -> None:
        match request:
            case Done(id_, batch):
                if self._subscriptions.done(id_, batch):
                    self._publisher.room()
            case PeerUp():
                self._peer_up(request)
            case PeerDown():
                pass  # its Down says so, too, whatever becomes of the connector
            case RemoveSubscription(id_):
                self._unsubscribe(id_, None)
            case GatewaysChanged():
                self._ask(GetGateways())
            case _:
                raise UnexpectedRequestError(request)
        self._schedule()

    @override
    def handle_info(self, info: object) -> None:
        match info:
            case Response(request):
                self._answered(request)
            case Down(mref, ref) if isinstance(ref, Ref):
                self._ended(ref, self._subscriptions.target_ended(mref))
            case Flush():
                self._publisher.flush()
            case _Due():
                self._due.rang()
                self._receiver.due()
                self._publisher.due()
                self._subscriptions.start_missing()
                self._announcements.due()
                self._last_values.due()
            case _Sweep():
                self._sweep()
            case _Look():
                self._publisher.replays.look()
                send_after(self.config.look_interval, self.actor_ref, _Look())
            case PassOn():
                self._passing.due()
            case records.TryAgain():
                self._records.try_again()
            case lookups.AskAgain():
                self._publisher.ask_again()
            case _:
                raise UnexpectedRequestError(info)
        self._schedule()

    def _answer(self, request: object, from_: From) -> Reply | NoReply | Refuse:
        match request:
            case Inbound(_, Publish() as message):
                return self._inbound(request, message, from_)
            case Inbound(peer, PublishBatch() as batch):
                return self._receiver.take_batch(batch, peer, from_)
            case Inbound(_, PubsubRoute() as route):
                return self._routed(request, route, from_)
            case Inbound(_, Subscribe(topics=topics)):
                return self._peer_subscribed(request, topics)
            case Inbound(_, Unsubscribe(topics=topics)):
                return self._peer_unsubscribed(request, topics)
            case Inbound(_, SubscriptionsChanged() as changed):
                return self._peers_changed(request, changed)
            case PublishEvent():
                self._publisher.publish(self._event(request), request.timeout, from_)
                return NoReply()
            case AddSubscription():
                return self._subscribe(request, from_)
            case RemoveSubscription(id_):
                return NoReply() if self._unsubscribe(id_, from_.ref, from_) else Reply(False)  # noqa: FBT003
            case Withdraw():
                return self._withdraw(from_)
            case GetStats():
                return Reply(self.statistics())
            case _:
                raise UnexpectedRequestError(request)

    def statistics(self) -> PubsubStats:
        """Return its counts."""
        ordering, publisher, local = self._receiver.ordering, self._publisher, self._subscriptions
        return PubsubStats(
            subscriptions=len(local),
            queued=local.queued,
            delivered=local.counts["delivered"],
            dropped=local.dropped,
            disconnected=local.counts["disconnected"],
            failed=local.counts["failed"],
            published=publisher.published,
            waiting=publisher.waiting,
            received=self._receiver.counts["received"],
            duplicates=self._receiver.duplicates,
            late=ordering.late,
            skipped=ordering.skipped,
            refused=self._receiver.counts["refused"],
            retained=len(self._state.kept),
            prefixes=publisher.prefixes,
            lookups=publisher.lookups,
            records=len(self._records),
            relayed=publisher.relayed,
            outbox=publisher.outbox,
        )

    # Own subscriptions

    def _subscribe(self, request: AddSubscription, from_: From) -> NoReply:
        new, gone = self._subscriptions.add(request)
        for pattern in new:
            self._last_values.give(request.id, pattern)
        self._records.add(new)
        self._announcements.add_for(from_, None, new, request.patterns, self.config.announce_timeout)
        self._remove(gone)
        return NoReply()

    def _unsubscribe(self, id_: str, asker: Ref | None, from_: From | None = None) -> bool:
        """End a subscription, if there is one; ``from_`` is told when others know."""
        patterns = self._subscriptions.remove(id_, asker)
        if patterns is None:
            return False
        self._remove(patterns, from_)
        self._publisher.room()
        return True

    def _remove(self, patterns: tuple[str, ...], from_: From | None = None) -> None:
        self._records.remove(patterns)
        self._last_values.forget(patterns)
        gone = [pattern for pattern in patterns if not self._records.has(pattern)]
        self._announcements.add_for(from_, True, gone, gone, self.config.withdraw_timeout)  # noqa: FBT003

    def _withdraw(self, from_: From) -> NoReply:
        patterns = tuple(dict.fromkeys(self._subscriptions.patterns))
        self._records.withdraw()
        self._announcements.add_for(from_, None, patterns, patterns, self.config.withdraw_timeout)
        return NoReply()

    # Events

    def _event(self, request: PublishEvent) -> EncodedEvent:
        return EncodedEvent(
            topic=request.topic,
            payload=request.payload,
            publisher=self._own_id,
            message_id=request.message_id,
            qos=request.qos,
            retain=request.retain,
        )

    def _deliver(self, event: EncodedEvent, is_ordered: bool | None = None) -> None:  # noqa: FBT001 -- as `Here` has it
        """Give ``event`` to the subscriptions that it is for."""
        if event.retain and not event.retained:
            self._last_values.heard(event)
        for id_ in self._subscriptions.deliver(event, is_ordered=is_ordered):
            self._unsubscribe(id_, None)

    def _offered(self, event: EncodedEvent, sender: NodeId) -> None:
        self._last_values.offered(event, sender)

    def _inbound(self, inbound: Inbound, message: Publish, from_: From) -> Reply | NoReply | Refuse:
        peer = inbound.peer
        if not peer.verified and message.publisher is None and whereis(GATEWAY_PUBSUB) is not None:
            return self._publish_for_client(message)
        return self._receiver.take(message, peer, from_)

    def _publish_for_client(self, message: Publish) -> Reply:
        """Publish what a client of v0.8 wants published; there is no acknowledgement that it would know."""
        event = event_of_client(message, self._own_id, self.config.dialect)
        self._publisher.publish(event, self.config.max_timeout, None)
        return Reply(None)

    def _routed(self, inbound: Inbound, route: PubsubRoute, from_: From) -> Reply | NoReply | Refuse:
        destination, source = NodeId.normalize(route.destination_node_id), NodeId.normalize(route.source_node_id)
        if destination == self._own_id:
            return self._receiver.take(route.payload, inbound.peer, from_, source)
        sender = inbound.peer.node_id
        if sender is None:
            return Refuse(RefusedError(Code.NOT_PERMITTED, "who sends this did not say who it is"))
        if route.hop_count == 0 and source != sender:
            return Refuse(RefusedError(Code.NOT_PERMITTED, "the source is another node, and there was no hop between"))

        def done(answer: Message | None, error: Exception | None) -> None:
            if error is None:
                from_.reply(answer)
            else:
                from_.refuse(error if isinstance(error, MaculaError) else RefusedError(Code.UNAVAILABLE, str(error)))

        self._router.route(route, sender, self._system.now() + RELAY_TIMEOUT, done)
        return NoReply()

    def _peer_subscribed(self, inbound: Inbound, topics: tuple[str, ...]) -> Reply | Refuse:
        peer = inbound.peer
        if not peer.verified or peer.node_id is None:
            return Refuse(RefusedError("unsupported", "this node is no gateway"))
        self._publisher.subscribed(
            Subscriber(node_id=peer.node_id, patterns=topics, dialect=self.config.dialect, endpoint=peer.endpoint)
        )
        self._passing.note((peer.node_id,), topics)
        return Reply(None)

    def _peer_unsubscribed(self, inbound: Inbound, topics: tuple[str, ...]) -> Reply:
        peer = inbound.peer
        if peer.verified and peer.node_id is not None:
            self._publisher.unsubscribed(peer.node_id, topics)
            self._passing.note((peer.node_id,), topics)
        return Reply(None)

    def _peers_changed(self, inbound: Inbound, changed: SubscriptionsChanged) -> Reply | Refuse:
        """Take note of what a node of an open mesh, or a gateway, tells; tell it the same if it cannot know."""
        peer, is_open = inbound.peer, self.config.security is Security.OPEN
        if not (is_open or peer.verified):
            return Refuse(RefusedError(Code.NOT_PERMITTED, "who sends this did not prove who it is"))
        node_ids = tuple(map(NodeId.normalize, changed.node_ids))
        self._publisher.changed(node_ids, changed.topics)
        if changed.hop_count == 0:
            self._passing.note(node_ids, changed.topics)
        if is_open and self._neighbours.heard(inbound.connection, peer.node_id):
            self._tell(inbound.connection)
        is_answered = is_open and changed.hop_count == 0
        return Reply(replace(changed, topics=(), node_ids=(self._own_id,), hop_count=1) if is_answered else None)

    # Others

    def _ask(self, request: object) -> None:
        self._asked.add(send_request(PEER_CONNECTOR, request))

    def _answered(self, request: RequestId) -> None:
        if request in self._asked:
            self._connector_answered(request)
        elif self._announcements.is_one(request):
            self._announcements.answered(request)
        elif self._router.is_one(request):
            self._router.answered(request)
            self._publisher.resume()
        elif self._publisher.is_one(request):
            self._publisher.answered(request)
        elif not self._subscriptions.takes(request) and (prefix := self._records.ended(request)) is not None:
            self._announcements.settled(prefix)

    def _connector_answered(self, request: RequestId) -> None:
        self._asked.discard(request)
        try:
            answer: Any = request.result()
        except (MaculaError, SupervisorsError):
            return  # the next connector starts this process anew
        if isinstance(request.request, GetGateways):
            self._records.use_gateways(answer)
            return
        for up in answer:
            self._peer_up(up)

    def _peer_up(self, up: PeerUp) -> None:
        node_id = self._neighbours.up(up)
        if node_id is not None:
            self._tell(node_id)

    def _tell(self, whom: NodeId | Ref) -> None:
        patterns = dict.fromkeys(self._subscriptions.patterns)
        self._neighbours.tell(whom, [each for each in patterns if self._records.has(each)])

    def _ended(self, ref: Ref, subscription: str | None) -> None:
        if subscription is not None:
            self._unsubscribe(subscription, None)
        elif not self._neighbours.down(ref):
            self._subscriptions.worker_ended(ref)

    # Time

    def _sweep(self) -> None:
        self._receiver.sweep()
        self._publisher.sweep()
        self._last_values.sweep()
        self._ask(GetGateways())
        send_after(self.config.sweep_interval, self.actor_ref, _Sweep())

    def _schedule(self) -> None:
        now = self._system.now()
        receiver, publisher, last_values = self._receiver, self._publisher, self._last_values
        due = min(receiver.next_due(), publisher.next_due(), last_values.next_due(), self._announcements.next_due)
        self._due.set(due, now)
