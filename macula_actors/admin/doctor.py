"""What a node can and cannot do where it runs, and why. Erlang: none."""

import asyncio
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from typing import Final, Protocol

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.handshake import Security
from macula_actors.core.wire.messages import Ping
from macula_actors.errors import MaculaError
from macula_actors.messages.names import PEER_CONNECTOR
from macula_actors.messages.peer import PeerUp, request
from macula_actors.node_config import NodeConfig
from supervisors import System

__all__ = ["Finding", "Verdict", "examine"]

_DIAL_TIMEOUT: Final = 3.0  # seconds for all bootstrap nodes together: they are asked at once
_MIN_FILES: Final = 1024
_NOT_BEFORE: Final = 1_735_689_600  # seconds since 1970: 2025, when records of today would lie in the future


class Verdict(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"  # so it is configured
    WARN = "warn"
    FAIL = "fail"  # something does not work


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about one thing, and what to do about it; no ``advice`` if nothing."""

    check: str
    verdict: Verdict
    detail: str
    advice: str = ""


class _Examined(Protocol):
    config: NodeConfig
    node_id: NodeId
    system: System

    @property
    def endpoint(self) -> Endpoint: ...

    def peers(self) -> Sequence[PeerUp]: ...


async def examine(node: _Examined) -> list[Finding]:
    """Return what is found out about ``node``; it takes some seconds if bootstrap nodes do not answer."""
    return [
        _key(node.config),
        _security(node.config),
        _address(node),
        _nat(),
        *await asyncio.gather(*(_bootstrap(node, each) for each in node.config.bootstrap)),
        _joined(node),
        _gateways(node.config),
        _clock(),
        _files(),
        _engine(node),
    ]


def _key(config: NodeConfig) -> Finding:
    if config.data_dir is None:
        return Finding("key", Verdict.NOTE, "in memory only: the node has another id at each start", "set data_dir")
    return Finding("key", Verdict.OK, f"kept in {config.data_dir}")


def _security(config: NodeConfig) -> Finding:
    if config.security is Security.OPEN:
        advice = "set security = verified, unless there are peers of v0.8"
        return Finding("security", Verdict.WARN, "open: anybody can say that it is anybody", advice)
    secret = "with a secret" if config.realm_secret or config.realm_secret_file else "without a secret"
    return Finding("security", Verdict.OK, f"verified; realm {config.realm} {secret}")


def _address(node: _Examined) -> Finding:
    advertised = node.config.advertised(node.endpoint)
    if advertised is not None:
        return Finding("address", Verdict.OK, f"bound to {node.endpoint}; others are told {advertised}")
    detail = f"bound to {node.endpoint}; others are told none, and reach this node by its gateways alone"
    return Finding("address", Verdict.NOTE, detail, "set advertise to where others can dial this node, if they can")


def _nat() -> Finding:
    return Finding("nat", Verdict.NOTE, "not known: nodes do not tell each other yet where they see them")


async def _bootstrap(node: _Examined, endpoint: Endpoint) -> Finding:
    check = f"bootstrap {endpoint}"
    if endpoint == node.endpoint:
        return Finding(check, Verdict.OK, "this node itself")
    begun = node.system.now()
    try:
        server = (PEER_CONNECTOR, node.system)
        await request(server, Contact(endpoint), Ping(timestamp=time.time_ns() // 1_000_000), _DIAL_TIMEOUT)
    except MaculaError as error:
        return Finding(check, Verdict.FAIL, str(error), "see that it runs, that UDP gets there, and that realms agree")
    return Finding(check, Verdict.OK, f"answered after {1000 * (node.system.now() - begun):.1f} ms")


def _joined(node: _Examined) -> Finding:
    peers = len({each.peer.node_id for each in node.peers()})
    if peers or not node.config.bootstrap:
        return Finding("peers", Verdict.OK, f"{peers} connected")
    return Finding("peers", Verdict.FAIL, "none", "see bootstrap")


def _gateways(config: NodeConfig) -> Finding:
    gateways = ", ".join(map(str, config.gateway_endpoints))
    if gateways:
        return Finding("gateways", Verdict.OK, f"sessions are kept with {gateways}")
    if config.has_gateway:
        return Finding("gateways", Verdict.OK, "this node is one")
    advice = "set gateways or bootstrap"
    return Finding("gateways", Verdict.NOTE, "none: a node that cannot dial this one does not reach it", advice)


def _clock() -> Finding:
    now = time.time()
    text = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if now < _NOT_BEFORE:
        return Finding("clock", Verdict.FAIL, text, "set the clock: records of others seem to be of the future")
    return Finding("clock", Verdict.OK, text)


def _files() -> Finding:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files < _MIN_FILES:
        return Finding("limits", Verdict.WARN, f"{files} open files", f"raise it: ulimit -n {_MIN_FILES}")
    return Finding("limits", Verdict.OK, f"{files} open files")


def _engine(node: _Examined) -> Finding:
    loop = type(node.system.loop).__module__.partition(".")[0]
    detail = f"QUIC by {node.config.engine}, loop of {loop}"
    missing = [each for each in ("qh3", "uvloop") if find_spec(each) is None]
    if missing:
        advice = "pip install macula-actors[fast]"
        return Finding("engine", Verdict.NOTE, f"{detail}; not installed: {', '.join(missing)}", advice)
    return Finding("engine", Verdict.OK, detail)
