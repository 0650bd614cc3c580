"""Where our tables and lookups answer otherwise than the original's, on purpose.

Numbers ``D-xx`` are those of the original's register of defects; ``-`` is a difference in which neither is wrong.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """Why what the original answers in some cases is not what we answer."""

    defect: str
    reason: str
    applies: Callable


# (the simulated network, the nodes that the original finds, those that we find)
LOOKUPS = [
    Difference(
        "-",
        "A node does not find itself: it knows without a lookup what it has.",
        lambda network, was, ours: network.local in was,
    ),
    Difference(
        "D-49",
        "Only nodes that answered are found: the dead do not take the places of the living.",
        lambda network, was, ours: bool(network.dead & set(was)),
    ),
    Difference(
        "D-49",
        "A lookup ends when the k closest have answered, not when a round brings no news: it finds nearer ones.",
        lambda network, was, ours: bool(set(ours) - set(was)),
    ),
]

# (the simulated network, the values that the original finds, those that we find)
VALUES = [
    Difference(
        "-",
        "A node does not ask itself for a value: it knows without a lookup what it has.",
        lambda network, was, ours: not ours and network.local in network.holders,
    ),
    Difference(
        "D-49",
        "A lookup ends when the k closest have answered, not when a round brings no news: it finds the holder.",
        lambda network, was, ours: bool(ours) and not was,
    ),
]

# (whether a full bucket was asked to take one more, whether a contact was removed from it later)
BUCKETS = [
    Difference(
        "D-48",
        "Whom a full bucket has no room for is not forgotten: the newest takes the place of a contact that goes.",
        lambda was_refused, was_removed: was_refused and was_removed,
    ),
]

DROPPED_SEQUENCES = {
    "cache": ("D-47", "What is cached here lives as long as it was told to, however often it is read: no LRU."),
}

# of a routing server; the others are of the table here, or of the record store (test_record_store_vectors.py)
DROPPED_OPERATIONS = {
    "bogus": ("-", "Who asks a server for what it does not know gets the runtime's UnexpectedRequestError."),
}
DROPPED_MESSAGES = {
    b"bogus": ("D-54", "A frame of no known type is refused by the decoder, and never reaches the routing server."),
}
