"""The tree of a System as a value."""

import asyncio

import pytest

from supervisors import (
    RESTARTING,
    ChildSpec,
    DynamicSupervisor,
    Restart,
    Shutdown,
    StartError,
    Stop,
    Strategy,
    Supervisor,
    SupFlags,
    exit_signal,
    restart_child,
    resume,
    start_child,
    suspend,
    terminate_child,
)
from supervisors.testing import outline, wait_until_idle
from supervisors.tree import not_running, tree_of
from tests.support import PATIENT, Plain, Runner, kill, refs, run_in, stops_with, supervise, worker


def starts(_):
    return None


def fails(_):
    return Stop(Shutdown("not now"))


def takes_a_second(_):
    return asyncio.sleep(1)


def in_turn(*inits):
    """Return an ``on_init`` that does what each of ``inits`` does, one a start."""
    remaining = iter(inits)
    return lambda process: next(remaining)(process)


def test_empty_system_is_one_node_with_its_name():
    tree = tree_of("empty", [])

    assert (tree.id, tree.ref, tree.kind, tree.children) == ("empty", None, "system", ())


async def test_nested_supervisors_are_nested_nodes(system):
    inner = Supervisor.child_spec(SupFlags(), [worker("c", [])], id="inner")
    await system.start(Supervisor, SupFlags(), [worker("a", []), inner, worker("b", [])], name="outer")

    assert outline(system.tree()) == {"outer": {"a": {}, "inner": {"c": {}}, "b": {}}}


async def test_children_are_in_start_order(system):
    await supervise(system, [worker(child, []) for child in "cab"])

    assert [child.id for child in system.tree().children[0].children] == ["c", "a", "b"]


async def test_node_says_what_the_process_is(system):
    sup = await supervise(system, [worker("a", [])])

    node = system.tree().children[0]

    assert (node.ref, node.kind) == (sup, "supervisor")
    assert (node.children[0].ref, node.children[0].kind) == ((await refs(sup))["a"], "worker")


async def test_dynamic_children_are_nodes_with_the_ids_of_their_specs(system):
    sup = await system.start(DynamicSupervisor, name="dynamic")
    await start_child(sup, worker("a", []))
    await start_child(sup, worker("a", []))

    assert [child.id for child in system.tree().children[0].children] == ["a", "a"]


async def test_simple_one_for_one_children_are_nodes_with_the_id_of_the_template(system):
    sup = await supervise(system, [worker("template", [])], Strategy.SIMPLE_ONE_FOR_ONE)
    await start_child(sup, [])

    assert [child.id for child in system.tree().children[0].children] == ["template"]


async def test_terminated_child_is_a_node_without_ref(system):
    sup = await supervise(system, [worker("a", [])])
    await terminate_child(sup, "a")

    node = system.tree().children[0].children[0]

    assert (node.id, node.ref, node.kind) == ("a", None, "worker")


async def test_stopped_supervisor_is_still_of_its_kind(system):
    sup = await supervise(system, [Supervisor.child_spec(id="inner")])
    await terminate_child(sup, "inner")

    node = system.tree().children[0].children[0]

    assert (node.ref, node.kind) == (None, "supervisor")


async def test_child_that_ignored_its_start_is_a_node_without_ref(system):
    await supervise(system, [ChildSpec("ignored", start=lambda: None)])

    assert outline(system.tree().children[0]) == {"ignored": None}


async def test_child_whose_restart_failed_is_restarting(system):
    sup = await supervise(system, [worker("a", [], on_init=in_turn(starts, fails, takes_a_second))])
    await kill((await refs(sup))["a"])
    await asyncio.sleep(0.5)

    node = system.tree().children[0].children[0]

    assert (node.id, node.ref, node.kind, node.restarts) == ("a", RESTARTING, "worker", 2)


async def test_child_that_is_restarted_at_last_runs(system):
    sup = await supervise(system, [worker("a", [], on_init=in_turn(starts, fails, takes_a_second))])
    await kill((await refs(sup))["a"])
    await asyncio.sleep(1.5)

    assert system.tree().children[0].children[0].ref.is_alive()


async def test_restarts_are_counted_per_child(system):
    sup = await supervise(system, [worker("a", []), worker("b", [])])
    for _ in range(3):
        await kill((await refs(sup))["b"])
        await wait_until_idle(system)

    assert [child.restarts for child in system.tree().children[0].children] == [0, 3]


async def test_group_restart_counts_for_every_child_of_the_group(system):
    sup = await supervise(system, [worker(child, []) for child in "abc"], Strategy.REST_FOR_ONE)
    await kill((await refs(sup))["b"])
    await wait_until_idle(system)

    assert [child.restarts for child in system.tree().children[0].children] == [0, 1, 1]


async def test_dynamic_child_keeps_its_count_of_restarts(system):
    sup = await system.start(DynamicSupervisor, **PATIENT)
    await kill(await start_child(sup, worker("a", [])))
    await wait_until_idle(system)

    assert system.tree().children[0].children[0].restarts == 1


async def test_ended_temporary_child_is_no_node(system):
    sup = await supervise(system, [worker("a", [], restart=Restart.TEMPORARY)])
    await kill((await refs(sup))["a"])
    await wait_until_idle(system)

    assert system.tree().children[0].children == ()


async def test_messages_that_wait_are_counted(system):
    ref = await system.start(Plain, "a", [])
    for _ in range(3):
        ref.cast("one")

    assert system.tree().children[0].mailbox == 3


async def test_unsupervised_process_has_its_name_as_id(system):
    await system.start(Plain, "a", [], name="alone")

    assert outline(system.tree()) == {"alone": {}}


async def test_unsupervised_process_without_name_has_its_ref_as_id(system):
    ref = await system.start(Plain, "a", [])

    assert outline(system.tree()) == {str(ref): {}}


async def test_process_that_no_supervisor_has_is_below_the_one_that_started_it(system):
    parent = await system.start(Runner, name="parent")
    await run_in(parent, lambda: Plain.start_link("a", [], name="child"))

    assert outline(system.tree()) == {"parent": {"child": {}}}


async def test_process_whose_starter_ended_is_below_the_system(system):
    parent = await system.start(Runner, name="parent")
    await run_in(parent, lambda: Plain.start_monitor("a", [], name="child"))
    await kill(parent)

    assert outline(system.tree()) == {"child": {}}


async def test_child_that_another_process_started_is_only_below_its_supervisor(system):
    await supervise(system, [ChildSpec("lent", start=lambda: system.start(Plain, "a", []))])

    assert [outline(node) for node in system.tree().children] == [{"lent": {}}]


async def test_child_that_is_starting_is_not_running_yet(system):
    seen = []
    await supervise(system, [worker("a", [], on_init=lambda _: seen.append(system.tree()))])

    assert seen[0].children[0].children[0].ref is None


async def test_ended_processes_are_gone_from_the_tree(system):
    ref = await system.start(Plain, "a", [])
    exit_signal(ref, Shutdown())
    await ref.wait_exit()

    assert system.tree().children == ()


async def test_failed_start_leaves_no_node(system):
    with pytest.raises(StartError):
        await system.start(Plain, "a", [], stops_with(Shutdown()))

    assert system.tree().children == ()


async def test_nothing_is_missing_where_all_run(system):
    below = Supervisor.child_spec(SupFlags(), [worker("c", [])], id="below")
    sup = await supervise(system, [worker("a", []), below])

    assert not_running(sup) == ()


async def test_who_was_stopped_or_is_held_still_is_missing_at_any_depth(system):
    below = Supervisor.child_spec(SupFlags(), [worker("a", []), worker("b", [])], id="below")
    sup = (await refs(await supervise(system, [below])))["below"]
    held = (await refs(sup))["b"]

    await terminate_child(sup, "a")
    await suspend(held)
    assert not_running(sup.parent) == ("a", "b")

    await restart_child(sup, "a")
    await resume(held)
    assert not_running(sup) == ()


async def test_of_a_root_that_has_ended_only_that_is_said(system):
    sup = await supervise(system, [worker("a", [])])

    await kill(sup)

    assert not_running(sup) == (str(sup),)


async def test_who_may_end_is_not_missing(system):
    sup = await supervise(
        system, [worker("a", [], restart=Restart.TRANSIENT), worker("b", [], restart=Restart.TEMPORARY)]
    )

    await terminate_child(sup, "a")
    await terminate_child(sup, "b")

    assert not_running(sup) == ()
