"""The gateways that a node keeps a connection to, for ever. Erlang: macula_connection (one, and no second attempt)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from random import Random

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.peer.backoff import Backoff
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.handshake import PeerInfo
from supervisors import Ref

__all__ = ["Gateways", "Kept"]


@dataclass(slots=True, eq=False)
class Kept:
    """One of them. It waits in the connector's pool as a caller does."""

    endpoint: Endpoint
    connection: Ref | None = None  # None: a dial is under way, or will be at ``due_at``
    peer: PeerInfo | None = None
    failures: int = 0
    due_at: float = -inf

    def connected(self, connection: Ref, peer: PeerInfo | None) -> None:
        """Note that it is reached over ``connection``."""
        self.connection, self.peer, self.failures = connection, peer, 0


class Gateways:
    """Which of them are connected, and which is to be dialled when."""

    def __init__(self, endpoints: Sequence[Endpoint], backoff: Backoff) -> None:
        self._all = [Kept(endpoint) for endpoint in dict.fromkeys(endpoints)]
        self._backoff = backoff

    def contacts(self) -> tuple[Contact, ...]:
        """Return those that are connected, and verified to be who they are."""
        return tuple(
            Contact(kept.endpoint, kept.peer.node_id) for kept in self._all if kept.peer is not None and kept.connection
        )

    def is_kept(self, connection: Ref) -> bool:
        """Tell whether ``connection`` must stay when it is idle."""
        return any(kept.connection is connection for kept in self._all)

    def failed(self, kept: Kept, now: float, rng: Random) -> None:
        """Note that ``kept`` could not be reached."""
        kept.failures += 1
        kept.due_at = now + self._backoff.delay(kept.failures, rng, None)

    def ended(self, connection: Ref, now: float) -> bool:
        """Note the end of ``connection``, if it is one of them, and tell whether it was."""
        lost = [kept for kept in self._all if kept.connection is connection]
        for kept in lost:
            kept.connection, kept.peer, kept.due_at = None, None, now
        return bool(lost)

    def due(self, now: float) -> Iterator[Kept]:
        """Take those that are to be dialled."""
        for kept in self._all:
            if kept.due_at <= now:
                kept.due_at = inf
                yield kept

    def next_due(self) -> float:
        """Return when the next one is to be dialled; infinity if none is."""
        return min((kept.due_at for kept in self._all), default=inf)
