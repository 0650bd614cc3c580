"""What became of the requests of a simulation at message level."""

from dataclasses import dataclass

__all__ = ["MessageCounters"]


@dataclass(slots=True, kw_only=True)
class MessageCounters:
    """Numbers of requests and answers. Once nothing is in flight, ``requests`` is the sum of the four ends.

    What is asked by, or on its way to, a node that stops ends as nothing: ``forgotten``.
    """

    requests: int = 0
    messages: int = 0  # requests and answers that were sent
    answered: int = 0  # an end
    refused: int = 0  # an end: with an error
    timed_out: int = 0  # an end
    forgotten: int = 0  # an end: nobody waits any more
    lost: int = 0  # messages, by a link's chance
    cut: int = 0  # messages between nodes that are cut from each other
    nobody: int = 0  # messages to an address where no node is, any more or at all
    overflowed: int = 0  # requests beyond the most in flight; counted as refused too
