"""Lets clients in. Erlang: macula_gateway_quic_server, which closed no listener (D-32) and carried all messages (D-16).

The socket is the endpoint's, which this node needs to dial as well; what is asked of it here is to accept.
"""

from typing_extensions import override

from macula_actors.actors.gateway.follower import Follower
from macula_actors.messages.gateway import IsReady
from macula_actors.messages.names import ENDPOINT
from macula_actors.messages.peer import SetAccepting
from supervisors import From, GenServer, Reply, UnexpectedRequestError

__all__ = ["GatewayQuicServer"]


class GatewayQuicServer(GenServer):
    """While it lives, the endpoint lets connections in; those that it let in outlive it."""

    @override
    def init(self) -> None:
        self._endpoint = Follower(ENDPOINT, lambda: [SetAccepting(self.actor_ref, is_accepting=True)])

    @override
    def handle_call(self, request: object, from_: From) -> Reply:
        match request:
            case IsReady():
                return Reply(self._endpoint.is_done)
            case _:
                raise UnexpectedRequestError(request)

    @override
    def handle_info(self, info: object) -> None:
        if not self._endpoint.takes(info):
            raise UnexpectedRequestError(info)
