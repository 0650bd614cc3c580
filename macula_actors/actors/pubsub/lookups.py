"""Lookups of subscribers that are under way, each shared by all that need the prefix (D-39, D-41)."""

from dataclasses import dataclass
from typing import Final

from macula_actors.actors.alarm import Alarm
from macula_actors.config import PubsubConfig
from macula_actors.core.kademlia.record import Record
from macula_actors.core.pubsub.prefixes import key_of_prefix
from macula_actors.core.pubsub.subscription import Subscriber, subscribers_in
from macula_actors.errors import MaculaError, OverloadedError
from macula_actors.messages.names import ROUTING_SERVER
from macula_actors.messages.routing_server import LookUpValue
from supervisors import RequestId, ServerDownError, SupervisorsError, System, send_request

__all__ = ["AskAgain", "Found", "Lookups"]

RETRY_AFTER: Final = 0.05  # seconds that RoutingServer is given to be restarted, or to have room


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a lookup: subscribers, or why there is nothing to be known.

    ``is_outdated``: who has subscribed meanwhile may be missing.
    """

    prefix: str
    outcome: tuple[Subscriber, ...] | Exception
    is_outdated: bool = False


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Time to ask RoutingServer once more."""


class Lookups:
    """Looks prefixes up, each once at a time, some at a time. It never waits.

    Args:
        config: bounds.
    """

    def __init__(self, config: PubsubConfig) -> None:
        self._config: Final = config
        self._system: Final = System.current()
        self._asked: Final[dict[RequestId, str]] = {}
        self._under_way: Final[set[str]] = set()
        self._outdated: Final[set[str]] = set()  # of those, what has changed since
        self._repeated: Final[set[str]] = set()  # and what is looked up again for that
        self._queue: Final[dict[str, None]] = {}
        self._again: Final = Alarm(AskAgain())

    def __len__(self) -> int:
        return len(self._under_way) + len(self._queue)

    def want(self, prefix: str) -> None:
        """Have ``prefix`` looked up, unless it is being looked up already.

        Raises:
            OverloadedError: too many wait to be looked up.
        """
        if prefix in self._under_way or prefix in self._queue:
            return
        if len(self._queue) >= self._config.max_prefixes:
            raise OverloadedError("prefixes to be looked up", self._config.max_prefixes)
        self._queue[prefix] = None
        self._work()

    def outdate(self, prefix: str) -> None:
        """Take note that subscriptions under ``prefix`` have changed: what is being found may be older than that.

        It is looked up once more, but only once: peers that change all the time must not hold up who publishes.
        """
        if prefix in self._under_way:
            self._outdated.add(prefix)

    def answered(self, request: RequestId) -> Found | None:
        """Return what has come of a lookup; None if there is nothing yet, or ``request`` is not of this one."""
        prefix = self._asked.pop(request, None)
        if prefix is None:
            return None
        self._under_way.discard(prefix)
        try:
            records: tuple[Record, ...] = request.result()
        except (ServerDownError, OverloadedError):
            self._queue[prefix] = None
            now = self._system.now()
            self._again.set(now + RETRY_AFTER, now)
            return None
        except (MaculaError, SupervisorsError) as error:
            found: Found | None = Found(prefix, error)
        else:
            found = self._found(prefix, records)
        self._work()
        return found

    def is_one(self, request: RequestId) -> bool:
        """Tell whether ``request`` is of this one."""
        return request in self._asked

    def ask_again(self) -> None:
        """Do what has to wait, at `AskAgain`."""
        self._again.rang()
        self._work()

    def _found(self, prefix: str, records: tuple[Record, ...]) -> Found | None:
        is_outdated = prefix in self._outdated
        self._outdated.discard(prefix)
        if is_outdated and prefix not in self._repeated:
            self._repeated.add(prefix)
            self._queue[prefix] = None
            return None
        self._repeated.discard(prefix)
        return Found(prefix, subscribers_in(records, prefix), is_outdated)

    def _work(self) -> None:
        while self._queue and len(self._asked) < self._config.max_lookups:
            prefix = next(iter(self._queue))
            del self._queue[prefix]
            self._under_way.add(prefix)
            key = key_of_prefix(prefix, realm=self._config.realm, security=self._config.security)
            self._asked[send_request(ROUTING_SERVER, LookUpValue(key))] = prefix
