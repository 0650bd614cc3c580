"""The eleven tests of the original's multi_hop_rpc_SUITE, made true: five processes, edge to edge, over QUIC.

Each runs with each option of the seed document: A, all nodes run a gateway; B, peers connect directly; C, edges that
can't be dialled are reached through the gateway.
"""

import asyncio
import json
from urllib.request import urlopen

import pytest

from macula_actors.admin.protocol import AdminError
from tests.integration.mesh_processes import MeshProcess, nearer_and_nearer, running, until

pytestmark = [pytest.mark.real_clock, pytest.mark.slow]

ADD = "test.calculator.add"
APP = "examples.calculator:provide"
OPTIONS = ["A", "B", "C"]
HOSTS = {"bootstrap": "127.0.0.11", "gateway": "127.0.0.12", "edge1": "127.0.0.13", "edge2": "127.0.0.14"}
LAST = "127.0.0.15"


def seed(option, directory):
    """Return the five nodes, set up as ``option`` says; the way from edge2 to edge3 is over edge1 and gateway."""
    nearer_and_nearer(directory, "edge2", "edge1", "gateway", "edge3")
    common = {"realm": "macula.test"}
    every = {"start_gateway": True} if option == "A" else {}
    hidden = {"accept_peers": False} if option == "C" else {}
    bootstrap = MeshProcess(
        "bootstrap", directory, mode="bootstrap", listen=f"{HOSTS['bootstrap']}:0", health_port=0, **common, **every
    )
    joining = {"bootstrap": [bootstrap], **common}
    gateway = MeshProcess(
        "gateway", directory, mode="gateway", listen=f"{HOSTS['gateway']}:0", health_port=0, **joining
    )
    edge = {"mode": "edge", "gateways": [gateway], "health_port": 0, **joining, **every}
    return (
        bootstrap,
        gateway,
        MeshProcess("edge1", directory, listen=f"{HOSTS['edge1']}:0", **edge),
        MeshProcess("edge2", directory, listen=f"{HOSTS['edge2']}:0", **edge, **hidden),
        MeshProcess("edge3", directory, listen=f"{LAST}:0", **edge, **hidden),
    )


@pytest.fixture(params=OPTIONS)
def nodes(request, tmp_path):
    return seed(request.param, tmp_path)


def the_mesh(nodes, *, with_calculator=True):
    return running(*nodes, apps={"edge3": APP} if with_calculator else None)


async def is_healthy(node):
    status = await node.ask("status")
    return status["has_joined"] and status["name"] == node.name and status["mode"] == node.options["mode"]


async def http(node, path):
    """Return the status and body of an answer of the node's HTTP."""
    port = (await node.ask("status"))["health_port"]

    def get():
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read()

    return await asyncio.to_thread(get)


def ids_in(tree):
    return {tree["id"], *(each for child in tree["children"] for each in ids_in(child))}


async def test_bootstrap_node_healthy(nodes):
    async with the_mesh(nodes) as (bootstrap, *_):
        assert await is_healthy(bootstrap)
        assert {"bootstrap_server", "bootstrap_registry", "bootstrap_health"} <= ids_in(await bootstrap.ask("tree"))


async def test_gateway_node_healthy(nodes):
    async with the_mesh(nodes) as (_, gateway, *_):
        assert await is_healthy(gateway)
        status, body = await http(gateway, "/health")
        assert (status, json.loads(body)["ready"]) == (200, True)
        assert (await http(gateway, "/ready"))[1] == b"Ready"


async def test_edge_nodes_healthy(nodes):
    async with the_mesh(nodes) as (_, gateway, *edges):
        for edge in edges:
            assert await is_healthy(edge)
            peers = {each["node_id"] for each in await edge.ask("peers")}
            assert gateway.node_id in peers


async def test_dht_peer_discovery(nodes):
    async with the_mesh(nodes) as all_nodes:
        dialled = {node.node_id for node in all_nodes if node.options.get("accept_peers", True)}

        async def all_know_all():
            return all([
                dialled - {node.node_id} <= {each["node_id"] for each in await node.ask("contacts")}
                for node in all_nodes
            ])

        assert await until(all_know_all)


async def test_service_registration_in_dht(nodes):
    async with the_mesh(nodes) as (*others, provider):
        keeping = [node for node in others if node.options.get("accept_peers", True)]

        async def all_keep_it():
            kept = [await node.ask("discover", procedure=ADD, local=True) for node in keeping]
            return all([provider.node_id] == [each["node_id"] for each in found] for found in kept)

        assert await until(all_keep_it)


async def test_service_discovery_via_dht(nodes):
    async with the_mesh(nodes) as (*others, provider):
        for node in others:
            found = await node.ask("discover", procedure=ADD)
            assert [each["node_id"] for each in found] == [provider.node_id]


async def test_single_hop_rpc_call(nodes, request):
    async with the_mesh(nodes) as (_, gateway, _, caller, provider):
        traced = await caller.call(ADD, {"a": 2, "b": 3}, trace=True)

        is_hidden = provider.options.get("accept_peers", True) is False
        assert traced["result"] == 5
        assert traced["path"] == ([gateway.node_id] if is_hidden else []) + [provider.node_id]
        assert await provider.call("test.calculator.count") == 1  # the provider's own handler has run


async def test_multi_hop_rpc_call(nodes):
    async with the_mesh(nodes) as (bootstrap, gateway, middle, caller, provider):
        await cut(caller, bootstrap, gateway, provider)
        await cut(middle, provider)

        traced = await caller.call(ADD, {"a": 20, "b": 22}, trace=True, timeout=10.0)

        assert traced["result"] == 42
        assert traced["path"] == [middle.node_id, gateway.node_id, provider.node_id]
        assert await provider.call("test.calculator.count") == 1


async def test_rpc_provider_not_found(nodes):
    async with the_mesh(nodes) as (*_, caller, _):
        with pytest.raises(AdminError) as failed:
            await caller.call("test.nonexistent.procedure")
        assert failed.value.kind == "NoProviderError"


async def test_rpc_timeout_handling(nodes):
    async with the_mesh(nodes) as (*_, caller, provider):
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(AdminError) as failed:
            await caller.call("test.calculator.slowly", 30, timeout=0.5)
        assert failed.value.kind == "CallTimeoutError"
        assert loop.time() - began < 1.5
        assert await provider.call("test.calculator.running") == 0  # and its handler runs no more


async def test_rpc_max_hops_exceeded(nodes):
    async with the_mesh(nodes) as (bootstrap, gateway, middle, caller, provider):
        await cut(caller, bootstrap, gateway, provider)
        await cut(middle, provider)

        with pytest.raises(AdminError) as failed:
            await caller.call(ADD, {"a": 1, "b": 2}, max_hops=1, timeout=10.0)

        assert failed.value.kind == "MaxHopsExceededError"
        assert middle.node_id[:8] in failed.value.message  # the node that counted, and refused
        assert await provider.call("test.calculator.count") == 0


async def cut(node, *others):
    """Let ``node`` and ``others`` reach one another no more."""
    for one, peers in ((node, others), *((other, (node,)) for other in others)):
        already = (await one.ask("status"))["denied"]
        await one.ask("deny", networks=[*already, *(f"{peer.host}/32" for peer in peers)])
