"""Has others find this node's subscriptions: a record under each literal prefix of its patterns.

Erlang: macula_pubsub_dht, whose records stayed for ever when a subscription went (1.7.6).
"""

from collections import Counter
from collections.abc import Collection, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Final

from loguru import logger

from macula_actors.actors.alarm import Alarm
from macula_actors.config import PubsubConfig
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.pubsub.prefixes import key_of_prefix, literal_prefix
from macula_actors.core.pubsub.subscription import subscription
from macula_actors.core.wire.values import Value
from macula_actors.errors import CallTimeoutError, MaculaError, QuorumError
from macula_actors.messages.names import ROUTING_SERVER
from macula_actors.messages.routing_server import DeleteRecord, StoreRecord
from supervisors import RequestId, SupervisorsError, System, send_request

__all__ = ["Records", "Told", "TryAgain"]

RETRY_AFTER: Final = 1.0  # seconds after which what RoutingServer could not do is tried again
MAX_REQUESTS: Final = 8  # under way at once: RoutingServer has other work too


@dataclass(frozen=True, slots=True)
class Told:
    """What a record says; no patterns: it is to be deleted. ``is_stored``: whether RoutingServer has it."""

    patterns: frozenset[str]
    gateways: frozenset[Contact]
    is_stored: bool = False


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Time to do again what has failed."""


class Records:
    """Compares what this node has subscribed to with what others were told, and puts right what differs.

    As `macula_actors.actors.services.announcer.Announcer` does for services. RoutingServer stores a record that it has
    again and again by itself, so one is stored here when it is new, or is to say something else.

    Args:
        config: who and where this node is.
        told: what others were told, by prefix; it outlives this.
        patterns: that there are already.
    """

    def __init__(self, config: PubsubConfig, told: MutableMapping[str, Told], patterns: Iterable[str]) -> None:
        self._config: Final = config
        self._told: Final = told
        self._system: Final = System.current()
        self._gateways: frozenset[Contact] | None = None  # not known yet
        self._wanted: Final[dict[str, Counter[str]]] = {}
        self._jobs: Final[dict[RequestId, tuple[str, Told]]] = {}
        self._busy: Final[set[str]] = set()
        self._due: Final[dict[str, None]] = {}
        self._retry: Final = Alarm(TryAgain())
        self._is_withdrawn = False
        for pattern in patterns:
            self._count(pattern)

    def __len__(self) -> int:
        return len(self._told)

    def prefix_of(self, pattern: str) -> str:
        """Return the prefix that ``pattern`` is found under."""
        return literal_prefix(pattern, self._config.dialect)

    def add(self, patterns: Iterable[str]) -> tuple[str, ...]:
        """Have ``patterns`` found by others; return the prefixes that are being stored for it."""
        return self._change({self._count(pattern): None for pattern in patterns})

    def remove(self, patterns: Iterable[str]) -> tuple[str, ...]:
        """Undo `add`, unless another subscription has the pattern too."""
        return self._change({self._discount(pattern): None for pattern in patterns})

    def use_gateways(self, gateways: Iterable[Contact]) -> None:
        """Have all records name ``gateways``. Their order means nothing."""
        self._gateways = frozenset(gateways)
        self.put_right()

    def withdraw(self) -> None:
        """Have nothing found by others any more, whatever there is: this node leaves."""
        self._is_withdrawn = True
        self.put_right()

    def has(self, pattern: str) -> bool:
        """Tell whether ``pattern`` is to be found by others."""
        return pattern in self._patterns_of(self.prefix_of(pattern))

    def put_right(self) -> None:
        """Have put right whatever differs."""
        self._change(dict.fromkeys((*self._wanted, *self._told)))

    def try_again(self) -> None:
        """Do what `put_right` does, at `TryAgain`."""
        self._retry.rang()
        self.put_right()

    def is_settled(self, prefix: str) -> bool:
        """Tell whether others can find what there is under ``prefix``, and nothing else."""
        told = self._told.get(prefix)
        return prefix not in self._busy and prefix not in self._due and (told is None or told.is_stored)

    def ended(self, request: RequestId) -> str | None:
        """Take the answer to ``request``; return the prefix that it was about, None if it is not of this one."""
        job = self._jobs.pop(request, None)
        if job is None:
            return None
        prefix, told = job
        self._busy.discard(prefix)
        error = _error_of(request)
        # RoutingServer has what it could give to none of the others, and offers it again
        if error is None or isinstance(error, QuorumError | CallTimeoutError):
            self._has_told(prefix, told)
            self._note(prefix)
        else:
            self._failed(prefix, error)
        self._work()
        return prefix

    def _count(self, pattern: str) -> str:
        prefix = self.prefix_of(pattern)
        self._wanted.setdefault(prefix, Counter())[pattern] += 1
        return prefix

    def _discount(self, pattern: str) -> str:
        prefix = self.prefix_of(pattern)
        patterns = self._wanted[prefix]
        patterns[pattern] -= 1
        if not patterns[pattern]:
            del patterns[pattern]
        if not patterns:
            del self._wanted[prefix]
        return prefix

    def _change(self, prefixes: Iterable[str]) -> tuple[str, ...]:
        found = tuple(prefixes)
        for prefix in found:
            self._note(prefix)
        self._work()
        return tuple(prefix for prefix in found if not self.is_settled(prefix))

    def _note(self, prefix: str) -> None:
        told = self._told.get(prefix)
        if told is None and not self._patterns_of(prefix):
            return
        if told is None or not told.is_stored or told != self._wanted_of(prefix, told):
            self._due[prefix] = None

    def _wanted_of(self, prefix: str, told: Told | None) -> Told:
        before = frozenset[Contact]() if told is None else told.gateways
        gateways = before if self._gateways is None else self._gateways
        return Told(frozenset(self._patterns_of(prefix)), gateways, is_stored=True)

    def _patterns_of(self, prefix: str) -> Collection[str]:
        return () if self._is_withdrawn else self._wanted.get(prefix, ())

    def _work(self) -> None:
        """Begin what is due, as far as there is room; where something is under way, it is noted when that ends."""
        while self._due and len(self._jobs) < MAX_REQUESTS:
            prefix = next(iter(self._due))
            del self._due[prefix]
            if prefix not in self._busy:
                self._begin(prefix)

    def _begin(self, prefix: str) -> None:
        wanted = self._wanted_of(prefix, self._told.get(prefix))
        self._told[prefix] = Told(wanted.patterns, wanted.gateways)
        self._busy.add(prefix)
        key = self._key_of(prefix)
        request = StoreRecord(key, self._payload(wanted), self._config.ttl, durable=False) if wanted.patterns else None
        self._jobs[send_request(ROUTING_SERVER, request or DeleteRecord(key))] = prefix, wanted

    def _payload(self, wanted: Told) -> Value:
        return subscription(
            sorted(wanted.patterns),
            endpoint=self._config.endpoint,
            gateways=sorted(wanted.gateways, key=str),
            now_ms=self._config.wall_clock_ms(),
            dialect=self._config.dialect,
        )

    def _has_told(self, prefix: str, told: Told) -> None:
        if told.patterns:
            self._told[prefix] = told
        else:
            del self._told[prefix]

    def _failed(self, prefix: str, error: Exception) -> None:
        logger.debug("the record of {!r} is stored again: {}", prefix, error)
        now = self._system.now()
        self._retry.set(now + RETRY_AFTER, now)

    def _key_of(self, prefix: str) -> NodeId:
        return key_of_prefix(prefix, realm=self._config.realm, security=self._config.security)


def _error_of(request: RequestId) -> Exception | None:
    try:
        request.result()
    except (MaculaError, SupervisorsError) as error:
        return error
    return None
