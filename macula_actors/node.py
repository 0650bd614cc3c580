"""A node of the mesh: what programs hold. Erlang: macula_client and macula_peer, in one with the node itself.

Every part of it is a process under `system`, named as in `macula_actors.messages.names`, and may crash.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from types import TracebackType
from typing import Any, Final, Self
from weakref import WeakSet

from loguru import logger

from macula_actors.actors.root_watch import RootWatch
from macula_actors.application import load_application, start_application
from macula_actors.config import SystemConfig, wall_clock_ms
from macula_actors.core.durations import lifetime
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.keys import KeyKind, key_of
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.handshake import Security
from macula_actors.core.peer.identity import Identity
from macula_actors.core.pubsub.bounded_queue import FullPolicy
from macula_actors.core.rpc.call_plan import Path
from macula_actors.core.rpc.provider import Provider
from macula_actors.core.wire.values import Value
from macula_actors.errors import ConfigError, MaculaError, NodeStartedError, NotRunningError
from macula_actors.messages import advertisement, calling, peer, pubsub, routing_server, service_registry
from macula_actors.messages.events import EventStream, Subscription
from macula_actors.messages.names import (
    ADVERTISEMENT_MANAGER,
    ENDPOINT,
    GATEWAY_CLIENTS,
    GATEWAY_MESH,
    GATEWAY_PUBSUB,
    GATEWAY_RPC,
    MEMBERSHIP,
    PEER_CONNECTOR,
    PUBSUB_HANDLER,
    ROOT,
    ROUTING_SERVER,
    RPC_HANDLER,
    SERVICE_REGISTRY,
    TASKS,
)
from macula_actors.messages.peer import PeerUp
from macula_actors.messages.rpc import CallOptions, Traced
from macula_actors.messages.service_registry import LocalHandler
from macula_actors.node_config import NodeConfig
from macula_actors.parts import parts
from macula_actors.preflight import preflight
from macula_actors.systems.root import Root
from macula_actors.systems.tasks_system import TasksSystem
from macula_actors.transport.data_dir import DataDirLock
from macula_actors.transport.interface import Network
from macula_actors.transport.key_store import load_or_create
from macula_actors.transport.udp import UdpNetwork
from supervisors import (
    Crashed,
    ExitReason,
    FailedToStartChild,
    Ref,
    ServerDownError,
    Shutdown,
    StartError,
    System,
    TreeNode,
    peek,
)

__all__ = ["Advertisement", "Node"]

JOIN_PATIENCE: Final = 2.0  # seconds that a start waits for bootstrap nodes, and for those it knew in its last life
STATISTICS: Final = (
    ENDPOINT,
    PEER_CONNECTOR,
    ROUTING_SERVER,
    SERVICE_REGISTRY,
    RPC_HANDLER,
    PUBSUB_HANDLER,
    MEMBERSHIP,
    GATEWAY_CLIENTS,
    GATEWAY_PUBSUB,
    GATEWAY_RPC,
    GATEWAY_MESH,
)


class Advertisement:
    """A service that a node advertises, until `cancel`."""

    def __init__(self, node: "Node", procedure: str, token: object) -> None:
        self._node = node
        self._token = token
        self.procedure = procedure

    async def cancel(self) -> bool:
        """Provide the service no more, and have the others forget it; return whether it was advertised.

        If the procedure was advertised again since, that stays.
        """
        server = self._node.server(ADVERTISEMENT_MANAGER)
        return await advertisement.unadvertise(server, self.procedure, self._token)


class Node:
    """One node. ``async with Node(config) as node`` starts it and stops it; it belongs to the loop it is started on.

    What it is asked for before its start or after its end raises `NotRunningError` at once.

    Args:
        config: what it is told.
        network: what carries its datagrams, made on its loop; `macula_actors.simulation.SimNetwork` has others.
        wall_clock_ms: milliseconds since 1970.

    Attributes:
        config: as given.
        node_id: its id, the SHA-256 of its public key.
        system: its processes.
    """

    def __init__(
        self,
        config: NodeConfig,
        *,
        network: Callable[[], Network] = UdpNetwork,
        wall_clock_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self.config = config
        self.identity: Identity = load_or_create(config.data_dir)
        self.node_id: NodeId = self.identity.node_id
        self.system = System(config.name)
        self._network = network
        self._wall_clock_ms = wall_clock_ms
        self._is_started = self._is_stopped = False
        self._lock: DataDirLock | None = None
        self._endpoint: Endpoint | None = None
        self._root: Ref | None = None
        self._streams: WeakSet[EventStream] = WeakSet()
        self._options = CallOptions(
            json=config.security is Security.OPEN,
            max_attempts=config.max_attempts,
            max_hops=config.max_hops,
            paths=config.paths,
        )

    # Its life

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start all of its processes, and join the mesh if a node answers: a bootstrap node, or one of its last life.

        Else it tries again and again.

        Raises:
            NodeStartedError: it was started before; that goes on unharmed.
            NotRunningError: it was stopped meanwhile.
            ConfigError: the configuration names what another has, or what is not there: an address, a data_dir, a file,
                a program. Nothing is left of what was started.
            StartError: one of them, or the program, did not start; nothing is left of the others.
        """
        if self._is_started:
            raise NodeStartedError
        self._is_started = True
        try:
            await self._start()
        except BaseException as error:
            refusal = NotRunningError() if self._is_stopped and isinstance(error, Exception) else _refusal(error)
            await self.stop()
            if refusal is not None:
                raise refusal from error
            raise
        if self._is_stopped:
            raise NotRunningError

    async def _start(self) -> None:
        application = None if self.config.app is None else load_application(self.config.app)
        self._lock = DataDirLock.of(self.config.data_dir)
        listen = await preflight(self.config, self._network())
        settings = parts(self.config, self.identity, listen, network=self._network, wall_clock_ms=self._wall_clock_ms)
        await self.system.start(TasksSystem, settings.dht, *_tasks(settings), name=TASKS)
        self._root = await self.system.start(Root, settings, name=ROOT)
        await self.system.start(RootWatch, self._end_streams)
        self._endpoint = await peer.address(self.server(ENDPOINT))
        if self.config.admin_socket is not None:
            from macula_actors.admin.system import start_admin  # noqa: PLC0415 -- a node without does not need it

            await start_admin(self, self.config.admin_socket)
        await self._join()
        if application is not None:
            await start_application(self._root, application, self)

    async def stop(self) -> None:
        """Stop all of its processes, in reverse order of their start; it can't be started again. Twice is once.

        Others are told first that it provides nothing and subscribes to nothing any more; if not, that takes a second.
        """
        self._is_started = self._is_stopped = True
        try:
            await asyncio.gather(
                pubsub.withdraw((PUBSUB_HANDLER, self.system)),
                advertisement.withdraw_all((ADVERTISEMENT_MANAGER, self.system)),
            )
        finally:
            await self._end()

    async def _end(self) -> None:
        await self.system.stop()
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    def _end_streams(self) -> None:
        """End all loops over events."""
        for stream in list(self._streams):
            stream.end()

    async def _join(self) -> None:
        """Wait until the nearest nodes have answered, or all whom this one knows are silent, or for a moment.

        It goes on by itself.
        """
        try:
            await routing_server.wait_joined(self.server(ROUTING_SERVER), JOIN_PATIENCE)
        except MaculaError as error:
            logger.bind(node=str(self.node_id)).warning("no bootstrap node answers yet: {}", error)

    async def wait_stopped(self) -> ExitReason:
        """Wait until its root has ended, and return why: a node whose parts crash too often gives up."""
        return Shutdown() if self._root is None else await self._root.wait_exit()

    def server(self, name: str) -> tuple[str, System]:
        """Return what the functions of `macula_actors.messages` take to ask the process ``name`` of this node.

        Raises:
            NotRunningError: it is not started, or has ended.
        """
        return name, self._running()

    def _running(self) -> System:
        """Return its System: whatever it is asked for, it is asked here first. Raises `NotRunningError`."""
        if self._root is None or not self._root.is_alive():
            raise NotRunningError
        return self.system

    @property
    def endpoint(self) -> Endpoint:
        """Where its socket is bound, or was when it ran.

        Raises:
            NotRunningError: it is not started.
        """
        if self._endpoint is None:
            raise NotRunningError
        return self._endpoint

    # Services

    async def advertise(
        self,
        procedure: str,
        handler: LocalHandler,
        *,
        ttl: float | None = None,
        metadata: Mapping[str, Value] | None = None,
    ) -> Advertisement:
        """Have calls of ``procedure`` handled here, by all nodes of the realm, until the `Advertisement` is cancelled.

        Args:
            procedure: its name, ``"test.calculator.add"``.
            handler: a function, ``def`` or ``async def``, that takes the decoded arguments and returns any value that
                messages carry; or a process, which is called. An exception of it is the caller's `RemoteCallError`.
            ttl: seconds that it is found for if this node disappears, at most 86,400, rounded up to whole ones; None:
                those of the configuration.
            metadata: what `discover` is to tell of it.

        Raises:
            ValueError: ``procedure`` is no name of a procedure, ``handler`` can't be called, ``ttl`` is none, or
                ``metadata`` no map.
            LocalProtocolError: ``metadata`` is none that a record may have.
            OverloadedError: there are too many services here.
        """
        server = self.server(ADVERTISEMENT_MANAGER)
        seconds = self.config.service_ttl if ttl is None else lifetime(ttl)
        token = await advertisement.advertise(server, procedure, handler, ttl=seconds, metadata=metadata)
        return Advertisement(self, procedure, token)

    async def discover(self, procedure: str, *, refresh: bool = False, timeout: float = 5.0) -> list[Provider]:
        """Return the nodes that provide ``procedure``, as far as this node can find out; none is no error.

        Args:
            procedure: its name.
            refresh: whether what is cached will not do.
            timeout: seconds.

        Raises:
            ValueError: ``procedure`` is no name of a procedure, or ``timeout`` no finite number.
            QuorumError: nobody answered.
            CallTimeoutError: it took too long.
        """
        server = self.server(SERVICE_REGISTRY)
        return list(await service_registry.discover(server, procedure, refresh=refresh, timeout=timeout))

    async def call(
        self,
        procedure: str,
        args: Value = None,
        *,
        timeout: float | None = None,
        paths: Collection[Path] | None = None,
        max_hops: int | None = None,
    ) -> Any:
        """Call ``procedure`` at the node that provides it, or at one of those, and return what its handler returned.

        If one cannot be reached the next is tried, so that a handler may run twice if an answer is lost. Cancelling it
        cancels the handler.

        Args:
            procedure: its name.
            args: any value that messages carry.
            timeout: seconds for all of it; None: those of the configuration.
            paths: the ways that the call may go; None: those of the configuration.
            max_hops: how many hops a routed call may take; None: those of the configuration.

        Raises:
            ValueError: ``procedure`` is no name of a procedure, or another argument is none that is allowed.
            NoProviderError: no node provides it.
            RemoteCallError: the handler raised, or refused it.
            CallTimeoutError: there was no answer in time.
            NoRouteError, ConnectionLostError, OverloadedError, MaxHopsExceededError: no provider could be reached.
            QuorumError: nobody could be asked who provides it.
            LocalProtocolError: ``args`` is no value that messages carry.
        """
        return (await self.trace(procedure, args, timeout=timeout, paths=paths, max_hops=max_hops)).result

    async def call_node(
        self,
        node_id: NodeId | bytes | str,
        procedure: str,
        args: Value = None,
        *,
        timeout: float | None = None,
        paths: Collection[Path] | None = None,
        max_hops: int | None = None,
    ) -> Any:
        """Call ``procedure`` at the one node ``node_id``: 32 bytes, or 64 hexadecimal digits. Otherwise as `call`."""
        return (
            await self.trace(
                procedure, args, node_id=_node_id(node_id), timeout=timeout, paths=paths, max_hops=max_hops
            )
        ).result

    def trace(
        self,
        procedure: str,
        args: Value = None,
        *,
        node_id: NodeId | bytes | str | None = None,
        timeout: float | None = None,
        paths: Collection[Path] | None = None,
        max_hops: int | None = None,
    ) -> Coroutine[Any, Any, Traced]:
        """Do as `call`, or as `call_node`, and return the result with the way that the call took."""
        config = self.config
        return calling.trace(
            procedure,
            args,
            node_id=None if node_id is None else _node_id(node_id),
            timeout=config.rpc_timeout if timeout is None else timeout,
            paths=paths,
            system=self._running(),
            options=self._options if max_hops is None else self._options._replace(max_hops=max_hops),
        )

    # Events

    async def subscribe(
        self,
        pattern: str,
        callback: pubsub.Subscriber,
        *,
        policy: FullPolicy | None = None,
        max_queued: int | None = None,
        is_ordered: bool = True,
    ) -> Subscription:
        """Have ``callback`` get each event that any node publishes to a topic that ``pattern`` matches, once.

        It is done once others can find it.

        Args:
            pattern: a topic, or one with wildcards as segments: ``*`` is one segment, ``**`` any number of them.
            callback: a function, ``def`` or ``async def``, that takes an `Event`; or a process, which is called with it
                and whose end ends the subscription. What it raises, or how slow it is, hurts only itself.
            policy: what is done with an event when ``max_queued`` wait for it; None: as configured.
            max_queued: events, at least 1; None: as configured.
            is_ordered: whether events of one publisher come in its order; else each comes as it arrives.

        Raises:
            ValueError: ``pattern`` can't match a valid topic, ``policy`` is none, or ``max_queued`` is below 1.
            TypeError: ``callback`` is neither a function nor a process.
            OverloadedError: there are too many subscriptions here.
        """
        server = self.server(PUBSUB_HANDLER)
        how = self._how(policy, max_queued, is_ordered=is_ordered)
        subscription = Subscription(server, pattern)
        await subscription.begin(callback, **how)
        return subscription

    def subscription(
        self,
        pattern: str,
        *,
        policy: FullPolicy | None = None,
        max_queued: int | None = None,
        is_ordered: bool = True,
    ) -> EventStream:
        """Return the events of ``pattern`` for an ``async for``, which ends the subscription when it is left.

        It begins with the loop, or before it with ``async with``. The loop ends when the node stops, when the stream is
        closed, and when a subscriber with the policy ``disconnect`` was too slow. Arguments and errors are those of
        `subscribe`.
        """
        how = self._how(policy, max_queued, is_ordered=is_ordered)
        stream = EventStream(self.server(PUBSUB_HANDLER), pattern, **how)
        self._streams.add(stream)
        return stream

    async def publish(
        self, topic: str, payload: Value = None, *, qos: int = 0, retain: bool = False, timeout: float | None = None
    ) -> None:
        """Publish ``payload`` to all subscribers of ``topic``, those of this node first.

        Args:
            topic: its name.
            payload: any value that messages carry; in an open mesh what JSON has, and bytes. With ``retain``, None has
                the value before it forgotten.
            qos: 0: it returns when the event is on the way to all nodes known to have subscribers. 1: when all of them
                have acknowledged it; it is sent again until then, and delivered once.
            retain: whether it is kept for who subscribes later, in place of the one before.
            timeout: seconds for all of it, at most 30; None: those of the configuration.

        Raises:
            ValueError: ``topic`` is no name of a topic, ``qos`` neither 0 nor 1, ``retain`` no bool, or ``timeout`` no
                finite number.
            LocalProtocolError: ``payload`` can't be sent.
            UnacknowledgedError: of qos 1: some nodes have not acknowledged it in time; the others have.
            OverloadedError: too much is being published.
            QuorumError: of qos 1: nobody could be asked who the subscribers are.
            CallTimeoutError: it took too long.
        """
        await pubsub.publish(
            self.server(PUBSUB_HANDLER),
            topic,
            payload,
            qos=qos,
            retain=retain,
            timeout=self.config.publish_timeout if timeout is None else timeout,
            json=self.config.security is Security.OPEN,
            dialect=self.config.dialect,
        )

    # Values in the DHT

    async def store(self, key: str | bytes, value: Value, *, ttl: float | None = None, timeout: float = 10.0) -> int:
        """Keep ``value`` under ``key`` at the nodes closest to it, and again and again until `delete`.

        Each node has a value of its own under a key, which this replaces.

        Args:
            key: any text or bytes.
            value: any value that a record carries, but None, at most some 8 KiB. To have none there, `delete` it. In an
                open mesh, at most 768 bytes, and its texts come back as bytes: v0.8 reads nothing else.
            ttl: seconds, at most 86,400, that it outlives this node, rounded up to whole ones; None: those of the
                configuration.
            timeout: seconds.

        Returns:
            How many nodes keep it now.

        Raises:
            ValueError: ``ttl`` is out of range, or ``timeout`` no finite number.
            LocalProtocolError: ``key`` or ``value`` is none that a record may have.
            OverloadedError: there is no room, or too much waits; it is not kept.
            QuorumError: none of the others took it; this node keeps it and offers it again.
            CallTimeoutError: it took too long.
        """
        seconds = self.config.dht_ttl if ttl is None else lifetime(ttl)
        server = self.server(ROUTING_SERVER)
        return await routing_server.store(server, self._key(key), value, ttl=seconds, timeout=timeout)

    async def find(self, key: str | bytes, *, timeout: float = 10.0) -> list[Any]:
        """Return the values that nodes have stored under ``key``, each node's latest.

        Raises:
            LocalProtocolError: ``key`` is neither text nor bytes.
            OverloadedError: too many lookups wait.
            QuorumError: nobody answered.
            CallTimeoutError: it took too long.
        """
        records = await routing_server.find_value(self.server(ROUTING_SERVER), self._key(key), timeout=timeout)
        return [record.payload for record in records]

    async def delete(self, key: str | bytes, *, timeout: float = 10.0) -> int:
        """Have this node's value under ``key`` forgotten by all, and return how many took note."""
        return await routing_server.delete(self.server(ROUTING_SERVER), self._key(key), timeout=timeout)

    # Links

    async def deny(self, networks: Iterable[str | IPv4Network | IPv6Network]) -> int:
        """Neither dial ``networks`` nor let them in from now on, in place of those denied before: it cuts links.

        Returns:
            How many connections were ended. Their other ends see them as lost.

        Raises:
            ValueError: one of ``networks`` is none.
        """
        return await peer.deny(self.server(ENDPOINT), [ip_network(each) for each in networks])

    # What can be seen of it

    def peers(self) -> list[PeerUp]:
        """Return the connections to other nodes that there are now; there may be several to one."""
        try:
            return list(peek((PEER_CONNECTOR, self.system), lambda connector: connector.peers()))
        except ServerDownError:
            return []

    def tree(self) -> TreeNode:
        """Return the processes of this node: those under its root.

        Raises:
            NotRunningError: it is not started, or has ended.
        """
        return next(node for node in self._running().tree().children if node.ref is self._root)

    def stats(self) -> dict[str, Any]:
        """Return what each part counts, by the part's name; of a part that is being restarted there is nothing."""
        found = {}
        for name in STATISTICS:
            try:
                found[name] = peek((name, self.system), lambda server: server.statistics())
            except ServerDownError:
                continue
        return found

    def _how(self, policy: FullPolicy | None, max_queued: int | None, *, is_ordered: bool) -> dict[str, Any]:
        """Return how a subscription is to be, as `pubsub.subscribe` takes it."""
        return {
            "policy": self.config.slow_subscriber if policy is None else policy,
            "max_queued": self.config.max_queued_events if max_queued is None else max_queued,
            "is_ordered": is_ordered,
            "dialect": self.config.dialect,
        }

    def _key(self, key: str | bytes) -> NodeId:
        return key_of(KeyKind.VALUE, key, realm=self.config.realm, security=self.config.security)


def _refusal(error: BaseException) -> ConfigError | None:
    """Return what a process had against the configuration, if it was for that that nothing started."""
    reason = error.reason if isinstance(error, StartError) else None
    while isinstance(reason, Shutdown) and isinstance(reason.detail, FailedToStartChild):
        reason = reason.detail.reason
    return reason.error if isinstance(reason, Crashed) and isinstance(reason.error, ConfigError) else None


def _tasks(settings: SystemConfig) -> tuple[int, int]:
    """Return how many processes there may be at once for calls, and for subscriptions."""
    # A worker of RpcHandler stays when it has nothing to do, so the gateway's calls for clients have room of their own.
    for_clients = 0 if settings.gateway is None else settings.gateway.max_calls
    return settings.rpc.max_workers + for_clients, settings.pubsub.max_subscriptions


def _node_id(node_id: NodeId | bytes | str) -> NodeId:
    match node_id:
        case str():
            return NodeId.from_hex(node_id)
        case bytes():
            return NodeId(node_id)
        case _:
            raise ValueError(f"node_id is {node_id!r:.80}; allowed are 32 bytes, or 64 hexadecimal digits")
