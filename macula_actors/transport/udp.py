"""Real sockets: one UDP port, read until it is empty at each wake-up, written in batches.

On Linux, datagrams of one length go in and out many at a system call, where the kernel and the device can do it.
RFC: 768; 3493, section 3.7 (IPv4 addresses at an IPv6 socket). Linux: udp(7), UDP_SEGMENT, UDP_GRO; ip(7), IP_RECVERR.
"""

import asyncio
import errno
import select
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from struct import Struct
from typing import Any, Final

from typing_extensions import override

from macula_actors.transport.interface import Address, DatagramReceiver, DatagramSocket, Network

__all__ = ["UdpNetwork", "UdpSocket"]

MAX_BATCH: Final = 256  # datagrams read in a row before the others' turn
BUFFER_BYTES: Final = 4 * 1_048_576  # asked for; the kernel gives what it allows

_MAX_DATAGRAM_BYTES: Final = 65_535
_MAPPED: Final = "::ffff:"  # RFC 4291, 2.5.5.2
_IP_RECVERR: Final = 11  # linux/in.h; Python has no name for it
_IPV6_RECVERR: Final = 25  # linux/in6.h
_UDP_SEGMENT: Final = 103  # linux/udp.h, GSO: the length of the datagrams that are sent joined
_UDP_GRO: Final = 104  # linux/udp.h: the length of the datagrams that are received joined
_MAX_JOINED: Final = 64  # linux/udp.h, UDP_MAX_SEGMENTS
_MAX_JOINED_BYTES: Final = 65_000  # 65,535 with the headers
_U16: Final = Struct("=H")
_INT: Final = Struct("=i")
_MAX_ABOUT_BYTES: Final = 64  # of what comes with datagrams: their length
_MSG_ERRQUEUE: Final = 0x2000
_TRANSIENT: Final = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR}
_NO_WAY: Final = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EINVAL, errno.EACCES}
_LOST: Final = {errno.EBADF, errno.ENOTSOCK}


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
        self._receives_joined = self._sends_joined = _joins(self._socket)
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
        if self._sends_joined and len(datagrams) > 1:
            datagrams = self._send_joined(datagrams, target)
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
            for each in (self._watched, self._socket):
                with suppress(OSError):  # somebody else has closed it
                    each.close()

    def _send_joined(self, datagrams: Sequence[bytes], target: Address) -> Sequence[bytes]:
        """Send those of one length with one system call; return what is left to be sent one by one."""
        sent = 0
        try:
            for run in _runs(datagrams):
                if len(run) == 1:
                    self._socket.sendto(run[0], target)
                else:
                    length = _U16.pack(len(run[0]))
                    self._socket.sendmsg(run, ((socket.IPPROTO_UDP, _UDP_SEGMENT, length),), 0, target)
                sent += len(run)
        except OSError as error:
            self._sends_joined = error.errno != errno.EIO  # the kernel can, the device can't
        return datagrams[sent:]

    def _send_again(self, datagram: bytes, target: Address, error: OSError) -> None:
        """Send what failed with ``error``, unless there is no room: the error may be what another datagram met with."""
        if error.errno in _LOST:
            self._lose(error)
        elif error.errno not in _TRANSIENT:
            self._read_errors()
            try:
                self._socket.sendto(datagram, target)
            except OSError as again:
                if again.errno not in _TRANSIENT:
                    self._read_errors()
                if again.errno in _NO_WAY or isinstance(again, socket.gaierror):  # the latter: of another family
                    self._loop.call_soon(self._receiver.unreachable, self._peer(target))
            else:
                return
        self.dropped += 1

    def _lose(self, error: OSError) -> None:
        """Tell the receiver, once, that the socket was closed; its number is left alone: another file may have it."""
        if not self._closed:
            self._socket.detach()
            self.close()
            self._receiver.socket_lost(error)

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
        if not self._receives_joined:
            receive = self._socket.recvfrom
            while len(batch) < MAX_BATCH:
                data, address = receive(_MAX_DATAGRAM_BYTES)
                batch.append((data, peer(address)))
            return
        receive_joined = self._socket.recvmsg
        while len(batch) < MAX_BATCH:
            data, about, _, address = receive_joined(_MAX_DATAGRAM_BYTES, _MAX_ABOUT_BYTES)
            sender = peer(address)
            if about:
                (length,) = _INT.unpack(about[0][2])
                batch += [(data[at : at + length], sender) for at in range(0, len(data), length)]
            else:
                batch.append((data, sender))

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


def _joins(bound: socket.socket) -> bool:
    """Have datagrams of one length received joined; tell whether the system can do that, and so send them so."""
    if sys.platform != "linux":
        return False
    with suppress(OSError):
        bound.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
        return True
    return False


def _runs(datagrams: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Return ``datagrams`` in runs that can go joined: all of one length, but for the last, which may be shorter."""
    start, total = 0, len(datagrams)
    while start < total:
        length = len(datagrams[start])
        limit = min(total, start + min(_MAX_JOINED, _MAX_JOINED_BYTES // length if length else 1))
        end = start + 1
        while end < limit and len(datagrams[end]) == length:
            end += 1
        if end < limit and 0 < len(datagrams[end]) < length:
            end += 1
        yield datagrams[start:end]
        start = end


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
