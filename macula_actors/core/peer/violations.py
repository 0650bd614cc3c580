"""When a peer that sends broken messages is left. Ours; the original never leaves one, but crashes over some."""

from typing import Final

__all__ = ["Violations"]


class Violations:
    """The broken messages of one peer. One is forgotten after the other, so only a flood is too much.

    Args:
        most: how many are too many.
        forgiven_after: seconds after which one is forgotten.
    """

    def __init__(self, most: int, forgiven_after: float) -> None:
        self._most: Final = most
        self._forgiven_after: Final = forgiven_after
        self._count = 0
        self._since = 0.0  # when the last one was forgotten, or the first came

    def add(self, now: float) -> bool:
        """Count one at the instant ``now``, monotonic seconds; return whether they are too many."""
        forgiven = min(int((now - self._since) / self._forgiven_after), self._count)
        self._count -= forgiven
        self._since = self._since + forgiven * self._forgiven_after if self._count else now
        self._count += 1
        return self._count >= self._most
