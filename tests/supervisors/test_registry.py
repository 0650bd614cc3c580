"""The registry, beyond the OTP cases of group Z."""

import asyncio
from functools import partial

import pytest

from supervisors import (
    AlreadyRegisteredError,
    Ignore,
    Killed,
    NoCurrentProcessError,
    NotFoundError,
    OverloadedError,
    Shutdown,
    Stop,
    call,
    cast,
    exit_signal,
    stop,
    sys,
    which_children,
)
from supervisors.names import Via
from supervisors.registry import Keys, Registry, RegistryName
from tests.support import Plain, Runner, Worker, kill, outcome_in, run_in, supervise


async def start(system, keys=Keys.UNIQUE, **options):
    """Return a registry, and two processes to register in it."""
    registry = await system.start(Registry, keys, **options)
    return registry, await system.start(Runner), await system.start(Runner)


async def register(registry, runner, key, value=None):
    await run_in(runner, Registry.register, registry, key, value)


# Entries


async def test_a_process_has_as_many_keys_as_it_likes(system):
    registry, runner, _ = await start(system)

    for key in ("a", 1, ("b", 2)):
        await register(registry, runner, key)

    assert Registry.keys(registry, runner) == ["a", 1, ("b", 2)]
    assert Registry.count(registry) == 3


async def test_a_unique_key_is_taken_for_its_holder_too(system):
    registry, runner, _ = await start(system)
    await register(registry, runner, "key")

    error = await outcome_in(runner, Registry.register, registry, "key")

    assert isinstance(error, AlreadyRegisteredError)
    assert Registry.count(registry) == 1


async def test_a_duplicate_key_registered_twice_is_there_twice(system):
    registry, runner, _ = await start(system, Keys.DUPLICATE)

    for _ in range(2):
        await register(registry, runner, "key", "value")

    assert Registry.lookup(registry, "key") == [(runner, "value")] * 2
    assert Registry.keys(registry, runner) == ["key", "key"]
    assert Registry.count(registry) == 2


async def test_unregister_removes_all_that_a_process_has_under_a_key(system):
    registry, one, two = await start(system, Keys.DUPLICATE)
    for runner in (one, one, two):
        await register(registry, runner, "key")
    await register(registry, one, "other")

    await run_in(one, Registry.unregister, registry, "key")

    assert Registry.lookup(registry, "key") == [(two, None)]
    assert Registry.keys(registry, one) == ["other"]
    assert Registry.count(registry) == 2


async def test_the_end_of_a_process_removes_all_its_entries_at_once(system):
    registry, one, two = await start(system, Keys.DUPLICATE)
    for runner, key in ((one, "a"), (one, "a"), (one, "b"), (two, "a")):
        await register(registry, runner, key)

    await stop(one)

    assert Registry.select(registry) == [("a", two, None)]
    assert Registry.count(registry) == 1


async def test_nothing_is_left_of_processes_that_ended(system):
    registry, one, two = await start(system, Keys.DUPLICATE)
    for runner in (one, two):
        await register(registry, runner, "key")
        await kill(runner)

    process = registry._process

    assert (process.server._values, process.server._keys, process._links) == ({}, {}, {})


async def test_select_returns_the_entries_that_are_asked_for(system):
    registry, one, two = await start(system, Keys.DUPLICATE)
    for runner, key, value in ((one, "a", 1), (two, "a", 2), (two, "b", 3)):
        await register(registry, runner, key, value)

    found = Registry.select(registry, lambda key, ref, value: key == "a" and value > 1)

    assert found == [("a", two, 2)]


async def test_dispatch_calls_nothing_for_a_key_that_nobody_has(system):
    registry, _, _ = await start(system)
    called = []

    Registry.dispatch(registry, "key", called.append)

    assert called == []


async def test_a_value_of_a_duplicate_key_cannot_be_updated(system):
    registry, runner, _ = await start(system, Keys.DUPLICATE)
    await register(registry, runner, "key", 1)

    error = await outcome_in(runner, Registry.update_value, registry, "key", str)

    assert isinstance(error, ValueError)
    assert Registry.lookup(registry, "key") == [(runner, 1)]


async def test_metadata_can_be_deleted(system):
    registry, _, _ = await start(system)
    Registry.put_meta(registry, "key", 1)

    for _ in range(2):
        Registry.delete_meta(registry, "key")

    with pytest.raises(NotFoundError):
        Registry.meta(registry, "key")


async def test_a_suspended_registry_is_read_and_written_all_the_same(system):
    _, one, two = await start(system, name="registry")
    await register("registry", one, "key", 1)

    await sys.suspend("registry")
    await kill(one)
    await register("registry", two, "key", 2)

    assert Registry.lookup("registry", "key") == [(two, 2)]


# Bounds and mistakes


async def test_a_full_registry_takes_no_more_until_there_is_room(system):
    registry, one, two = await start(system, max_entries=1)
    await register(registry, one, "a")

    error = await outcome_in(two, Registry.register, registry, "b")
    assert isinstance(error, OverloadedError)
    assert error.bound == 1

    await kill(one)
    await register(registry, two, "b")
    assert Registry.count(registry) == 1


async def test_only_a_process_registers(system):
    registry, _, _ = await start(system)

    for verb in (Registry.register, Registry.unregister):
        with pytest.raises(NoCurrentProcessError):
            verb(registry, "key")


async def test_what_is_no_registry_is_not_found(system):
    _, runner, _ = await start(system)

    for server in (runner, "nobody"):
        with pytest.raises(NotFoundError):
            Registry.lookup(server, "key")


@pytest.mark.real_clock
async def test_a_registry_is_not_read_in_another_thread(system):
    registry, _, _ = await start(system)

    with pytest.raises(NoCurrentProcessError, match="loop"):
        await asyncio.to_thread(Registry.lookup, registry, "key")


@pytest.mark.parametrize("arguments", [{"keys": "many"}, {"max_entries": -1}, {"max_entries": 1.5}])
async def test_a_registry_has_keys_of_a_kind_and_a_bound_that_is_a_number(system, arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        await system.start(Registry, **arguments)


# Links


async def test_a_crash_of_the_registry_is_one_of_who_is_registered(system):
    registry, one, two = await start(system)
    await register(registry, one, "key")

    exit_signal(registry, "boom")

    assert await one.wait_exit() == "boom"
    assert two.is_alive()


async def test_who_has_unregistered_all_survives_the_registry(system):
    registry, one, two = await start(system)
    for runner in (one, two):
        await register(registry, runner, ("a", runner))
        await register(registry, runner, ("b", runner))
    await run_in(one, Registry.unregister, registry, ("a", one))
    await run_in(one, Registry.unregister, registry, ("b", one))
    await run_in(two, Registry.unregister, registry, ("a", two))

    await kill(registry)

    assert one.is_alive()
    assert not two.is_alive()


async def test_a_crash_of_who_is_registered_does_not_end_the_registry(system):
    registry, one, _ = await start(system)
    await register(registry, one, "key")

    exit_signal(one, "boom")
    await one.wait_exit()

    assert registry.is_alive()


async def test_a_registry_ends_with_its_parent_if_that_is_registered(system):
    runner = await system.start(Runner)
    registry = await run_in(runner, Registry.start_link)
    await register(registry, runner, "key")

    await kill(runner)

    assert registry.exit_reason == Killed()


async def test_a_registry_ends_with_its_parent_if_that_was_registered(system):
    runner = await system.start(Runner)
    registry = await run_in(runner, Registry.start_link)
    await register(registry, runner, "key")
    await run_in(runner, Registry.unregister, registry, "key")

    await kill(runner)

    assert registry.exit_reason == Killed()


# Names


async def test_a_registry_name_is_a_via_and_says_where(system):
    name = Registry.via("registry", "key", ["any", "value"])

    assert isinstance(name, Via)
    assert name == RegistryName("registry", "key")
    assert hash(name) == hash(RegistryName("registry", "key"))


async def test_a_process_started_by_name_has_the_value_of_the_name(system):
    registry, _, _ = await start(system)

    ref = await system.start(Runner, name=Registry.via(registry, "key", "value"))

    assert Registry.lookup(registry, "key") == [(ref, "value")]


async def test_the_name_is_there_when_init_runs(system):
    registry, _, _ = await start(system)
    seen = []

    def init(process):
        seen.append(Registry.lookup(registry, "key"))

    ref = await system.start(Plain, "a", [], init, name=Registry.via(registry, "key"))

    assert seen == [[(ref, None)]]


@pytest.mark.parametrize("result", [Ignore(), Stop(Shutdown())])
async def test_a_process_that_does_not_start_keeps_no_name(system, result):
    registry, _, _ = await start(system)
    runner = await system.start(Runner, trap_exit=True)
    name = Registry.via(registry, "key")

    await outcome_in(runner, partial(Worker.start_link, "a", [], lambda _: result, name=name))

    assert Registry.count(registry) == 0


async def test_a_child_named_by_a_registry_is_restarted_under_its_name(system):
    registry, _, _ = await start(system)
    name = Registry.via(registry, "key")
    sup = await supervise(system, [Worker.child_spec("a", [], name=name)])
    first = name.whereis()

    await kill(first)
    (child,) = await which_children(sup)

    assert child.id == name
    assert name.whereis() is child.ref
    assert child.ref is not first


async def test_a_name_in_a_registry_that_is_not_there_names_nobody(system):
    name = Registry.via("nowhere", "key")

    cast(name, "anything")

    assert name.whereis() is None


async def test_a_process_cannot_be_started_with_a_name_in_a_registry_that_is_not_there(system):
    with pytest.raises(NotFoundError):
        await system.start(Runner, name=Registry.via("nowhere", "key"))


async def test_a_full_registry_refuses_a_name(system):
    registry, _, _ = await start(system, max_entries=0)

    with pytest.raises(OverloadedError):
        await system.start(Runner, name=Registry.via(registry, "key"))


async def test_a_name_is_not_given_to_a_dead_process(system):
    registry, runner, _ = await start(system)
    await kill(runner)

    with pytest.raises(NotFoundError):
        Registry.via(registry, "key").register(runner)


async def test_a_call_by_name_reaches_the_process(system):
    registry, runner, _ = await start(system)
    await register(registry, runner, "key")

    assert await call(Registry.via(registry, "key"), (max, (1, 2))) == 2
