import pytest

from supervisors import (
    GenServer,
    Kill,
    NoCurrentProcessError,
    NotFoundError,
    OverloadedError,
    Reply,
    ServerDownError,
    Shutdown,
    System,
    UnexpectedRequestError,
    call,
    exit_signal,
)
from supervisors.gen import system_call
from supervisors.table import TableAccessError, TableGiven, TableHeldError, TableOwner
from tests.support import Runner, infos_of, kill, run_in


async def start_owner(system, **kwargs):
    return await system.start(TableOwner, name="tables", **kwargs)


async def start_user(system, **entries):
    """Start a `Runner` that holds the table "t" with these entries; return it and the table."""
    user = await system.start(Runner)
    table = await claim(user)
    await run_in(user, table.update, entries)
    return user, table


def claim(user, name="t", max_entries=10, owner="tables"):
    return run_in(user, lambda: TableOwner.claim(owner, name, max_entries=max_entries))


async def test_a_table_is_used_as_a_dict_by_who_holds_it(system):
    await start_owner(system)
    user, table = await start_user(system, a=1)

    def use():
        table["b"] = 2
        del table["a"]
        table.update(c=3)
        return list(table.items()), len(table), "b" in table, table.get("a", "none")

    assert await run_in(user, use) == ([("b", 2), ("c", 3)], 2, True, "none")


async def test_nobody_but_the_holder_may_touch_a_table(system):
    await start_owner(system)
    user, table = await start_user(system)
    other = await system.start(Runner)

    async def touch():
        with pytest.raises(TableAccessError) as refused:
            table["a"] = 1
        return refused.value

    error = await run_in(other, touch)

    assert (error.name, error.holder, error.toucher) == ("t", user, other)
    assert str(user) in str(error)
    assert str(other) in str(error)


async def test_code_outside_processes_may_not_touch_a_table(system):
    await start_owner(system)
    _, table = await start_user(system)

    with pytest.raises(TableAccessError, match="code outside"):
        len(table)


async def test_the_owner_itself_may_not_touch_a_table_in_use(system):
    owner = await start_owner(system)
    _, table = await start_user(system)

    with pytest.raises(TableAccessError):
        await system_call(owner, lambda _: len(table))


async def test_the_next_to_claim_a_dead_holders_table_finds_its_contents(system):
    await start_owner(system)
    user, _ = await start_user(system, a=1)
    await kill(user)

    heir = await system.start(Runner)
    table = await claim(heir)

    assert await run_in(heir, lambda: dict(table)) == {"a": 1}


async def test_a_table_can_be_claimed_at_the_very_moment_its_holder_ends(system):
    await start_owner(system)
    user, _ = await start_user(system, a=1)
    heir = await system.start(Runner)

    exit_signal(user, Kill())
    table = await claim(heir)

    assert table.holder is heir


async def test_claiming_a_table_that_a_live_process_holds_is_an_error(system):
    await start_owner(system)
    user, _ = await start_user(system)
    other = await system.start(Runner)

    async def try_to_claim():
        with pytest.raises(TableHeldError) as refused:
            await TableOwner.claim("tables", "t", max_entries=10)
        return refused.value.name, refused.value.holder

    assert await run_in(other, try_to_claim) == ("t", user)


async def test_claiming_a_table_that_one_holds_gives_the_same_table(system):
    await start_owner(system)
    user, table = await start_user(system)

    assert await claim(user) is table


async def test_only_a_process_can_claim_a_table(system):
    await start_owner(system)

    with pytest.raises(NoCurrentProcessError):
        await TableOwner.claim("tables", "t", max_entries=10)


async def test_a_table_takes_max_entries_and_no_more(system):
    await start_owner(system)
    user = await system.start(Runner)
    table = await claim(user, max_entries=2)

    def fill():
        table.update(a=1, b=2)
        with pytest.raises(OverloadedError) as refused:
            table["c"] = 3
        table["a"] = 4
        return dict(table), refused.value.bound

    assert await run_in(user, fill) == ({"a": 4, "b": 2}, 2)


async def test_a_claim_with_a_lower_bound_keeps_the_entries_and_lets_no_new_one_in(system):
    await start_owner(system)
    user, table = await start_user(system, a=1, b=2)
    await claim(user, max_entries=1)

    def fill():
        with pytest.raises(OverloadedError):
            table["c"] = 3
        return dict(table)

    assert await run_in(user, fill) == {"a": 1, "b": 2}


async def test_an_owner_keeps_max_tables_and_no_more(system):
    await start_owner(system, max_tables=1)
    user, _ = await start_user(system)

    async def claim_another():
        with pytest.raises(OverloadedError) as refused:
            await TableOwner.claim("tables", "another", max_entries=1)
        return refused.value.bound

    assert await run_in(user, claim_another) == 1


async def test_a_released_table_is_anyones_with_its_contents(system):
    await start_owner(system)
    user, table = await start_user(system, a=1)
    other = await system.start(Runner)

    await run_in(user, table.release)
    await claim(other)

    assert table.holder is other
    assert await run_in(other, lambda: dict(table)) == {"a": 1}


async def test_a_table_given_away_is_the_receivers_who_is_told(system):
    await start_owner(system)
    user, table = await start_user(system, a=1)
    receiver = await system.start(Runner)

    await run_in(user, table.give_away, receiver, "take care")

    [given] = await infos_of(receiver)
    assert (type(given), given.table, given.giver, given.data) == (TableGiven, table, user, "take care")
    assert await run_in(receiver, lambda: dict(given.table)) == {"a": 1}


async def test_a_table_cannot_be_given_to_the_dead(system):
    await start_owner(system)
    user, table = await start_user(system)
    dead = await system.start(Runner)
    await kill(dead)

    def give():
        with pytest.raises(NotFoundError):
            table.give_away(dead)

    await run_in(user, give)

    assert table.holder is user


async def test_what_is_not_ones_own_cannot_be_released(system):
    await start_owner(system)
    user, table = await start_user(system)

    with pytest.raises(TableAccessError):
        table.release()

    assert table.holder is user


async def test_a_deleted_table_is_new_when_claimed_again(system):
    await start_owner(system)
    user, old = await start_user(system, a=1)

    await run_in(user, TableOwner.delete, "tables", "t")
    new = await claim(user)

    assert await run_in(user, lambda: dict(new)) == {}
    assert old.holder is None


async def test_a_table_that_nobody_holds_can_be_deleted_from_anywhere(system):
    await start_owner(system, max_tables=1)
    user, _ = await start_user(system)
    await kill(user)

    await TableOwner.delete("tables", "t")

    table = await claim(await system.start(Runner), "another")
    assert table.name == "another"


async def test_a_table_in_use_cannot_be_deleted_by_others(system):
    await start_owner(system)
    user, table = await start_user(system)

    with pytest.raises(TableHeldError):
        await TableOwner.delete("tables", "t")

    assert table.holder is user


async def test_deleting_a_table_that_is_not_there_is_an_error(system):
    await start_owner(system)

    with pytest.raises(NotFoundError):
        await TableOwner.delete("tables", "t")


async def test_a_request_that_the_owner_does_not_know_does_not_end_it(system):
    owner = await start_owner(system)

    with pytest.raises(UnexpectedRequestError):
        await call("tables", "nonsense")

    assert owner.is_alive()


async def test_the_next_owner_of_the_name_adopts_the_tables_that_are_free(system):
    owner = await start_owner(system)
    user, _ = await start_user(system, a=1)
    await kill(user)
    await kill(owner)

    await start_owner(system)
    heir = await system.start(Runner)
    table = await claim(heir)

    assert await run_in(heir, lambda: dict(table)) == {"a": 1}


async def test_a_held_table_stays_usable_while_its_owner_is_dead(system):
    owner = await start_owner(system)
    user, table = await start_user(system, a=1)

    await kill(owner)

    assert await run_in(user, lambda: table["a"]) == 1


async def test_the_next_owner_knows_who_holds_what(system):
    owner = await start_owner(system)
    user, table = await start_user(system)
    await kill(owner)

    await start_owner(system)

    with pytest.raises(TableHeldError):
        await TableOwner.delete("tables", "t")
    assert await claim(user) is table


async def test_tables_outlive_an_owner_that_its_supervisor_shut_down(system):
    owner = await start_owner(system)
    user, _ = await start_user(system, a=1)
    await kill(user)
    exit_signal(owner, Shutdown())

    await start_owner(system)
    heir = await system.start(Runner)
    table = await claim(heir)

    assert await run_in(heir, lambda: dict(table)) == {"a": 1}


async def test_claiming_from_an_owner_that_is_not_there_is_an_error(system):
    user = await system.start(Runner)

    with pytest.raises(ServerDownError):
        await claim(user)


async def test_an_owner_without_a_name_takes_its_tables_with_it(system):
    owner = await system.start(TableOwner)
    user = await system.start(Runner)
    await claim(user, owner=owner)
    await kill(owner)
    await kill(user)

    other = await system.start(Runner)
    table = await claim(other, owner=await system.start(TableOwner))

    assert await run_in(other, lambda: dict(table)) == {}


async def test_tables_of_two_systems_are_apart(system):
    await start_owner(system)
    await start_user(system, a=1)

    async with System("other") as other:
        await other.start(TableOwner, name="tables")
        user = await other.start(Runner)
        table = await claim(user)

        assert await run_in(user, lambda: dict(table)) == {}


async def test_a_server_claims_its_table_in_init(system):
    class Counter(GenServer):
        async def init(self):
            self.table = await TableOwner.claim("tables", "counts", max_entries=1)

        def handle_call(self, request, from_):
            self.table["n"] = self.table.get("n", 0) + 1
            return Reply(self.table["n"])

    await start_owner(system)
    counter = await system.start(Counter)
    await counter.call("count")
    await kill(counter)

    assert await (await system.start(Counter)).call("count") == 2
