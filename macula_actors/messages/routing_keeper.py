"""What the keeper of a node's contacts and own records is asked and told. Erlang: none."""

from dataclasses import dataclass
from typing import NamedTuple

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.record import Record
from macula_actors.core.kademlia.table import SavedContact

__all__ = ["Load", "SaveContacts", "SaveRecord", "Saved"]


@dataclass(frozen=True, slots=True)
class Load:
    """Answered with what was `Saved`, what waits to be written included; with nothing, if it can't be read.

    While another process has the file locked, the answer waits.
    """


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
