"""Whom the benchmark measures, on what."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from importlib.util import find_spec
from typing import Final, Protocol, TypeAlias, cast

__all__ = ["SYSTEMS", "Loop", "Module", "Request", "System", "is_installed", "load_module"]

Request: TypeAlias = Callable[[bytes], Awaitable[bytes]]  # a message; its first 100 bytes, from the server


class Loop(StrEnum):
    """What it runs on."""

    ASYNCIO = "asyncio"
    UVLOOP = "uvloop"
    TRIO = "trio"
    THREADS = "threads"


@dataclass(frozen=True, slots=True)
class System:
    """One system.

    Attributes:
        label: in the table.
        module: of this package, with what `Module` says.
        package: that has to be installed.
        loops: on which it is measured.
    """

    label: str
    module: str
    package: str
    loops: Sequence[Loop]


class Module(Protocol):
    """What the module of a system has; on threads the three are plain: functions, and a context manager.

    Without ``dialling``, dials are not measured.
    """

    async def serve(self, announce: Callable[[str], None], /) -> None:
        """Answer each request with its first 100 bytes, until cancelled; ``announce`` in one line where, when ready."""

    def connect(self, where: str, /) -> AbstractAsyncContextManager[Request]:
        """Connect to a server, and give the function that sends a request over that one connection."""

    def dialling(self, where: str, /) -> AbstractAsyncContextManager[Callable[[], Awaitable[object]]]:
        """Give the function that dials a server, with a full handshake, and closes the connection."""


BOTH: Final = (Loop.ASYNCIO, Loop.UVLOOP)

SYSTEMS: Final[Mapping[str, System]] = {
    system.module: system
    for system in (
        System("our nodes on aioquic", "ours_aioquic", "aioquic", BOTH),
        System("our nodes on qh3", "ours_qh3", "qh3", BOTH),
        System("aioquic, bare", "raw_aioquic", "aioquic", BOTH),
        System("qh3, bare", "raw_qh3", "qh3", BOTH),
        System("py-libp2p, a stream each over QUIC", "libp2p_peer", "libp2p", (Loop.TRIO,)),
        System("iroh, a stream each over QUIC", "iroh_peer", "iroh", BOTH),
        System("zenoh, queryable and get over TCP", "zenoh_peer", "zenoh", (Loop.THREADS,)),
    )
}


def is_installed(system: System, loop: Loop) -> bool:
    """Return whether it can be measured here."""
    return find_spec(system.package) is not None and (loop is not Loop.UVLOOP or find_spec(loop) is not None)


def load_module(system: System) -> Module:
    """Import the system's module."""
    return cast(Module, import_module(f"benchmarks.quic.{system.module}"))
