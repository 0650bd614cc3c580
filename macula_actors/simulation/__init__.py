"""A network in virtual time, for simulations and fault-injection tests: the same seed, the same run.

Example, with `supervisors.testing.run` around it::

    with deterministic(7), SimNetwork(seed=7, link=Link(latency=0.025, loss=0.01)) as network:
        alice = network.host("alice")
        bob = network.host("bob", behind=network.nat("home", NatType.SYMMETRIC, mapping_lifetime=30.0))
        ...  # a node on each: alice and bob are what transport.interface calls a Network
        network.cut("alice", "bob")
        await asyncio.sleep(3600.0)
        network.heal_all()
"""

from macula_actors.simulation.counters import Counters
from macula_actors.simulation.determinism import deterministic
from macula_actors.simulation.errors import NameTakenError, SimulationError, UnknownHostError
from macula_actors.simulation.host import Host
from macula_actors.simulation.link import Link
from macula_actors.simulation.nat import Nat, NatType
from macula_actors.simulation.network import SimNetwork
from macula_actors.simulation.trace import Trace, TraceRecord

__all__ = [
    "Counters",
    "Host",
    "Link",
    "NameTakenError",
    "Nat",
    "NatType",
    "SimNetwork",
    "SimulationError",
    "Trace",
    "TraceRecord",
    "UnknownHostError",
    "deterministic",
]
