"""Whole nodes over a simulated network, each with a Membership."""

from contextlib import asynccontextmanager
from itertools import combinations

from typing_extensions import override

from macula_actors.actors.membership.server import Membership
from macula_actors.config import MembershipConfig
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.peer.identity import Identity
from macula_actors.core.wire.messages import Call
from macula_actors.messages import membership
from macula_actors.messages.membership import ROUTES, SWIM_CAPABILITY
from macula_actors.messages.names import MEMBERSHIP, ROUTING_SERVER, SERVICE_REGISTRY
from macula_actors.messages.peer import peers
from supervisors import GenServer, Kill, Reply, Supervisor, SupFlags, exit_signal
from tests.macula_actors.peers import PORT, echo, simulated


class Recorder(GenServer):
    """Remembers what it is told; answers that to any call."""

    def init(self):
        self.casts = []

    @override
    def handle_cast(self, request):
        self.casts.append(request)

    @override
    def handle_call(self, request, from_):
        return Reply(tuple(self.casts))


class Only(Supervisor):
    """Supervises one process."""

    @override
    def init(self, spec):
        return SupFlags(), [spec]


def identity(number):
    return Identity.from_seed(bytes([number]) * 32)


class Swimmer:
    """A node with a Membership, and recorders in place of ServiceRegistry and RoutingServer."""

    def __init__(self, name, node, config):
        self.name = name
        self.node = node
        self.node_id = node.identity.node_id
        self.config = config
        self.server = (MEMBERSHIP, node.system)

    async def start(self):
        for name in (SERVICE_REGISTRY, ROUTING_SERVER):
            await self.node.system.start(Recorder, name=name)
        spec = Membership.child_spec(self.config, id=MEMBERSHIP, name=MEMBERSHIP)
        await self.node.system.start(Only, spec)

    async def stop(self):
        await self.node.stop()

    def kill(self, name=MEMBERSHIP):
        exit_signal(self.node.system.whereis(name), Kill())

    async def members(self):
        return {member.node_id: member for member in await membership.members(self.server)}

    async def statuses(self, *others):
        """Return what it thinks of ``others``; None: it does not know it."""
        found = await self.members()
        return [found[other.node_id].status if other.node_id in found else None for other in others]

    async def stats(self):
        return await membership.stats(self.server)

    async def told(self, name):
        return await self.node.process(name).call("casts")

    async def peers(self):
        return await peers(self.node.connector)


class Group:
    def __init__(self, mesh):
        self.mesh = mesh
        self.swimmers = []

    async def swimmer(self, number=None, *, config=None):
        """Start a node, that is connected to none."""
        number = number or len(self.swimmers) + 1
        name, own = f"node{number}", identity(number)
        node = await self.mesh.node(
            name,
            answers={Call: echo},
            identity=own,
            capabilities=(SWIM_CAPABILITY,),
            endpoint=Endpoint(self.mesh._host(name).ipv4, PORT),
            mesh={"watchers": (MEMBERSHIP,)},
            peer={"routes": {Call: "answering", **ROUTES}},
        )
        made = Swimmer(name, node, MembershipConfig(identity=own, **(config or {})))
        self.swimmers.append(made)
        await made.start()
        return made

    async def group(self, count, **how):
        """Start nodes that are all connected to each other."""
        made = [await self.swimmer(**how) for _ in range(count)]
        await connect(*made)
        return made

    def cut(self, one, *others):
        for other in others:
            self.mesh.network.cut(one.name, other.name)

    def heal(self, one, *others):
        for other in others:
            self.mesh.network.heal(one.name, other.name)


async def connect(*swimmers):
    for one, other in combinations(swimmers, 2):
        await one.node.call(other.node)


@asynccontextmanager
async def swimming(**network):
    async with simulated(**network) as mesh:
        yield Group(mesh)
