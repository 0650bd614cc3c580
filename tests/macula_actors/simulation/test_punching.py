"""What netlab measured with Linux and nftables, over the simulated network."""

import pytest

from macula_actors.simulation.link import Link
from macula_actors.simulation.nat import NatType
from macula_actors.simulation.network import SimNetwork
from tests.macula_actors.simulation.receivers import Puncher, Reflector, punched

TYPES = ["fullcone", "addr", "port", "symmetric", "linux"]
MEASURED = {  # netlab/README.md: d direct, r if the peer adopts the source address it sees, FAIL needs a relay
    "fullcone": "d d d r d d",
    "addr": "d d d r d d",
    "port": "d d d FAIL d d",
    "symmetric": "r r FAIL FAIL FAIL r",
    "linux": "d d d FAIL d d",
}
PAIRS = [
    (one, other, path)
    for one, row in MEASURED.items()
    for other, path in zip([*TYPES, "public"], row.split(), strict=True)
]
UNLESS_ADOPTED = {"d": "d", "r": "FAIL", "FAIL": "FAIL"}


def host(network, name, kind):
    behind = {kind: network.nat(f"nat-{name}", NatType(kind)) for kind in {kind} & set(TYPES)}
    return network.host(name, behind=behind.get(kind))


async def punch(one, other, *, adopts_source, link=None):
    with SimNetwork(link=link) as network:
        reflector = Reflector(network.host("rendezvous"), 3478)
        punchers = [
            Puncher(host(network, name, kind), adopts_source=adopts_source)
            for name, kind in (("alice", one), ("bob", other))
        ]
        return await punched(*punchers, ("10.0.0.1", reflector.socket.address[1]))


@pytest.mark.parametrize(("one", "other", "path"), PAIRS)
async def test_simultaneous_punching_works_for_the_pairs_it_works_for_on_linux(one, other, path):
    assert await punch(one, other, adopts_source=True) == path


@pytest.mark.parametrize(("one", "other", "path"), PAIRS)
async def test_what_only_works_by_the_seen_source_fails_for_who_does_not_adopt_it(one, other, path):
    assert await punch(one, other, adopts_source=False) == UNLESS_ADOPTED[path]


@pytest.mark.parametrize(("one", "other", "path"), PAIRS)
async def test_jitter_and_reordering_change_no_pair(one, other, path):
    bad = Link(latency=0.05, jitter=0.05, reordering=0.1)

    assert await punch(one, other, adopts_source=True, link=bad) == path
