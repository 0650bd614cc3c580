"""What can be asked of a running node over its admin socket, by name."""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from macula_actors.actors.vitals import memory_mb
from macula_actors.admin.doctor import examine
from macula_actors.admin.protocol import AdminError
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.keys import KeyKind, key_of
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.rpc.call_plan import Path as CallPath
from macula_actors.core.rpc.provider import Provider, providers_in
from macula_actors.errors import MaculaError
from macula_actors.messages.advertisement import unadvertise
from macula_actors.messages.events import EventStream
from macula_actors.messages.gateway import get_health_port
from macula_actors.messages.names import (
    ADVERTISEMENT_MANAGER,
    ENDPOINT,
    GATEWAY_HEALTH,
    ROUTING_SERVER,
    RPC_HANDLER,
    SERVICE_REGISTRY,
)
from macula_actors.messages.peer import PeerUp
from macula_actors.messages.routing_server import get_local, get_routing_table
from macula_actors.messages.rpc import Traced
from macula_actors.messages.service_registry import get_handler, local_services
from macula_actors.node_config import NodeConfig
from supervisors import Ref, ServerDownError, SupervisorsError, System, TreeNode, peek
from supervisors.faults import kill

__all__ = ["Commands", "NodeApi", "echo"]

Tell: TypeAlias = Callable[[object], None]
"""Takes what a command has to tell before it is done."""


class NodeApi(Protocol):
    """What of a node is needed here; see `macula_actors.node.Node`."""

    config: NodeConfig
    node_id: NodeId
    system: System

    @property
    def endpoint(self) -> Endpoint:
        """Where its socket is bound."""

    def peers(self) -> Sequence[PeerUp]:
        """Return its connections."""

    def tree(self) -> TreeNode:
        """Return its processes."""

    def stats(self) -> Mapping[str, Any]:
        """Return what its parts count."""

    async def advertise(self, procedure: str, handler: Any) -> Any:
        """Provide a service."""

    async def discover(self, procedure: str, *, refresh: bool = ..., timeout: float = ...) -> Sequence[Provider]:
        """Find who provides a service."""

    async def trace(
        self,
        procedure: str,
        args: Any = ...,
        *,
        node_id: str | None = ...,
        timeout: float | None = ...,
        paths: tuple[CallPath, ...] | None = ...,
        max_hops: int | None = ...,
    ) -> Traced:
        """Call a service, and say how that went."""

    async def publish(
        self, topic: str, payload: Any = ..., *, qos: int = ..., retain: bool = ..., timeout: float = ...
    ) -> None:
        """Publish an event."""

    def subscription(self, pattern: str) -> EventStream:
        """Get events."""

    async def deny(self, networks: Sequence[str]) -> int:
        """Cut links."""

    async def store(self, key: str, value: Any, *, ttl: float | None = ..., timeout: float = ...) -> int:
        """Keep a value in the DHT."""

    async def find(self, key: str, *, timeout: float = ...) -> Sequence[Any]:
        """Find values in the DHT."""


async def echo(args: Any) -> Any:
    """Return ``args``: the handler of what ``advertise-echo`` advertises."""
    return args


class _Arguments:
    """The arguments of a command. What is wrong with them is an `AdminError` of kind ``bad_arguments``."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = dict(given)

    def text(self, name: str) -> str:
        match self._given.pop(name, None):
            case str(text) if text:
                return text
            case _:
                raise AdminError("bad_arguments", f"{name}: a text is needed")

    def optional_text(self, name: str) -> str | None:
        return None if self._given.get(name) is None else self.text(name)

    def seconds(self, name: str, default: float) -> float:
        match self._given.pop(name, None):
            case None:
                return default
            case bool():
                pass
            case int() | float() as number if 0 < number < float("inf"):
                return float(number)
        raise AdminError("bad_arguments", f"{name}: a number of seconds above 0 is needed")

    def flag(self, name: str) -> bool:
        match self._given.pop(name, False):
            case bool(flag):
                return flag
            case _:
                raise AdminError("bad_arguments", f"{name}: true or false is needed")

    def paths(self, name: str) -> tuple[CallPath, ...] | None:
        given = self._given.pop(name, None)
        if given is None:
            return None
        if not isinstance(given, list) or not given or not set(map(str, given)) <= set(CallPath):
            raise AdminError("bad_arguments", f"{name}: a list of {', '.join(CallPath)} is needed")
        return tuple(path for path in CallPath if path in given)

    def texts(self, name: str) -> list[str]:
        match self._given.pop(name, None):
            case list(texts) if all(isinstance(each, str) for each in texts):
                return texts
        raise AdminError("bad_arguments", f"{name}: a list of texts is needed")

    def optional_count(self, name: str) -> int | None:
        match self._given.pop(name, None):
            case None:
                return None
            case int(number) if number >= 0 and not isinstance(number, bool):
                return number
        raise AdminError("bad_arguments", f"{name}: a number of at least 0 is needed")

    def value(self, name: str) -> Any:
        return self._given.pop(name, None)

    def end(self) -> None:
        if self._given:
            raise AdminError("bad_arguments", f"there is no argument {next(iter(self._given))!r}")


class Commands:
    """The commands of one node. Results are values that `to_json` writes.

    Args:
        node: the node.
        started_at: when it was started, by the clock of its System.
    """

    def __init__(self, node: NodeApi, started_at: float) -> None:
        self._node = node
        self._started_at = started_at
        self._telling: dict[str, Callable[[_Arguments, Tell], Awaitable[Any]]] = {"subscribe": self._subscribe}
        self._commands: dict[str, Callable[[_Arguments], Awaitable[Any]]] = {
            "ping": self._ping,
            "status": self._status,
            "tree": self._tree,
            "peers": self._peers,
            "contacts": self._contacts,
            "deny": self._deny,
            "services": self._services,
            "call": self._call,
            "discover": self._discover,
            "advertise_echo": self._advertise_echo,
            "publish": self._publish,
            "store": self._store,
            "find": self._find,
            "kill": _kill,
            "config": self._config,
            "stats": self._stats,
            "doctor": self._doctor,
        }

    async def run(self, command: str, arguments: Mapping[str, Any], tell: Tell = lambda _: None) -> Any:
        """Carry out ``command``, in the current process. Cancelling it gives up what it waits for.

        Args:
            command: its name.
            arguments: those that it takes.
            tell: called with what is to be told before it is done.

        Raises:
            AdminError: there is no such command, or its arguments are wrong.
            MaculaError: it failed.
        """
        if command in self._telling:
            return await self._telling[command](_Arguments(arguments), tell)
        function = self._commands.get(command)
        if function is None:
            known = ", ".join((*self._commands, *self._telling))
            raise AdminError("unknown_command", f"no command {command[:40]!r}; there are {known}")
        return await function(_Arguments(arguments))

    async def _ping(self, arguments: _Arguments) -> Any:
        arguments.end()
        return {"name": self._node.config.name, "node_id": self._node.node_id}

    async def _status(self, arguments: _Arguments) -> Any:
        arguments.end()
        node, config = self._node, self._node.config
        peers = {each.peer.node_id for each in node.peers()}
        others = [each for each in config.bootstrap if each != node.endpoint]
        return {
            "name": config.name,
            "node_id": node.node_id,
            "mode": config.mode,
            "realm": config.realm,
            "security": config.security,
            "endpoint": node.endpoint,
            "advertised": config.advertised(node.endpoint),
            "has_gateway": config.has_gateway,
            "has_joined": bool(peers) or not others,
            "peers": len(peers),
            "denied": self._denied(),
            "health_port": await self._health_port() if config.has_gateway else None,
            "services": len(await local_services((SERVICE_REGISTRY, node.system))),
            "paths": config.paths,
            "calls": self._calls(),
            "carried": getattr(node.stats().get(RPC_HANDLER), "paths", {}),
            "processes": len(node.system.processes),
            "uptime": round(node.system.now() - self._started_at, 1),
            "memory_mb": round(memory_mb(), 1),
            "pid": os.getpid(),
        }

    def _calls(self) -> Any:
        """Return how many attempts of calls each path has carried, and has not."""
        stats = self._node.stats().get(RPC_HANDLER)
        return None if stats is None else {path: tuple(counts) for path, counts in stats.paths.items()}

    def _denied(self) -> Any:
        try:
            return peek((ENDPOINT, self._node.system), lambda endpoint: endpoint.denied)
        except ServerDownError:
            return None  # it is being restarted

    async def _health_port(self) -> Any:
        try:
            return await get_health_port((GATEWAY_HEALTH, self._node.system))
        except (MaculaError, SupervisorsError):
            return None  # as well

    async def _tree(self, arguments: _Arguments) -> Any:
        arguments.end()
        return _tree_of(self._node.tree())

    async def _peers(self, arguments: _Arguments) -> Any:
        arguments.end()
        return [_peer_of(each) for each in self._node.peers()]

    async def _services(self, arguments: _Arguments) -> Any:
        arguments.end()
        services = await local_services((SERVICE_REGISTRY, self._node.system))
        return [
            {"procedure": each.procedure, "handler": _name_of(each.handler), "metadata": each.metadata}
            for each in services
        ]

    async def _call(self, arguments: _Arguments) -> Any:
        procedure, args = arguments.text("procedure"), arguments.value("args")
        wants_trace = arguments.flag("trace")
        how: dict[str, Any] = {
            "node_id": arguments.optional_text("node_id"),
            "timeout": arguments.seconds("timeout", self._node.config.rpc_timeout),
            "paths": arguments.paths("paths"),
            "max_hops": arguments.optional_count("max_hops"),
        }
        arguments.end()
        traced = await self._node.trace(procedure, args, **how)
        if not wants_trace:
            return traced.result
        return {"result": traced.result, "by": traced.path, "path": list(traced.nodes)}

    async def _discover(self, arguments: _Arguments) -> Any:
        procedure, refresh = arguments.text("procedure"), arguments.flag("refresh")
        timeout, is_local = arguments.seconds("timeout", 5.0), arguments.flag("local")
        arguments.end()
        if is_local:
            return [_provider_of(each) for each in await self._kept_providers(procedure)]
        return [_provider_of(each) for each in await self._node.discover(procedure, refresh=refresh, timeout=timeout)]

    async def _kept_providers(self, procedure: str) -> Sequence[Provider]:
        """Return the providers that the records say which this node keeps for the DHT."""
        config = self._node.config
        key = key_of(KeyKind.PROCEDURE, procedure, realm=config.realm, security=config.security)
        return providers_in(await get_local((ROUTING_SERVER, self._node.system), key), procedure)

    async def _contacts(self, arguments: _Arguments) -> Any:
        arguments.end()
        contacts = await get_routing_table((ROUTING_SERVER, self._node.system))
        return [{"node_id": each.node_id, "endpoint": each.endpoint} for each in contacts]

    async def _deny(self, arguments: _Arguments) -> Any:
        networks = arguments.texts("networks")
        arguments.end()
        try:
            return {"ended": await self._node.deny(networks)}
        except ValueError as error:
            raise AdminError("bad_arguments", f"networks: {error}") from error

    async def _advertise_echo(self, arguments: _Arguments) -> Any:
        procedure, withdraw = arguments.text("procedure"), arguments.flag("withdraw")
        arguments.end()
        handler = await get_handler((SERVICE_REGISTRY, self._node.system), procedure)
        if handler not in {None, echo}:
            raise AdminError("bad_arguments", f"procedure: {procedure} is provided by this node's program")
        if withdraw:
            return {"withdrawn": await unadvertise((ADVERTISEMENT_MANAGER, self._node.system), procedure)}
        await self._node.advertise(procedure, echo)
        return {"advertised": procedure}

    async def _publish(self, arguments: _Arguments) -> Any:
        topic, payload = arguments.text("topic"), arguments.value("payload")
        qos, retain = arguments.optional_count("qos") or 0, arguments.flag("retain")
        timeout = arguments.seconds("timeout", self._node.config.publish_timeout)
        arguments.end()
        await self._node.publish(topic, payload, qos=qos, retain=retain, timeout=timeout)
        return {"published": topic}

    async def _subscribe(self, arguments: _Arguments, tell: Tell) -> Any:
        """Tell first that it has subscribed, then each event, ``count`` of them or for ever."""
        pattern, count = arguments.text("pattern"), arguments.optional_count("count")
        arguments.end()
        told = 0
        async with self._node.subscription(pattern) as events:
            tell({"subscribed": pattern})
            while (count is None or told < count) and (event := await anext(events, None)) is not None:
                tell(event)
                told += 1
        return {"events": told}

    async def _store(self, arguments: _Arguments) -> Any:
        key, value = arguments.text("key"), arguments.value("value")
        ttl, timeout = arguments.seconds("ttl", self._node.config.dht_ttl), arguments.seconds("timeout", 10.0)
        arguments.end()
        return {"nodes": await self._node.store(key, value, ttl=ttl, timeout=timeout)}

    async def _find(self, arguments: _Arguments) -> Any:
        key, timeout = arguments.text("key"), arguments.seconds("timeout", 10.0)
        arguments.end()
        return {"values": list(await self._node.find(key, timeout=timeout))}

    async def _config(self, arguments: _Arguments) -> Any:
        arguments.end()
        return self._node.config.describe()

    async def _stats(self, arguments: _Arguments) -> Any:
        arguments.end()
        return self._node.stats()

    async def _doctor(self, arguments: _Arguments) -> Any:
        arguments.end()
        return await examine(self._node)


async def _kill(arguments: _Arguments) -> Any:
    name = arguments.text("name")
    arguments.end()
    return {"killed": str(kill(name))}


def _tree_of(node: TreeNode) -> dict[str, Any]:
    process = str(node.ref) if isinstance(node.ref, Ref) else None
    name = node.ref.name if isinstance(node.ref, Ref) else None
    state = "running" if isinstance(node.ref, Ref) else "stopped" if node.ref is None else "restarting"
    return {
        "id": str(node.id),
        "name": name,
        "process": process,
        "kind": node.kind,
        "state": state,
        "restarts": node.restarts,
        "mailbox": node.mailbox,
        "children": [_tree_of(child) for child in node.children],
    }


def _peer_of(up: PeerUp) -> dict[str, Any]:
    return {
        "node_id": up.peer.node_id,
        "endpoint": up.peer.endpoint,
        "direction": "dialled" if up.is_dialled else "accepted",
        "verified": up.peer.verified,
        "capabilities": up.peer.capabilities,
    }


def _provider_of(provider: Provider) -> dict[str, Any]:
    return {
        "node_id": provider.node_id,
        "endpoint": provider.endpoint,
        "gateways": [{"node_id": each.node_id, "endpoint": each.endpoint} for each in provider.gateways],
        "metadata": provider.metadata,
        "expires_at": provider.expires_at,
    }


def _name_of(handler: object) -> str:
    return str(getattr(handler, "__qualname__", None) or handler)
