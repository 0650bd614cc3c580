"""Makes calls of procedures, in the process or task of who makes them.

Erlang: macula_rpc_handler:call/4, whose process made every call of its peer, one at a time (D-25).
"""

import asyncio
from collections.abc import Awaitable, Collection
from dataclasses import replace
from threading import get_ident
from typing import Any, Final

from macula_actors.core.durations import patience
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.close_codes import CloseCode
from macula_actors.core.peer.contact import Contact
from macula_actors.core.rpc.arguments import decode, encode
from macula_actors.core.rpc.call_plan import (
    Attempt,
    CallPlan,
    GiveUp,
    Path,
    first_attempt,
    is_barred,
    is_disowned,
    is_final,
    validate_paths,
)
from macula_actors.core.rpc.failure import error_of
from macula_actors.core.rpc.names import validate_procedure
from macula_actors.core.rpc.provider import Provider
from macula_actors.core.rpc.routing import validate_max_hops
from macula_actors.core.wire.messages import Call, Message, Reply, RpcRoute
from macula_actors.core.wire.values import Value
from macula_actors.errors import (
    CallTimeoutError,
    ConnectionLostError,
    MaculaError,
    NoProviderError,
    NoRouteError,
    OverloadedError,
    RemoteCallError,
    RemoteProtocolError,
)
from macula_actors.messages.names import PEER_CONNECTOR, ROUTING_SERVER, RPC_HANDLER, SERVICE_REGISTRY
from macula_actors.messages.peer import GRACE, request
from macula_actors.messages.routing_server import find_closest
from macula_actors.messages.rpc import (
    LOCAL,
    CallOptions,
    GivenUp,
    LocalCall,
    Locate,
    Located,
    RouteOut,
    Traced,
    counts,
    left_ms,
)
from macula_actors.messages.service_registry import LocalHandler, choose, choose_now, discover, report_failed
from supervisors import CallError, NoProcess, ServerDownError, System, cast
from supervisors import CallTimeoutError as NoAnswerError
from supervisors import OverloadedError as MailboxFullError
from supervisors import call as ask

__all__ = ["OPTIONS", "call", "call_node", "trace"]

DEFAULT_TIMEOUT: Final = 5.0  # seconds; macula.hrl
RETRY_AFTER: Final = 0.05  # seconds that RpcHandler is given to be restarted
OPTIONS: Final = CallOptions()

_OWN: Final = "this node"
_NONE: Final[frozenset[NodeId]] = frozenset()


async def call(
    procedure: str,
    args: Value,
    *,
    timeout: float = DEFAULT_TIMEOUT,
    paths: Collection[Path] | None = None,
    system: System | None = None,
    options: CallOptions = OPTIONS,
) -> Value:
    """Call ``procedure``, of this node or of another that provides it, and return its result.

    The call goes to one provider after the other, by each path that leads there, until one has answered or the
    time is over. A provider that does not answer in time may do the work nevertheless. Cancelling this ends the
    handler where it waits, within a quarter of a second a hop.

    Args:
        procedure: its name.
        args: any value that the wire carries.
        timeout: seconds for all of it, looking providers up too.
        paths: those that may be used, tried in the order of `Path`; None: those of ``options``.
        system: the node; None: the current one.
        options: see there.

    Raises:
        ValueError: ``procedure`` is no name of a procedure, ``timeout`` no finite number, or ``paths`` has none or
            others than there are.
        LocalProtocolError: ``args`` can't be sent.
        NoProviderError: nobody provides it.
        RemoteCallError: the handler failed, or refused the call.
        CallTimeoutError: it took too long.
        NoRouteError: the provider, or each of them, could not be reached; it says what was tried.
        MaxHopsExceededError, OverloadedError, ConnectionLostError: this is what became of the only attempt.
        QuorumError: nobody could be asked who provides it.
    """
    return (await trace(procedure, args, timeout=timeout, paths=paths, system=system, options=options)).result


async def call_node(
    node_id: NodeId,
    procedure: str,
    args: Value,
    *,
    timeout: float = DEFAULT_TIMEOUT,
    paths: Collection[Path] | None = None,
    system: System | None = None,
    options: CallOptions = OPTIONS,
) -> Value:
    """Call ``procedure`` of the node ``node_id``, this one or another, and return its result. Otherwise as `call`."""
    traced = await trace(procedure, args, node_id=node_id, timeout=timeout, paths=paths, system=system, options=options)
    return traced.result


async def trace(
    procedure: str,
    args: Value,
    *,
    node_id: NodeId | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    paths: Collection[Path] | None = None,
    system: System | None = None,
    options: CallOptions = OPTIONS,
) -> Traced:
    """Do as `call`, or as `call_node` if a ``node_id`` is given, and return how the call went, too."""
    timeout = patience(timeout)
    validate_max_hops(options.max_hops)
    if paths is not None:
        validate_paths(paths)
    system = system or System.current()
    calling = _Calling(procedure, args, timeout, system, options)
    try:
        if node_id is not None:
            validate_procedure(procedure)
            return await calling.call_node(node_id, paths)
        return await calling.call(paths)
    except MaculaError:
        await asyncio.sleep(0)  # who calls again and again must not keep what failed from being restarted
        raise


class _Calling:
    """One call being made."""

    __slots__ = ("_args", "_call_id", "_deadline", "_local", "_options", "_procedure", "_system", "_timeout")

    def __init__(self, procedure: str, args: Value, timeout: float, system: System, options: CallOptions) -> None:
        self._system = system
        self._procedure = procedure
        self._args = encode(args, json=options.json, max_bytes=options.max_bytes)
        self._timeout = timeout
        self._deadline = system.now() + timeout
        self._options = options
        self._call_id = b""
        self._local: NodeId | None = None  # this node, if it calls one other and no other

    def server(self, name: str) -> tuple[str, System]:
        """Return how the process ``name`` of the node is addressed."""
        return name, self._system

    async def find(self, provider: Provider) -> Provider:
        """Return ``provider`` with where it is: as the routing table says, else as its advertisement says."""
        for contact in await find_closest(self.server(ROUTING_SERVER), provider.node_id, 1):
            if contact.node_id == provider.node_id:
                return replace(provider, endpoint=contact.endpoint)
        try:
            found = await discover(self.server(SERVICE_REGISTRY), self._procedure, timeout=self._timeout / 2)
        except MaculaError:
            return provider
        return next((each for each in found if each.node_id == provider.node_id), provider)

    async def call(self, paths: Collection[Path] | None) -> Traced:
        """Call whoever provides it.

        If those that were known provide it no more, or no path leads to them, they are looked up afresh, once.
        """
        registry = self.server(SERVICE_REGISTRY)
        chosen = choose_now(registry, self._procedure) if self._system.thread == get_ident() else None
        try:
            if chosen is None:
                chosen = await choose(registry, self._procedure, self._timeout)
            return await self._call_chosen(chosen, paths)
        except (RemoteCallError, NoRouteError) as error:
            if not (is_disowned(error) or is_barred(error)):
                raise
            if not await discover(registry, self._procedure, refresh=True, timeout=self._left):
                raise NoProviderError(self._procedure) from error
        try:
            return await self._call_chosen(await choose(registry, self._procedure, self._left), paths)
        except (RemoteCallError, NoRouteError) as error:
            if is_disowned(error):
                raise NoProviderError(self._procedure) from error
            raise

    def _call_chosen(
        self, chosen: LocalHandler | tuple[Provider, ...], paths: Collection[Path] | None
    ) -> Awaitable[Traced]:
        return self.try_providers(chosen, paths) if isinstance(chosen, tuple) else self.invoke()

    @property
    def _left(self) -> float:
        """How many seconds are left."""
        return self._deadline - self._system.now()

    async def call_node(self, node_id: NodeId, paths: Collection[Path] | None) -> Traced:
        """Call one node."""
        located: Located = await self.ask(Locate((node_id,)))
        if located.local == node_id:
            return await self.invoke()
        self._local = located.local
        provider = Provider(procedure=self._procedure, node_id=node_id)
        allowed = self._options.paths if paths is None else paths
        if node_id not in located.connected and any(path is not Path.ROUTED for path in allowed):
            provider = await self.find(provider)
        return await self.try_providers((provider,), paths, located.connected)

    async def invoke(self) -> Traced:
        """Have this node's own handler run."""
        try:
            own = self._call(self._deadline, self._system.now())
            reply = await self.ask(LocalCall(own, self._deadline, self._options.json))
            result = self._result_in(reply, _OWN, self._timeout)
        except Exception as error:
            self._count(LOCAL, is_carried=is_final(error))
            raise
        self._count(LOCAL, is_carried=True)
        return Traced(result, LOCAL, ())

    async def try_providers(
        self,
        providers: tuple[Provider, ...],
        paths: Collection[Path] | None,
        connected: frozenset[NodeId] | None = None,
    ) -> Traced:
        """Call one provider after the other, until one has answered.

        A plan is made when the first attempt has failed: mostly it does not, and a plan costs as much as all else here.
        """
        allowed = self._options.paths if paths is None else paths
        now = self._system.now()
        first = first_attempt(providers, allowed, now, self._deadline) if connected is None else None
        if first is None:
            plan = await self._plan(providers, allowed, connected, now)
            return await self._carry_out(plan, providers, {})
        try:
            traced = await self._attempt(first, is_last=min(len(providers), self._options.max_attempts) == 1)
        except Exception as error:
            plan = await self._plan(providers, allowed, connected, now)
            plan.next(now)  # which is the first attempt
            failed: dict[NodeId, None] = {}
            self._failed(plan, first, error, failed)
            return await self._carry_out(plan, providers, failed)
        self._count(first.path, is_carried=True)
        return traced

    async def _plan(
        self,
        providers: tuple[Provider, ...],
        paths: Collection[Path],
        connected: frozenset[NodeId] | None,
        now: float,
    ) -> CallPlan:
        return CallPlan(
            providers,
            procedure=self._procedure,
            now=now,
            deadline=self._deadline,
            paths=paths,
            connected=await self._connected(providers, paths) if connected is None else connected,
            max_attempts=self._options.max_attempts,
        )

    async def _carry_out(self, plan: CallPlan, providers: tuple[Provider, ...], failed: dict[NodeId, None]) -> Traced:
        """Do what ``plan`` says. ``failed``: who could not be reached yet."""
        last = providers[: self._options.max_attempts][-1:]
        try:
            while True:
                step = plan.next(self._system.now())
                if isinstance(step, GiveUp):
                    raise step.error
                try:
                    traced = await self._attempt(step, is_last=step.provider in last)
                except Exception as error:
                    self._failed(plan, step, error, failed)
                else:
                    self._count(step.path, is_carried=True)
                    failed.pop(step.provider.node_id, None)  # by another path, but it can be reached
                    return traced
        finally:
            for node_id in failed:
                report_failed(self.server(SERVICE_REGISTRY), self._procedure, node_id)
            if failed:
                await asyncio.sleep(0)  # in which the registry takes note, for `choose_now` of the next call

    def _failed(self, plan: CallPlan, step: Attempt, error: Exception, failed: dict[NodeId, None]) -> None:
        plan.failed(step, error, self._system.now())
        self._count(step.path, is_carried=is_final(error))
        if not is_final(error) and not isinstance(error, OverloadedError):
            failed[step.provider.node_id] = None

    async def _connected(self, providers: tuple[Provider, ...], paths: Collection[Path]) -> frozenset[NodeId]:
        """Return the providers that are connected, of those that can't be dialled, if one of ``paths`` goes there."""
        undialled = tuple(each.node_id for each in providers if each.endpoint is None)
        if not undialled or Path.DIRECT not in paths:
            return _NONE
        located: Located = await self.ask(Locate(undialled))
        return located.connected

    def _attempt(self, attempt: Attempt, *, is_last: bool) -> Awaitable[Traced]:
        provider, timeout = attempt.provider, attempt.timeout
        match attempt.path:
            case Path.DIRECT:
                return self._send(provider, timeout, is_last=is_last)
            case Path.ROUTED:
                return self._route(provider, timeout)
            case Path.RELAY:
                return self._relay(provider, timeout)

    async def _send(self, provider: Provider, timeout: float, *, is_last: bool) -> Traced:
        """Send it to the provider itself. If none other could take its place, only the way there is hurried."""
        now = self._system.now()
        deadline = self._deadline if is_last else now + timeout
        contact, connector = provider.contact, self.server(PEER_CONNECTOR)
        message = self._addressed(self._call(deadline, now), provider.node_id)
        answer = await request(connector, contact, message, max(deadline - now, 0.0), connect_timeout=timeout)
        if isinstance(answer, RpcRoute) and self._local is not None:
            answer = answer.payload
        return Traced(self._result_in(answer, contact, timeout), Path.DIRECT, (provider.node_id,))

    async def _route(self, provider: Provider, timeout: float, via: Contact | None = None) -> Traced:
        now = self._system.now()
        deadline, options = now + timeout, self._options
        route = RouteOut(provider.node_id, self._call(deadline, now), deadline, options.json, options.max_hops, via)
        reply = await self.ask(route, provider.contact)
        result = self._result_in(reply, provider.contact, timeout)
        nodes = tuple(map(NodeId.normalize, reply.path or (provider.node_id,)))
        return Traced(result, Path.ROUTED if via is None else Path.RELAY, nodes)

    async def _relay(self, provider: Provider, timeout: float) -> Traced:
        """Send it by one gateway after the other, until one can pass it on."""
        ends_at = self._system.now() + timeout
        tried: list[tuple[str, Exception]] = []
        for left, gateway in zip(range(len(provider.gateways), 0, -1), provider.gateways, strict=True):
            try:
                return await self._route(provider, (ends_at - self._system.now()) / min(left, 2), gateway)
            except MaculaError as error:
                if is_final(error) or len(provider.gateways) == 1:
                    raise
                tried.append((str(gateway), error))
        raise NoRouteError(str(provider.contact), tuple(tried))

    async def ask(self, asked: LocalCall | RouteOut | Locate, whom: object = _OWN) -> Any:
        """Return what RpcHandler answers for ``whom``; while there is none, it is given the time to be restarted."""
        deadline = self._deadline if isinstance(asked, Locate) else asked.deadline
        while True:
            left = deadline - self._system.now()
            try:
                return await ask(self.server(RPC_HANDLER), asked, max(left + GRACE, 0.0))
            except NoAnswerError as error:
                if isinstance(asked, RouteOut):  # an own handler has a while to clean up
                    cast(self.server(RPC_HANDLER), GivenUp(self._call_id))
                raise CallTimeoutError(str(whom), self._timeout) from error
            except MailboxFullError as error:
                raise OverloadedError("calls at this node", error.bound) from error
            except CallError as error:
                if left <= 0 or not _is_not_begun(error):
                    why = f"what makes calls ended: {error}"
                    raise ConnectionLostError("local", CloseCode.INTERNAL, why) from error
            except asyncio.CancelledError:
                cast(self.server(RPC_HANDLER), GivenUp(self._call_id))
                raise
            await asyncio.sleep(min(RETRY_AFTER, left))

    def _call(self, deadline: float, now: float) -> Call:
        timeout = left_ms(deadline, now)
        self._call_id = self._system.random.randbytes(16)  # D-34; the attempt before may yet be cancelled
        return Call(procedure=self._procedure, args=self._args, call_id=self._call_id, timeout=timeout)

    def _addressed(self, call_: Call, node_id: NodeId) -> Call | RpcRoute:
        """Return what to send to ``node_id`` itself: a gateway that is called without its id calls for its client.

        v0.8's nodes, which may be there in an open mesh, have calls only.
        """
        if self._local is None or self._options.json:
            return call_
        return RpcRoute(
            destination_node_id=node_id, source_node_id=self._local, payload_type="call", payload=call_, max_hops=1
        )

    def _result_in(self, answer: Message, peer: Contact | str, timeout: float) -> Value:
        if not isinstance(answer, Reply) or answer.call_id != self._call_id:
            raise RemoteProtocolError("bad_answer", "a call was answered with something else than its reply")
        if answer.error is not None:
            hops = self._options.max_hops
            raise error_of(answer.error, procedure=self._procedure, peer=str(peer), timeout=timeout, max_hops=hops)
        if answer.result is None:
            return None  # v0.8's nil
        return decode(answer.result, json=self._options.json, max_bytes=self._options.max_bytes)

    def _count(self, path: str, *, is_carried: bool) -> None:
        self._system.run_in_loop(counts(self._system).add, path, is_carried)


def _is_not_begun(error: CallError) -> bool:
    """Tell whether nobody has seen the request: what was begun must not be begun again."""
    return isinstance(error, ServerDownError) and isinstance(error.reason, NoProcess)
