"""The eleven tests of the original's multi_hop_rpc_SUITE, made true: five processes, edge to edge, over QUIC.

Each runs with each option of the seed document: A, all nodes run a gateway; B, peers connect directly; C, edges that
can't be dialled are reached through the gateway. The five nodes of an option are started once.
"""

import asyncio
import json
from contextlib import asynccontextmanager
from urllib.request import urlopen

import pytest

from macula_actors.admin.protocol import AdminError
from tests.integration.mesh_processes import MeshProcess, cut, mend, nearer_and_nearer, running, until

pytestmark = [pytest.mark.real_clock, pytest.mark.slow]

ADD, COUNT = "test.calculator.add", "test.calculator.count"


def seed(option, directory):
    """Return the five nodes, set up as ``option`` says; the way from edge2 to edge3 is over edge1 and gateway."""
    nearer_and_nearer(directory, "bootstrap", "edge2", "edge1", "gateway", "edge3")
    every = {"realm": "macula.test", "health_port": 0} | ({"start_gateway": True} if option == "A" else {})
    bootstrap = MeshProcess("bootstrap", directory, mode="bootstrap", listen="127.0.0.11:0", **every)
    every |= {"bootstrap": [bootstrap]}
    gateway = MeshProcess("gateway", directory, mode="gateway", listen="127.0.0.12:0", **every)
    every |= {"mode": "edge", "gateways": [gateway]}
    hidden = {"accept_peers": False} if option == "C" else {}
    edge1 = MeshProcess("edge1", directory, listen="127.0.0.13:0", **every)
    edge2 = MeshProcess("edge2", directory, listen="127.0.0.14:0", **every, **hidden)
    edge3 = MeshProcess("edge3", directory, app="examples.calculator:provide", listen="127.0.0.15:0", **every, **hidden)
    return [bootstrap], [gateway], [edge1, edge2, edge3]


@pytest.fixture(scope="module", params=["A", "B", "C"])
def nodes(request, tmp_path_factory):
    with running(*seed(request.param, tmp_path_factory.mktemp(request.param))) as started:
        yield started


async def http(node, path):
    """Return the status and body of an answer of the node's HTTP."""
    port = (await node.ask("status"))["health_port"]

    def get():
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read()

    return await asyncio.to_thread(get)


async def peers_of(node):
    return {each["node_id"] for each in await node.ask("peers")}


async def is_peer_of(node, other):
    return other.node_id in await peers_of(node)


def ids_in(tree):
    return {tree["id"], *(each for child in tree["children"] for each in ids_in(child))}


async def is_as_before(caller, provider):
    """Tell whether ``caller`` calls ``provider`` as it did before links were cut."""
    try:
        await caller.call(COUNT, paths=["direct" if provider.is_dialled else "relay"], timeout=1.0)
    except AdminError:
        return False
    return True


@asynccontextmanager
async def only_over_edge1_and_gateway(bootstrap, gateway, edge1, edge2, edge3):
    """Cut the links, so that one way is left from edge2 to edge3."""
    await edge2.ask("discover", procedure=ADD)
    await cut(edge2, bootstrap, gateway, edge3)
    await cut(edge1, edge3)
    try:
        yield
    finally:
        await mend(bootstrap, gateway, edge1, edge2, edge3)
        await until(lambda: is_as_before(edge2, edge3))


async def test_bootstrap_node_healthy(nodes):
    bootstrap = nodes[0]

    status = await bootstrap.ask("status")

    assert (status["mode"], status["has_joined"]) == ("bootstrap", True)
    assert {"bootstrap_server", "bootstrap_registry", "bootstrap_health"} <= ids_in(await bootstrap.ask("tree"))


async def test_gateway_node_healthy(nodes):
    gateway = nodes[1]

    status, body = await http(gateway, "/health")

    assert (status, json.loads(body)["status"], json.loads(body)["ready"]) == (200, "healthy", True)
    assert await http(gateway, "/ready") == (200, b"Ready")
    assert {"gateway", "gateway_clients", "gateway_mesh"} <= ids_in(await gateway.ask("tree"))


async def test_edge_nodes_healthy(nodes):
    _, gateway, *edges = nodes

    for edge in edges:
        status = await edge.ask("status")
        assert (status["mode"], status["has_joined"]) == ("edge", True)
        assert await until(lambda edge=edge: is_peer_of(edge, gateway))  # again, if links were cut before


async def test_dht_peer_discovery(nodes):
    dialled = {node.node_id for node in nodes if node.is_dialled}

    async def all_know_all():
        known = [{each["node_id"] for each in await node.ask("contacts")} for node in nodes]
        return all(dialled - {node.node_id} <= ids for node, ids in zip(nodes, known, strict=True))

    assert await until(all_know_all)


async def test_service_registration_in_dht(nodes):
    *others, provider = nodes

    async def all_keep_it():
        kept = [await node.ask("discover", procedure=ADD, local=True) for node in others if node.is_dialled]
        return all([provider.node_id] == [each["node_id"] for each in found] for found in kept)

    assert await until(all_keep_it)


async def test_service_discovery_via_dht(nodes):
    *others, provider = nodes

    for node in others:
        found = await node.ask("discover", procedure=ADD, refresh=True)
        assert [each["node_id"] for each in found] == [provider.node_id]


async def test_single_hop_rpc_call(nodes):
    _, gateway, _, caller, provider = nodes
    before = await provider.call(COUNT)

    traced = await caller.call(ADD, {"a": 2, "b": 3}, trace=True)

    between = [] if provider.is_dialled else [gateway.node_id]
    assert (traced["result"], traced["path"]) == (5, [*between, provider.node_id])
    assert await provider.call(COUNT) == before + 1  # the provider's own handler has run


async def test_multi_hop_rpc_call(nodes):
    _, gateway, middle, caller, provider = nodes
    before = await provider.call(COUNT)

    async with only_over_edge1_and_gateway(*nodes):
        traced = await caller.call(ADD, {"a": 20, "b": 22}, trace=True, timeout=10.0)

    assert (traced["result"], traced["path"]) == (42, [middle.node_id, gateway.node_id, provider.node_id])
    assert await provider.call(COUNT) == before + 1


async def test_rpc_provider_not_found(nodes):
    caller = nodes[3]

    with pytest.raises(AdminError) as failed:
        await caller.call("test.nonexistent.procedure")

    assert failed.value.kind == "NoProviderError"


async def test_rpc_timeout_handling(nodes):
    *_, caller, provider = nodes
    began = asyncio.get_running_loop().time()

    with pytest.raises(AdminError) as failed:
        await caller.call("test.calculator.slowly", 30, timeout=0.5)

    assert failed.value.kind == "CallTimeoutError"
    assert asyncio.get_running_loop().time() - began < 3.0

    async def nothing_runs():
        return await provider.call("test.calculator.running") == 0

    assert await until(nothing_runs, timeout=5.0)  # the handler was ended as well


async def test_rpc_max_hops_exceeded(nodes):
    _, _, middle, caller, provider = nodes
    before = await provider.call(COUNT)

    async with only_over_edge1_and_gateway(*nodes):
        with pytest.raises(AdminError) as failed:
            await caller.call(ADD, {"a": 1, "b": 2}, max_hops=1, paths=["routed"], timeout=10.0)

    assert failed.value.kind == "MaxHopsExceededError"
    assert middle.node_id[:8] in failed.value.message  # the node that counted, and refused
    assert await provider.call(COUNT) == before
