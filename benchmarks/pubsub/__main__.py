"""What publishing costs: see `benchmarks.parts`."""

from typing import Final

from benchmarks.parts import Parts, run_parts
from benchmarks.pubsub.length import FULL, QUICK, Length
from benchmarks.pubsub.match import match
from benchmarks.pubsub.shapes import shapes

__all__ = ["PARTS"]

PARTS: Final[Parts[Length]] = {
    "shapes": ("Events between nodes in four processes", shapes),
    "match": ("The patterns that match a topic", match),
}

if __name__ == "__main__":
    run_parts("pubsub", "What publishing costs.", PARTS, FULL, QUICK)
