"""Lookups of providers that are under way, each shared by all who ask for the same procedure.

Erlang: pending_queries of macula_rpc_handler, where the later caller took the earlier one's place (D-39).
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from macula_actors.config import ServiceConfig
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.record import Record
from macula_actors.errors import CallTimeoutError, CrashedError, MaculaError, OverloadedError
from macula_actors.messages.asking import MOST_CRASHES
from macula_actors.messages.names import ROUTING_SERVER
from macula_actors.messages.routing_server import LookUpValue
from supervisors import (
    Crashed,
    From,
    RequestId,
    ServerDownError,
    SupervisorsError,
    System,
    TimerRef,
    cancel_timer,
    current,
    send_after,
    send_request,
)

__all__ = ["AskAgain", "Discoveries", "Found", "Lookup", "Overdue", "Waiter"]

RETRY_AFTER: Final = 0.05  # seconds that RoutingServer is given to be restarted


@dataclass(slots=True, eq=False)
class Waiter:
    """Who waits for providers, since an instant and until another; if ``is_choice``, in the order to try them in."""

    from_: From
    is_choice: bool
    since: float
    until: float


@dataclass(slots=True, eq=False)
class Lookup:
    """A lookup under way, at which RoutingServer has crashed so often. ``waiting`` is in the order of ``until``."""

    procedure: str
    waiting: deque[Waiter] = field(default_factory=deque)
    reqid: RequestId | None = None
    crashes: int = 0
    asked_at: float = 0.0
    timer: TimerRef | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a lookup, for those who still wait: records, or an error. RoutingServer was asked ``asked_at``."""

    procedure: str
    outcome: tuple[Record, ...] | Exception
    waiting: tuple[Waiter, ...]
    asked_at: float


@dataclass(frozen=True, slots=True, eq=False)
class AskAgain:
    """Time to ask RoutingServer once more."""

    lookup: Lookup


@dataclass(frozen=True, slots=True, eq=False)
class Overdue:
    """The one who waits longest has waited long enough."""

    lookup: Lookup


class Discoveries:
    """Starts lookups without waiting. Who has given up costs nothing but a place that is needed by nobody else.

    Args:
        config: bounds.
        key_of: the key under which a procedure's providers are.
    """

    def __init__(self, config: ServiceConfig, key_of: Callable[[str], NodeId]) -> None:
        self._config: Final = config
        self._key_of: Final = key_of
        self._system: Final = System.current()
        self._lookups: Final[dict[str, Lookup]] = {}
        self._asked: Final[dict[RequestId, Lookup]] = {}
        self._places = 0  # taken by waiters, those that have given up unnoticed too

    def __len__(self) -> int:
        return len(self._lookups)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(waiter.from_.is_waiting for lookup in self._lookups.values() for waiter in lookup.waiting)

    def wait(self, procedure: str, from_: From, *, is_choice: bool, rest: float) -> None:
        """Have ``from_`` wait for the lookup of ``procedure``, which is begun in ``rest`` seconds if there is none.

        Raises:
            OverloadedError: too many wait, or too many lookups are under way.
        """
        lookup = self._lookups.get(procedure)
        self._require_room(is_new=lookup is None)
        now = self._system.now()
        waiter = Waiter(from_, is_choice, now, now + self._config.discovery_timeout)
        if lookup is None:
            self._begin(procedure, deque([waiter]), rest)
        else:
            lookup.waiting.append(waiter)
            self._places += 1

    def look_again(self, found: Found, rest: float) -> tuple[Waiter, ...]:
        """Look up again what was not ``found``, in ``rest`` seconds, for those who came after RoutingServer was asked.

        Others may have advertised it meanwhile. Returns those for whom it is true that it was not found.
        """
        late = deque(waiter for waiter in found.waiting if waiter.since > found.asked_at)
        if late:
            self._begin(found.procedure, late, rest)
        return tuple(waiter for waiter in found.waiting if waiter.since <= found.asked_at)

    def _begin(self, procedure: str, waiting: deque[Waiter], rest: float) -> None:
        lookup = self._lookups[procedure] = Lookup(procedure, waiting)
        self._places += len(waiting)
        self._set_timer(lookup, waiting[0].until)
        if rest > 0:
            send_after(rest, current(), AskAgain(lookup))
        else:
            self._ask(lookup)

    def answered(self, reqid: RequestId) -> Found | None:
        """Return what has come of a lookup; None if nobody needs it, or RoutingServer is to be asked again."""
        lookup = self._asked.pop(reqid, None)
        if lookup is None:
            return None
        lookup.reqid = None
        try:
            outcome: tuple[Record, ...] | Exception = reqid.result()
        except ServerDownError as error:
            lookup.crashes += isinstance(error.reason, Crashed)
            if lookup.crashes < MOST_CRASHES or not isinstance(error.reason, Crashed):
                send_after(RETRY_AFTER, current(), AskAgain(lookup))
                return None
            outcome = CrashedError(ROUTING_SERVER, error.reason.error)  # at this very lookup, perhaps
        except (MaculaError, SupervisorsError) as error:
            outcome = error
        self._end(lookup)
        return Found(lookup.procedure, outcome, tuple(lookup.waiting), lookup.asked_at)

    def ask_again(self, lookup: Lookup) -> None:
        """Ask RoutingServer again, if somebody still waits."""
        if not self._is_under_way(lookup) or lookup.reqid is not None:
            return
        self._drop_idle(lookup)
        if lookup.waiting:
            self._ask(lookup)
        else:
            self._end(lookup)

    def overdue(self, lookup: Lookup) -> None:
        """Tell those that have waited long enough; with nobody left, the lookup is forgotten."""
        if not self._is_under_way(lookup):
            return
        now, patience = self._system.now(), self._config.discovery_timeout
        while lookup.waiting and lookup.waiting[0].until <= now:
            lookup.waiting.popleft().from_.refuse(CallTimeoutError(ROUTING_SERVER, patience))
            self._places -= 1
        self._drop_idle(lookup)
        if not lookup.waiting:
            self._end(lookup)
            return
        self._set_timer(lookup, lookup.waiting[0].until)
        if lookup.reqid is not None and now - lookup.asked_at >= patience:
            self._ask(lookup)  # who came late is not told of what the first has waited for in vain

    def _is_under_way(self, lookup: Lookup) -> bool:
        """Tell whether a message about ``lookup``, that may have been in the mailbox for a while, still means it."""
        return self._lookups.get(lookup.procedure) is lookup

    def _ask(self, lookup: Lookup) -> None:
        if lookup.reqid is not None:
            self._asked.pop(lookup.reqid, None)
        lookup.asked_at = self._system.now()
        lookup.reqid = send_request(ROUTING_SERVER, LookUpValue(self._key_of(lookup.procedure)))
        self._asked[lookup.reqid] = lookup

    def _end(self, lookup: Lookup) -> None:
        del self._lookups[lookup.procedure]
        self._places -= len(lookup.waiting)
        if lookup.timer is not None:
            cancel_timer(lookup.timer)
        if lookup.reqid is not None:
            self._asked.pop(lookup.reqid, None)

    def _require_room(self, *, is_new: bool) -> None:
        most = self._config.max_waiting
        if self._places >= most:
            for lookup in self._lookups.values():
                self._drop_idle(lookup)
        if self._places >= most:
            raise OverloadedError("callers that wait for lookups", most)
        if is_new and len(self._lookups) >= most:
            raise OverloadedError("lookups of providers", most)

    def _drop_idle(self, lookup: Lookup) -> None:
        """Free the places of those that have given up."""
        left = [waiter for waiter in lookup.waiting if waiter.from_.is_waiting]
        self._places -= len(lookup.waiting) - len(left)
        lookup.waiting = deque(left)

    def _set_timer(self, lookup: Lookup, at: float) -> None:
        lookup.timer = send_after(max(at - self._system.now(), 0.0), current(), Overdue(lookup))
