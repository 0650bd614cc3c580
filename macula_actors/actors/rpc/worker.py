"""Does one call at a time: runs this node's handler, or passes the call on to another node.

Erlang: macula_rpc_executor, macula_rpc_routing. What a handler raises is an answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from typing_extensions import override

from macula_actors.actors.rpc.jobs import Announce, Forward, Idle, Invoke, Job, answer_to
from macula_actors.config import RpcConfig
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.rpc.arguments import decode, encode
from macula_actors.core.rpc.failure import Code, failure, failure_of, handler_failure, through
from macula_actors.core.rpc.routing import Decision, ForwardTo, decide
from macula_actors.core.rpc.routing import Refuse as RefuseRoute
from macula_actors.core.wire.messages import Failure, Message, Reply, RpcRoute
from macula_actors.errors import (
    ConnectionLostError,
    LocalProtocolError,
    MaculaError,
    NoRouteError,
    OverloadedError,
    RefusedError,
    RemoteProtocolError,
)
from macula_actors.messages.gateway import CallForClient, relay
from macula_actors.messages.handling import handled_until
from macula_actors.messages.names import (
    GATEWAY_MESH,
    GATEWAY_RPC,
    PEER_CONNECTOR,
    ROUTING_SERVER,
    RPC_HANDLER,
    SERVICE_REGISTRY,
)
from macula_actors.messages.peer import request
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
from supervisors import Reply as Answer

__all__ = ["RpcWorker"]

CANDIDATES: Final = 8  # next hops that are looked at

_LATER: Final = NoReply()  # the answer
# by a handler: nothing that it raises ends more than its call
_RAISED: Final = (Exception, BaseExceptionGroup, SystemExit)


class RpcWorker(GenServer):
    """Answers a `Job`, then tells RpcHandler that it is idle. A call that is cancelled ends it."""

    @override
    def init(self, config: RpcConfig) -> None:
        self._config = config
        self._system = System.current()
        self._node_id = config.identity.node_id
        self._looked_up: dict[RequestId, tuple[Job, Invoke]] = {}
        self._job: Job | None = None  # what it does

    @override
    def handle_call(self, request: object, from_: From) -> "NoReply | Awaitable[Answer | NoReply]":
        if not isinstance(request, Job):
            raise UnexpectedRequestError(request)
        self._job, work = request, request.work
        if isinstance(work, Forward):
            return self._forward(request, work)
        handler = handler_now(SERVICE_REGISTRY, work.call.procedure)
        if handler is not None:
            return self._invoke(request, work, handler) or _LATER
        asked = send_request(SERVICE_REGISTRY, GetHandler(work.call.procedure))
        self._looked_up[asked] = (request, work)
        return _LATER

    @override
    def handle_cast(self, request: object) -> None:
        if not isinstance(request, Announce):
            raise UnexpectedRequestError(request)
        if not self._looked_up:
            cast(RPC_HANDLER, Idle(self.actor_ref, None))

    @override
    def handle_info(self, info: object) -> Awaitable[NoReply] | None:
        if not isinstance(info, Response):
            raise UnexpectedRequestError(info)
        job, work = self._looked_up.pop(info.reqid)
        try:
            handler: LocalHandler | None = info.reqid.result()
        except CallError as error:
            failed = failure(Code.UNAVAILABLE, f"the service registry is not there: {error}")
            self._answer(job, self._failed(work, failed))
            return None
        if handler is not None:
            return self._invoke(job, work, handler)
        self._without_handler(job, work)
        return None

    def job_now(self) -> Job | None:
        """Return what it does, for a RpcHandler that has started anew."""
        return self._job

    # An own handler

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

    async def _forward(self, job: Job, work: Forward) -> Answer:
        reply = await self._carry(work)
        if reply.error is not None and work.previous_hop is not None:
            reply = replace(reply, error=through(reply.error, self._node_id))
        elif reply.path is not None and work.previous_hop is not None:
            reply = replace(reply, path=(self._node_id, *reply.path))
        self._done(job)
        return Answer(answer_to(work, reply, self._node_id))

    async def _carry(self, work: Forward) -> Reply:
        try:
            return await self._send(work)
        except TimeoutError:
            failed = failure(Code.TIMEOUT)
        except MaculaError as error:
            failed = failure_of(error)
        return Reply(call_id=work.call.call_id, error=failed)

    async def _send(self, work: Forward) -> Reply:
        """Pass ``work`` on to whoever takes it first; return what that one answers."""
        if work.via is not None:
            return await self._offer(work, (work.via,), work.route)
        destination = NodeId.normalize(work.route.destination_node_id)
        if destination in work.connected or whereis(GATEWAY_MESH) is not None:
            match self._decide(work, (Contact(None, destination),)):
                case ForwardTo(contacts, route):
                    reply = await self._send_straight(work, contacts, route)
                    if reply is not None:
                        return reply
                case RefuseRoute(code):
                    return Reply(call_id=work.call.call_id, error=failure(code))
        match self._decide(work, await self._closest(destination, work.deadline)):
            case ForwardTo(contacts, route):
                # who is nearer still but has to be dialled may be silent, and that takes time
                first = sorted(contacts, key=lambda each: each.node_id not in work.connected)
                return await self._offer(work, first, route)
            case RefuseRoute(Code.MAX_HOPS_EXCEEDED as code):
                return Reply(call_id=work.call.call_id, error=failure(code))
            case _:
                raise NoRouteError(str(destination))

    @staticmethod
    async def _closest(destination: NodeId, deadline: float) -> Sequence[Contact]:
        """Return the next hops to look at. A routing server that is being restarted is waited for."""
        closest = closest_now(ROUTING_SERVER, destination, CANDIDATES)
        if closest:
            return closest
        async with asyncio.timeout_at(deadline):
            return await find_closest(ROUTING_SERVER, destination, CANDIDATES)

    def _decide(self, work: Forward, candidates: Sequence[Contact]) -> Decision:
        decision = decide(self._node_id, work.route, candidates, work.previous_hop)
        if work.previous_hop is None and isinstance(decision, ForwardTo):
            return replace(decision, route=work.route)  # the way to the first hop does not count
        return decision

    async def _send_straight(self, work: Forward, contacts: Sequence[Contact], route: RpcRoute) -> Reply | None:
        """Send it to the destination over a session or a connection; None if there is none, or it does not carry it."""
        if whereis(GATEWAY_MESH) is not None:
            sender = work.previous_hop or self._node_id
            try:
                return _reply_in(await relay(GATEWAY_MESH, self._aged(route, work), sender, work.deadline), work)
            except (NoRouteError, ConnectionLostError):
                pass  # there is no session, or it has just ended
        if NodeId.normalize(route.destination_node_id) in work.connected:
            try:
                return await self._offer(work, contacts, route)
            except NoRouteError:
                pass  # another node may know a better way
        return None

    async def _offer(self, work: Forward, contacts: Sequence[Contact], route: RpcRoute) -> Reply:
        """Give it to the first of ``contacts`` that takes it; only connecting to it is hurried: nothing is done twice.

        Raises:
            LocalProtocolError: it can't be sent.
            RefusedError, OverloadedError: the destination itself does not take it.
            CallTimeoutError: it was taken, but not answered in time.
            NoRouteError: none took it.
        """
        destination = NodeId.normalize(route.destination_node_id)
        tried: list[tuple[str, Exception]] = []
        for contact in contacts:
            left = work.deadline - self._system.now()
            aged = self._aged(route, work)
            try:
                return _reply_in(await request(PEER_CONNECTOR, contact, aged, left, connect_timeout=left / 2), work)
            except MaculaError as error:
                if isinstance(error, LocalProtocolError) or self._system.now() >= work.deadline:
                    raise
                if _has_refused(error) and contact.node_id == destination:
                    raise  # it would, whoever brought it
                tried.append((str(contact), error))
        raise NoRouteError(str(destination), tuple(tried))

    def _aged(self, route: RpcRoute, work: Forward) -> RpcRoute:
        """Return ``route`` with the time that is left in its call."""
        left = left_ms(work.deadline, self._system.now())
        return replace(route, payload=replace(work.call, timeout=left))


def _reply_in(answer: Message, work: Forward) -> Reply:
    match answer:
        case RpcRoute(payload=Reply() as reply) if reply.call_id == work.call.call_id:
            return reply
        case _:
            raise RemoteProtocolError("bad_answer", "a call was answered with something else than its reply")


def _has_refused(error: MaculaError) -> bool:
    """Tell whether the peer has answered that it does not take what it was sent."""
    return isinstance(error, RefusedError) or (isinstance(error, OverloadedError) and error.limit is None)


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
