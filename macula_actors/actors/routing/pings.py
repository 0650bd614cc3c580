"""The contacts that RoutingServer asks by itself whether they are there."""

from dataclasses import dataclass, field
from math import inf
from typing import Final

from macula_actors.config import DhtConfig
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.wire.messages import FindNode
from macula_actors.messages.gateway_dht import query_peer_nowait
from macula_actors.messages.names import GATEWAY_DHT
from supervisors import From, RequestId

__all__ = ["Ping", "PingAgain", "Pings"]


@dataclass(slots=True, eq=False)
class Ping:
    """A question to ``contact``; ``waiting`` are told whether it is in the table then.

    ``bootstrap``: for which endpoint it is asked. ``is_way_back``: whether what it tells may lead to a network again.
    """

    contact: Contact
    bootstrap: Endpoint | None = None
    is_way_back: bool = False
    waiting: list[From] = field(default_factory=list)
    attempt: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class PingAgain:
    """Time to ask once more."""

    ping: Ping


class Pings:
    """Questions under way, one a contact. A ping asks for this node's own neighbours, so that v0.8 answers it too."""

    def __init__(self, config: DhtConfig) -> None:
        self._config: Final = config
        self._message: Final = FindNode(target=bytes(config.identity.node_id))
        self._asked: Final[dict[RequestId, Ping]] = {}
        self._contacts: Final[dict[Contact, Ping]] = {}
        self._newcomers: Final[dict[NodeId, float]] = {}  # asked last at the end, and when

    def __len__(self) -> int:
        return len(self._contacts)

    @property
    def is_full(self) -> bool:
        """Whether no more can be asked."""
        return len(self._contacts) >= self._config.max_pings

    def ask(self, ping: Ping) -> bool:
        """Ask, or join who is asking; False if too many are asked."""
        same = self._contacts.get(ping.contact)
        if same is not None:
            same.waiting += ping.waiting
            same.bootstrap = same.bootstrap or ping.bootstrap
            same.is_way_back |= ping.is_way_back
            return True
        if self.is_full:
            return False
        self._contacts[ping.contact] = ping
        self._send(ping)
        return True

    def ask_newcomer(self, contact: Contact, node_id: NodeId, now: float) -> None:
        """Ask who has shown up, unless that was done a moment ago."""
        asked_at = self._newcomers.get(node_id, -inf)
        if now - asked_at < self._config.buckets.ping_again_after or self.is_full:
            return
        self._newcomers.pop(node_id, None)
        self._newcomers[node_id] = now
        if len(self._newcomers) > 2 * self._config.max_pings:
            del self._newcomers[next(iter(self._newcomers))]
        self.ask(Ping(contact))

    def take(self, reqid: RequestId) -> Ping | None:
        """Return the ping that is answered with ``reqid``; None if there is none. Then `again` or `done`."""
        return self._asked.pop(reqid, None)

    def again(self, ping: Ping) -> None:
        """Ask once more."""
        ping.attempt += 1
        self._send(ping)

    def done(self, ping: Ping) -> None:
        """Take note that it is over."""
        del self._contacts[ping.contact]

    def _send(self, ping: Ping) -> None:
        timeout = self._config.query_timeout
        reqid = query_peer_nowait(GATEWAY_DHT, ping.contact, self._message, timeout, is_told=False)
        self._asked[reqid] = ping
