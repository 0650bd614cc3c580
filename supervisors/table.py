"""Tables that outlive the processes that work on them.

A `TableOwner`, started before its users, keeps tables. A process claims one by name, works on it directly, without
messages, and when it ends whoever claims the table next finds its contents.

Nothing loses a table but `TableOwner.delete` and the end of the System. The holder's death sends the table home at
that very moment, so a claim need not wait for any message. The tables of an owner that has a registered name are kept
with the System, under that name: the next owner of that name has them all, and those who hold one go on undisturbed
when the owner crashes. An owner without a name takes its tables with it.

Erlang: ets with ``heir``; ``ets:give_away/3``.
"""

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeVar

from typing_extensions import override

from supervisors.errors import NotFoundError, OverloadedError, SupervisorsError, UnexpectedRequestError
from supervisors.gen import call
from supervisors.gen_server import GenServer
from supervisors.messages import From, Refuse, Reply
from supervisors.names import Server
from supervisors.process import Process, current_process
from supervisors.ref import Ref
from supervisors.system import System

__all__ = ["Table", "TableAccessError", "TableGiven", "TableHeldError", "TableOwner"]

K = TypeVar("K")
V = TypeVar("V")


class TableAccessError(SupervisorsError):
    """``toucher`` touched a table that is ``holder``'s: its bug. None: nobody holds it; code outside any process."""

    def __init__(self, name: str, holder: Ref | None, toucher: Ref | None) -> None:
        super().__init__(f"table {name!r} is held by {holder or 'nobody'}, not by {toucher or 'code outside'}")
        self.name = name
        self.holder = holder
        self.toucher = toucher


class TableHeldError(SupervisorsError):
    """Another live process, ``holder``, has the table: it must release it, give it away, or end."""

    def __init__(self, name: str, holder: Ref) -> None:
        super().__init__(f"table {name!r} is held by {holder}")
        self.name = name
        self.holder = holder


class Table(MutableMapping[K, V]):
    """A dict that only the process that holds it may touch, with at most ``max_entries`` entries.

    Raises:
        TableAccessError: from any method, in any other process or outside.
        OverloadedError: one entry too many; the table is as it was.
    """

    __slots__ = ("_entries", "_holder", "max_entries", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.max_entries = 0
        self._entries: dict[K, V] = {}
        self._holder: Ref | None = None

    @override
    def __repr__(self) -> str:
        return f"<Table {self.name}>"

    @property
    def holder(self) -> Ref | None:
        """The live process that holds it; None when it is with its owner."""
        holder = self._holder
        return holder if holder is not None and holder.is_alive() else None

    @override
    def __getitem__(self, key: K) -> V:
        return self._mine()[key]

    @override
    def __setitem__(self, key: K, value: V) -> None:
        entries = self._mine()
        if len(entries) >= self.max_entries and key not in entries:
            raise OverloadedError(self, self.max_entries, key)
        entries[key] = value

    @override
    def __delitem__(self, key: K) -> None:
        del self._mine()[key]

    @override
    def __iter__(self) -> Iterator[K]:
        return iter(self._mine())

    @override
    def __len__(self) -> int:
        return len(self._mine())

    def release(self) -> None:
        """Send the table home, with its contents: any process may claim it."""
        self._mine()
        self._holder = None

    def give_away(self, ref: Ref, data: object = None) -> None:
        """Let ``ref`` hold the table from now on; it is told so with a `TableGiven`.

        Raises:
            NotFoundError: ``ref`` has ended; the table is still the giver's.
        """
        self._mine()
        process = ref._process
        if process is None:
            raise NotFoundError(ref)
        giver, self._holder = self._holder, ref
        process.deliver(TableGiven(self, giver, data))

    def lend(self, holder: Ref | None, max_entries: int) -> None:
        """Let ``holder`` hold the table. For its `TableOwner`."""
        self._holder = holder
        self.max_entries = max_entries

    def _mine(self) -> dict[K, V]:
        process = Process.caller()
        toucher = None if process is None else process.ref
        if toucher is None or toucher is not self.holder:
            raise TableAccessError(self.name, self.holder, toucher)
        return self._entries


@dataclass(frozen=True, slots=True, eq=False)
class TableGiven:
    """The process that gets this holds ``table`` now; ``giver`` gave it. Erlang: ``'ETS-TRANSFER'``."""

    table: Table[Any, Any]
    giver: Ref | None
    data: object


@dataclass(frozen=True, slots=True)
class _Claim:
    name: str
    max_entries: int


@dataclass(frozen=True, slots=True)
class _Delete:
    name: str


class TableOwner(GenServer):
    """Keeps up to ``max_tables`` tables. Does nothing else, so that there is nothing for it to crash in.

    Give it a registered name, and start it before those who claim from it.
    """

    @override
    def init(self, max_tables: int = 100) -> None:
        """Keep new tables, and those that an earlier owner of this name has left."""
        self.max_tables = max_tables
        name = self.actor_ref.name
        self.tables: dict[str, Table[Any, Any]] = {} if name is None else System.current().tables.setdefault(name, {})

    @staticmethod
    async def claim(owner: Server, name: str, *, max_entries: int) -> Table[Any, Any]:
        """Hold the table ``name`` of ``owner`` in the current process until that ends; new if there is none.

        A process that holds it already gets it again. A ``max_entries`` below the number of entries keeps these, but
        lets no new one in. Cancelled, it may hold the table nevertheless.

        Raises:
            TableHeldError: another live process holds it.
            OverloadedError: the owner has ``max_tables`` tables.
            NoCurrentProcessError: this is not inside a process, so nobody would hold it.
            ServerDownError: there is no such owner, or it ended before it answered.
        """
        current_process("TableOwner.claim()")
        table: Table[Any, Any] = await call(owner, _Claim(name, max_entries))
        return table

    @staticmethod
    async def delete(owner: Server, name: str) -> None:
        """Forget the table ``name`` and what is in it: one's own, or one that nobody holds.

        Raises:
            NotFoundError: there is no such table.
            TableHeldError: another live process holds it.
            ServerDownError: there is no such owner, or it ended before it answered.
        """
        await call(owner, _Delete(name))

    @override
    def handle_call(self, request: Any, from_: From) -> Reply | Refuse:
        try:
            match request:
                case _Claim(name, max_entries):
                    return Reply(self._claim(name, max_entries, from_.ref))
                case _Delete(name):
                    self._delete(name, from_.ref)
                    return Reply(None)
        except SupervisorsError as error:
            return Refuse(error)
        return Refuse(UnexpectedRequestError(request, self.actor_ref))

    def _claim(self, name: str, max_entries: int, claimant: Ref | None) -> Table[Any, Any]:
        table = self.tables.get(name)
        if table is None:
            if len(self.tables) >= self.max_tables:
                raise OverloadedError(self.actor_ref, self.max_tables, name)
            table = self.tables[name] = Table(name)
        _check_free(table, claimant)
        table.lend(claimant, max_entries)
        return table

    def _delete(self, name: str, claimant: Ref | None) -> None:
        table = self.tables.get(name)
        if table is None:
            raise NotFoundError(name)
        _check_free(table, claimant)
        table.lend(None, 0)
        del self.tables[name]


def _check_free(table: Table[Any, Any], claimant: Ref | None) -> None:
    holder = table.holder
    if holder is not None and holder is not claimant:
        raise TableHeldError(table.name, holder)
