"""How a process is addressed: by ref, by registered name, by name in another System, through a registry.

Erlang: ``ServerRef`` of gen_server(3erl); ``register/2``, ``whereis/1``.
"""

from typing import Protocol, TypeAlias, runtime_checkable

from supervisors.errors import NotFoundError
from supervisors.ref import Ref
from supervisors.system import System

__all__ = ["Server", "Via", "register", "registered", "resolve", "unregister", "whereis"]


@runtime_checkable
class Via(Protocol):
    """A name kept by something else than the System, a `Registry` say. Elixir: ``{:via, module, term}``."""

    def register(self, ref: Ref) -> None:
        """Give ``ref`` this name, until it ends.

        Raises:
            AlreadyRegisteredError: another process has it.
        """

    def whereis(self) -> Ref | None:
        """Return the process with this name, if there is one."""


Server: TypeAlias = Ref | str | tuple[str, System] | Via


def resolve(server: Server) -> Ref | None:
    """Return the process that ``server`` names now, None when there is none.

    Raises:
        TypeError: ``server`` is nothing that names a process.
    """
    if isinstance(server, Ref):
        return server
    if isinstance(server, str):
        return System.current().whereis(server)
    if isinstance(server, tuple) and len(server) == 2 and isinstance(server[1], System):  # noqa: PLR2004
        return server[1].whereis(server[0])
    if isinstance(server, Via):
        return server.whereis()
    msg = f"a server is a Ref, a name, (name, System) or a Via, not {server!r}"
    raise TypeError(msg)


def whereis(name: str) -> Ref | None:
    """Return the process registered as ``name`` in the current System, if there is one."""
    return System.current().whereis(name)


def register(name: str, ref: Ref) -> None:
    """Register ``ref`` in the current System; see `System.register`.

    Raises:
        AlreadyRegisteredError: the name is taken, or the process has one.
        NotFoundError: the process has ended.
        ValueError: ``name`` is empty or no string.
    """
    System.current().register(name, ref)


def unregister(name: str) -> None:
    """Take a name away in the current System.

    Raises:
        NotFoundError: nothing has that name.
    """
    System.current().unregister(name)


def registered() -> list[str]:
    """Return all names of the current System, in order of registration."""
    return System.current().registered()


def require(server: Server) -> Ref:
    """Return the process that ``server`` names.

    Raises:
        NotFoundError: there is none.
    """
    ref = resolve(server)
    if ref is None:
        raise NotFoundError(server)
    return ref
