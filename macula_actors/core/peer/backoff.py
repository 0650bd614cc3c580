"""How long to wait before a peer that could not be reached is tried again.

Erlang: macula_connection (a fixed 5 s; later versions 1 s doubling to 30 s, 30 % jitter). Built on tenacity's wait
strategies; only chance is taken from the caller, so that a seed repeats it.
"""

from dataclasses import dataclass
from random import Random
from typing import Final

from tenacity import RetryCallState, Retrying
from tenacity.wait import wait_base, wait_exponential
from typing_extensions import override

__all__ = ["Backoff", "WaitJittered"]

_RETRYING: Final = Retrying()  # a strategy may look at it; nothing is retried by it


class WaitJittered(wait_base):
    """A tenacity strategy: another one's delay, made longer or shorter by chance, never above ``maximum``.

    Chance is ``rng``'s, where `tenacity.wait_random` and its like take the process-wide one.

    Args:
        wait: the strategy whose delays are varied.
        jitter: the largest change, as a part of the delay, 0 to 1.
        maximum: seconds. Longer delays are cut so that they still vary: nodes that lost the same peer must not
            come back to it all at once.
        rng: the source of chance.
    """

    def __init__(self, wait: wait_base, *, jitter: float, maximum: float, rng: Random) -> None:
        self._wait = wait
        self._jitter = jitter
        self._maximum = maximum
        self._rng = rng

    @override
    def __call__(self, retry_state: RetryCallState) -> float:
        delay = min(self._wait(retry_state), self._maximum / (1 + self._jitter))
        return min(delay * self._rng.uniform(1 - self._jitter, 1 + self._jitter), self._maximum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """A delay that doubles with each failure, up to a ceiling, and varies.

    Args:
        initial: seconds after the first failure.
        maximum: seconds; no delay is longer.
        factor: by which the delay grows with each failure.
        jitter: how much it varies, as a part of it, 0 to 1.
        wait: a strategy of tenacity to use in place of the exponential one; ``jitter`` and ``maximum`` hold for it too.

    Raises:
        ValueError: a number is out of its range.
    """

    initial: float = 0.5
    maximum: float = 30.0  # v0.31 and later
    factor: float = 2.0
    jitter: float = 0.3  # v0.31 and later
    wait: wait_base | None = None

    def __post_init__(self) -> None:
        if not 0 < self.initial <= self.maximum < float("inf"):
            raise ValueError(f"back-off from {self.initial} to {self.maximum} s; needed is 0 < initial <= maximum")
        if not self.factor >= 1 or not 0 <= self.jitter <= 1:
            raise ValueError(f"factor {self.factor}, jitter {self.jitter}; allowed are 1 or more, and 0 to 1")

    def delay(self, attempt: int, rng: Random, error: BaseException | None = None) -> float:
        """Return how many seconds to wait after the failure of ``attempt``, 1 for the first.

        ``error`` is what it failed with, for strategies that look at it (`tenacity.wait_exception`).

        Raises:
            ValueError: ``attempt`` is below 1.
        """
        if attempt < 1:
            raise ValueError(f"attempt {attempt}; the first is 1")
        wait = self.wait or wait_exponential(multiplier=self.initial, exp_base=self.factor, max=self.maximum)
        jittered = WaitJittered(wait, jitter=self.jitter, maximum=self.maximum, rng=rng)
        return max(jittered(_state(attempt, error)), 0.0)


def _state(attempt: int, error: BaseException | None) -> RetryCallState:
    # it notes the time of the real clock, at which no strategy looks
    state = RetryCallState(_RETRYING, fn=None, args=(), kwargs={})
    state.attempt_number = attempt
    if error is not None:
        state.set_exception((type(error), error, error.__traceback__))
    return state
