"""Processes found by any key, with a value each: names, groups of subscribers, properties.

Elixir: Registry.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import StrEnum
from threading import get_ident
from typing import Any, TypeAlias, cast

from typing_extensions import override

from supervisors.errors import AlreadyRegisteredError, NoCurrentProcessError, NotFoundError, OverloadedError
from supervisors.exit_reason import ExitReason
from supervisors.gen_server import GenServer
from supervisors.names import Server, require
from supervisors.process import Process, current_process
from supervisors.ref import Ref
from supervisors.server_process import ServerProcess

__all__ = ["Keys", "Registry", "RegistryName"]

Entry: TypeAlias = tuple[Ref, Any]


class Keys(StrEnum):
    """Whether a key is one process's, or any number of processes', each as often as it likes."""

    UNIQUE = "unique"
    DUPLICATE = "duplicate"


class RegistryProcess(ServerProcess):
    """The process of a `Registry`: it forgets who ends at that moment, so that no one finds a dead process."""

    __slots__ = ()

    @override
    def _signalled(self, sender: Ref | None, reason: ExitReason, linked: bool) -> None:
        registry = cast("Registry", self.server)
        had_keys = linked and sender is not None and registry._ended(sender)
        if not had_keys or sender is self.ref.parent:
            super()._signalled(sender, reason, linked)


class Registry(GenServer):
    """A table of ``(key, process, value)``. What a process registered is gone the moment the process ends.

    The verbs take the registry as a ref or a name, and act on its table at once, with no message: they do not wait,
    and work only on the System's loop. Keys are told apart as in a dict. Who registers is linked to the registry
    until it has no key left, so a crash of the registry, which loses the table, is theirs too.

    Each verb raises NotFoundError when there is no such registry, and `NoCurrentProcessError` in a wrong thread.

    Args:
        keys: see `Keys`.
        max_entries: how many there may be; None without bound.

    Raises:
        ValueError: ``keys`` is no `Keys`, or ``max_entries`` no integer >= 0.
    """

    _actor_process_class = RegistryProcess

    def __init__(self, keys: Keys = Keys.UNIQUE, *, max_entries: int | None = None) -> None:
        super().__init__()
        if not isinstance(keys, Keys):
            msg = f"keys is Keys.UNIQUE or Keys.DUPLICATE, not {keys!r}"
            raise ValueError(msg)  # noqa: TRY004 -- as any other value that it cannot have
        if max_entries is not None and (not isinstance(max_entries, int) or max_entries < 0):
            msg = f"max_entries is an integer >= 0, or None, not {max_entries!r}"
            raise ValueError(msg)
        self._unique = keys is Keys.UNIQUE
        self._max_entries = max_entries
        self._count = 0
        self._values: dict[Hashable, dict[Ref, list[Any]]] = {}  # no empty dict, no empty list
        self._keys: dict[Ref, dict[Hashable, None]] = {}
        self._meta: dict[Hashable, Any] = {}

    # Writing

    @staticmethod
    def register(registry: Server, key: Hashable, value: object = None) -> None:
        """Register the current process under ``key``.

        Raises:
            AlreadyRegisteredError: keys are unique, and ``ref`` has this one; it may be the caller.
            OverloadedError: there are ``max_entries`` already.
            NoCurrentProcessError: this is not inside a process.
        """
        process = current_process("Registry.register()")
        _table(registry)._add(key, process, value)

    @staticmethod
    def unregister(registry: Server, key: Hashable) -> None:
        """Remove all that the current process registered under ``key``, if anything.

        Raises:
            NoCurrentProcessError: this is not inside a process.
        """
        process = current_process("Registry.unregister()")
        table = _table(registry)
        if key in table._keys.get(process.ref, ()):
            table._remove(key, process.ref)
            if process.ref not in table._keys and process.ref is not table.actor_ref.parent:
                table._actor_process.unlink(process)

    @staticmethod
    def update_value(registry: Server, key: Hashable, function: Callable[[Any], Any]) -> tuple[Any, Any]:
        """Replace the current process's value of ``key`` by ``function(value)``; return ``(new, old)``.

        Raises:
            NotFoundError: the current process does not have ``key``.
            ValueError: keys are not unique.
            NoCurrentProcessError: this is not inside a process.
        """
        process = current_process("Registry.update_value()")
        table = _table(registry)
        if not table._unique:
            msg = f"{table.actor_ref} has duplicate keys: update_value would not know which value is meant"
            raise ValueError(msg)
        values = table._values.get(key, {}).get(process.ref)
        if values is None:
            raise NotFoundError(key)
        old = values[0]
        values[0] = new = function(old)
        return new, old

    @staticmethod
    def put_meta(registry: Server, key: Hashable, value: object) -> None:
        """Keep ``value`` as ``key`` beside the entries, for as long as the registry lives."""
        _table(registry)._meta[key] = value

    @staticmethod
    def delete_meta(registry: Server, key: Hashable) -> None:
        """Forget what `put_meta` keeps as ``key``, if anything."""
        _table(registry)._meta.pop(key, None)

    # Reading

    @staticmethod
    def lookup(registry: Server, key: Hashable) -> list[Entry]:
        """Return ``(ref, value)`` of all processes registered under ``key``, those of one process together."""
        return _entries(_table(registry)._values.get(key, {}))

    @staticmethod
    def dispatch(registry: Server, key: Hashable, function: Callable[[list[Entry]], object]) -> None:
        """Call ``function`` with what `lookup` finds, here and now, unless that is nothing."""
        entries = Registry.lookup(registry, key)
        if entries:
            function(entries)

    @staticmethod
    def keys(registry: Server, ref: Ref) -> list[Any]:
        """Return the keys of a process, in order of registration; one registered twice is there twice."""
        table = _table(registry)
        return [key for key in table._keys.get(ref, ()) for _ in table._values[key][ref]]

    @staticmethod
    def select(registry: Server, where: Callable[[Any, Ref, Any], object] | None = None) -> list[tuple[Any, Ref, Any]]:
        """Return all ``(key, ref, value)`` for which ``where(key, ref, value)`` is true; all without it."""
        found = [
            (key, ref, value) for key, values in _table(registry)._values.items() for ref, value in _entries(values)
        ]
        return found if where is None else [entry for entry in found if where(*entry)]

    @staticmethod
    def count(registry: Server) -> int:
        """Return how many entries there are."""
        return _table(registry)._count

    @staticmethod
    def meta(registry: Server, key: Hashable) -> Any:
        """Return what `put_meta` keeps as ``key``.

        Raises:
            NotFoundError: nothing.
        """
        meta = _table(registry)._meta
        if key not in meta:
            raise NotFoundError(key)
        return meta[key]

    @staticmethod
    def via(registry: Server, key: Hashable, value: object = None) -> "RegistryName":
        """Return ``key``, which has to be unique, as a name, for ``start_link(name=...)``, `call` and the like."""
        return RegistryName(registry, key, value)

    # The table

    def _add(self, key: Hashable, process: Process, value: object) -> None:
        holders = self._values.get(key)
        if self._unique and holders is not None:
            raise AlreadyRegisteredError(key, next(iter(holders)))
        if self._max_entries is not None and self._count >= self._max_entries:
            raise OverloadedError(self.actor_ref, self._max_entries, key)
        self._values.setdefault(key, {}).setdefault(process.ref, []).append(value)
        self._keys.setdefault(process.ref, {})[key] = None
        self._count += 1
        own = self._actor_process
        own._linked(process)  # not link(): a process that is named has not begun to live
        process._linked(own)

    def _remove(self, key: Hashable, ref: Ref) -> None:
        self._count -= len(self._values[key].pop(ref))
        if not self._values[key]:
            del self._values[key]
        del self._keys[ref][key]
        if not self._keys[ref]:
            del self._keys[ref]

    def _ended(self, ref: Ref) -> bool:
        """Forget what ``ref``, which has ended, registered; False if it was nothing."""
        keys = self._keys.get(ref)
        for key in list(keys or ()):
            self._remove(key, ref)
        return keys is not None


@dataclass(frozen=True, slots=True)
class RegistryName:
    """The process that has ``key`` in ``registry``; one started with this name has ``value`` there. A `Via`.

    Only a registry with unique keys has names: a duplicate key stands for no process in particular.
    """

    registry: Server
    key: Hashable
    value: Any = field(default=None, compare=False)

    def register(self, ref: Ref) -> None:
        """Register ``ref``; see `Via`.

        Raises:
            AlreadyRegisteredError: another process has the key.
            OverloadedError: the registry is full.
            NotFoundError: there is no such registry, or ``ref`` has ended.
            ValueError: its keys are not unique.
        """
        process = ref._process
        if process is None:
            raise NotFoundError(ref)
        self._names()._add(self.key, process, self.value)

    def whereis(self) -> Ref | None:
        """Return who has the key; None without a registry as well.

        Raises:
            ValueError: keys are not unique.
        """
        try:
            table = self._names()
        except NotFoundError:
            return None
        return next(iter(table._values.get(self.key, ())), None)

    def _names(self) -> Registry:
        table = _table(self.registry)
        if not table._unique:
            msg = f"{table.actor_ref} has duplicate keys: none of them names one process"
            raise ValueError(msg)
        return table


def _entries(values: dict[Ref, list[Any]]) -> list[Entry]:
    return [(ref, value) for ref, of_one in values.items() for value in of_one]


def _table(registry: Server) -> Registry:
    process = require(registry)._process
    if process is None or not isinstance(process.server, Registry):
        raise NotFoundError(registry)
    if get_ident() != process.system.thread:
        msg = f"{process.ref} is read and written on the loop of its System only: use loop.call_soon_threadsafe"
        raise NoCurrentProcessError(msg)
    return process.server
