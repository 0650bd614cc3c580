"""What became of the datagrams of a simulation."""

from dataclasses import dataclass

__all__ = ["Counters"]


@dataclass(slots=True, kw_only=True)
class Counters:
    """Numbers of datagrams. ``sent + duplicated`` is the sum of all others."""

    sent: int = 0  # given to an open socket
    duplicated: int = 0  # second copies that a link made
    in_flight: int = 0  # not there yet
    delivered: int = 0  # given to a socket
    lost: int = 0  # by a link's chance
    overflowed: int = 0  # beyond a link's queue, or its most in flight
    too_large: int = 0  # above a link's MTU
    cut: int = 0  # between hosts that were cut from each other
    filtered: int = 0  # by a NAT box, in either direction
    no_socket: int = 0  # nobody listens at the address, any more or at all
    unroutable: int = 0  # to an address that is nobody's, or cannot be reached from the socket's own
