"""Keeps a node's contacts and own records on disk, so that it is back without its bootstrap.

Erlang: none. SQLite writes a batch whole or not at all, whenever the power fails.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from loguru import logger
from typing_extensions import override

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.record import Record, Row
from macula_actors.core.kademlia.table import SavedContact
from macula_actors.core.peer.contact import Contact
from macula_actors.errors import RemoteProtocolError
from macula_actors.messages.routing_keeper import Load, SaveContacts, Saved, SaveRecord
from supervisors import ExitReason, From, GenServer, NoReply, UnexpectedRequestError, send_after

__all__ = ["BROKEN", "BUSY_TIMEOUT", "FILE", "RETRY_AFTER", "Keeper"]

FILE: Final = "dht.sqlite"
BROKEN: Final = "dht.broken"
WRITE_AFTER: Final = 0.2  # seconds in which changes are gathered into one write
RETRY_AFTER: Final = 10.0  # seconds, when the disk refused it
LOAD_AGAIN_AFTER: Final = 1.0  # seconds, when another process has locked it
BUSY_TIMEOUT: Final = 2.0  # seconds that a lock is waited for, in a thread
MAX_LOADS: Final = 16  # that wait until the file is free; only the last RoutingServer still listens

_BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_CORRUPT: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)  # the last: other columns
_PRIMARY: Final = 0xFF  # of an error code, which is extended

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS contacts (node_id BLOB PRIMARY KEY, endpoint TEXT, seen_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (key BLOB PRIMARY KEY, owner BLOB, public_key BLOB, sequence INTEGER, ttl INTEGER,
    expires_at INTEGER, packed BLOB, signature BLOB) WITHOUT ROWID;
"""
_SELECT_CONTACTS: Final = "SELECT node_id, endpoint, seen_ms FROM contacts ORDER BY seen_ms"
_SELECT_RECORDS: Final = "SELECT key, owner, public_key, sequence, ttl, expires_at, packed, signature FROM records"


@dataclass(frozen=True, slots=True)
class _Write:
    """Time to write what has been gathered."""


@dataclass(frozen=True, slots=True)
class _LoadAgain:
    """Time to look whether the file is free."""


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
        self._loads: list[From] = []

    @override
    async def handle_call(self, request: object, from_: From) -> NoReply:
        if not isinstance(request, Load):
            raise UnexpectedRequestError(request)
        self._loads = [*self._loads, from_][-MAX_LOADS:]
        await self._load()
        return NoReply()

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
        match info:
            case _LoadAgain():
                await self._load()
            case _:
                self._is_due = False
                await self._write()

    @override
    async def terminate(self, reason: ExitReason) -> None:
        await self._write()

    async def _load(self) -> None:
        """Answer who waits for what is saved; later, if the file is locked."""
        if not self._loads:
            return
        await self._write()
        saved = await self._read()
        if saved is None:
            send_after(LOAD_AGAIN_AFTER, self.actor_ref, _LoadAgain())
            return
        for from_ in self._loads:
            from_.reply(saved)
        self._loads.clear()

    async def _read(self) -> Saved | None:
        """Return what is saved; nothing, if it can't be read; None if another process has locked it."""
        try:
            return await asyncio.to_thread(_load, self._path, self._wall_clock_ms())
        except (OSError, sqlite3.Error) as error:
            logger.warning("{} can't be read: {}", self._path, error)
            if _code(error) in _BUSY:
                return None
            if _code(error) in _CORRUPT or self._path.is_dir():
                await asyncio.to_thread(_put_aside, self._path)
            return Saved()

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
            if _code(error) in _CORRUPT:
                await asyncio.to_thread(_put_aside, self._path)
            self._write_after(RETRY_AFTER)
        else:
            self._changes = _Changes()  # nothing came meanwhile: this process waited


def _load(path: Path, now_ms: int) -> Saved:
    if not path.exists() or not path.stat().st_size:
        return Saved()
    with closing(_open(path)) as database:
        database.text_factory = lambda text: text.decode(errors="replace")  # what is no text spoils its row only
        contacts = list(database.execute(_SELECT_CONTACTS))
        records = list(database.execute(_SELECT_RECORDS))
    good = [each for each in (_saved_contact(row, now_ms) for row in contacts) if each is not None]
    own = [each for each in map(_record, records) if each is not None]
    bad = len(contacts) - len(good) + len(records) - len(own)
    if bad:
        logger.warning("{}: {} rows are broken, and left out", path, bad)
    return Saved(tuple(good), tuple(own))


def _saved_contact(row: tuple[object, ...], now_ms: int) -> SavedContact | None:
    match row:
        case (bytes(node_id), str() | None as endpoint, int(seen_ms)):
            try:
                where = None if endpoint is None else Endpoint.parse(endpoint)
                return SavedContact(Contact(where, NodeId(node_id)), max(now_ms - seen_ms, 0) / 1000)
            except ValueError:
                return None
        case _:
            return None


def _record(row: Row) -> Record | None:
    """Return the record in ``row``; None if its owner has not signed just that."""
    try:
        record = Record.from_row(row)
        record.verify()
    except (ValueError, RemoteProtocolError):
        return None
    return record


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
    return sqlite3.connect(path, timeout=BUSY_TIMEOUT)


def _code(error: Exception) -> int:
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY


def _put_aside(path: Path) -> None:
    """Rename the file, over one that was broken before, and remove what SQLite would add to the next one."""
    logger.warning("{} is put aside, as {}", path, BROKEN)
    try:
        path.replace(path.with_name(BROKEN))
        path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
    except OSError as error:
        logger.warning("{} can't be put aside: {}", path, error)
