"""OTP cases, group V: name registration."""

import pytest

from supervisors import (
    AlreadyRegisteredError,
    AlreadyStartedError,
    NotFoundError,
    StartError,
    Stop,
    call,
    register,
    send,
    unregister,
    whereis,
)
from tests.support import Plain, Raw, Runner, Worker, kill, run_in


class Name:
    """A `Via`: any term, in ``table``."""

    def __init__(self, table, term):
        self.table, self.term = table, term

    def register(self, ref):
        holder = self.whereis()
        if holder is not None:
            raise AlreadyRegisteredError(self.term, holder)
        self.table[self.term] = ref

    def whereis(self):
        ref = self.table.get(self.term)
        return ref if ref is not None and ref.is_alive() else None


async def test_v02_a_name_is_refused_that_is_taken_or_second_or_none_or_for_the_dead(system):
    """A taken name, a second name, an empty name and a name for a dead process are refused."""
    holder = await system.start(Plain, "a", [], name="taken")
    other = await system.start(Plain, "b", [])
    dead = await system.start(Plain, "c", [])
    await kill(dead)

    with pytest.raises(AlreadyRegisteredError):
        register("taken", other)
    with pytest.raises(AlreadyRegisteredError):
        register("second", holder)
    with pytest.raises(ValueError, match="not empty"):
        register("", other)
    with pytest.raises(NotFoundError):
        register("late", dead)


async def test_v03_a_send_to_an_unknown_name_is_an_error_and_to_the_dead_none(system):
    """send raises NotFoundError for a name that nothing has, and is silent for a process that ended."""
    dead = await system.start(Plain, "a", [])
    await kill(dead)

    with pytest.raises(NotFoundError):
        send("nobody", "hello")
    send(dead, "hello")


async def test_v04_start_link_with_a_taken_name_does_not_run_init(system):
    """start_link with a taken name raises AlreadyStartedError; init does not run and the caller lives on."""
    log = []
    holder = await system.start(Plain, "holder", [], name="taken")
    runner = await system.start(Runner)

    async def start_late():
        with pytest.raises(AlreadyStartedError) as error:
            await Worker.start_link("late", log, name="taken")
        return error.value.ref

    assert await run_in(runner, start_late) is holder
    assert log == []
    assert runner.is_alive()


async def test_v05_a_via_name_is_any_term_and_free_when_its_process_ends(system):
    """A name kept elsewhere may be any term: it can be called, is refused while taken, and free after the end."""
    name = Name({}, ("any", 1))
    first = await system.start(Plain, "first", [], name=name)

    answer = await call(name, "hello")
    with pytest.raises(AlreadyStartedError) as taken:
        await system.start(Plain, "second", [], name=name)
    await kill(first)
    third = await system.start(Plain, "third", [], name=name)

    assert answer == "hello"
    assert taken.value.ref is first
    assert name.whereis() is third


async def test_v09_a_name_that_a_process_got_by_register_is_taken_too(system):
    """A name that a plain process, no server, got by register is refused with AlreadyStartedError."""
    holder = await run_in(await system.start(Runner), Raw.start_link)
    register("taken", holder)

    with pytest.raises(AlreadyStartedError) as error:
        await system.start(Plain, "late", [], name="taken")

    assert error.value.ref is holder


async def test_v11_the_name_is_free_when_a_failed_start_returns(system):
    """A name is free by the time the starter learns that init stopped."""
    with pytest.raises(StartError):
        await system.start(Plain, "a", [], lambda _: Stop("bad"), name="name")

    assert whereis("name") is None


async def test_v12_an_unknown_name_cannot_be_unregistered(system):
    """Unregister raises NotFoundError for a name that nothing has."""
    with pytest.raises(NotFoundError):
        unregister("nobody")
