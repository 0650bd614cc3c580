"""Keeps a node's contacts and own records on disk, so that it is back without its bootstrap.

Erlang: none. SQLite writes a batch whole or not at all, whenever the power fails.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from loguru import logger
from typing_extensions import override

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.record import Record, Row
from macula_actors.core.kademlia.table import SavedContact
from macula_actors.core.peer.contact import Contact
from supervisors import ExitReason, From, GenServer, Reply, UnexpectedRequestError, send_after

__all__ = ["FILE", "Keeper", "Load", "SaveContacts", "SaveRecord", "Saved"]

FILE: Final = "dht.sqlite"
WRITE_AFTER: Final = 0.2  # seconds in which changes are gathered into one write
RETRY_AFTER: Final = 10.0  # seconds, when the disk refused it

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS contacts (node_id BLOB PRIMARY KEY, endpoint TEXT, seen_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (key BLOB PRIMARY KEY, owner BLOB, public_key BLOB, sequence INTEGER, ttl INTEGER,
    expires_at INTEGER, packed BLOB, signature BLOB) WITHOUT ROWID;
"""
_SELECT_RECORDS: Final = "SELECT key, owner, public_key, sequence, ttl, expires_at, packed, signature FROM records"


@dataclass(frozen=True, slots=True)
class Load:
    """Answered with what was `Saved`; nothing, if it can't be read."""


class SaveContacts(NamedTuple):
    """A cast: these are the contacts, at this instant in milliseconds since 1970."""

    contacts: tuple[SavedContact, ...]
    now_ms: int


class SaveRecord(NamedTuple):
    """A cast: this is the node's record under ``key`` from now on; None: there is none."""

    key: NodeId
    record: Record | None


@dataclass(frozen=True, slots=True)
class Saved:
    """Contacts, and the records that were published."""

    contacts: tuple[SavedContact, ...] = ()
    records: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class _Write:
    """Time to write what has been gathered."""


@dataclass(slots=True)
class _Changes:
    contacts: SaveContacts | None = None
    records: dict[NodeId, Record | None] = field(default_factory=dict)


class Keeper(GenServer):
    """Writes in a thread, and holds up nobody but itself. What it could not write, it tries again.

    What waits is bounded: the contacts, and one record a key.
    """

    trap_exit = True  # to write what waits

    @override
    def init(self, data_dir: Path, wall_clock_ms: Callable[[], int]) -> None:
        self._path = data_dir / FILE
        self._wall_clock_ms = wall_clock_ms
        self._changes = _Changes()
        self._is_due = False

    @override
    async def handle_call(self, request: object, from_: From) -> Reply:
        if not isinstance(request, Load):
            raise UnexpectedRequestError(request)
        try:
            return Reply(await asyncio.to_thread(_load, self._path, self._wall_clock_ms()))
        except (OSError, ValueError, sqlite3.Error) as error:
            logger.warning("{} can't be read: {}; it is put aside", self._path, error)
            await asyncio.to_thread(_put_aside, self._path)
            return Reply(Saved())

    @override
    def handle_cast(self, request: object) -> None:
        match request:
            case SaveContacts():
                self._changes.contacts = request
            case SaveRecord(key, record):
                self._changes.records[key] = record
            case _:
                raise UnexpectedRequestError(request)
        self._write_after(WRITE_AFTER)

    @override
    async def handle_info(self, info: object) -> None:
        self._is_due = False
        await self._write()

    @override
    async def terminate(self, reason: ExitReason) -> None:
        await self._write()

    def _write_after(self, delay: float) -> None:
        if not self._is_due:
            self._is_due = True
            send_after(delay, self.actor_ref, _Write())

    async def _write(self) -> None:
        changes = self._changes
        if changes.contacts is None and not changes.records:
            return
        try:
            await asyncio.to_thread(_save, self._path, changes)
        except (OSError, sqlite3.Error) as error:
            logger.warning("{} can't be written: {}", self._path, error)
            self._write_after(RETRY_AFTER)
        else:
            self._changes = _Changes()  # nothing came meanwhile: this process waited


def _load(path: Path, now_ms: int) -> Saved:
    if not path.exists():
        return Saved()
    with closing(_open(path)) as database:
        contacts = tuple(
            SavedContact(_contact(node_id, endpoint), max(now_ms - seen_ms, 0) / 1000)
            for node_id, endpoint, seen_ms in database.execute("SELECT node_id, endpoint, seen_ms FROM contacts")
        )
        rows: list[Row] = list(database.execute(_SELECT_RECORDS))
    return Saved(contacts, tuple(map(Record.from_row, rows)))


def _contact(node_id: bytes, endpoint: str | None) -> Contact:
    return Contact(None if endpoint is None else Endpoint.parse(endpoint), NodeId(node_id))


def _save(path: Path, changes: _Changes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(_open(path)) as database, database:
        database.executescript(_SCHEMA)
        if changes.contacts is not None:
            database.execute("DELETE FROM contacts")
            database.executemany("INSERT OR REPLACE INTO contacts VALUES (?, ?, ?)", _rows(changes.contacts))
        for key, record in changes.records.items():
            database.execute("DELETE FROM records WHERE key = ?", (bytes(key),))
            if record is not None:
                database.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?)", record.to_row())


def _rows(saved: SaveContacts) -> list[tuple[bytes, str | None, int]]:
    return [
        (bytes(node_id), None if endpoint is None else str(endpoint), saved.now_ms - round(1000 * each.silent_for))
        for each in saved.contacts
        for node_id, endpoint in [(each.contact.node_id, each.contact.endpoint)]
        if node_id is not None
    ]


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=5.0)


def _put_aside(path: Path) -> None:
    path.replace(path.with_suffix(".broken"))
