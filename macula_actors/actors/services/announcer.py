"""Has a node's advertisements stored, and deleted again, until that is done. Erlang: macula_advertisement_manager."""

from collections import Counter
from collections.abc import MutableMapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final, TypeAlias

from loguru import logger

from macula_actors.actors.alarm import Alarm
from macula_actors.config import ServiceConfig
from macula_actors.core.kademlia.keys import KeyKind, key_of
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.kademlia.record import Record
from macula_actors.core.peer.contact import Contact
from macula_actors.core.rpc.provider import advertisement
from macula_actors.core.wire.values import Value
from macula_actors.errors import CallTimeoutError, MaculaError, OverloadedError, QuorumError
from macula_actors.messages.advertisement import Advertise, Advertisement
from macula_actors.messages.names import ROUTING_SERVER, SERVICE_REGISTRY
from macula_actors.messages.routing_server import DeleteRecord, StoreRecord
from macula_actors.messages.service_registry import AdvertiseLocal, Withdraw
from supervisors import (
    From,
    RequestId,
    ServerDownError,
    SupervisorsError,
    System,
    current,
    send_after,
    send_request,
)

__all__ = ["Announcer", "Entry", "Job", "Overdue", "TryAgain"]

RETRY_AFTER: Final = 1.0  # seconds after which what another server of this node could not do is tried again
MAX_REQUESTS: Final = 8  # under way at once, if nobody waits for them: RoutingServer has other work too

Entry: TypeAlias = Advertisement | None
"""None: withdrawn, but others are still to be told."""


class _Step(Enum):
    REGISTER = auto()  # at the registry
    STORE = auto()  # at RoutingServer
    WITHDRAW = auto()  # from the registry
    DELETE = auto()  # at RoutingServer


@dataclass(slots=True, eq=False)
class Job:
    """A request under way, for what is advertised of ``procedure``; ``before`` is what that took the place of."""

    step: _Step
    procedure: str
    entry: Entry
    from_: From | None = None
    before: Entry = None
    has_failed: bool = False


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Time to do again what has failed."""


@dataclass(frozen=True, slots=True, eq=False)
class Overdue:
    """The caller has waited long enough for what others are to do."""

    job: Job


class Announcer:
    """Compares what is advertised with what others have been told, and puts right what differs.

    Whatever is lost on the way is found missing the next time. RoutingServer stores a record that it has again and
    again by itself, so a record is stored here when it is new, or is to say something else.

    Args:
        config: who and where this node is, and bounds.
        entries: what is advertised, by procedure; it may outlive this.
    """

    def __init__(self, config: ServiceConfig, entries: MutableMapping[str, Entry]) -> None:
        self._config: Final = config
        self._entries: Final = entries
        self._system: Final = System.current()
        self._gateways: tuple[Contact, ...] | None = None  # not known yet
        self._jobs: Final[dict[RequestId, Job]] = {}
        self._busy: Final[Counter[str]] = Counter()  # of jobs, by procedure
        self._due: Final[dict[str, None]] = {}
        self._retry: Final = Alarm(TryAgain())
        self._leaving: From | None = None  # waits until nothing is advertised

    # Requests

    @property
    def active(self) -> tuple[Advertisement, ...]:
        """What is advertised."""
        return tuple(entry for entry in self._entries.values() if entry is not None)

    def advertise(self, asked: Advertise, from_: From) -> None:
        """Register a procedure, and have it found by others; ``from_`` is answered when that is done.

        Raises:
            LocalProtocolError: no record can be made of it. Nothing has been done.
            OverloadedError: there are too many. Nothing has been done.
        """
        procedure = asked.procedure
        entry = Advertisement(
            procedure=procedure,
            ttl=asked.ttl,
            metadata=asked.metadata,
            endpoint=self._config.endpoint,
            gateways=self._gateways or (),
            token=asked.token,
        )
        self._require_record(entry)
        self._require_room(procedure)
        before, self._entries[procedure] = self._entries.get(procedure), entry
        job = Job(_Step.REGISTER, procedure, entry, from_, before)
        self._start(job, AdvertiseLocal(procedure, asked.handler, asked.metadata), SERVICE_REGISTRY)

    def unadvertise(self, procedure: str, token: object, from_: From) -> bool:
        """Withdraw ``procedure``, and have others forget it; return False if it is not, or not with ``token``.

        ``from_`` is answered when it is done.
        """
        if procedure not in self._entries:
            return False
        entry = self._entries[procedure]
        if token is not None and entry is not None and entry.token is not token:
            return False
        self._entries[procedure] = None
        self._withdraw(procedure, from_)
        return True

    def withdraw_all(self, from_: From) -> None:
        """Withdraw all, and have others forget it; ``from_`` is answered when it is done."""
        self._leaving = from_
        for procedure in self._entries:
            self._entries[procedure] = None
        self.put_right()
        self._tell_leaving()

    def _tell_leaving(self) -> None:
        if self._leaving is not None and not self._entries:
            self._leaving.reply(None)
            self._leaving = None

    def _require_record(self, entry: Advertisement) -> None:
        now_ms = self._config.wall_clock_ms()
        key, payload = self._key_of(entry.procedure), self._payload_of(entry)
        Record.seal(self._config.identity, key, payload, sequence=now_ms, now_ms=now_ms, ttl=entry.ttl)

    def _require_room(self, procedure: str) -> None:
        if len(self._entries) >= self._config.max_local and procedure not in self._entries:
            raise OverloadedError("advertisements of this node", self._config.max_local)
        if len(self._jobs) >= self._config.max_waiting:
            raise OverloadedError("advertisements under way", self._config.max_waiting)

    # Comparing

    def use_gateways(self, gateways: tuple[Contact, ...]) -> None:
        """Take note of the gateways that records should name."""
        self._gateways = gateways

    def withdraw_all_but(self, services: AbstractSet[str]) -> None:
        """Withdraw what is not among the ``services`` of the registry any more: its process has ended."""
        for procedure in self._entries.keys() - services - self._busy.keys():
            self._entries[procedure] = None

    def put_right(self) -> None:
        """Have put right whatever differs."""
        for procedure in self._entries:
            self._note(procedure)
        self._work()

    def try_again(self) -> None:
        """Do what `put_right` does, at `TryAgain`."""
        self._retry.rang()
        self.put_right()

    def _note(self, procedure: str) -> None:
        entry = self._entries[procedure]
        if entry is None or not entry.is_stored or self._wanted(entry) != entry:
            self._due[procedure] = None

    def _work(self) -> None:
        """Begin what is due, as far as there is room; where something is under way, it is noted when that ends."""
        while self._due and len(self._jobs) < MAX_REQUESTS:
            procedure = next(iter(self._due))
            del self._due[procedure]
            if procedure in self._entries and procedure not in self._busy:
                self._renew(procedure, self._entries[procedure])

    def _renew(self, procedure: str, entry: Entry) -> None:
        if entry is None:
            self._withdraw(procedure)
            return
        wanted = self._wanted(entry)
        if not entry.is_stored or wanted != entry:
            self._entries[procedure] = wanted = replace(wanted, is_stored=False)
            self._store(wanted)

    def _wanted(self, entry: Advertisement) -> Advertisement:
        """Return ``entry`` as it should be. The order of gateways means nothing."""
        gateways = entry.gateways
        if self._gateways is not None and set(self._gateways) != set(gateways):
            gateways = self._gateways
        return replace(entry, endpoint=self._config.endpoint, gateways=gateways)

    # What is under way

    def is_job(self, reqid: RequestId) -> bool:
        """Tell whether ``reqid`` is that of a request of this one."""
        return reqid in self._jobs

    def ended(self, reqid: RequestId) -> None:
        """Take the answer to a request."""
        job, error = self._jobs.pop(reqid), _error_of(reqid)
        self._busy[job.procedure] -= 1
        if not self._busy[job.procedure]:
            del self._busy[job.procedure]
        if self._entries.get(job.procedure, job) is job.entry:
            self._carry_on(job, error)
        else:
            _answer(job, error)  # a later request sees to what has become of the entry
        if job.procedure in self._entries and not job.has_failed:
            self._note(job.procedure)
        self._work()
        self._tell_leaving()

    @staticmethod
    def overdue(job: Job) -> None:
        """Answer who has waited long enough; the request goes on."""
        _answer(job)

    def _carry_on(self, job: Job, error: Exception | None) -> None:
        match job.step:
            case _Step.REGISTER:
                self._registered(job, error)
            case _Step.STORE:
                self._stored(job, error)
            case _Step.WITHDRAW:
                self._withdrawn(job, error)
            case _Step.DELETE:
                self._deleted(job, error)

    def _registered(self, job: Job, error: Exception | None) -> None:
        if error is None and job.entry is not None:
            self._store(job.entry, job.from_)
        else:
            self._entries[job.procedure] = job.before
            _answer(job, error)

    def _stored(self, job: Job, error: Exception | None) -> None:
        is_stored = error is None or isinstance(error, QuorumError | CallTimeoutError)  # RoutingServer has it
        if job.entry is not None:
            self._entries[job.procedure] = replace(job.entry, is_stored=is_stored)
        if not is_stored:
            self._failed(job, error)
        _answer(job)

    def _withdrawn(self, job: Job, error: Exception | None) -> None:
        if error is None:
            self._delete(job.procedure, job.from_)
        else:
            self._failed(job, error)
            _answer(job, error)

    def _deleted(self, job: Job, error: Exception | None) -> None:
        if isinstance(error, ServerDownError):
            self._failed(job, error)
        else:  # RoutingServer has the tombstone, and stores it again by itself
            del self._entries[job.procedure]
        _answer(job)

    def _failed(self, job: Job, error: Exception | None) -> None:
        logger.debug("{} of {} failed, and is done again: {}", job.step.name, job.procedure, error)
        job.has_failed = True
        now = self._system.now()
        self._retry.set(now + RETRY_AFTER, now)

    def _store(self, entry: Advertisement, from_: From | None = None) -> None:
        key, payload = self._key_of(entry.procedure), self._payload_of(entry)
        job = Job(_Step.STORE, entry.procedure, entry, from_)
        self._start(job, StoreRecord(key, payload, entry.ttl, durable=False), ROUTING_SERVER)

    def _withdraw(self, procedure: str, from_: From | None = None) -> None:
        self._start(Job(_Step.WITHDRAW, procedure, None, from_), Withdraw(procedure), SERVICE_REGISTRY)

    def _delete(self, procedure: str, from_: From | None) -> None:
        job = Job(_Step.DELETE, procedure, None, from_)
        self._start(job, DeleteRecord(self._key_of(procedure)), ROUTING_SERVER)

    def _start(self, job: Job, request: object, server: str) -> None:
        self._jobs[send_request(server, request)] = job
        self._busy[job.procedure] += 1
        if job.from_ is not None and server == ROUTING_SERVER:
            send_after(self._config.discovery_timeout, current(), Overdue(job))

    def _payload_of(self, entry: Advertisement) -> Value:
        return advertisement(entry.endpoint, entry.gateways, entry.metadata, self._config.wall_clock_ms())

    def _key_of(self, procedure: str) -> NodeId:
        return key_of(KeyKind.PROCEDURE, procedure, realm=self._config.realm, security=self._config.security)


def _answer(job: Job, error: Exception | None = None) -> None:
    """Answer who waits for ``job``, once; of what other nodes do not do yet, it is not told."""
    from_, job.from_ = job.from_, None
    if from_ is None:
        return
    if error is not None and job.step in {_Step.REGISTER, _Step.WITHDRAW}:
        from_.refuse(error)
    else:
        from_.reply(True if job.entry is None else None)


def _error_of(reqid: RequestId) -> Exception | None:
    try:
        reqid.result()
    except (MaculaError, SupervisorsError) as error:
        return error
    return None
