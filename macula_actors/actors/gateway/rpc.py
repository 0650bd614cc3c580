"""The calls that a gateway makes for its clients, which name a procedure that it has no handler for itself.

Erlang: macula_gateway, which refused them (D-15); macula_gateway_rpc's table of handlers is ServiceRegistry's here.
"""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from typing_extensions import override

from macula_actors.actors.alarm import Alarm
from macula_actors.actors.gateway.client_call import ClientCall, MakeCall, Order
from macula_actors.config import GatewayConfig
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.handshake import Security
from macula_actors.core.rpc.failure import Code, failure, through
from macula_actors.core.wire.messages import Call
from macula_actors.core.wire.messages import Reply as CallReply
from macula_actors.errors import RefusedError
from macula_actors.messages import calling, rpc
from macula_actors.messages.gateway import GATEWAY_CAPABILITY, CallForClient, GatewayRpcStats, GetStats, Ready
from macula_actors.messages.names import GATEWAY, GATEWAY_RPC, RPC_WORKERS
from macula_actors.messages.peer import Abandoned, Inbound
from supervisors import (
    CallError,
    Down,
    Exit,
    From,
    GenServer,
    MaxChildrenError,
    MonitorRef,
    NoReply,
    Ref,
    Refuse,
    Reply,
    RequestId,
    Response,
    Restart,
    Shutdown,
    StartError,
    System,
    UnexpectedRequestError,
    cast,
    demonitor,
    exit_signal,
    monitor,
    send_request,
)
from supervisors.requests import StartChild

__all__ = ["GatewayRpc"]

DEFAULT_TIMEOUT: Final = 5.0  # seconds, of a call that names none; macula.hrl
MAX_TIMEOUT: Final = 60.0  # seconds; what a connection waits for an answer, at most
TICK: Final = 0.25  # seconds between two looks at who still waits
_MS_PER_S: Final = 1000

_Client: TypeAlias = NodeId | Ref


@dataclass(frozen=True, slots=True)
class _Tick:
    """Time to see who still waits."""


@dataclass(slots=True, eq=False)
class _Made:
    inbound: Inbound
    call: Call
    from_: From
    worker: Ref | None = None

    @property
    def key(self) -> tuple[Ref, bytes]:
        return self.inbound.connection, self.call.call_id

    @property
    def client(self) -> _Client:
        return self.inbound.peer.node_id or self.inbound.connection


class GatewayRpc(GenServer):
    """Starts a process for each call, and ends it when nobody waits for it or the client goes."""

    trap_exit = True  # the processes of the calls are linked to this one

    @override
    def init(self, config: GatewayConfig, make: MakeCall | None = None) -> None:
        self.config = config
        self._is_json = config.security is Security.OPEN
        self._make = make or partial(calling.call, options=rpc.CallOptions(json=self._is_json))
        self._system = System.current()
        self._calls: dict[tuple[Ref, bytes], _Made] = {}
        self._starting: dict[RequestId, _Made] = {}
        self._workers: dict[Ref, _Made] = {}
        self._of_client: Counter[_Client] = Counter()
        self._over: Counter[Ref] = Counter()  # calls by the connection that they came over
        self._monitors: dict[Ref, MonitorRef] = {}
        self._counts: Counter[str] = Counter()
        self._tick = Alarm(_Tick())
        cast(GATEWAY, Ready(GATEWAY_RPC, self.actor_ref))

    @override
    def handle_call(self, request: object, from_: From) -> Reply | NoReply | Refuse:
        match request:
            case CallForClient(Inbound(_, Call() as call) as inbound):
                return self._take(_Made(inbound, call, from_))
            case CallForClient():
                return Refuse(RefusedError("unsupported", "this is no call"))
            case GetStats():
                return Reply(self.statistics())
            case _:
                raise UnexpectedRequestError(request)

    @override
    def handle_cast(self, request: object) -> None:
        match request:
            case Abandoned(connection, call_id):
                self._cancel(self._calls.get((connection, call_id)))
            case _:
                raise UnexpectedRequestError(request)

    @override
    def handle_info(self, info: object) -> None:
        match info:
            case Response(request) if request in self._starting:
                self._started(request, self._starting.pop(request))
            case Exit(Ref() as worker):
                self._ended(worker)
            case Down(ref=Ref() as connection):
                for made in [each for each in self._calls.values() if each.inbound.connection is connection]:
                    self._cancel(made)
            case _Tick():
                self._tick.rang()
                for made in [each for each in self._calls.values() if not each.from_.is_waiting]:
                    self._cancel(made)
                self._schedule()
            case _:
                raise UnexpectedRequestError(info)

    def _take(self, made: _Made) -> Reply | NoReply:
        code, reason = self._objection(made)
        if code is not None:
            return Reply(self._failed(made, code, reason))
        self._calls[made.key] = made
        self._of_client[made.client] += 1
        self._watch(made.inbound.connection)
        self._counts["made"] += 1
        spec = ClientCall.child_spec(self._order(made), self.actor_ref, restart=Restart.TEMPORARY)
        self._starting[send_request(RPC_WORKERS, StartChild(spec))] = made
        self._schedule()
        return NoReply()

    def _objection(self, made: _Made) -> tuple[Code | None, str]:
        """Return why the call is not made."""
        config = self.config
        if GATEWAY_CAPABILITY in made.inbound.peer.capabilities:
            return Code.NO_HANDLER, "a gateway makes no calls for another gateway"
        if made.key in self._calls:
            return Code.NOT_PERMITTED, "a call with this id is being made"
        if len(self._calls) >= config.max_calls:
            self._counts["refused"] += 1
            return Code.OVERLOADED, f"no room for more than {config.max_calls} calls of clients"
        if self._of_client[made.client] >= config.max_relayed_per_client:
            self._counts["refused"] += 1
            return Code.OVERLOADED, f"no room for more than {config.max_relayed_per_client} calls of one client"
        return None, ""

    def _order(self, made: _Made) -> Order:
        timeout = DEFAULT_TIMEOUT if made.call.timeout is None else made.call.timeout / _MS_PER_S
        return Order(
            call=made.call,
            from_=made.from_,
            timeout=min(timeout, MAX_TIMEOUT),
            json=self._is_json,
            node_id=self.config.identity.node_id,
            make=self._make,
        )

    def _started(self, request: RequestId, made: _Made) -> None:
        try:
            worker: Ref = request.result()
        except MaxChildrenError:
            self._end(made, Code.OVERLOADED, "no room for one more call")
        except (StartError, CallError):
            self._end(made, Code.UNAVAILABLE, "the gateway is being restarted")
        else:
            self._follow(made, worker)

    def _follow(self, made: _Made, worker: Ref) -> None:
        if self._calls.get(made.key) is not made:
            exit_signal(worker, Shutdown("nobody waits"))
        elif worker.is_alive():
            made.worker = worker
            self._workers[worker] = made
        else:
            self._end(made, Code.UNAVAILABLE, "the call was stopped")

    def _ended(self, worker: Ref) -> None:
        made = self._workers.get(worker)
        if made is not None:
            self._end(made, Code.UNAVAILABLE, "the call was stopped")  # unless it was answered

    def _cancel(self, made: _Made | None) -> None:
        if made is None:
            return
        self._counts["cancelled"] += 1
        self._end(made, Code.CANCELLED, "nobody waits")
        if made.worker is not None:
            exit_signal(made.worker, Shutdown("nobody waits"))

    def _end(self, made: _Made, code: Code, reason: str) -> None:
        """Forget the call, and answer it if it was not answered."""
        if self._calls.get(made.key) is not made:
            return
        del self._calls[made.key]
        self._of_client[made.client] -= 1
        if not self._of_client[made.client]:
            del self._of_client[made.client]
        self._unwatch(made.inbound.connection)
        if made.worker is not None:
            self._workers.pop(made.worker, None)
        made.from_.reply(self._failed(made, code, reason))

    def _failed(self, made: _Made, code: Code, reason: str) -> CallReply:
        error = through(failure(code, reason), self.config.identity.node_id)
        return CallReply(call_id=made.call.call_id, error=error)

    def _watch(self, connection: Ref) -> None:
        if connection not in self._monitors:
            self._monitors[connection] = monitor(connection)
        self._over[connection] += 1

    def _unwatch(self, connection: Ref) -> None:
        self._over[connection] -= 1
        if not self._over[connection]:
            del self._over[connection]
            demonitor(self._monitors.pop(connection))

    def _schedule(self) -> None:
        if self._calls:
            now = self._system.now()
            self._tick.set(now + TICK, now)

    def statistics(self) -> GatewayRpcStats:
        """Return its counts."""
        return GatewayRpcStats(
            calls=len(self._calls),
            clients=len(self._of_client),
            made=self._counts["made"],
            refused=self._counts["refused"],
            cancelled=self._counts["cancelled"],
        )
