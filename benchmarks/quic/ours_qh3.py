"""Our nodes on qh3."""

from functools import partial

from benchmarks.quic import ours

__all__ = ["connect", "dialling", "serve"]

serve = partial(ours.serve, "qh3")
connect = partial(ours.connect, "qh3")
dialling = partial(ours.dialling, "qh3")
