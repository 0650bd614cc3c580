"""Does one call at a time: runs this node's handler, or passes the call on to another node.

Erlang: macula_rpc_executor, macula_rpc_routing. What a handler raises is an answer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final, NamedTuple

from typing_extensions import override

from macula_actors.actors.rpc.jobs import Announce, Forward, Idle, Invoke, Job, answer_to
from macula_actors.config import RpcConfig
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.rpc.arguments import decode, encode
from macula_actors.core.rpc.failure import Code, failure, failure_of, handler_failure, through
from macula_actors.core.rpc.forwarding import FindCloser, Forwarding, Offer, OverSession, Step, forwarding
from macula_actors.core.wire.encoder import encode as encode_message
from macula_actors.core.wire.messages import Failure, Reply, RpcRoute
from macula_actors.errors import MaculaError, RemoteProtocolError
from macula_actors.messages.gateway import CallForClient, Relay
from macula_actors.messages.handling import handled_until
from macula_actors.messages.names import (
    GATEWAY_MESH,
    GATEWAY_RPC,
    PEER_CONNECTOR,
    ROUTING_SERVER,
    RPC_HANDLER,
    SERVICE_REGISTRY,
)
from macula_actors.messages.peer import Exchange, Request, outcome_in
from macula_actors.messages.routing_server import closest_now, find_closest
from macula_actors.messages.rpc import left_ms
from macula_actors.messages.service_registry import GetHandler, LocalHandler, handler_now
from supervisors import (
    CallError,
    From,
    GenServer,
    NoProcess,
    NoReply,
    Ref,
    RequestId,
    Response,
    ServerDownError,
    System,
    UnexpectedRequestError,
    call,
    cast,
    forward,
    send_request,
    whereis,
)
from supervisors import OverloadedError as MailboxFullError

__all__ = ["RpcWorker"]

CANDIDATES: Final = 8  # next hops that are looked at

_LATER: Final = NoReply()  # the answer
# by a handler: nothing that it raises ends more than its call
_RAISED: Final = (Exception, BaseExceptionGroup, SystemExit)


class _LookingUp(NamedTuple):
    job: Job
    work: Invoke


class _Passing(NamedTuple):
    job: Job
    work: Forward
    steps: Forwarding


class RpcWorker(GenServer):
    """Answers a `Job`, then tells RpcHandler that it is idle. A call that is cancelled ends it."""

    @override
    def init(self, config: RpcConfig) -> None:
        self._config = config
        self._system = System.current()
        self._node_id = config.identity.node_id
        self._job: Job | None = None  # what it does
        self._asked: dict[RequestId, _LookingUp | _Passing] = {}  # what it waits for

    @override
    def handle_call(self, request: object, from_: From) -> NoReply | Awaitable[NoReply]:
        if not isinstance(request, Job):
            raise UnexpectedRequestError(request)
        self._job, work = request, request.work
        if isinstance(work, Forward):
            return self._forward(request, work) or _LATER
        handler = handler_now(SERVICE_REGISTRY, work.call.procedure)
        if handler is not None:
            return self._invoke(request, work, handler) or _LATER
        asked = send_request(SERVICE_REGISTRY, GetHandler(work.call.procedure))
        self._asked[asked] = _LookingUp(request, work)
        return _LATER

    @override
    def handle_cast(self, request: object) -> None:
        if not isinstance(request, Announce):
            raise UnexpectedRequestError(request)
        if self._job is None:
            cast(RPC_HANDLER, Idle(self.actor_ref, None))

    @override
    def handle_info(self, info: object) -> Awaitable[NoReply] | None:
        if not isinstance(info, Response):
            raise UnexpectedRequestError(info)
        match self._asked.pop(info.reqid):
            case _LookingUp(job, work):
                return self._looked_up(job, work, info.reqid)
            case _Passing() as passing:
                return self._go_on(passing, outcome_in(info.reqid))

    def job_now(self) -> Job | None:
        """Return what it does, for a RpcHandler that has started anew."""
        return self._job

    # An own handler

    def _looked_up(self, job: Job, work: Invoke, answer: RequestId) -> Awaitable[NoReply] | None:
        try:
            handler: LocalHandler | None = answer.result()
        except CallError as error:
            failed = failure(Code.UNAVAILABLE, f"the service registry is not there: {error}")
            self._answer(job, self._failed(work, failed))
            return None
        if handler is not None:
            return self._invoke(job, work, handler)
        self._without_handler(job, work)
        return None

    def _invoke(self, job: Job, work: Invoke, handler: LocalHandler) -> Awaitable[NoReply] | None:
        """Have ``handler`` run, and answer; if it has to be waited for, return what does both."""
        outcome = self._outcome(work, handler)
        if isinstance(outcome, Reply):
            self._answer(job, outcome)
            return None
        return self._await(job, work, outcome, _failure_in if isinstance(handler, Ref) else handler_failure)

    def _outcome(self, work: Invoke, handler: LocalHandler) -> Reply | Awaitable[Any]:
        """Return the reply, or what it has to be waited for."""
        try:
            args = decode(work.call.args, json=work.json, max_bytes=self._config.max_result_bytes)
        except RemoteProtocolError as error:
            return self._failed(work, failure_of(error))
        if isinstance(handler, Ref):
            return call(handler, args, None)
        handled_until.set((self._system, work.deadline))
        try:
            result = handler(args)
        except (*_RAISED, asyncio.CancelledError) as error:
            return self._failed(work, handler_failure(error))
        return result if hasattr(type(result), "__await__") else self._succeeded(work, result)

    def _without_handler(self, job: Job, work: Invoke) -> None:
        gateway = whereis(GATEWAY_RPC)
        if gateway is None or work.inbound is None or work.route is not None:
            failed = failure(Code.NO_HANDLER, f"no handler of {work.call.procedure!r} here")
            self._answer(job, self._failed(work, failed))
            return
        forward(job.from_, gateway, CallForClient(work.inbound))
        self._done(job)

    async def _await(
        self, job: Job, work: Invoke, result: Awaitable[Any], failed: Callable[[BaseException], Failure]
    ) -> NoReply:
        limit = asyncio.timeout_at(work.deadline)
        try:
            async with limit:
                value = await result
        except asyncio.CancelledError as error:
            if _is_being_ended():
                raise
            self._answer(job, self._failed(work, handler_failure(error)))
        except _RAISED as error:
            is_late = limit.expired() and isinstance(error, TimeoutError)
            self._answer(job, self._failed(work, failure(Code.TIMEOUT) if is_late else failed(error)))
        else:
            self._answer(job, self._succeeded(work, value))
        return _LATER

    def _succeeded(self, work: Invoke, value: Any) -> Reply:
        try:
            result = encode(value, json=work.json, max_bytes=self._config.max_result_bytes)
        except Exception as error:  # of the wire's, or of the value's own
            return self._failed(work, handler_failure(error))
        path = None if work.route is None else (self._node_id,)
        return Reply(call_id=work.call.call_id, result=result, path=path)

    def _failed(self, work: Invoke, failed: Failure) -> Reply:
        """Return the reply that tells the caller: this node is the last that the call went through."""
        return Reply(call_id=work.call.call_id, error=replace(failed, path=(self._node_id,)))

    def _answer(self, job: Job, reply: Reply) -> None:
        job.from_.reply(answer_to(job.work, reply, self._node_id))
        self._done(job)

    def _done(self, job: Job) -> None:
        if self._job is job:
            self._job = None
        cast(RPC_HANDLER, Idle(self.actor_ref, job))

    # Another node

    def _forward(self, job: Job, work: Forward) -> Awaitable[NoReply] | None:
        """Pass it on. What others answer meanwhile comes as `Response`."""
        steps = forwarding(
            self._node_id,
            work.route,
            previous_hop=work.previous_hop,
            via=work.via,
            connected=work.connected,
            has_sessions=whereis(GATEWAY_MESH) is not None,
            is_over=lambda: self._system.now() >= work.deadline,
        )
        return self._go_on(_Passing(job, work, steps), None)

    def _go_on(self, passing: _Passing, outcome: object) -> Awaitable[NoReply] | None:
        """Do what is to be done after ``outcome``, until something has to be waited for."""
        steps = passing.steps
        try:
            while True:
                step = _after(steps, outcome) if isinstance(outcome, MaculaError) else steps.send(outcome)
                if not isinstance(step, FindCloser):
                    self._asked[self._send(passing.work, step)] = passing
                    return None
                outcome = closest_now(ROUTING_SERVER, step.destination, CANDIDATES)
                if not outcome:
                    return self._find_closer(passing, step.destination)
        except StopIteration as stop:
            self._passed(passing, stop.value)
        except MaculaError as error:
            self._not_passed(passing, failure_of(error.with_traceback(None)))
        return None

    async def _find_closer(self, passing: _Passing, destination: NodeId) -> NoReply:
        """Go on with the next hops that a routing server knows, which may have to be restarted before."""
        try:
            async with asyncio.timeout_at(passing.work.deadline):
                found = await find_closest(ROUTING_SERVER, destination, CANDIDATES)
        except TimeoutError:
            self._not_passed(passing, failure(Code.TIMEOUT))
        except MaculaError as error:
            self._not_passed(passing, failure_of(error))
        else:
            self._go_on(passing, found)
        return _LATER

    def _send(self, work: Forward, step: Offer | OverSession) -> RequestId:
        """Send it as ``step`` says, with the time that is left."""
        now, route = self._system.now(), work.route
        sent = RpcRoute(
            destination_node_id=route.destination_node_id,
            source_node_id=route.source_node_id,
            payload_type=route.payload_type,
            payload=replace(work.call, timeout=left_ms(work.deadline, now)),
            hop_count=step.hop_count,
            max_hops=route.max_hops,
        )
        if isinstance(step, OverSession):
            return send_request(GATEWAY_MESH, Relay(sent, work.previous_hop or self._node_id, work.deadline))
        exchange = Exchange(encode_message(sent), work.deadline, wants_reply=True)
        return send_request(PEER_CONNECTOR, Request(step.contact, exchange, connect_by=(now + work.deadline) / 2))

    def _not_passed(self, passing: _Passing, failed: Failure) -> None:
        self._passed(passing, Reply(call_id=passing.work.call.call_id, error=failed))

    def _passed(self, passing: _Passing, reply: Reply) -> None:
        if passing.work.previous_hop is None:
            pass  # the path is of the nodes behind this one
        elif reply.error is not None:
            reply = replace(reply, error=through(reply.error, self._node_id))
        elif reply.path is not None:
            reply = replace(reply, path=(self._node_id, *reply.path))
        self._answer(passing.job, reply)


def _after(steps: Forwarding, error: MaculaError) -> Step:
    """Return what ``steps`` do after ``error``. Connector and connection have it, too: it keeps no frame of them."""
    try:
        return steps.throw(error)
    finally:
        error.with_traceback(None)


def _is_being_ended() -> bool:
    """Tell whether it is this process that is cancelled. Else it is what its handler waited for that was."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _failure_in(error: BaseException) -> Failure:
    """Return what tells the caller why a process that is a handler has not answered."""
    match error:
        case ServerDownError(reason=NoProcess()):
            return failure(Code.UNAVAILABLE, "the process that handles it has ended")
        case MailboxFullError():
            return failure(Code.OVERLOADED, str(error))
        case _:
            return handler_failure(error)
