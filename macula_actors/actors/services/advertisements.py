"""AdvertisementManager: has others find this node's services, for as long as they are there.

Erlang: macula_advertisement_manager (whose records stayed when their service went, and went when it stayed: D-38).
"""

from dataclasses import dataclass
from typing import Final

from typing_extensions import override

from macula_actors.actors.services.announcer import Announcer, Entry, Overdue, TryAgain
from macula_actors.config import ServiceConfig
from macula_actors.errors import MaculaError
from macula_actors.messages.advertisement import Advertise, Changed, GetActive, Unadvertise, WithdrawAll
from macula_actors.messages.names import PEER_CONNECTOR, SERVICE_REGISTRY, TABLES
from macula_actors.messages.peer import GatewaysChanged, GetGateways
from macula_actors.messages.service_registry import GetLocalServices
from supervisors import (
    CallError,
    Continue,
    From,
    GenServer,
    NoReply,
    Refuse,
    Reply,
    RequestId,
    Response,
    Table,
    TableOwner,
    UnexpectedRequestError,
    send_after,
    send_request,
)

__all__ = ["AdvertisementManager"]

ADVERTISEMENTS: Final = "advertisements"


@dataclass(frozen=True, slots=True)
class _Sweep:
    """Time to compare."""


class AdvertisementManager(GenServer):
    """Keeps what is advertised, in a table that outlives it, and never waits.

    Now and then, and when something has changed, it asks which services there are and which gateways, and has what
    differs from what is advertised put right.
    """

    @override
    async def init(self, config: ServiceConfig) -> Continue:
        self._config = config
        entries: Table[str, Entry] = await TableOwner.claim(TABLES, ADVERTISEMENTS, max_entries=config.max_local)
        self._announcer = Announcer(config, entries)
        self._reading: RequestId | None = None
        self._is_stale = False  # whether to read once more
        return Continue(None)

    @override
    def handle_continue(self, term: object) -> None:
        self._sweep()

    @override
    def handle_call(self, request: object, from_: From) -> Reply | NoReply | Refuse:
        try:
            return self._answer(request, from_)
        except MaculaError as error:
            return Refuse(error)

    @override
    def handle_cast(self, request: object) -> None:
        match request:
            case Changed() | GatewaysChanged():
                self._read()
            case _:
                raise UnexpectedRequestError(request)

    @override
    def handle_info(self, info: object) -> None:
        match info:
            case Response(reqid) if self._announcer.is_job(reqid):
                self._announcer.ended(reqid)
            case Response(reqid):
                self._has_read(reqid)
            case Overdue(job):
                self._announcer.overdue(job)
            case TryAgain():
                self._announcer.try_again()
            case _Sweep():
                self._sweep()
            case _:
                raise UnexpectedRequestError(info)

    def _answer(self, request: object, from_: From) -> Reply | NoReply:
        match request:
            case Advertise():
                self._announcer.advertise(request, from_)
                return NoReply()
            case Unadvertise(procedure, token):
                return NoReply() if self._announcer.unadvertise(procedure, token, from_) else Reply(value=False)
            case WithdrawAll():
                self._announcer.withdraw_all(from_)
                return NoReply()
            case GetActive():
                return Reply(self._announcer.active)
            case _:
                raise UnexpectedRequestError(request)

    def _sweep(self) -> None:
        self._read()
        send_after(self._config.sweep_interval, self.actor_ref, _Sweep())

    def _read(self) -> None:
        """Ask which services there are, and then which gateways."""
        if self._reading is None:
            self._reading = send_request(SERVICE_REGISTRY, GetLocalServices())
        else:
            self._is_stale = True

    def _has_read(self, reqid: RequestId) -> None:
        """Take an answer; of a server that is not there at the moment there is none, and what is known still holds."""
        try:
            answer = reqid.result()
        except CallError:
            answer = None
        match reqid.request, answer:
            case GetLocalServices(), _:
                if answer is not None:
                    self._announcer.withdraw_all_but({service.procedure for service in answer})
                self._reading = send_request(PEER_CONNECTOR, GetGateways())
                return
            case _, tuple():
                self._announcer.use_gateways(answer)
            case _:
                pass
        self._reading = None
        self._announcer.put_right()
        if self._is_stale:
            self._is_stale = False
            self._read()
