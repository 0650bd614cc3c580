"""BootstrapHealth: whether a bootstrap node does its work.

Erlang: macula_bootstrap_health (whose first check came after an interval, and for which a warning was a failure).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from typing_extensions import override

from macula_actors.actors.vitals import memory_mb
from macula_actors.config import BootstrapConfig, wall_clock_ms
from macula_actors.messages.bootstrap import Check, GetHealth, Health, HealthStatus
from macula_actors.messages.names import BOOTSTRAP_REGISTRY, BOOTSTRAP_SERVER, ROUTING_SERVER
from macula_actors.messages.routing_server import GetSize
from supervisors import (
    Continue,
    From,
    GenServer,
    Reply,
    RequestId,
    Response,
    SupervisorsError,
    UnexpectedRequestError,
    send_after,
    send_request,
    whereis,
)
from supervisors.tree import not_running

__all__ = ["BootstrapHealth"]

ANSWER_TIMEOUT: Final = 5.0  # seconds that RoutingServer has
CHECK_AGAIN_AFTER: Final = 5.0  # seconds at most after a check that failed: what is restarted is back soon


@dataclass(frozen=True, slots=True)
class _CheckDue:
    """Time for the checks."""


@dataclass(frozen=True, slots=True)
class _TooLate:
    """RoutingServer has not answered."""

    reqid: RequestId


class BootstrapHealth(GenServer):
    """Checks at once and then every ``health_interval``. It waits for nobody: what it is asked it answers from memory.

    Args of init:
        config: how often, and what is too much.
        memory: returns how many MB this process has.
    """

    @override
    def init(self, config: BootstrapConfig, memory: Callable[[], float] = memory_mb) -> Continue:
        self._config = config
        self._memory = memory
        self._health = Health(HealthStatus.UNKNOWN, "not checked yet", (), wall_clock_ms())
        self._asking: RequestId | None = None
        return Continue(None)

    @override
    def handle_continue(self, term: object) -> None:
        self._begin()

    @override
    def handle_call(self, request: object, from_: From) -> Reply:
        match request:
            case GetHealth():
                return Reply(self._health)
            case _:
                raise UnexpectedRequestError(request)

    @override
    def handle_info(self, info: object) -> None:
        match info:
            case _CheckDue():
                self._begin()
            case Response(reqid) if reqid is self._asking:
                self._end(_routing_check(reqid))
            case _TooLate(reqid) if reqid is self._asking:
                self._end(Check("routing_server", is_ok=False, detail=f"no answer within {ANSWER_TIMEOUT:g} s"))
            case Response() | _TooLate():
                pass  # the check is over
            case _:
                raise UnexpectedRequestError(info)

    def _begin(self) -> None:
        self._asking = send_request(ROUTING_SERVER, GetSize())
        send_after(ANSWER_TIMEOUT, self.actor_ref, _TooLate(self._asking))

    def _end(self, routing: Check) -> None:
        self._asking = None
        server, registry = _alive_check("server", BOOTSTRAP_SERVER), _alive_check("registry", BOOTSTRAP_REGISTRY)
        self._health = _health_of((server, registry, routing, self._memory_check()))
        is_bad = self._health.status is HealthStatus.UNHEALTHY
        interval = self._config.health_interval
        send_after(min(interval, CHECK_AGAIN_AFTER) if is_bad else interval, self.actor_ref, _CheckDue())

    def _memory_check(self) -> Check:
        used, most = self._memory(), self._config.max_memory_mb
        warning = f"memory is {used:.0f} MB, more than {most} MB" if used > most else ""
        return Check("memory", is_ok=True, detail=f"{used:.0f} MB", warning=warning)


def _alive_check(check: str, name: str) -> Check:
    ref = whereis(name)
    is_ok = ref is not None and not not_running(ref)
    return Check(check, is_ok, "running" if is_ok else "not running")


def _routing_check(reqid: RequestId) -> Check:
    try:
        contacts: int = reqid.result()
    except SupervisorsError as error:
        return Check("routing_server", is_ok=False, detail=str(error))
    return Check("routing_server", is_ok=True, detail=f"{contacts} contacts")


def _health_of(checks: tuple[Check, ...]) -> Health:
    failed = [f"{check.name}: {check.detail}" for check in checks if not check.is_ok]
    status = HealthStatus.UNHEALTHY if failed else HealthStatus.HEALTHY
    said = [*failed, *(check.warning for check in checks if check.warning)]
    return Health(status, "; ".join(said) or "all checks succeeded", checks, wall_clock_ms())
