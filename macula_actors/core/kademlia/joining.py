"""Getting into a network, and back into it: which endpoints to ask next, and when.

Erlang: none; bootstrap_nodes was never used (D-52). Paper: section 2.3 (a node joins by a lookup of its own id).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from random import Random
from typing import Final

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.peer.backoff import Backoff

__all__ = ["Joining"]


@dataclass(slots=True)
class _Attempt:
    due_at: float
    failures: int = 0
    is_asked: bool = False


class Joining:
    """The bootstrap endpoints. Instants are monotonic seconds.

    While this node knows nobody, each endpoint is asked again and again, for ever, with its own back-off. Once it knows
    somebody they are asked at long intervals, so that parts of a network that know nothing of each other meet.

    Args:
        endpoints: whom to ask.
        backoff: between two failures of one.
        rejoin_after: seconds between two questions of a node that knows others, at most.
        jitter: part of that by which it may be earlier, at random: else all nodes that were started together ask the
            same few at once, for ever.
        now: the present; all are due.
    """

    def __init__(
        self, endpoints: Iterable[Endpoint], backoff: Backoff, *, rejoin_after: float, now: float, jitter: float = 0.5
    ) -> None:
        self._attempts: Final = {endpoint: _Attempt(now) for endpoint in endpoints}
        self._backoff: Final = backoff
        self._rejoin_after: Final = rejoin_after
        self._jitter: Final = jitter

    def __len__(self) -> int:
        return len(self._attempts)

    def due(self, now: float) -> list[Endpoint]:
        """Return whom to ask now; tell `answered`, `failed` or `is_self` of each."""
        due = [endpoint for endpoint, each in self._attempts.items() if each.due_at <= now and not each.is_asked]
        for endpoint in due:
            self._attempts[endpoint].is_asked = True
        return due

    def answered(self, endpoint: Endpoint, now: float, rng: Random) -> None:
        """Take note that a node answered there."""
        if endpoint in self._attempts:
            self._attempts[endpoint] = _Attempt(now + self._rejoin_after * (1 - self._jitter * rng.random()))

    def failed(self, endpoint: Endpoint, now: float, rng: Random) -> None:
        """Take note that none did."""
        attempt = self._attempts.get(endpoint)
        if attempt is not None:
            attempt.failures += 1
            attempt.is_asked = False
            attempt.due_at = now + self._backoff.delay(attempt.failures, rng)

    def is_self(self, endpoint: Endpoint) -> None:
        """Take note that it is this node's own."""
        self._attempts.pop(endpoint, None)

    def isolated(self, now: float) -> None:
        """Take note that this node knows nobody any more: who answered last is asked at once."""
        for attempt in self._attempts.values():
            if not attempt.failures:
                attempt.due_at = min(attempt.due_at, now)

    def next_due(self) -> float:
        """Return when `due` next returns something; never: infinity."""
        return min((each.due_at for each in self._attempts.values() if not each.is_asked), default=inf)
