"""Real sockets: one UDP port, read until it is empty at each wake-up, written in batches.

With qh3 installed, datagrams go in and out many at a system call (recvmmsg, GSO and GRO where the kernel has them).
RFC: 768; 3493, section 3.7 (IPv4 addresses at an IPv6 socket). Linux: ip(7), IP_RECVERR.
"""

import asyncio
import errno
import select
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from typing_extensions import override

from macula_actors.transport.interface import Address, DatagramReceiver, DatagramSocket, Network

try:
    from qh3._hazmat import UdpSocketState
except ImportError:
    UdpSocketState = None  # type: ignore[assignment, misc]

__all__ = ["UdpNetwork", "UdpSocket"]

MAX_BATCH: Final = 256  # datagrams read in a row before the others' turn
BUFFER_BYTES: Final = 4 * 1_048_576  # asked for; the kernel gives what it allows

_FAST_BATCH: Final = 32  # that one call of qh3's reads, or more where the kernel joins some
_MAX_DATAGRAM_BYTES: Final = 65_535
_MAPPED: Final = "::ffff:"  # RFC 4291, 2.5.5.2
_IP_RECVERR: Final = 11  # linux/in.h; Python has no name for it
_IPV6_RECVERR: Final = 25  # linux/in6.h
_MSG_ERRQUEUE: Final = 0x2000
_TRANSIENT: Final = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR}


class UdpNetwork(Network):
    """The network of this machine, on the running loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    now = staticmethod(time.monotonic)  # uvloop's own clock counts whole milliseconds, too coarse for pacing

    @override
    def open(self, address: Address, receiver: DatagramReceiver) -> DatagramSocket:
        return UdpSocket(self._loop, address, receiver)

    @override
    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        address = _written_out(host)
        if address is not None:
            return [(address, port)]  # the system says the same, but in another thread
        found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        return list(dict.fromkeys((str(address[0]), int(address[1])) for *_, address in found))


class UdpSocket(DatagramSocket):
    """A bound socket that hands what comes in to its receiver.

    Attributes:
        dropped: how many datagrams the system did not take.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, address: Address, receiver: DatagramReceiver) -> None:
        self._loop = loop
        self._receiver = receiver
        self._socket = _bind(address)
        self._is_ipv6 = self._socket.family == socket.AF_INET6
        self._fast = None if UdpSocketState is None else UdpSocketState(self._socket.fileno())
        self._closed = False
        self.dropped = 0
        self._watched = _watched(loop, self._socket)
        loop.add_reader(self._watched, self._read)

    @property
    @override
    def address(self) -> Address:
        return self._peer(self._socket.getsockname())

    @override
    def send(self, datagrams: Sequence[bytes], address: Address) -> None:
        if self._closed:
            return
        target = address
        if self._is_ipv6 and ":" not in address[0]:
            target = _MAPPED + address[0], address[1]
        if self._fast is not None and len(datagrams) > 1:
            datagrams = _send_many(self._fast, list(datagrams), target)
        for datagram in datagrams:
            try:
                self._socket.sendto(datagram, target)
            except OSError as error:
                self._send_again(datagram, target, error)

    @override
    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._watched)
            self._watched.close()
            self._fast = None  # which holds a descriptor of its own
            self._socket.close()

    def _send_again(self, datagram: bytes, target: Address, error: OSError) -> None:
        """Send what failed with ``error``, unless there is no room: the error may be what another datagram met with."""
        if error.errno not in _TRANSIENT:
            self._read_errors()
            try:
                self._socket.sendto(datagram, target)
            except OSError as again:
                if again.errno not in _TRANSIENT:
                    self._read_errors()
            else:
                return
        self.dropped += 1

    def _read(self) -> None:
        batch: list[tuple[bytes, Address]] = []
        try:
            self._fill(batch)
        except BlockingIOError:
            pass  # read until it was empty
        except OSError:  # what a datagram met with that was sent before
            self._read_errors()
        if batch:
            self._receiver.datagrams_received(batch)
        else:
            self._read_errors()  # woken for nothing else

    def _fill(self, batch: list[tuple[bytes, Address]]) -> None:
        """Read what is there into ``batch``."""
        peer = self._peer
        if self._fast is None:
            receive = self._socket.recvfrom
            while len(batch) < MAX_BATCH:
                data, address = receive(_MAX_DATAGRAM_BYTES)
                batch.append((data, peer(address)))
            return
        count = _FAST_BATCH
        while count >= _FAST_BATCH and len(batch) < MAX_BATCH:  # fewer: there are no more
            received: Any = self._fast.recv()
            count = len(received)
            batch += [(data, peer(address)) for data, address in received] if self._is_ipv6 else received

    def _peer(self, address: Any) -> Address:
        host, port = address[:2]
        if self._is_ipv6 and host.startswith(_MAPPED):
            host = host[len(_MAPPED) :]
        return host, port

    def _read_errors(self) -> None:
        """Tell the receiver what the network gave back (ICMP), where the system keeps it (Linux)."""
        while sys.platform == "linux":
            try:
                *_, address = self._socket.recvmsg(0, 0, _MSG_ERRQUEUE)
            except OSError:
                return
            self._receiver.unreachable(self._peer(address))


def _written_out(host: str) -> str | None:
    """Return the IP address that ``host`` is, in its short form; None for a name, and for what has a zone."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            return socket.inet_ntop(family, socket.inet_pton(family, host))
        except OSError:
            continue
    return None


def _send_many(fast: Any, datagrams: list[bytes], target: Address) -> list[bytes]:
    """Send all in as few system calls as there can be; return what must be sent one by one."""
    try:
        return datagrams[fast.send(datagrams, target) :]
    except OSError as error:
        if error.errno in {errno.EIO, errno.EINVAL, errno.EOPNOTSUPP}:
            fast.disable_gso()  # the kernel knows it, the device does not
        return datagrams[getattr(error, "datagrams_sent", 0) :]


def _watched(loop: asyncio.AbstractEventLoop, bound: socket.socket) -> Any:
    """Return what ``loop`` is to watch, that is readable when ``bound`` is, or has an error to tell.

    libuv, and so uvloop, gives a socket with an error up for ever; but never a set of sockets (uv__poll_io).
    """
    if sys.platform != "linux" or isinstance(loop, asyncio.SelectorEventLoop):
        return bound
    events = select.epoll()
    events.register(bound, select.EPOLLIN)
    return events


def _bind(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)  # noqa: FBT003 -- as the library has it
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address[0] != "::"))
        if sys.platform == "linux":
            bound.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        bound.bind(address)
    except BaseException:
        bound.close()
        raise
    return bound
