"""Looks a name up, so that no other process waits for that."""

from typing_extensions import override

from macula_actors.core.endpoint import Endpoint
from macula_actors.messages.peer import Resolved
from macula_actors.transport.interface import Network
from supervisors import Continue, GenServer, Normal, Ref, Stop

__all__ = ["Resolver"]


class Resolver(GenServer):
    """Sends ``asker`` a `Resolved` and ends. Start it linked: it ends with who asked."""

    @override
    def init(self, network: Network, endpoint: Endpoint, asker: Ref) -> Continue:
        self.network = network
        self.endpoint = endpoint
        self.asker = asker
        return Continue(None)

    @override
    async def handle_continue(self, term: object) -> Stop:
        try:
            addresses = await self.network.resolve(self.endpoint.host, self.endpoint.port)
        except (OSError, RuntimeError) as error:  # the latter: the main thread has ended, and no other begins any more
            self.asker.send(Resolved((), str(error)))
        else:
            self.asker.send(Resolved(tuple(addresses), "" if addresses else "the name has no address"))
        return Stop(Normal())
