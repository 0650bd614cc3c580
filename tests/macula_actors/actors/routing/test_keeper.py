import asyncio

from macula_actors.actors.routing.keeper import FILE, RETRY_AFTER, Keeper, Load, SaveContacts, Saved, SaveRecord
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.record import Record
from macula_actors.core.kademlia.table import SavedContact
from macula_actors.core.peer.contact import Contact
from supervisors import System
from tests.macula_actors.actors.routing.mesh import KEY, identity, key, wall_clock_ms

CONTACTS = (
    SavedContact(Contact(Endpoint("10.0.0.1", 1), key(1)), 5.0),
    SavedContact(Contact(None, key(2)), 0.0),
)


def a_record(at=KEY, payload=1):
    return Record.seal(identity(1), at, payload, sequence=1, now_ms=wall_clock_ms())


async def keep(system, path):
    return await system.start(Keeper, path, wall_clock_ms)


def by_id(saved):
    return sorted(saved, key=lambda each: each.contact.node_id)


async def test_nothing_is_there_at_first(system, tmp_path):
    keeper = await keep(system, tmp_path / "new")

    assert await keeper.call(Load()) == Saved()


async def test_what_was_saved_is_there_for_the_next_keeper_after_a_moment(system, tmp_path):
    keeper = await keep(system, tmp_path / "new")
    keeper.cast(SaveContacts(CONTACTS, wall_clock_ms()))
    keeper.cast(SaveRecord(KEY, a_record()))
    keeper.cast(SaveRecord(key(1), a_record(key(1))))
    keeper.cast(SaveRecord(key(1), None))
    await asyncio.sleep(1.0)
    saved = await (await keep(system, tmp_path / "new")).call(Load())

    assert saved.records == (Record.seal(identity(1), KEY, 1, sequence=1, now_ms=wall_clock_ms() - 1000),)
    assert [(each.contact, each.silent_for) for each in by_id(saved.contacts)] == [
        (each.contact, each.silent_for + 1.0) for each in by_id(CONTACTS)
    ]


async def test_contacts_that_are_saved_take_the_place_of_those_before(system, tmp_path):
    keeper = await keep(system, tmp_path)
    keeper.cast(SaveContacts(CONTACTS, wall_clock_ms()))
    await asyncio.sleep(1.0)
    keeper.cast(SaveContacts(CONTACTS[:1], wall_clock_ms()))
    await asyncio.sleep(1.0)

    assert [each.contact for each in (await keeper.call(Load())).contacts] == [CONTACTS[0].contact]


async def test_what_waits_is_written_when_the_keeper_stops(tmp_path):
    async with System() as system:
        (await keep(system, tmp_path)).cast(SaveRecord(KEY, a_record()))
    async with System() as system:
        saved = await (await keep(system, tmp_path)).call(Load())

    assert len(saved.records) == 1


async def test_what_could_not_be_written_is_written_later(system, tmp_path):
    (tmp_path / FILE).mkdir()
    keeper = await keep(system, tmp_path)
    keeper.cast(SaveRecord(KEY, a_record()))
    await asyncio.sleep(1.0)
    (tmp_path / FILE).rmdir()
    await asyncio.sleep(RETRY_AFTER)

    assert len((await keeper.call(Load())).records) == 1


async def test_a_request_that_is_none_ends_it(system, tmp_path):
    keeper = await keep(system, tmp_path)
    keeper.cast("nonsense")
    await keeper.wait_exit()
