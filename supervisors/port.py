"""Ports: what a process has open in the world outside, closed when it ends.

A socket, a file or a subprocess that a server keeps must not outlive it, even when it is killed, where ``terminate``
does not run. Erlang: a port belongs to its owner and is closed with it (Reference Manual, "Ports and Port Drivers").
"""

from typing import Protocol, TypeVar

from supervisors.process import current_process

__all__ = ["Closeable", "close_port", "open_port"]


class Closeable(Protocol):
    """What a port can be: its ``close`` returns at once, and may come twice."""

    def close(self) -> object:
        """Let go of the resource."""


Resource = TypeVar("Resource", bound=Closeable)


def open_port(resource: Resource) -> Resource:
    """Have ``resource`` closed when the current process ends, whatever the reason; return it.

    It is closed before anybody hears of the end: a process that is restarted finds the address free. What ``close``
    raises is reported, and changes nothing else.

    Raises:
        NoCurrentProcessError: this is not inside a process.
    """
    current_process("open_port()").open_port(resource)
    return resource


def close_port(resource: Closeable) -> None:
    """Close ``resource`` now; the current process owns it no more.

    Raises:
        NoCurrentProcessError: this is not inside a process.
    """
    current_process("close_port()").forget_port(resource)
    resource.close()
