"""Finding who has subscribed to a topic among many patterns."""

import sys
from collections.abc import Iterator
from random import Random
from statistics import mean, median, quantiles
from time import perf_counter
from typing import Final

from benchmarks.pubsub.length import Length
from benchmarks.rows import Row, verdict
from macula_actors.core.pubsub.pattern_index import PatternIndex

__all__ = ["match"]

MOST: Final = 20.0  # microseconds that it may take
SEGMENTS: Final = 4
NAMES: Final = 40  # different ones in each place
WILDCARDS: Final = 0.1  # of the segments; of those again, at the end of a pattern
MICROSECONDS: Final = 1e6


def match(length: Length) -> Iterator[Row]:
    """Measure each number of patterns, and yield a row for it."""
    for patterns in length.patterns:
        print(f"{patterns:,} patterns", file=sys.stderr, flush=True)
        rounds = [_measure(Random(number), patterns, length.topics) for number in range(length.rounds)]
        p50, p99, found = (median(each) for each in zip(*rounds, strict=True))
        yield {
            "patterns": f"{patterns:,}",
            "subscribers of a topic": f"{found:.1f}",
            "median": f"{p50:.1f} us",
            "99 %": f"{p99:.1f} us",
            "bar": f"<= {MOST:g} us",
            "ok?": verdict(p50 <= MOST),
        }


def _measure(rng: Random, patterns: int, topics: int) -> tuple[float, float, float]:
    """Return median and 99th percentile in microseconds, and how many patterns matched."""
    index: PatternIndex[int] = PatternIndex(max_entries=patterns)
    for number in range(patterns):
        index.add(_pattern(rng), number)
    latencies, found = [], []
    for topic in [".".join(_names(rng)) for _ in range(topics)]:
        began = perf_counter()
        matching = index.match(topic)
        latencies.append((perf_counter() - began) * MICROSECONDS)
        found.append(len(matching))
    cuts = quantiles(latencies, n=100)
    return cuts[49], cuts[98], mean(found)


def _pattern(rng: Random) -> str:
    """Return one whose first segment is a name, as most are; some end in ``**``."""
    first, *others = (name if rng.random() > WILDCARDS else "*" for name in _names(rng))
    if rng.random() < WILDCARDS:
        others[-1] = "**"
    return ".".join(["x" if first == "*" else first, *others])


def _names(rng: Random) -> list[str]:
    return [f"n{rng.randrange(NAMES)}" for _ in range(SEGMENTS)]
