"""Who owns the node's UDP socket. Erlang: macula_gateway_quic_server, macula_quic; there a connection a message (D-21).

The socket is closed when this process ends, and all connections with it; the next one opens the same port.
"""

from collections.abc import Generator
from contextlib import contextmanager
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from loguru import logger
from typing_extensions import override

from macula_actors.actors.peer.connection import PeerConnection, TakeOver
from macula_actors.config import MeshConfig
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.peer.close_codes import CloseCode
from macula_actors.core.peer.denied import Denied
from macula_actors.core.peer.handshake import Security
from macula_actors.errors import ConfigError, ConnectionLostError
from macula_actors.messages.names import PEERS_SUP, TABLES
from macula_actors.messages.peer import Dial, GetAddress, SetAccepting, SetDenied
from macula_actors.transport.certificate import fingerprint, self_signed, to_der
from macula_actors.transport.connection import Connection
from macula_actors.transport.endpoint import QuicEndpoint
from macula_actors.transport.engines import engine
from macula_actors.transport.interface import QuicSettings
from supervisors import (
    Down,
    From,
    GenServer,
    MonitorRef,
    NoReply,
    Ref,
    Refuse,
    Reply,
    RequestId,
    Response,
    Restart,
    SupervisorsError,
    System,
    TableOwner,
    UnexpectedRequestError,
    demonitor,
    monitor,
    open_port,
    send_request,
)
from supervisors.requests import StartChild

__all__ = ["EndpointServer", "bound_as_told"]

TABLE: Final = "endpoint"  # the address that was given out, and what is denied, if that was said later


@contextmanager
def bound_as_told(listen: Endpoint) -> Generator[None]:
    """Have an ``OSError`` of what binds a socket at ``listen`` be a `ConfigError` that says what to do."""
    try:
        yield
    except OSError as error:
        advice = "name an address of this machine with a port that is free, or port 0 to have one chosen"
        why = f"no UDP socket can be bound there ({error.strerror or error}); {advice}"
        raise ConfigError("listen", listen, why) from error


class EndpointServer(GenServer):
    """Owns a `QuicEndpoint`; hands each accepted connection to a process of its own."""

    @override
    async def init(self, config: MeshConfig) -> None:
        self.config = config
        identity = config.peer.handshake.identity
        credentials = self_signed(identity)
        self._fingerprint = fingerprint(to_der(credentials.certificate))
        if config.peer.handshake.security is Security.OPEN:
            logger.warning("security is open: nobody proves who they are; meant for v0.8 peers on a trusted network")
        self._accepting: dict[RequestId, Connection] = {}
        self._table = await TableOwner.claim(TABLES, TABLE, max_entries=2)
        network = config.network()
        with bound_as_told(config.listen):
            addresses = await network.resolve(config.listen.host, config.listen.port)
            host, port = self._table.get("address") or addresses[0]
            self.quic = open_port(
                QuicEndpoint(
                    network,
                    engine(config.engine, credentials, QuicSettings(idle_timeout=config.idle_timeout)),
                    (host, port),
                    accept=self._accept,
                    is_denied=Denied(self.denied),
                    limits=config.admission,
                    socket_lost=self.actor_ref.send,
                    turn=System.current().turn,
                )
            )
        self.quic.is_accepting = config.accept_peers
        self._holders: dict[Ref, MonitorRef] = {}
        self._table["address"] = (host, self.quic.address[1])
        logger.bind(node=str(identity.node_id)).info("listening at {}", self._address())

    @override
    def handle_call(self, request: object, from_: From) -> Reply | Refuse:
        match request:
            case Dial(address, owner):
                try:
                    return Reply(self.quic.dial(address, owner))
                except ConnectionLostError as error:
                    return Refuse(error)
            case SetAccepting(holder, is_accepting):
                self._hold(holder, is_accepting=is_accepting)
                return Reply(None)
            case GetAddress():
                return Reply(self._address())
            case SetDenied(networks):
                self._table["denied"] = networks
                return Reply(self.quic.deny(Denied(networks)))
            case _:
                raise UnexpectedRequestError(request)

    @override
    def handle_info(self, info: object) -> NoReply | None:
        match info:
            case Connection() as link:
                start = TakeOver(link, self._fingerprint)
                spec = PeerConnection.child_spec(start, self.config, restart=Restart.TEMPORARY)
                self._accepting[send_request(PEERS_SUP, StartChild(spec))] = link
            case Response(request):
                self._started(request, self._accepting.pop(request))
            case Down(_, Ref() as holder, _):
                self._hold(holder, is_accepting=False)
            case OSError():
                raise info  # the socket is lost: the next process opens one
            case _:
                raise UnexpectedRequestError(info)
        return None

    @property
    def denied(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The networks that are neither dialled nor let in."""
        networks: tuple[IPv4Network | IPv6Network, ...] = self._table.get("denied", self.config.deny)
        return networks

    def statistics(self) -> dict[str, int]:
        """Return what came to the socket, and what became of it, by name; see `QuicEndpoint.counters`."""
        return dict(self.quic.counters)

    def _hold(self, holder: Ref, *, is_accepting: bool) -> None:
        monitored = self._holders.pop(holder, None)
        if monitored is not None:
            demonitor(monitored, flush=True)
        if is_accepting:
            self._holders[holder] = monitor(holder)
        self.quic.is_accepting = self.config.accept_peers or bool(self._holders)

    def _accept(self, link: Connection) -> None:
        self.actor_ref.send(link)

    def _started(self, request: RequestId, link: Connection) -> None:
        try:
            request.result()
        except SupervisorsError as error:
            self.quic.counters["no_process"] += 1
            link.close(CloseCode.OVERLOADED, str(error)[:100])

    def _address(self) -> Endpoint:
        host, port = self.quic.address
        return Endpoint(host, port)
