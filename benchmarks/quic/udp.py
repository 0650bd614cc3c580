"""UDP sockets for the bare engines, drained at one wake-up of the loop."""
# mypy: disable-error-code="import-untyped, import-not-found"

import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeAlias

__all__ = ["Address", "BatchSocket", "PlainSocket", "UdpSocket"]

Address: TypeAlias = tuple[str, int]

BUFFER_BYTES = 4 * 1_048_576  # the most that Linux gives by default to who asks
BATCH = 256  # datagrams, or calls, at one wake-up: timers must not starve
MAX_DATAGRAM_BYTES = 65_536


class UdpSocket(Protocol):
    """An open socket, not blocking."""

    def fileno(self) -> int:
        """Return the file descriptor, to be watched."""

    def address(self) -> Address:
        """Return where it is bound."""

    def receive(self) -> list[tuple[bytes, Address]]:
        """Return all datagrams that have arrived, each with its sender, but for what would starve the loop."""

    def send(self, datagrams: Sequence[bytes], address: Address) -> None:
        """Send in order; what the system does not take is lost."""

    def close(self) -> None:
        """Free the port."""


class PlainSocket:
    """One system call a datagram: ``recvfrom`` and ``sendto``."""

    def __init__(self, address: Address) -> None:
        self.socket = _bind(address)

    def fileno(self) -> int:
        return self.socket.fileno()

    def address(self) -> Address:
        bound: Address = self.socket.getsockname()
        return bound

    def receive(self) -> list[tuple[bytes, Address]]:
        arrived: list[tuple[bytes, Address]] = []
        with suppress(BlockingIOError):
            arrived.extend(self.socket.recvfrom(MAX_DATAGRAM_BYTES) for _ in range(BATCH))
        return arrived

    def send(self, datagrams: Sequence[bytes], address: Address) -> None:
        with suppress(BlockingIOError):
            for datagram in datagrams:
                self.socket.sendto(datagram, address)

    def close(self) -> None:
        self.socket.close()


class BatchSocket(PlainSocket):
    """Many datagrams a system call, by qh3's wrapper of quinn-udp: ``recvmmsg`` with GRO, ``sendmsg`` with GSO."""

    def __init__(self, address: Address) -> None:
        from qh3._hazmat import UdpSocketState  # noqa: PLC0415, PLC2701 -- the other engine does without; its public way is a transport

        super().__init__(address)
        self.state: Any = UdpSocketState(self.socket.fileno())

    def receive(self) -> list[tuple[bytes, Address]]:
        arrived: list[tuple[bytes, Address]] = []
        with suppress(BlockingIOError):
            while len(arrived) < BATCH and (more := self.state.recv()):
                arrived += more
        return arrived

    def send(self, datagrams: Sequence[bytes], address: Address) -> None:
        with suppress(BlockingIOError):
            self.state.send(datagrams, address)


def _bind(address: Address) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    made.bind(address)
    return made
