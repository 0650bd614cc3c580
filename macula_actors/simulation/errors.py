"""How a simulation can be described wrongly. All of it is the mistake of the program that describes it."""

from collections.abc import Iterable

from macula_actors.errors import MaculaError

__all__ = ["NameTakenError", "SimulationError", "UnknownHostError"]


class SimulationError(MaculaError):
    """Base of every error of this package. Correct the simulation."""


class NameTakenError(SimulationError):
    """A host or a NAT box was to get a name or an address that another one has. Choose another."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} is taken; choose another name or address")
        self.name = name


class UnknownHostError(SimulationError):
    """A name is no host's. Add the host first, with `SimNetwork.host`."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"no host {name!r}; there are {', '.join(known) or 'none yet'}")
        self.name = name
