"""What clients of v0.8 subscribe to, and the relay of events to nodes that nobody can dial.

Erlang: macula_gateway_pubsub. There no client could subscribe, since sessions were known by streams (D-04), and
monitors were left behind (D-18). A client that is a node of ours has subscriptions of its own.
"""

from collections import Counter
from collections.abc import MutableMapping
from dataclasses import replace
from typing import Final

from typing_extensions import override

from macula_actors.actors.gateway.follower import Follower
from macula_actors.config import GatewayConfig
from macula_actors.core.pubsub.bounded_queue import FullPolicy
from macula_actors.core.pubsub.event import EncodedEvent
from macula_actors.core.pubsub.pattern_index import PatternIndex
from macula_actors.core.rpc.failure import Code
from macula_actors.core.wire.encoder import encode
from macula_actors.core.wire.messages import Publish, Subscribe, Unsubscribe
from macula_actors.errors import MaculaError, OverloadedError, RefusedError
from macula_actors.messages.gateway import GatewayPubsubStats, GetStats, Ready, Relay
from macula_actors.messages.names import GATEWAY, GATEWAY_MESH, GATEWAY_PUBSUB, PUBSUB_HANDLER, TABLES
from macula_actors.messages.peer import Exchange, Inbound
from macula_actors.messages.pubsub import AddSubscription, ForClients, RemoveSubscription
from supervisors import (
    Down,
    From,
    GenServer,
    MonitorRef,
    NoReply,
    Ref,
    Refuse,
    Reply,
    RequestId,
    Response,
    ServerDownError,
    SupervisorsError,
    System,
    Table,
    TableOwner,
    UnexpectedRequestError,
    cast,
    demonitor,
    forward,
    monitor,
    send_request,
    whereis,
)

__all__ = ["GatewayPubsub"]

TOPICS: Final = "gateway_topics"

MAX_TOPICS: Final = 1024  # of one client
DELIVERY_TIMEOUT: Final = 5.0  # seconds that a client may take for an event
MAX_QUEUED: Final = 1024  # events for clients that wait here


class GatewayPubsub(GenServer):
    """Keeps what each client has subscribed to, by its connection, until that ends: in a table that outlives it.

    For all of them the node has one subscription, so that an event comes here once.
    """

    @override
    async def init(self, config: GatewayConfig) -> None:
        self._config = config
        self._system = System.current()
        self._topics = await self._claim()
        self._index: PatternIndex[Ref] = PatternIndex(max_entries=config.max_clients * 16)
        self._monitors: dict[Ref, MonitorRef] = {}
        self._delivering: dict[RequestId, Ref] = {}
        self._in_flight: Counter[Ref] = Counter()
        self._counts: Counter[str] = Counter()
        self._id = f"gateway-{self._system.random.randbytes(8).hex()}"
        self._has_subscribed = False
        self._syncing: RequestId | None = None
        self._waiting: list[From] = []  # for what is being told to PubsubHandler
        self._late: list[From] = []  # for what is told it next
        for connection, patterns in list(self._topics.items()):
            self._watch(connection)
            for pattern in patterns:
                self._index.add(pattern, connection, config.dialect)
        self._handler = Follower(PUBSUB_HANDLER, self._requests)
        cast(GATEWAY, Ready(GATEWAY_PUBSUB, self.actor_ref))

    async def _claim(self) -> MutableMapping[Ref, tuple[str, ...]]:
        try:
            table: Table[Ref, tuple[str, ...]] = await TableOwner.claim(
                TABLES, TOPICS, max_entries=self._config.max_clients
            )
        except ServerDownError:
            return {}  # a gateway works without, and then forgets with a crash
        return table

    @override
    def handle_call(self, request: object, from_: From) -> Reply | NoReply | Refuse:
        match request:
            case EncodedEvent():
                self._deliver(request)
                return Reply(None)
            case ForClients():
                return self._relay(request, from_)
            case Inbound(peer) if peer.verified:
                return _to_handler(request, from_)
            case Inbound(_, Subscribe(topics=topics), connection):
                return self._subscribe(connection, topics, from_)
            case Inbound(_, Unsubscribe(topics=topics), connection):
                return self._unsubscribe(connection, topics, from_)
            case GetStats():
                return Reply(self.statistics())
            case _:
                raise UnexpectedRequestError(request)

    @override
    def handle_info(self, info: object) -> None:
        if self._handler.takes(info):
            return
        match info:
            case Response(request) if request is self._syncing:
                self._synced()
            case Response(request) if request in self._delivering:
                self._delivered(request)
            case Down(ref=Ref() as connection):
                self._forget(connection)
            case _:
                raise UnexpectedRequestError(info)

    def statistics(self) -> GatewayPubsubStats:
        """Return its counts."""
        return GatewayPubsubStats(
            clients=len(self._topics),
            subscriptions=len(self._index),
            delivered=self._counts["delivered"],
            dropped=self._counts["dropped"],
            relayed=self._counts["relayed"],
        )

    # Clients

    def _subscribe(self, connection: Ref, topics: tuple[str, ...], from_: From) -> NoReply | Refuse:
        before = self._topics.get(connection, ())
        patterns = tuple(dict.fromkeys((*before, *topics)))
        if len(patterns) > MAX_TOPICS:
            return Refuse(OverloadedError("topics of one client", MAX_TOPICS))
        if not before and len(self._topics) >= self._config.max_clients:
            return Refuse(OverloadedError("clients that have subscribed", self._config.max_clients))
        self._watch(connection)
        self._topics[connection] = patterns
        try:
            for pattern in patterns[len(before) :]:
                self._index.add(pattern, connection, self._config.dialect)
        except OverloadedError as error:
            self._set_patterns(connection, before)
            return Refuse(error)
        self._late.append(from_)
        self._sync()
        return NoReply()

    def _unsubscribe(self, connection: Ref, topics: tuple[str, ...], from_: From) -> NoReply:
        left = tuple(each for each in self._topics.get(connection, ()) if each not in topics)
        self._set_patterns(connection, left)
        self._late.append(from_)
        self._sync()
        return NoReply()

    def _forget(self, connection: Ref) -> None:
        self._set_patterns(connection, ())
        self._sync()

    def _set_patterns(self, connection: Ref, patterns: tuple[str, ...]) -> None:
        """Leave a client only ``patterns`` of its own; without any it is forgotten, with its monitor."""
        for pattern in self._topics.get(connection, ()):
            if pattern not in patterns:
                self._index.remove(pattern, connection, self._config.dialect)
        if patterns:
            self._topics[connection] = patterns
            return
        self._topics.pop(connection, None)
        watch = self._monitors.pop(connection, None)
        if watch is not None:
            demonitor(watch, flush=True)

    def _watch(self, connection: Ref) -> None:
        if connection not in self._monitors:
            self._monitors[connection] = monitor(connection)

    # The subscription for all of them

    def _requests(self) -> list[AddSubscription | RemoveSubscription]:
        patterns = tuple(dict.fromkeys(pattern for each in self._topics.values() for pattern in each))
        if not patterns and not self._has_subscribed:
            return []
        self._has_subscribed = bool(patterns)
        if not patterns:
            return [RemoveSubscription(self._id)]
        return [
            AddSubscription(
                id=self._id,
                patterns=patterns,
                target=self.actor_ref,
                policy=FullPolicy.DROP_OLDEST,
                max_queued=MAX_QUEUED,
                is_encoded=True,
            )
        ]

    def _sync(self) -> None:
        """Tell PubsubHandler what all clients together want; what changes meanwhile, when it has answered."""
        if self._syncing is not None:
            return
        self._waiting, self._late = self._late, []
        for request in self._requests():
            self._syncing = send_request(PUBSUB_HANDLER, request)
            return
        self._answer_waiting()

    def _synced(self) -> None:
        self._syncing = None
        self._answer_waiting()
        if self._late:
            self._sync()

    def _answer_waiting(self) -> None:
        # one that is being restarted is told again when it is back
        for from_ in self._waiting:
            from_.reply(None)
        self._waiting = []

    # Events

    def _deliver(self, event: EncodedEvent) -> None:
        message = Publish(
            topic=event.topic, payload=event.payload, message_id=event.message_id, qos=0, retain=event.retained
        )
        frame = encode(message)
        for connection in self._index.match(event.topic):
            self._send(connection, frame)

    def _send(self, connection: Ref, frame: bytes) -> None:
        if self._in_flight[connection] >= self._config.max_relayed_per_client:
            self._counts["dropped"] += 1
            return
        self._in_flight[connection] += 1
        exchange = Exchange(frame, self._system.now() + DELIVERY_TIMEOUT, wants_reply=False, is_event=True)
        self._delivering[send_request(connection, exchange)] = connection

    def _delivered(self, request: RequestId) -> None:
        connection = self._delivering.pop(request)
        self._in_flight[connection] -= 1
        if not self._in_flight[connection]:
            del self._in_flight[connection]
        try:
            request.result()
        except (MaculaError, SupervisorsError):
            self._counts["dropped"] += 1
        else:
            self._counts["delivered"] += 1

    # Other nodes

    def _relay(self, request: ForClients, from_: From) -> NoReply | Refuse:
        route, sender, deadline = request
        mesh = whereis(GATEWAY_MESH)
        if route.hop_count >= route.max_hops:
            return Refuse(RefusedError(Code.MAX_HOPS_EXCEEDED, "an event went through too many nodes"))
        if mesh is None:
            return Refuse(RefusedError(Code.UNAVAILABLE, "the relay is being restarted"))
        self._counts["relayed"] += 1
        forward(from_, mesh, Relay(replace(route, hop_count=route.hop_count + 1), sender, deadline))
        return NoReply()


def _to_handler(request: Inbound, from_: From) -> NoReply | Refuse:
    server = whereis(PUBSUB_HANDLER)
    if server is None:
        return Refuse(RefusedError(Code.UNAVAILABLE, "what handles subscriptions is being restarted"))
    forward(from_, server, request)
    return NoReply()
