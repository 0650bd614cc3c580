"""One process a connection: the way to it, the handshake, messages both ways, and an end that loses nothing.

Erlang: macula_connection, and macula_gateway's part in CONNECT. There nobody noticed when a connection was lost (D-27),
and every message of every client passed through one process (D-16).
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from typing_extensions import override

from macula_actors.actors.alarm import Alarm
from macula_actors.actors.peer.greeter import AcceptorGreeter, DiallerGreeter, Greeter
from macula_actors.actors.peer.incoming import Incoming
from macula_actors.actors.peer.outgoing import Outgoing
from macula_actors.actors.peer.owner import (
    Doubted,
    FramesReceived,
    LinkEstablished,
    Lost,
    OwnerMailbox,
    Ponged,
    StreamFailed,
    Writable,
)
from macula_actors.actors.peer.resolver import Resolver
from macula_actors.actors.peer.upkeep import Upkeep
from macula_actors.config import MeshConfig
from macula_actors.core.peer.close_codes import CloseCode, at_home, code_of
from macula_actors.core.peer.contact import Contact, Key
from macula_actors.core.peer.handshake import PeerInfo, Refused, Security, Serve
from macula_actors.core.peer.v08 import unnamed
from macula_actors.core.peer.violations import Violations
from macula_actors.core.wire.decoder import decode_frame
from macula_actors.core.wire.frame import Frame
from macula_actors.core.wire.messages import Disconnect, Message
from macula_actors.errors import BadProofError, ConnectionLostError, MaculaError, ProtocolError, RemoteProtocolError
from macula_actors.messages.names import ENDPOINT, PEER_CONNECTOR
from macula_actors.messages.peer import Announce, Busy, CloseWhenDone, Dial, Established, Exchange, Inbound, Resolved
from macula_actors.transport.connection import Connection
from macula_actors.transport.interface import Address, StreamFrame
from supervisors import (
    CallError,
    Continue,
    Exit,
    ExitReason,
    From,
    GenServer,
    NoReply,
    Refuse,
    RequestId,
    Response,
    Shutdown,
    Stop,
    System,
    UnexpectedRequestError,
    cast,
    close_port,
    open_port,
    send_after,
    send_request,
)

__all__ = ["DialTo", "PeerConnection", "TakeOver"]

ADDRESS_TIMEOUT: Final = 2.0  # seconds for QUIC's handshake with an address while others are left; two retransmissions
BUSY_TICK: Final = 0.25  # seconds between two looks at what is in flight

_GO_ON: Final = NoReply()


@dataclass(frozen=True, slots=True)
class DialTo:
    """Begin the connection: dial ``contact``, whose endpoint is known. ``key`` is the connector's for it."""

    key: Key
    contact: Contact


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Go on with a connection that was accepted. ``fingerprint``: of this node's certificate."""

    link: Connection
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class _GreetingTimeout:
    """The way to the connection and the handshake have taken too long."""


@dataclass(frozen=True, slots=True)
class _AddressTimeout:
    """The address that ``link`` dials has not answered, and there is another one."""

    link: Connection


@dataclass(frozen=True, slots=True)
class _Tick:
    """Time to look after the connection."""


@dataclass(frozen=True, slots=True)
class _DrainTimeout:
    """What is in flight has taken too long; the connection is to be closed."""


class PeerConnection(GenServer):
    """A connection to one peer, dialled or accepted.

    It ends when the connection does, with the error as the detail of a `Shutdown`; it is never restarted.
    """

    trap_exit = True  # to tell the peer that the node stops

    @override
    def init(self, start: DialTo | TakeOver, config: MeshConfig) -> Continue:
        self.config = config.peer
        self._is_open = self.config.handshake.security is Security.OPEN
        self.peer: PeerInfo | None = None  # once the handshake is done, or one of v0.8 does without
        self._start = start
        self._network = config.network
        self._system = System.current()
        self._link: Connection | None = None
        self._greeter: Greeter | None = None  # as long as a handshake may come
        self._addresses: deque[Address] = deque()  # still to be tried
        self._dial: RequestId | None = None
        self._violations = Violations(self.config.max_violations, self.config.violation_forgiven_after)
        self._closing: CloseCode | None = None
        self._is_active = False
        self._reported = 0
        self._tick = Alarm(_Tick())
        self._heard_at = 0.0
        send_after(self.config.handshake_timeout, self.actor_ref, _GreetingTimeout())
        return Continue(start)

    def round_trip_now(self) -> float | None:
        """Return how long a ping and its answer take, in seconds; None: no ping was answered yet."""
        return None if self.peer is None else self._upkeep.liveness.rtt

    # The way to a connection

    @override
    async def handle_continue(self, term: object) -> NoReply | Stop:
        match term:
            case DialTo(_, Contact(endpoint)) if endpoint is not None:
                await Resolver.start_link(self._network(), endpoint, self.actor_ref)
            case TakeOver(link, own_fingerprint):
                settings, clock_ms = self.config.handshake, self.config.wall_clock_ms
                self._greeter = AcceptorGreeter(link, settings, clock_ms, own_fingerprint=own_fingerprint)
                self._take(link)
                link.own(OwnerMailbox(self.actor_ref))
            case _:
                return self._ended(ConnectionLostError("local", CloseCode.NORMAL, "where the node is is not known"))
        return NoReply()

    def _dial_next(self, error: MaculaError) -> NoReply | Stop:
        """Dial the next address of the peer; ``error`` is what became of the one before."""
        if not self._addresses or not isinstance(self._start, DialTo):
            return self._ended(error)
        if self._link is not None:
            close_port(self._link)
            self._link = None  # what is still to come of it is before the answer to the next dial
        self._dial = send_request(ENDPOINT, Dial(self._addresses.popleft(), OwnerMailbox(self.actor_ref)))
        return NoReply()

    def _dialled(self, request: RequestId) -> NoReply | Stop:
        """Go on with the connection that the endpoint has begun."""
        try:
            link: Connection = request.result()
        except MaculaError as error:
            return self._dial_next(error)
        except CallError as error:
            return self._ended(ConnectionLostError("local", CloseCode.INTERNAL, f"no endpoint: {error}"))
        settings, clock_ms = self.config.handshake, self.config.wall_clock_ms
        expected = self._start.contact.node_id if isinstance(self._start, DialTo) else None
        self._greeter = DiallerGreeter(link, settings, clock_ms, expected=expected)
        self._take(link)
        if self._addresses:
            share = self.config.handshake_timeout / (1 + len(self._addresses))
            send_after(min(ADDRESS_TIMEOUT, share), self.actor_ref, _AddressTimeout(link))
        return NoReply()

    def _take(self, link: Connection) -> None:
        config, is_open = self.config, self._is_open
        self._link = open_port(link)
        self._outgoing = Outgoing(
            link,
            max_queued=config.max_queued,
            max_queued_bytes=config.max_queued_bytes,
            ends_requests=not is_open,
        )
        self._incoming = Incoming(
            link,
            config.routes,
            max_handling=config.max_handling,
            max_handling_bytes=config.max_handling_bytes,
            handling_timeout=config.handling_timeout,
            is_open=is_open,
            now=self._system.now,
            wall_clock_ms=config.wall_clock_ms,
        )

    # Requests

    @override
    def handle_call(self, request: object, from_: From) -> NoReply | Refuse:
        if not isinstance(request, Exchange):
            raise UnexpectedRequestError(request)
        if self.peer is None or self._closing is not None:
            code = self._closing or CloseCode.NOT_CONNECTED
            return Refuse(ConnectionLostError("local", code, "not open for messages"))
        self._outgoing.begin(request, from_)
        if not self._is_active:
            self._note_activity()
        return _GO_ON

    @override
    def handle_cast(self, request: object) -> NoReply | Stop | None:
        match request:
            case CloseWhenDone(code):
                return self._close_when_done(CloseCode(code))
            case Announce():
                self._announce()
                return None
            case _:
                raise UnexpectedRequestError(request)

    @override
    def handle_info(self, info: object) -> NoReply | Stop | None:
        match info:
            case FramesReceived(frames) if self._link is not None:
                return self._receive(frames)
            case Response(request) if request is not self._dial:
                self._incoming.answered(request)
                return self._close_if_done()
            case FramesReceived() | Writable() | Ponged() | StreamFailed() | LinkEstablished() | Lost() if (
                self._link is None
            ):
                pass  # of an address that was given up
            case Writable():
                self._outgoing.pump(self._system.now())
            case Ponged(uid):
                self._upkeep.liveness.ponged(uid, self._system.now())
            case Doubted():
                return self._doubted()
            case StreamFailed(stream_id, error):
                return self._stream_failed(stream_id, error)
            case _Tick():
                return self._look_after()
            case Response(request):
                return self._dialled(request)
            case Resolved(addresses, reason):
                self._addresses.extend(addresses)
                return self._dial_next(ConnectionLostError("network", CloseCode.NORMAL, reason))
            case LinkEstablished():
                return self._greeted(self._greeter.begin() if self._greeter is not None else None)
            case Lost(error):
                return self._lost(error)
            case _AddressTimeout(link):
                if link is self._link and not link.is_established:
                    link.fail(ConnectionLostError("network", CloseCode.NORMAL, "this address does not answer"))
            case _GreetingTimeout() if self.peer is None:
                return self._close(ConnectionLostError("local", CloseCode.HANDSHAKE_TIMEOUT, "no handshake in time"))
            case _DrainTimeout():
                return self._close(ConnectionLostError("local", self._closing or CloseCode.NORMAL, "closed"))
            case _GreetingTimeout() | Exit():
                pass  # the handshake was in time; a resolver has ended
            case _:
                raise UnexpectedRequestError(info)
        return None

    @override
    def terminate(self, reason: ExitReason) -> None:
        if self._link is not None:
            code = CloseCode.SHUTDOWN if isinstance(reason, Shutdown) else CloseCode.INTERNAL
            self._link.close(code, "")

    # The handshake

    def _greeted(self, outcome: PeerInfo | Refused | None) -> NoReply | Stop:
        match outcome:
            case PeerInfo():
                return self._open(outcome)
            case Refused(error, code) if self._addresses and self._link is not None:
                self._count(f"closed_{code.label}")
                self._link.close(code, "")
                return self._dial_next(error)
            case Refused(error, code):
                return self._close(error, code)
            case None:
                return NoReply()

    def _open(self, peer: PeerInfo) -> NoReply | Stop:
        """Begin with messages: the handshake is done."""
        if self._link is None or self._greeter is None:
            return NoReply()
        if peer.endpoint is None and isinstance(self._start, DialTo):
            peer = replace(peer, endpoint=self._start.contact.endpoint)
        self._begin(peer, self._link)
        postponed, self._greeter = self._greeter.postponed, None
        self._announce()
        return self._receive(postponed)

    def _begin(self, peer: PeerInfo, link: Connection) -> None:
        """Look after the connection from now on, if not yet."""
        is_first, self.peer = self.peer is None, peer
        if is_first:
            now = self._system.now()
            self._upkeep = Upkeep(link, self.config, now)
            self._upkeep.look(now)  # the first ping measures the round trip; what is heard at once would put it off
            self._schedule(now)

    def _announce(self) -> None:
        if self.peer is not None and self._greeter is None and self._closing is None:
            key = self._start.key if isinstance(self._start, DialTo) else None
            cast(PEER_CONNECTOR, Established(key, self.actor_ref, self.peer))

    # Messages

    def _receive(self, items: Sequence[StreamFrame]) -> NoReply | Stop:
        for item in items:
            result = self._take_in(item)
            if result.__class__ is Stop or self._link is None:
                return result
        if self.peer is not None:
            self._heard_at = now = self._system.now()
            self._upkeep.liveness.heard(now)
            if not self._is_active:
                self._note_activity()
            self._outgoing.pump(now)
        return _GO_ON if self._closing is None else self._close_if_done() or _GO_ON

    def _take_in(self, item: StreamFrame) -> NoReply | Stop:
        frame = item.frame
        if isinstance(frame, RemoteProtocolError):
            return self._violated(item.stream_id, frame, end_stream=item.end_stream)
        try:
            message = None if frame is None else decode_frame(frame)
        except RemoteProtocolError as error:
            return self._violated(item.stream_id, error, end_stream=item.end_stream)
        if self._greeter is not None and message is not None:
            return self._greet(self._greeter, item, message)
        return self._take_message(item, message)

    def _greet(self, greeter: Greeter, item: StreamFrame, message: Message) -> NoReply | Stop:
        outcome = greeter.take(item, message)
        if not isinstance(outcome, Serve) or self._link is None:
            return self._greeted(None if isinstance(outcome, Serve) else outcome)
        if self.peer is None:
            self._begin(unnamed(*self._link.address[:2]), self._link)
        return self._take_message(item, message)

    def _take_message(self, item: StreamFrame, message: Message | None) -> NoReply | Stop:
        stream_id, frame, end_stream = item
        if self._outgoing.answer(stream_id, message, end_stream=end_stream):
            return _GO_ON
        if self._is_open:
            self._outgoing.heard(stream_id, message, end_stream=end_stream)
        if message is None:
            self._incoming.ended(stream_id)
            return _GO_ON
        if isinstance(message, Disconnect):
            return self._close(ConnectionLostError("peer", CloseCode.NORMAL, message.reason))
        if self.peer is None or not isinstance(frame, Frame):
            return _GO_ON
        inbound = Inbound(self.peer, message, self.actor_ref)
        if self._incoming.handle(stream_id, inbound, len(frame.payload), end_stream=end_stream):
            return _GO_ON
        second = RemoteProtocolError("second_message", "a stream carries one message, and its answer")
        return self._violated(stream_id, second, end_stream=end_stream)

    def _violated(self, stream_id: int, error: RemoteProtocolError, *, end_stream: bool) -> NoReply | Stop:
        """Refuse what the peer must not send; a peer that goes on with it is left."""
        self._count(error.code)
        if self._greeter is not None and not (self._is_open and isinstance(self._start, TakeOver)):
            return self._close(error, CloseCode.PROTOCOL_VIOLATION)
        if stream_id in self._outgoing:
            self._outgoing.fail(stream_id, error)
        else:
            self._incoming.refuse(stream_id, error, end_stream=end_stream)
        if self._violations.add(self._system.now()):
            return self._close(error, CloseCode.PROTOCOL_VIOLATION)
        return _GO_ON

    def _stream_failed(self, stream_id: int, error: MaculaError) -> NoReply | Stop | None:
        self._count("stream_failed")
        if self.peer is not None and stream_id in self._outgoing:
            self._outgoing.fail(stream_id, error)
            self._outgoing.pump(self._system.now())
        elif self.peer is not None:
            self._outgoing.cut(stream_id)
            self._incoming.abandoned(stream_id)
        return self._close_if_done()

    def _count(self, name: str) -> None:
        if self._link is not None:
            self._link.count(name)

    # Looking after it

    def _note_activity(self) -> None:
        self._is_active = True
        self._schedule(self._system.now())

    def _schedule(self, now: float) -> None:
        config = self.config
        is_soon = self._is_active or self._closing is not None
        interval = BUSY_TICK if is_soon else min(config.partial_timeout, config.stall_timeout)
        self._tick.set(min(now + interval, self._upkeep.liveness.next_due()), now)

    def _look_after(self) -> NoReply | Stop | None:
        self._tick.rang()
        now, link = self._system.now(), self._link
        error = self._upkeep.look(now)
        if error is not None or link is None:
            return self._close(error) if error is not None else None
        for stream_id in link.overdue_streams(self.config.partial_timeout):
            link.abandon_stream(stream_id, CloseCode.PROTOCOL_VIOLATION)
            late = RemoteProtocolError("incomplete_payload", "the rest of a frame has not come in time")
            result = self._violated(stream_id, late, end_stream=True)
            if isinstance(result, Stop):
                return result
        self._outgoing.expire(now)
        self._outgoing.pump(now)
        self._incoming.expire()
        if len(self._outgoing) and now - self._heard_at >= BUSY_TICK:
            self._upkeep.provoke(now)
        self._report()
        self._schedule(now)
        return self._close_if_done()

    def _report(self) -> None:
        in_flight = len(self._outgoing) + len(self._incoming)
        was_active, self._is_active = self._is_active, in_flight > 0
        if was_active or in_flight or self._reported:  # what the peer alone uses is not idle either
            self._reported = in_flight
            cast(PEER_CONNECTOR, Busy(self.actor_ref, in_flight))

    def _doubted(self) -> NoReply | Stop:
        if self.peer is not None:
            self._upkeep.liveness.hint(self._system.now())
            self._schedule(self._system.now())
        elif self._link is not None and self._link.dialled and not self._link.is_established:
            self._link.fail(ConnectionLostError("network", CloseCode.NORMAL, "nothing listens at this address"))
        return NoReply()

    # The end

    def _lost(self, error: MaculaError) -> NoReply | Stop:
        if self._link is not None and not self._link.is_established and self._addresses:
            return self._dial_next(error)
        self._count(f"lost_{code_of(error).label}")
        return self._ended(at_home(error, self.config.handshake.realm))

    def _close_when_done(self, code: CloseCode) -> NoReply | Stop:
        if self._closing is None:
            self._closing = code
            send_after(self.config.drain_timeout, self.actor_ref, _DrainTimeout())
            if self.peer is not None:
                self._schedule(self._system.now())
        return self._close_if_done() or NoReply()

    def _close_if_done(self) -> NoReply | Stop | None:
        if self._closing is None or (self.peer is not None and (len(self._outgoing) or len(self._incoming))):
            return None
        if self._link is not None and self._link.unsent_bytes():
            return None  # the last answer; the next look at the connection closes it
        return self._close(ConnectionLostError("local", self._closing, "closed"), self._closing)

    def _close(self, error: MaculaError, code: CloseCode | None = None) -> Stop:
        code = code_of(error) if code is None else code
        self._count(f"closed_{code.label}")
        if self._link is not None:
            # what a stranger may be told: no name of a realm
            reason = error.detail if isinstance(error, ProtocolError | BadProofError) else ""
            self._link.close(code, reason[:100])
        return self._ended(error)

    def _ended(self, error: MaculaError) -> Stop:
        if self._link is not None:
            self._outgoing.fail_all(error)
        return Stop(Shutdown(error))
