"""What to do about a child that ended: decided here, carried out by the supervisor.

Erlang: ``supervisor``'s do_restart/3, restart/3, add_restart/1.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar, assert_never

from supervisors.child_specs import Restart
from supervisors.errors import ChildSpecError
from supervisors.exit_reason import ExitReason, is_abnormal

__all__ = ["AutoShutdown", "RestartPlan", "RestartWindow", "Strategy", "SupFlags", "is_restarted", "plan_restart"]

Id = TypeVar("Id")


class Strategy(StrEnum):
    """Which children are restarted when one ends."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"
    SIMPLE_ONE_FOR_ONE = "simple_one_for_one"


class AutoShutdown(StrEnum):
    """Whether the supervisor ends when one, or all, of its significant children ended by themselves."""

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    ALL_SIGNIFICANT = "all_significant"


@dataclass(frozen=True, slots=True)
class SupFlags:
    """How a supervisor treats its children.

    More than ``intensity`` restarts within ``period`` seconds (> 0) end the supervisor.

    Raises:
        ChildSpecError: a flag has a value that it cannot have.
    """

    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: int = 1
    period: float = 5.0
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER

    def __post_init__(self) -> None:
        if not isinstance(self.strategy, Strategy):
            raise ChildSpecError("strategy", self.strategy, "must be a Strategy")
        if not isinstance(self.auto_shutdown, AutoShutdown):
            raise ChildSpecError("auto_shutdown", self.auto_shutdown, "must be an AutoShutdown")
        check_intensity(self.intensity, self.period)
        if self.strategy is Strategy.SIMPLE_ONE_FOR_ONE and self.auto_shutdown is not AutoShutdown.NEVER:
            # OTP >= 26: the children of such a supervisor have no identity to be significant by.
            raise ChildSpecError("auto_shutdown", self.auto_shutdown, "must be NEVER under SIMPLE_ONE_FOR_ONE")


def check_intensity(intensity: object, period: object) -> None:
    """Check the two numbers of a `RestartWindow`.

    Raises:
        ChildSpecError: ``intensity`` is no integer >= 0, or ``period`` no finite number of seconds > 0.
    """
    if not isinstance(intensity, int) or isinstance(intensity, bool) or intensity < 0:
        raise ChildSpecError("intensity", intensity, "must be an integer >= 0")
    number = isinstance(period, int | float) and not isinstance(period, bool)
    if not number or not 0 < period < float("inf"):  # type: ignore[operator]
        raise ChildSpecError("period", period, "must be a number of seconds > 0")


class RestartWindow:
    """Counts the restarts of the last ``period`` seconds; a restart exactly ``period`` old still counts.

    Holds at most ``intensity + 1`` instants, so each restart costs the same however full it is.
    """

    __slots__ = ("_at", "_intensity", "_period")

    def __init__(self, intensity: int, period: float) -> None:
        self._intensity = intensity
        self._period = period
        self._at: deque[float] = deque(maxlen=intensity + 1)

    def admit(self, now: float) -> bool:
        """Count a restart at ``now`` (the loop's clock); False once there are more than ``intensity``."""
        at = self._at
        at.append(now)
        return len(at) <= self._intensity or at[0] < now - self._period


def is_restarted(restart: Restart, reason: ExitReason) -> bool:
    """Tell whether a child of type ``restart`` that ended with ``reason`` is to be started again."""
    match restart:
        case Restart.PERMANENT:
            return True
        case Restart.TRANSIENT:
            return is_abnormal(reason)
        case Restart.TEMPORARY:
            return False
        case _:
            assert_never(restart)


@dataclass(frozen=True, slots=True)
class RestartPlan(Generic[Id]):
    """First stop ``terminate``, in this order, one after the other; then start ``start``, in this order."""

    terminate: Sequence[Id]
    start: Sequence[Id]


def plan_restart(strategy: Strategy, children: Sequence[Id], dead: Id) -> RestartPlan[Id]:
    """Plan the restart of ``dead``, one of ``children`` (all, in start order).

    Children that do not run are in the plan as well: stopping them is nothing, and a group restart starts them.
    """
    match strategy:
        case Strategy.ONE_FOR_ONE | Strategy.SIMPLE_ONE_FOR_ONE:
            return RestartPlan((), (dead,))
        case Strategy.ONE_FOR_ALL:
            group = list(children)
        case Strategy.REST_FOR_ONE:
            group = list(children[children.index(dead) :])
        case _:
            assert_never(strategy)
    return RestartPlan([child for child in reversed(group) if child != dead], group)
