"""What becomes of a message between two simulated nodes: when it arrives, or that it is lost.

Pure, and without state: chance is a hash of the seed, the two nodes and the instant, so each of n * n links has chance
of its own that costs no memory. Source: SplitMix64 (Steele, Lea and Flood, 2014), the finalizer.
"""

from dataclasses import dataclass
from typing import Final

__all__ = ["MessageLink", "link_chance"]

_MASK: Final = (1 << 64) - 1
_UNIT: Final = 2.0**-64
_MICROSECONDS: Final = 1_000_000  # in a second
_SOURCE: Final = 0x9E3779B97F4A7C15  # odd constants without a pattern: of SplitMix64, and of xxHash64
_TARGET: Final = 0xC2B2AE3D27D4EB4F
_INSTANT: Final = 0x165667B19E3779F9


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLink:
    """How good the way from one node to another is, in one direction. Durations are seconds.

    Raises:
        ValueError: a number is out of its range.
    """

    latency: float = 0.025
    jitter: float = 0.0  # up to so much is added, uniformly; messages may overtake each other
    loss: float = 0.0  # chance of each message, 0.0 to 1.0

    def __post_init__(self) -> None:
        if min(self.latency, self.jitter) < 0 or not 0.0 <= self.loss <= 1.0:
            raise ValueError(f"{self}: a number is out of its range")

    def transit(self, seed: int, source: int, target: int, now: float) -> float | None:
        """Return when what ``source`` sends to ``target`` (numbers) now arrives; None: never."""
        if not self.jitter and not self.loss:
            return now + self.latency
        chance = link_chance(seed, source, target, now)
        if chance < self.loss:
            return None
        # what is left of the chance is uniform too
        return now + self.latency + self.jitter * (chance - self.loss) / (1.0 - self.loss)


def link_chance(seed: int, source: int, target: int, now: float) -> float:
    """Return a number from 0.0 to below 1.0, another one for each seed, link and microsecond."""
    number = (seed + source * _SOURCE + target * _TARGET + round(now * _MICROSECONDS) * _INSTANT) & _MASK
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((number ^ (number >> 31)) >> 11) * 2048 * _UNIT
