"""Partitions, beyond the OTP cases of group Z."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisors import (
    AlreadyStartedError,
    ChildSpecError,
    NotFoundError,
    ServerDownError,
    Shutdown,
    Strategy,
    SupFlags,
    call,
    terminate_child,
    which_children,
)
from supervisors.partition_supervisor import PartitionSupervisor, partition_of
from tests.support import Runner, Worker, kill, refs


def echo():
    return Worker.child_spec("id", [])


# Which partition


@given(st.integers() | st.text() | st.tuples(st.text(), st.integers()), st.integers(1, 50))
def test_every_key_has_a_partition(key, partitions):
    assert 0 <= partition_of(key, partitions) < partitions


@given(st.integers(), st.integers(1, 50))
def test_an_integer_counts_by_its_absolute_value(key, partitions):
    assert partition_of(key, partitions) == partition_of(-key, partitions) == abs(key) % partitions


def test_a_key_has_the_same_partition_in_every_run():
    keys = ["text", b"bytes", ("a", 1), 1.5, None, "\ud800"]
    program = (
        f"from supervisors.partition_supervisor import partition_of; print([partition_of(k, 1000) for k in {keys!a}])"
    )

    other = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)

    assert other.stdout.strip() == str([partition_of(key, 1000) for key in keys])


def test_keys_are_spread_over_all_partitions():
    assert {partition_of(f"key {number}", 8) for number in range(100)} == set(range(8))


async def test_a_process_as_a_key_keeps_its_partition_when_it_is_named(system):
    ref = await system.start(Runner)
    before = partition_of(ref, 1000)

    system.register("name", ref)

    assert partition_of(ref, 1000) == before


# The supervisor


async def test_a_partition_is_called_by_a_key(system):
    await system.start(PartitionSupervisor, echo(), partitions=3, name="workers")

    assert await call(PartitionSupervisor.via("workers", "key"), "hello") == "hello"
    assert PartitionSupervisor.partitions("workers") == 3


async def test_a_key_leads_to_the_restarted_partition(system):
    sup = await system.start(PartitionSupervisor, echo(), partitions=2)
    name = PartitionSupervisor.via(sup, 1)
    first, other = name.whereis(), PartitionSupervisor.via(sup, 0).whereis()

    await kill(first)
    restarted = (await refs(sup))[1]

    assert name.whereis() is restarted
    assert restarted is not first
    assert PartitionSupervisor.via(sup, 0).whereis() is other


async def test_a_partition_that_was_terminated_is_nobody(system):
    sup = await system.start(PartitionSupervisor, echo(), partitions=2)

    await terminate_child(sup, 1)

    assert PartitionSupervisor.via(sup, 1).whereis() is None
    with pytest.raises(ServerDownError):
        await call(PartitionSupervisor.via(sup, 1), "hello")


async def test_three_restarts_are_allowed_unless_flags_say_otherwise(system):
    sup = await system.start(PartitionSupervisor, echo(), partitions=2)
    strict = await system.start(PartitionSupervisor, echo(), partitions=2, flags=SupFlags(intensity=0))

    for _ in range(3):
        await kill((await refs(sup))[0])
    await kill((await refs(strict))[0])

    assert len(await which_children(sup)) == 2
    assert await strict.wait_exit() == Shutdown()


async def test_no_process_is_started_as_a_partition_by_name(system):
    sup = await system.start(PartitionSupervisor, echo(), partitions=2)
    name = PartitionSupervisor.via(sup, 1)

    with pytest.raises(AlreadyStartedError) as caught:
        await system.start(Runner, name=name)

    assert caught.value.ref is name.whereis()


@pytest.mark.parametrize(
    ("child", "options"),
    [
        (echo(), {"partitions": -1}),
        (echo(), {"partitions": 1.5}),
        (echo(), {"partitions": True}),
        (Worker, {"partitions": 1}),
        (echo(), {"partitions": 1, "flags": SupFlags(Strategy.SIMPLE_ONE_FOR_ONE)}),
    ],
)
async def test_wrong_arguments_are_an_error_of_who_gave_them(system, child, options):
    with pytest.raises(ChildSpecError):
        await system.start(PartitionSupervisor, child, **options)


async def test_what_is_no_partition_supervisor_has_no_partitions(system):
    runner = await system.start(Runner)

    for server in (runner, "nobody"):
        assert PartitionSupervisor.via(server, 1).whereis() is None
        with pytest.raises(NotFoundError):
            PartitionSupervisor.partitions(server)
