import asyncio
import sqlite3
from contextlib import closing

import pytest

from macula_actors.actors.routing.keeper import (
    BROKEN,
    BUSY_TIMEOUT,
    FILE,
    RETRY_AFTER,
    Keeper,
)
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.record import Record
from macula_actors.core.kademlia.table import SavedContact
from macula_actors.core.peer.contact import Contact
from macula_actors.messages.routing_keeper import Load, SaveContacts, Saved, SaveRecord
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


async def test_what_waits_to_be_written_is_loaded_too(system, tmp_path):
    keeper = await keep(system, tmp_path)
    keeper.cast(SaveRecord(KEY, a_record()))

    assert len((await keeper.call(Load())).records) == 1


def change(path, script):
    with closing(sqlite3.connect(path / FILE)) as database, database:
        database.executescript(script)


async def saved_and_changed(system, path, script):
    """Return what is loaded after ``script`` was run on a file with three records and two contacts."""
    keeper = await keep(system, path)
    keeper.cast(SaveContacts(CONTACTS, wall_clock_ms()))
    for number in range(3):
        keeper.cast(SaveRecord(key(number), a_record(key(number))))
    await keeper.call(Load())
    change(path, script)
    return await keeper.call(Load())


ONE_RECORD = f"WHERE key = x'{bytes(key(0)).hex()}'"


@pytest.mark.parametrize(
    "what",
    [
        "packed = x'c1c1'",
        "packed = NULL",
        "packed = 'abc'",
        "expires_at = 'soon'",
        "expires_at = 1",
        "ttl = -5",
        "ttl = 99999999",
        "sequence = 1.5",
        "sequence = -1",
        "signature = NULL",
        "signature = zeroblob(64)",
        "public_key = x''",
        "owner = zeroblob(32)",
        "owner = x'00'",
        "key = x'00'",
    ],
)
async def test_a_broken_record_is_left_out_and_the_others_are_not(system, tmp_path, what):
    saved = await saved_and_changed(system, tmp_path, f"UPDATE records SET {what} {ONE_RECORD}")

    assert {record.key for record in saved.records} == {key(1), key(2)}
    assert len(saved.contacts) == 2


@pytest.mark.parametrize(
    "what", ["endpoint = 'no sense:x'", "endpoint = CAST(x'ff' AS TEXT)", "node_id = 'abc'", "seen_ms = 'abc'"]
)
async def test_a_broken_contact_is_left_out_and_the_others_are_not(system, tmp_path, what):
    saved = await saved_and_changed(
        system, tmp_path, f"UPDATE contacts SET {what} WHERE node_id = x'{bytes(key(1)).hex()}'"
    )

    assert [each.contact for each in saved.contacts] == [CONTACTS[1].contact]
    assert len(saved.records) == 3


@pytest.mark.real_clock
async def test_a_file_that_is_locked_is_read_when_it_is_free(tmp_path):
    async with System() as system:
        keeper = await keep(system, tmp_path)
        keeper.cast(SaveRecord(KEY, a_record()))
        await keeper.call(Load())
        with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as database:
            database.execute("BEGIN EXCLUSIVE")
            loading = asyncio.create_task(keeper.call(Load(), timeout=30.0))
            done, _ = await asyncio.wait([loading], timeout=BUSY_TIMEOUT + 0.5)
            assert not done

        assert len((await loading).records) == 1
        assert not (tmp_path / BROKEN).exists()


@pytest.mark.parametrize("content", [b"nonsense" * 1000, b"SQLite format 3\0" + bytes(2000)])
async def test_a_file_that_is_none_is_put_aside_and_the_next_one_is_good(system, tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    keeper = await keep(system, tmp_path)
    assert await keeper.call(Load()) == Saved()
    keeper.cast(SaveRecord(KEY, a_record()))

    assert len((await keeper.call(Load())).records) == 1
    assert (tmp_path / BROKEN).read_bytes() == content


async def test_a_broken_file_that_cannot_be_put_aside_ends_nothing(system, tmp_path):
    (tmp_path / FILE).write_bytes(b"nonsense" * 1000)
    (tmp_path / BROKEN).mkdir()
    keeper = await keep(system, tmp_path)
    keeper.cast(SaveRecord(KEY, a_record()))

    assert await keeper.call(Load()) == Saved()
    assert keeper.is_alive()


async def test_an_empty_file_is_none(system, tmp_path):
    (tmp_path / FILE).touch()
    keeper = await keep(system, tmp_path)

    assert await keeper.call(Load()) == Saved()
    assert not (tmp_path / BROKEN).exists()


async def test_a_request_that_is_none_ends_it(system, tmp_path):
    keeper = await keep(system, tmp_path)
    keeper.cast("nonsense")
    await keeper.wait_exit()
