"""BootstrapRegistry: services, topics and values, in the DHT.

Erlang: macula_bootstrap_registry (which stored at its own node only, through a process id that a restart made useless:
D-06).
"""

from typing_extensions import override

from macula_actors.actors.bootstrap.passing_on import pass_on
from macula_actors.config import BootstrapConfig
from macula_actors.core.kademlia.keys import key_of
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.messages.bootstrap import Get, Key, Named, Put
from macula_actors.messages.names import ROUTING_SERVER
from macula_actors.messages.routing_server import LookUpValue, StoreRecord
from supervisors import From, GenServer, NoReply, Refuse, UnexpectedRequestError

__all__ = ["BootstrapRegistry"]


class BootstrapRegistry(GenServer):
    """Names what is stored and looked up as the mesh does; RoutingServer does it, and answers."""

    @override
    def init(self, config: BootstrapConfig) -> None:
        self._config = config

    @override
    def handle_call(self, request: object, from_: From) -> NoReply | Refuse:
        match request:
            case Put(key, payload, ttl):
                return pass_on(ROUTING_SERVER, StoreRecord(self._key(key), payload, ttl), from_)
            case Get(key):
                return pass_on(ROUTING_SERVER, LookUpValue(self._key(key)), from_)
            case _:
                raise UnexpectedRequestError(request)

    def _key(self, key: Key) -> NodeId:
        if not isinstance(key, Named):
            return key
        return key_of(key.kind, key.name, realm=self._config.realm, security=self._config.security)
