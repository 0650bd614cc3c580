"""Our nodes on qh3."""

from functools import partial

from benchmarks.rpc import ours

__all__ = ["connect", "serve"]

serve = partial(ours.serve, "qh3")
connect = partial(ours.connect, "qh3")
