from macula_actors.config import BootstrapConfig
from macula_actors.messages.names import BOOTSTRAP_HEALTH, BOOTSTRAP_REGISTRY, BOOTSTRAP_SERVER, BOOTSTRAP_SYSTEM
from macula_actors.systems.bootstrap_system import FLAGS, children, get_stats
from supervisors import Restart, Strategy, which_children
from tests.macula_actors.actors.bootstrap.nodes import bootstrap_mesh, kill, server
from tests.macula_actors.actors.routing.mesh import identity

NAMES = [BOOTSTRAP_SERVER, BOOTSTRAP_REGISTRY, BOOTSTRAP_HEALTH]
CONFIG = BootstrapConfig(identity=identity(1), realm="com.example")


def test_the_tree_is_the_originals():
    specs = children(CONFIG)

    assert (FLAGS.strategy, FLAGS.intensity, FLAGS.period) == (Strategy.ONE_FOR_ONE, 10, 60.0)
    assert [spec.id for spec in specs] == NAMES
    assert {(spec.restart, spec.shutdown) for spec in specs} == {(Restart.PERMANENT, 5.0)}


async def test_a_killed_child_is_restarted_alone_under_its_name():
    async with bootstrap_mesh() as (first,):
        before = {child.id: child.ref for child in await which_children((BOOTSTRAP_SYSTEM, first.system))}
        kill(first, BOOTSTRAP_REGISTRY)
        await get_stats(server(first))
        after = {child.id: child.ref for child in await which_children((BOOTSTRAP_SYSTEM, first.system))}

        assert {name for name in NAMES if before[name] is not after[name]} == {BOOTSTRAP_REGISTRY}
        assert first.system.whereis(BOOTSTRAP_REGISTRY) is after[BOOTSTRAP_REGISTRY]


async def test_the_stats_of_the_system_are_those_of_its_server():
    async with bootstrap_mesh(others=1) as (first, _):
        assert (await get_stats(server(first))).peers_discovered == 1
