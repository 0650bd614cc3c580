"""The trees of the modes, process by process: ids, order, strategies, limits, restart and shutdown."""

import pytest

from macula_actors import Mode, Node, NodeConfig
from macula_actors.messages.names import ROOT, TASKS
from macula_actors.systems import bootstrap_system, gateway_system, mesh_system, root
from supervisors import INFINITY, ChildType, Restart, Strategy, SupFlags, get_childspec, which_children

pytestmark = pytest.mark.real_clock

MESH = [
    "endpoint",
    "peers_sup",
    "peer_connector",
    "gateway_dht",
    "service_registry",
    "rpc_handler",
    "pubsub_handler",
    "advertisement_manager",
    "membership",
]
BOOTSTRAP = ["bootstrap_server", "bootstrap_registry", "bootstrap_health"]
GATEWAY = ["gateway_health", "gateway_diagnostics", "gateway_quic_server", "gateway", "gateway_workers_sup"]
WORKERS = ["gateway_clients", "gateway_pubsub", "gateway_rpc", "gateway_mesh"]

ALL = ["macula_tables", "macula_routing_server", "macula_mesh_system"]
TREES = {
    (Mode.EDGE, None): ALL,
    (Mode.EDGE, True): [*ALL, "macula_gateway_system"],
    (Mode.EDGE, False): ALL,
    (Mode.BOOTSTRAP, None): [*ALL, "macula_bootstrap_system"],
    (Mode.BOOTSTRAP, True): [*ALL, "macula_bootstrap_system", "macula_gateway_system"],
    (Mode.BOOTSTRAP, False): [*ALL, "macula_bootstrap_system"],
    (Mode.GATEWAY, None): [*ALL, "macula_gateway_system"],
    (Mode.GATEWAY, True): [*ALL, "macula_gateway_system"],
    (Mode.GATEWAY, False): ALL,
    (Mode.HYBRID, None): [*ALL, "macula_bootstrap_system", "macula_gateway_system"],
    (Mode.HYBRID, True): [*ALL, "macula_bootstrap_system", "macula_gateway_system"],
    (Mode.HYBRID, False): [*ALL, "macula_bootstrap_system"],
}
CHILDREN = {
    "macula_mesh_system": MESH,
    "macula_bootstrap_system": BOOTSTRAP,
    "macula_gateway_system": GATEWAY,
    "gateway_workers_sup": WORKERS,
}


def a_node(mode, start_gateway=None, **values):
    return Node(NodeConfig(mode=mode, start_gateway=start_gateway, listen="127.0.0.1:0", health_port=0, **values))


async def ids(supervisor):
    """Return the ids of the children in start order; OTP lists them the other way round."""
    return [child.id for child in reversed(await which_children(supervisor))]


async def supervisors_under(supervisor):
    """Return the supervisors of the fixed tree under ``supervisor``, itself included, by id."""
    found = {}
    for child in await which_children(supervisor):
        if child.id in CHILDREN:
            found[child.id] = child.ref
            found |= await supervisors_under(child.ref)
    return found


@pytest.mark.parametrize(("mode", "start_gateway"), TREES)
async def test_a_mode_has_the_tree_that_it_should_have(mode, start_gateway):
    async with a_node(mode, start_gateway) as node:
        top = node.system.whereis(ROOT)

        assert await ids(top) == TREES[mode, start_gateway]
        for name, ref in (await supervisors_under(top)).items():
            assert await ids(ref) == CHILDREN[name]


@pytest.mark.parametrize(
    ("system", "strategy", "intensity", "period"),
    [
        (root, Strategy.ONE_FOR_ONE, 10, 5.0),
        (mesh_system, Strategy.REST_FOR_ONE, 10, 60.0),
        (bootstrap_system, Strategy.ONE_FOR_ONE, 10, 60.0),
        (gateway_system, Strategy.REST_FOR_ONE, 10, 60.0),
    ],
)
def test_supervisors_have_the_strategies_and_limits_that_they_should_have(system, strategy, intensity, period):
    assert SupFlags(strategy=strategy, intensity=intensity, period=period) == system.FLAGS


async def test_workers_have_five_seconds_to_end_and_supervisors_all_the_time():
    async with a_node(Mode.HYBRID) as node:
        top = node.system.whereis(ROOT)
        there = [top, *(await supervisors_under(top)).values()]

        specs = [await get_childspec(each, id_) for each in there for id_ in await ids(each)]

        assert {spec.restart for spec in specs} == {Restart.PERMANENT}
        assert {spec.shutdown for spec in specs if spec.type is ChildType.WORKER} == {5.0}
        assert {spec.shutdown for spec in specs if spec.type is ChildType.SUPERVISOR} == {INFINITY}


async def test_every_process_of_the_tree_is_found_by_its_id():
    async with a_node(Mode.HYBRID) as node:
        top = node.system.whereis(ROOT)
        there = [top, *(await supervisors_under(top)).values()]

        assert {
            id_: node.system.whereis(id_) is not None for each in there for id_ in await ids(each)
        } == dict.fromkeys([id_ for each in there for id_ in await ids(each)], True)


async def test_beside_the_root_are_the_processes_that_do_one_thing(tmp_path):
    async with a_node(Mode.EDGE, data_dir=tmp_path / "node") as node:
        assert await ids(node.system.whereis(TASKS)) == [
            "routing_keeper",
            "routing_jobs",
            "rpc_workers",
            "pubsub_subscribers",
        ]


async def test_a_stopped_node_leaves_no_process():
    node = a_node(Mode.HYBRID)
    async with node:
        pass

    assert node.system.tree().children == ()
