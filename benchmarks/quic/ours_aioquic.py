"""Our nodes on aioquic."""

from functools import partial

from benchmarks.quic import ours

__all__ = ["connect", "dialling", "serve"]

serve = partial(ours.serve, "aioquic")
connect = partial(ours.connect, "aioquic")
dialling = partial(ours.dialling, "aioquic")
