"""The eleven tests of the seed again, each node on a host of its own; links are cut in the network, not at a node.

With option C the edges that can't be dialled are behind NAT boxes: they would take connections, but none gets there.
What is cut is lost without a word, so that nodes have to find it out.
"""

import asyncio
import json
from contextlib import ExitStack, asynccontextmanager

import pytest

from macula_actors.admin.protocol import AdminError
from tests.integration.mesh_processes import MeshProcess, nearer_and_nearer, running, until
from tests.integration.namespaces import Lab, NotPossibleError, run
from tests.integration.test_seed import (
    ADD,
    COUNT,
    ids_in,
    is_as_before,
    peers_of,
    test_bootstrap_node_healthy,
    test_dht_peer_discovery,
    test_edge_nodes_healthy,
    test_rpc_provider_not_found,
    test_rpc_timeout_handling,
    test_service_discovery_via_dht,
    test_service_registration_in_dht,
    test_single_hop_rpc_call,
)

__all__ = [
    "test_bootstrap_node_healthy",
    "test_dht_peer_discovery",
    "test_edge_nodes_healthy",
    "test_rpc_provider_not_found",
    "test_rpc_timeout_handling",
    "test_service_discovery_via_dht",
    "test_service_registration_in_dht",
    "test_single_hop_rpc_call",
]

pytestmark = [pytest.mark.real_clock, pytest.mark.long, pytest.mark.timeout(180)]

HOSTS = {"bootstrap": 10, "gateway": 20, "edge1": 31, "edge2": 32, "edge3": 33}
BEHIND_NAT = {"A": (), "B": (), "C": ("edge2", "edge3")}
PORT = 9443
PATIENCE = 60.0  # seconds until a node gives up a peer that has fallen silent: it misses two pings
GET = "import sys, urllib.request as r; a = r.urlopen(sys.argv[1], timeout=5); print(a.status, a.read().decode())"


class HostProcess(MeshProcess):
    """A node on a host of ``lab``."""

    def __init__(self, name, directory, lab, **options):
        self.lab = lab
        # behind a box it is not to tell others an address that is of no use to them
        listen = "0.0.0.0" if name in lab.behind_nat else lab.outside[name]
        every = {"realm": "macula.test", "health_port": 0, "keepalive": 2.0, "listen": f"{listen}:{PORT}"}
        super().__init__(name, directory, inside=lab.inside(name), **every, **options)

    @property
    def is_dialled(self):
        return self.name not in self.lab.behind_nat

    async def http(self, path):
        """Return the status and body of an answer of its HTTP."""
        port = (await self.ask("status"))["health_port"]
        get = (*self.lab.inside(self.name), "python3", "-c", GET, f"http://127.0.0.1:{port}{path}")
        status, body = (await asyncio.to_thread(run, *get)).split(" ", 1)
        return int(status), body.strip()


def seed(option, directory, lab):
    """Return the five nodes, set up as ``option`` says; the way from edge2 to edge3 is over edge1 and gateway."""
    nearer_and_nearer(directory, "bootstrap", "edge2", "edge1", "gateway", "edge3")
    every = {"start_gateway": True} if option == "A" else {}
    bootstrap = HostProcess("bootstrap", directory, lab, mode="bootstrap", **every)
    every |= {"bootstrap": [bootstrap]}
    gateway = HostProcess("gateway", directory, lab, mode="gateway", **every)
    every |= {"mode": "edge", "gateways": [gateway]}
    edge1, edge2 = (HostProcess(name, directory, lab, **every) for name in ("edge1", "edge2"))
    edge3 = HostProcess("edge3", directory, lab, app="examples.calculator:provide", **every)
    return [bootstrap], [gateway], [edge1, edge2, edge3]


@pytest.fixture(scope="module", params=["A", "B", "C"])
def nodes(request, tmp_path_factory):
    with ExitStack() as stack:
        try:
            lab = stack.enter_context(Lab(HOSTS, BEHIND_NAT[request.param]))
        except NotPossibleError as error:
            pytest.skip(f"no network namespaces: {error}")
        yield stack.enter_context(running(*seed(request.param, tmp_path_factory.mktemp(request.param), lab)))


@asynccontextmanager
async def only_over_edge1_and_gateway(bootstrap, gateway, edge1, edge2, edge3):
    """Cut the links, so that one way is left from edge2 to edge3, and wait until both have noticed."""
    lab = edge2.lab
    await until(lambda: keep_it([bootstrap, gateway, edge1, edge2], edge3))  # who joins meanwhile would miss it
    await edge2.ask("discover", procedure=ADD)
    lab.cut("edge2", "bootstrap", "gateway", "edge3")
    lab.cut("edge1", "edge3")
    try:
        await until(lambda: has_only(edge2, edge1), timeout=PATIENCE)
        await until(lambda: has_not(edge1, edge3), timeout=PATIENCE)
        yield
    finally:
        lab.mend()
        await until(lambda: is_as_before(edge2, edge3), timeout=PATIENCE)
        await until(lambda: know_all([bootstrap, gateway, edge1, edge2, edge3]), timeout=PATIENCE, pause=1.0)


async def know_all(nodes):
    """Have all nodes look for something, by which they hear of each other again; tell whether all have."""
    dialled = {node.node_id for node in nodes if node.is_dialled}
    for node in nodes:
        await node.ask("discover", procedure=ADD, refresh=True)
    known = [{each["node_id"] for each in await node.ask("contacts")} for node in nodes]
    return all(dialled - {node.node_id} <= ids for node, ids in zip(nodes, known, strict=True))


async def keep_it(nodes, provider):
    """Tell whether all keep the advertisement of ``provider``."""
    kept = [await node.ask("discover", procedure=ADD, local=True) for node in nodes if node.is_dialled]
    return all([provider.node_id] == [each["node_id"] for each in found] for found in kept)


async def has_only(node, peer):
    return await peers_of(node) == {peer.node_id}


async def has_not(node, peer):
    return peer.node_id not in await peers_of(node)


async def test_gateway_node_healthy(nodes):
    gateway = nodes[1]

    status, body = await gateway.http("/health")

    assert (status, json.loads(body)["status"], json.loads(body)["ready"]) == (200, "healthy", True)
    assert await gateway.http("/ready") == (200, "Ready")
    assert {"gateway", "gateway_clients", "gateway_mesh"} <= ids_in(await gateway.ask("tree"))


async def test_multi_hop_rpc_call(nodes):
    _, gateway, middle, caller, provider = nodes
    before = await provider.call(COUNT)

    async with only_over_edge1_and_gateway(*nodes):
        traced = await caller.call(ADD, {"a": 20, "b": 22}, trace=True, timeout=20.0)

    assert (traced["result"], traced["path"]) == (42, [middle.node_id, gateway.node_id, provider.node_id])
    assert await provider.call(COUNT) == before + 1


async def test_rpc_max_hops_exceeded(nodes):
    _, _, middle, caller, provider = nodes
    before = await provider.call(COUNT)

    async with only_over_edge1_and_gateway(*nodes):
        with pytest.raises(AdminError) as failed:
            await caller.call(ADD, {"a": 1, "b": 2}, max_hops=1, paths=["routed"], timeout=20.0)

    assert failed.value.kind == "MaxHopsExceededError"
    assert middle.node_id[:8] in failed.value.message  # the node that counted, and refused
    assert await provider.call(COUNT) == before
