"""Takes calls, and has each done by a worker, a process of its own: own handlers, and calls that go on to other nodes.

Erlang: macula_rpc_handler, macula_gateway_rpc_router. There a handler ran in the gateway (D-20), and the caller was not
told what failed (D-19).
"""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Final

from typing_extensions import override

from macula_actors.actors.alarm import Alarm
from macula_actors.actors.rpc.jobs import Announce, Forward, Idle, Invoke, Job, Key, Work, answer_to
from macula_actors.actors.rpc.worker import RpcWorker
from macula_actors.actors.rpc.workers import Workers
from macula_actors.config import RpcConfig
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.handshake import Security
from macula_actors.core.rpc.failure import Code, failure
from macula_actors.core.wire.messages import Call, Cancel, Reply, RpcRoute
from macula_actors.errors import OverloadedError, RefusedError
from macula_actors.messages.asking import told_now
from macula_actors.messages.names import GATEWAY_RPC, PEER_CONNECTOR, RPC_WORKERS
from macula_actors.messages.peer import Abandoned, GetPeers, Inbound, PeerDown, PeerUp, peers_in
from macula_actors.messages.rpc import (
    GetStats,
    GivenUp,
    LocalCall,
    Locate,
    Located,
    PathStats,
    RouteOut,
    RpcStats,
    counts,
)
from supervisors import (
    Continue,
    Down,
    From,
    GenServer,
    NoReply,
    Ref,
    Refuse,
    RequestId,
    Response,
    Restart,
    Shutdown,
    SupervisorsError,
    System,
    UnexpectedRequestError,
    cast,
    exit_signal,
    forward,
    monitor,
    send_request,
)
from supervisors import Reply as Answer
from supervisors.requests import StartChild, WhichChildren

__all__ = ["RpcHandler"]

TICK: Final = 0.25  # seconds between two looks at what is under way
GRACE: Final = 0.5  # seconds that a worker has to say that its call took too long, before it is ended


@dataclass(frozen=True, slots=True)
class _Tick:
    """Time to look after deadlines, and workers that did not start."""


class RpcHandler(GenServer):
    """Gives calls to workers. It never waits, and runs nothing of the program's.

    A crash of it costs the calls that wait for a worker; the next one takes the workers over, whose calls go on.
    """

    @override
    def init(self, config: RpcConfig) -> Continue:
        self.config = config
        self._system = System.current()
        self._node_id = config.identity.node_id
        self._is_json = config.security is Security.OPEN  # whoever calls: no node knows of which version all others are
        self._workers = Workers(config.max_workers, config.max_queued)
        self._starting: set[RequestId] = set()
        self._adoption: RequestId | None = None
        self._peers: RequestId | None = None
        self._nodes: dict[Ref, NodeId] = {}  # at the other ends of the connections
        self._connected: Counter[NodeId] = Counter()
        self._tick = Alarm(_Tick())
        self._paths = counts(self._system, anew=True)
        self._counts: Counter[str] = Counter()
        return Continue(None)

    @override
    def handle_continue(self, term: object) -> None:
        self._adoption = send_request(RPC_WORKERS, WhichChildren())
        self._peers = send_request(PEER_CONNECTOR, GetPeers())

    @override
    def handle_call(self, request: object, from_: From) -> Answer | NoReply | Refuse:
        match request:
            case Inbound():
                return self._inbound(request, from_)
            case LocalCall(call, deadline, json):
                return self._submit((None, call.call_id), Invoke(call, deadline, json), from_)
            case RouteOut():
                return self._route_out(request, from_)
            case Locate(node_ids):
                connected = frozenset(each for each in node_ids if each in self._connected)
                return Answer(Located(self._node_id, connected))
            case GetStats():
                return Answer(self.statistics())
            case _:
                raise UnexpectedRequestError(request)

    @override
    def handle_cast(self, request: object) -> None:
        match request:
            case Idle(worker, job):
                if self._workers.finished(worker, job):
                    self._give_on()
            case Abandoned(connection, call_id):
                self._cancel((connection, call_id))
            case GivenUp(call_id):
                self._cancel((None, call_id))
            case PeerUp():
                self._peer_up(request)
            case PeerDown():
                pass  # its Down says so, too, whatever becomes of the connector
            case _:
                raise UnexpectedRequestError(request)

    @override
    def handle_info(self, info: object) -> None:
        match info:
            case Response(request) if request in self._starting:
                self._started(request)
            case Response(request) if request is self._adoption:
                self._adopt(request)
            case Response(request) if request is self._peers:
                self._take_peers(request)
            case Down(_, ref) if isinstance(ref, Ref) and ref in self._nodes:
                self._peer_down(ref)
            case Down(_, ref) if isinstance(ref, Ref):
                self._workers.remove(ref)
                self._give_on()
            case _Tick():
                self._tick.rang()
                self._look_after()
            case _:
                raise UnexpectedRequestError(info)

    def statistics(self) -> RpcStats:
        """Return its counts."""
        carried, failed = self._paths.carried, self._paths.failed
        return RpcStats(
            paths={path: PathStats(carried[path], failed[path]) for path in sorted(carried.keys() | failed.keys())},
            idle=self._workers.idle,
            busy=self._workers.busy,
            queued=self._workers.queued,
            forwarded=self._counts["forwarded"],
            refused=self._counts["refused"],
            cancelled=self._counts["cancelled"],
            late=self._counts["late"],
        )

    # Calls

    def _inbound(self, inbound: Inbound, from_: From) -> Answer | NoReply | Refuse:
        match inbound.message:
            case Call() as call:
                work = Invoke(call, self._deadline(call), self._is_json, inbound)
                return self._submit((inbound.connection, call.call_id), work, from_)
            case RpcRoute(payload=Call() as call) as route:
                return self._routed(inbound, route, call, from_)
            case RpcRoute(payload=Reply() as reply) as route if self._is_json:
                return self._replied(route, reply)
            case Cancel(call_id=call_id):
                self._cancel((inbound.connection, call_id))
                return Answer(None)
            case message:
                return Refuse(RefusedError("unsupported", f"a {type(message).__name__} is not asked for"))

    def _routed(self, inbound: Inbound, route: RpcRoute, call: Call, from_: From) -> NoReply | Refuse:
        source = NodeId.normalize(route.source_node_id)
        previous_hop = inbound.peer.node_id or source  # v0.8 passes it on without saying who it is
        if route.hop_count == 0 and source != previous_hop:
            return Refuse(RefusedError(Code.NOT_PERMITTED, "the source is another node, and there was no hop between"))
        if route.max_hops > self.config.max_hops:
            route = replace(route, max_hops=self.config.max_hops)
        deadline, destination = self._deadline(call), NodeId.normalize(route.destination_node_id)
        work: Work
        if destination == self._node_id:
            work = Invoke(call, deadline, self._is_json, inbound, route)
        else:
            self._counts["forwarded"] += 1
            work = Forward(route, call, deadline, previous_hop, connected=self._connected.keys())
        return self._submit((inbound.connection, call.call_id), work, from_)

    def _replied(self, route: RpcRoute, reply: Reply) -> Answer | Refuse:
        """Take the reply to a call of this node's own, which v0.8 sends by itself, not on the stream of the call."""
        key = None, reply.call_id
        job = self._workers.job(key)
        is_own = NodeId.normalize(route.destination_node_id) == self._node_id
        if job is None or not is_own or not isinstance(job.work, Forward):
            return Refuse(RefusedError("unsupported", "a reply that this node does not wait for"))
        self._workers.cancel(key)
        self._settle(job, reply)
        return Answer(None)

    def _route_out(self, request: RouteOut, from_: From) -> NoReply | Refuse:
        destination, call, deadline, json, max_hops, via = request
        work: Work
        if destination == self._node_id:
            work = Invoke(call, deadline, json)
        else:
            route = RpcRoute(
                destination_node_id=destination,
                source_node_id=self._node_id,
                payload_type="call",
                payload=call,
                max_hops=min(max_hops, self.config.max_hops),
            )
            work = Forward(route, call, deadline, via=via, connected=self._connected.keys())
        return self._submit((None, call.call_id), work, from_)

    def _deadline(self, call: Call) -> float:
        timeout = self.config.timeout if call.timeout is None else call.timeout / 1000
        return self._system.now() + min(timeout, self.config.max_timeout)

    def _submit(self, key: Key, work: Work, from_: From) -> NoReply | Refuse:
        now = self._system.now()
        self._tick.set(now + TICK, now)
        worker = self._workers.take()
        if worker is not None:
            self._give(Job(key, work, from_), worker)
            return NoReply()
        if self._workers.is_full:
            self._counts["refused"] += 1
            return Refuse(OverloadedError("calls that wait for a worker", self.config.max_queued))
        self._workers.enqueue(Job(key, work, from_))
        self._start_missing()
        return NoReply()

    def _give(self, job: Job, worker: Ref) -> None:
        self._workers.assign(worker, job)
        forward(job.from_, worker, job)

    def _give_on(self) -> None:
        """Give what waits to who is idle."""
        while self._workers.queued:
            worker = self._workers.take()
            if worker is None:
                self._start_missing()
                return
            job = self._workers.pop()
            if job is not None:
                self._give(job, worker)

    def _cancel(self, key: Key) -> None:
        job = self._workers.cancel(key)
        if job is not None:
            self._counts["cancelled"] += 1
            self._end(job, Code.CANCELLED)
        elif key[0] is not None:
            cast(GATEWAY_RPC, Abandoned(key[0], key[1]))

    def _end(self, job: Job, code: Code) -> None:
        """Answer a call that is not to be done, or no more; its handler is ended where it waits."""
        self._settle(job, _reply(job.work, code, self._node_id))

    @staticmethod
    def _settle(job: Job, answer: Reply | RpcRoute) -> None:
        job.from_.reply(answer)
        if job.worker is not None:
            exit_signal(job.worker, Shutdown("call ended"))

    def _look_after(self) -> None:
        now = self._system.now()
        for job in self._workers.overdue(now, GRACE):
            self._counts["late"] += 1
            self._end(job, Code.TIMEOUT)
        for job in self._workers.deserted(now):
            if job.worker is None or _job_of(job.worker) is job:  # else it is done, and its worker's `Idle` on the way
                self._cancel(job.key)
        self._give_on()
        if self._workers.busy or self._workers.queued:
            self._tick.set(now + TICK, now)

    # Workers

    def _start_missing(self) -> None:
        for _ in range(self._workers.missing()):
            spec = RpcWorker.child_spec(self.config, restart=Restart.TEMPORARY)
            self._starting.add(send_request(RPC_WORKERS, StartChild(spec)))
            self._workers.starting += 1

    def _started(self, request: RequestId) -> None:
        self._starting.discard(request)
        self._workers.starting -= 1
        try:
            ref: Ref = request.result()
        except SupervisorsError:
            return  # at the next look it is tried again
        monitor(ref)
        self._workers.add(ref)
        self._give_on()

    def _adopt(self, request: RequestId) -> None:
        self._adoption = None
        try:
            children = request.result()
        except SupervisorsError:
            return  # without their supervisor there are none
        for child in children:
            if isinstance(child.ref, Ref) and RpcWorker in child.modules:
                monitor(child.ref)
                self._workers.adopt(child.ref, _job_of(child.ref))
                child.ref.cast(Announce())
        self._look_after()

    # Connections

    def _take_peers(self, request: RequestId) -> None:
        self._peers = None
        for each in peers_in(request):
            self._peer_up(each)

    def _peer_up(self, up: PeerUp) -> None:
        connection, node_id = up.connection, up.peer.node_id
        if node_id is not None and connection not in self._nodes:
            self._nodes[connection] = node_id
            self._connected[node_id] += 1
            monitor(connection)

    def _peer_down(self, connection: Ref) -> None:
        node_id = self._nodes.pop(connection, None)
        if node_id is not None:
            self._connected[node_id] -= 1
            if not self._connected[node_id]:
                del self._connected[node_id]


def _job_of(worker: Ref) -> Job | None:
    """Return what ``worker`` does at this moment."""
    job: Job | None = told_now(worker, "job_now")
    return job


def _reply(work: Work, code: Code, node_id: NodeId) -> Reply | RpcRoute:
    reply = Reply(call_id=work.call.call_id, error=failure(code, path=(node_id,)))
    return answer_to(work, reply, node_id)
