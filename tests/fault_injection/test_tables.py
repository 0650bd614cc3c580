"""Tables under a supervisor: nothing that was in one is lost, whoever is killed."""

from supervisors import GenServer, Reply, Restart, Strategy
from supervisors.faults import crash, find, kill
from supervisors.table import TableOwner
from supervisors.testing import assert_tree, wait_until_idle
from tests.support import supervise, worker


class Account(GenServer):
    """Keeps a sum in a table."""

    async def init(self, name):
        self.table = await TableOwner.claim("tables", name, max_entries=1)

    def handle_call(self, amount, from_):
        self.table["sum"] = self.table.get("sum", 0) + amount
        return Reply(self.table["sum"])


TREE = {"TableOwner": {}, "mine": {}, "theirs": {}, "bystander": {}}


async def start_bank(system, strategy="one_for_one"):
    children = [
        TableOwner.child_spec(name="tables", id="TableOwner"),
        Account.child_spec("mine", name="mine"),
        Account.child_spec("theirs", name="theirs"),
        worker("bystander", [], restart=Restart.TEMPORARY),
    ]
    sup = await supervise(system, children, Strategy(strategy))
    await find("mine").call(10)
    await find("theirs").call(20)
    return sup


async def look(*names):
    return [await find(name).call(0) for name in names]


async def test_a_killed_user_finds_its_table_again(system):
    sup = await start_bank(system)
    theirs = find("theirs")

    await kill("mine").wait_exit()
    await wait_until_idle(system)

    assert await look("mine", "theirs") == [10, 20]
    assert find("theirs") is theirs
    assert_tree(system, {str(sup): TREE})


async def test_a_user_killed_many_times_finds_its_table_again(system):
    await start_bank(system)

    for _ in range(20):
        await kill("mine").wait_exit()
        await wait_until_idle(system)
        await find("mine").call(1)

    assert await look("mine") == [30]


async def test_a_killed_owner_disturbs_no_user(system):
    sup = await start_bank(system)
    users = find("mine"), find("theirs")

    await kill("tables").wait_exit()
    await wait_until_idle(system)

    assert await look("mine", "theirs") == [10, 20]
    assert (find("mine"), find("theirs")) == users
    assert_tree(system, {str(sup): TREE})


async def test_user_and_owner_killed_at_once_lose_nothing(system):
    sup = await start_bank(system)
    theirs = find("theirs")

    kill("mine")
    kill("tables")
    await wait_until_idle(system)

    assert await look("mine", "theirs") == [10, 20]
    assert find("theirs") is theirs
    assert_tree(system, {str(sup): TREE})


async def test_an_owner_that_does_not_start_for_a_while_loses_nothing(system):
    await start_bank(system)

    with crash("tables", "init", times=5) as fault:
        kill("mine")
        kill("tables")
        await wait_until_idle(system)

    assert fault.fired == 5
    assert await look("mine", "theirs") == [10, 20]


async def test_a_user_that_crashes_after_a_change_keeps_the_change(system):
    await start_bank(system)

    with crash("mine", "terminate"), crash("mine", "handle_cast"):
        mine = find("mine")
        await mine.call(1)
        mine.cast("crash")
        await mine.wait_exit()
        await wait_until_idle(system)

    assert await look("mine") == [11]


async def test_tables_survive_the_restart_of_all(system):
    await start_bank(system, "one_for_all")

    await kill("theirs").wait_exit()
    await wait_until_idle(system)

    assert await look("mine", "theirs") == [10, 20]


async def test_tables_survive_the_restart_of_the_rest_after_their_owner(system):
    await start_bank(system, "rest_for_one")

    await kill("tables").wait_exit()
    await wait_until_idle(system)

    assert await look("mine", "theirs") == [10, 20]
