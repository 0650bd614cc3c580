"""A host of a simulated network: the `Network` of one node, and its sockets."""

import asyncio
import contextvars
import errno
import os
import socket as real_socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final, Protocol

from typing_extensions import override

from macula_actors.simulation.nat import Nat
from macula_actors.transport.interface import Address, DatagramReceiver, DatagramSocket, Network

__all__ = ["Host", "Router", "SimSocket"]

_EPHEMERAL_PORTS: Final = range(32768, 61000)  # Linux, net.ipv4.ip_local_port_range
_MAX_PORT: Final = 65535
_ANY4: Final = "0.0.0.0"  # noqa: S104 -- no real interface
_ANY6: Final = "::"  # takes IPv4 too
_ANY: Final = (_ANY4, _ANY6)


class Router(Protocol):
    """What a host asks of its network."""

    def route(self, socket: "SimSocket", datagrams: Sequence[bytes], destination: Address) -> None:
        """Send ``datagrams`` on their way."""

    def socket_opened(self, socket: "SimSocket") -> None:
        """Hear that a host opened ``socket``."""

    def socket_closed(self, socket: "SimSocket") -> None:
        """Hear that a host closed ``socket``."""

    def addresses_of(self, name: str, asker: "Host") -> Sequence[str]:
        """Return the addresses that ``name`` has for ``asker``, best first; none if there is no such name."""


class Host(Network):
    """A host, which is the `Network` of the node on it. Made by `SimNetwork.host`.

    Args:
        nat: the box it is behind; None: it is public.
        lan: by address, the hosts behind that box.
    """

    def __init__(
        self,
        name: str,
        ipv4: str,
        ipv6: str | None,
        *,
        router: Router,
        nat: Nat | None = None,
        lan: "dict[str, Host] | None" = None,
    ) -> None:
        self.name = name
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.nat = nat
        self.lan = lan
        self._router = router
        self._sockets: dict[int, list[SimSocket]] = {}  # by port
        self._next_port = 0
        self._own = {"127.0.0.1", "::1", ipv4, ipv6 or ipv4}  # only asked, never listed

    @override
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    @override
    def open(self, address: Address, receiver: DatagramReceiver) -> DatagramSocket:
        ip, port = _canonical(address[0]), address[1]
        if ip not in self._own and ip not in _ANY:
            raise _os_error(errno.EADDRNOTAVAIL, f"{ip!r} is not an address of host {self.name!r}")
        if not 0 <= port <= _MAX_PORT:
            raise _os_error(errno.EINVAL, f"port {port}; allowed are 0 to {_MAX_PORT}")
        if port and not self._is_free(ip, port):
            raise _os_error(errno.EADDRINUSE, f"{ip} port {port} of host {self.name!r}; close its socket first")
        opened = SimSocket(self, self._router, (ip, port or self._free_port(ip)), receiver)
        self._sockets.setdefault(opened.address[1], []).append(opened)
        self._router.socket_opened(opened)
        return opened

    @override
    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        """Return the addresses of ``host``, IPv4 first, which every host has; of an address, itself.

        Raises:
            OSError: there is no such name here. Hosts behind a NAT box have a name for their neighbours only.
        """
        try:
            return [(str(ip_address(host)), port)]
        except ValueError:
            found = self._router.addresses_of(host.lower(), self)
        if not found:
            known = f"{host!r} is no name that host {self.name!r} can resolve; see SimNetwork.host and add_name"
            raise real_socket.gaierror(real_socket.EAI_NONAME, known)
        return [(ip, port) for ip in found]

    def crash(self) -> None:
        """Close all sockets at once, as SIGKILL does: nothing more is sent, peers hear at most that a port is shut.

        The tasks of the node are the caller's to end.
        """
        for opened in [opened for sockets in self._sockets.values() for opened in sockets]:
            opened.close()

    def is_own(self, ip: str) -> bool:
        """Whether ``ip`` is an address of this host, loopback among them."""
        return ip in self._own

    def source_ip(self, bound: str, destination: str) -> str | None:
        """Return what a socket bound at ``bound`` sends from; None: it can't reach ``destination``."""
        ipv6 = ":" in destination
        if bound not in _ANY:
            return bound if (":" in bound) == ipv6 and _is_loopback(bound) <= self.is_own(destination) else None
        if ipv6 and bound == _ANY4:
            return None
        if self.is_own(destination):
            return destination
        return self.ipv6 if ipv6 else self.ipv4

    def find(self, ip: str, port: int) -> "SimSocket | None":
        """Return the socket that takes what is sent to ``ip``; there is one at most, as no two overlap."""
        for opened in self._sockets.get(port, ()):
            if _overlap(opened.address[0], ip):
                return opened
        return None

    def closed(self, opened: "SimSocket") -> None:
        """Free the port of a socket."""
        port = opened.address[1]
        self._sockets[port].remove(opened)
        if not self._sockets[port]:
            del self._sockets[port]
        self._router.socket_closed(opened)

    def _is_free(self, ip: str, port: int) -> bool:
        return not any(_overlap(ip, opened.address[0]) for opened in self._sockets.get(port, ()))

    def _free_port(self, ip: str) -> int:
        for _ in _EPHEMERAL_PORTS:
            port = _EPHEMERAL_PORTS[self._next_port]
            self._next_port = (self._next_port + 1) % len(_EPHEMERAL_PORTS)
            if self._is_free(ip, port):
                return port
        raise _os_error(errno.EADDRINUSE, f"host {self.name!r} has no free port; close sockets")

    @override
    def __repr__(self) -> str:
        return f"<Host {self.name} {self.ipv4}>"


class SimSocket(DatagramSocket):
    """A socket of a `Host`. Its receiver is called in the context in which it was opened, as a real one's."""

    def __init__(self, host: Host, router: Router, address: Address, receiver: DatagramReceiver) -> None:
        self.host = host
        self.is_open = True
        self.loop = asyncio.get_running_loop()
        self._router = router
        self._address = address
        self._receiver = receiver
        self._context = contextvars.copy_context()
        self._inbox: list[tuple[bytes, Address]] = []

    @property
    @override
    def address(self) -> Address:
        return self._address

    @override
    def send(self, datagrams: Sequence[bytes], address: Address) -> None:
        if self.is_open:
            self._router.route(self, datagrams, address)

    @override
    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self.host.closed(self)

    def arrived(self, data: bytes, source: Address) -> None:
        """Take a datagram; the receiver gets it with all others of this wake-up."""
        self._inbox.append((data, source))
        if len(self._inbox) == 1:
            self.loop.call_soon(self._deliver, context=self._context)

    def returned(self, address: Address) -> None:
        """Tell the receiver that what was sent to ``address`` came back."""
        self.loop.call_soon(self._tell_unreachable, address, context=self._context)

    def _deliver(self) -> None:
        batch, self._inbox = self._inbox, []
        if self.is_open:
            self._receiver.datagrams_received(batch)

    def _tell_unreachable(self, address: Address) -> None:
        if self.is_open:
            self._receiver.unreachable(address)


def _canonical(ip: str) -> str:
    try:
        return str(ip_address(ip))
    except ValueError:
        raise _os_error(errno.EADDRNOTAVAIL, f"{ip!r} is not an IP address") from None


def _overlap(one: str, other: str) -> bool:
    if one == other or _ANY6 in {one, other}:
        return True
    return (one == _ANY4 and ":" not in other) or (other == _ANY4 and ":" not in one)


def _is_loopback(ip: str) -> bool:
    return ip in {"127.0.0.1", "::1"}


def _os_error(number: int, what: str) -> OSError:
    return OSError(number, f"{os.strerror(number)}: {what}")
