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
    """What came of a lookup: subscribers, or why there is nothing to be known."""

    prefix: str
    outcome: tuple[Subscriber, ...] | Exception


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
            found = Found(prefix, error)
        else:
            found = Found(prefix, subscribers_in(records, prefix))
        self._work()
        return found

    def is_one(self, request: RequestId) -> bool:
        """Tell whether ``request`` is of this one."""
        return request in self._asked

    def ask_again(self) -> None:
        """Do what has to wait, at `AskAgain`."""
        self._again.rang()
        self._work()

    def _work(self) -> None:
        while self._queue and len(self._asked) < self._config.max_lookups:
            prefix = next(iter(self._queue))
            del self._queue[prefix]
            self._under_way.add(prefix)
            key = key_of_prefix(prefix, realm=self._config.realm, security=self._config.security)
            self._asked[send_request(ROUTING_SERVER, LookUpValue(key))] = prefix
