"""What calls cost: see `benchmarks.parts`."""

from typing import Final

from benchmarks.parts import Parts, run_parts
from benchmarks.rpc.crowd import crowd
from benchmarks.rpc.direct import direct
from benchmarks.rpc.discovery import discovery
from benchmarks.rpc.hops import hops
from benchmarks.rpc.length import FULL, QUICK, Length
from benchmarks.rpc.routes import routes
from benchmarks.rpc.starts import starts

__all__ = ["PARTS"]

PARTS: Final[Parts[Length]] = {
    "direct": ("Calls of a node in another process", direct),
    "routes": ("Calls over several nodes, each in a process, and through a gateway", routes),
    "hops": ("The same calls with all nodes in one process", hops),
    "discovery": ("First calls, of nodes in five processes", discovery),
    "crowd": ("Many callers", crowd),
    "starts": ("A node in a fresh process", starts),
}

if __name__ == "__main__":
    run_parts("rpc", "What calls cost.", PARTS, FULL, QUICK)
