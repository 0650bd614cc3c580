"""What is done in a process of its own for RoutingServer, and what the two tell each other."""

from dataclasses import dataclass
from enum import Enum, auto

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.record import Record
from macula_actors.core.peer.contact import Contact
from macula_actors.messages.routing_server import Learned
from supervisors import Ref

__all__ = ["Await", "Begin", "Job", "JobDone", "Purpose"]


class Purpose(Enum):
    """What a job is for, and what who waits for it gets."""

    FIND_NODE = auto()  # the contacts closest to the target
    FIND_VALUE = auto()  # the records under the target
    STORE = auto()  # how many keep the records, that are given to the closest
    GIVE = auto()  # as STORE, for one newcomer


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Job:
    """A lookup of ``target`` that begins with ``contacts``.

    ``records``: what is to be stored; of FIND_VALUE, what this node has. ``is_direct``: nothing is looked up, since the
    contacts are known to be the closest.
    """

    purpose: Purpose
    target: NodeId
    contacts: tuple[Contact, ...]
    records: tuple[Record, ...] = ()
    is_direct: bool = False


@dataclass(frozen=True, slots=True)
class Await:
    """To a job's process: answer with its outcome when it is there."""


@dataclass(frozen=True, slots=True)
class Begin:
    """To a job's process, a cast: those who wait are known; do it. So that none comes when it is over already."""


@dataclass(frozen=True, slots=True)
class JobDone:
    """To RoutingServer, a cast: the job of the process ``ref`` has its outcome.

    ``has_failed``: that is an error, or nobody was found. ``is_ended``: the process waits for nobody's answer any more.
    """

    ref: Ref
    job: Job
    has_failed: bool
    is_ended: bool
    learned: Learned
