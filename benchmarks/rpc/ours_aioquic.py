"""Our nodes on aioquic."""

from functools import partial

from benchmarks.rpc import ours

__all__ = ["connect", "serve"]

serve = partial(ours.serve, "aioquic")
connect = partial(ours.connect, "aioquic")
