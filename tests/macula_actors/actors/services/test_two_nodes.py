"""Services of two nodes over QUIC in a simulated network, with the real RoutingServer."""

import asyncio
from contextlib import asynccontextmanager

from macula_actors.actors.services.advertisements import AdvertisementManager
from macula_actors.actors.services.registry import ServiceRegistry
from macula_actors.config import ServiceConfig
from macula_actors.messages.advertisement import advertise, unadvertise
from macula_actors.messages.names import ADVERTISEMENT_MANAGER, ROUTING_SERVER, SERVICE_REGISTRY
from macula_actors.messages.service_registry import choose, discover, local_services
from tests.macula_actors.actors.routing.mesh import until, wall_clock_ms
from tests.macula_actors.actors.routing.quic import quic_dht
from tests.macula_actors.actors.services.stand_ins import REALM
from tests.support import kill, supervise


class Services:
    def __init__(self, node):
        self.node = node
        self.system = node.system
        self.registry = (SERVICE_REGISTRY, node.system)
        self.manager = (ADVERTISEMENT_MANAGER, node.system)

    async def start(self):
        config = ServiceConfig(
            identity=self.node.config.identity,
            realm=REALM,
            endpoint=self.node.endpoint,
            wall_clock_ms=wall_clock_ms,
        )
        children = [
            ServiceRegistry.child_spec(config, name=SERVICE_REGISTRY),
            AdvertisementManager.child_spec(config, name=ADVERTISEMENT_MANAGER),
        ]
        await supervise(self.system, children)

    async def finds(self, procedure, *others):
        found = await discover(self.registry, procedure, refresh=True)
        return {each.contact for each in found} == {other.node.contact for other in others}


@asynccontextmanager
async def nodes(count=2):
    async with quic_dht() as dht:
        made = [Services(node) for node in await dht.network(count)]
        for each in made:
            each.system._bind()
            await each.start()
        yield made


async def test_what_one_node_advertises_the_other_finds_where_it_is():
    async with nodes() as (one, other):
        await advertise(one.manager, "p", print, metadata={"a": 1})
        [provider] = await discover(other.registry, "p")

        assert provider.contact == one.node.contact
        assert provider.metadata == {"a": 1}
        assert await choose(other.registry, "p") == (provider,)
        assert await choose(one.registry, "p") is print


async def test_both_nodes_may_provide_the_same():
    async with nodes() as (one, other):
        await advertise(one.manager, "p", print)
        await advertise(other.manager, "p", print)

        assert await one.finds("p", one, other)
        assert await other.finds("p", one, other)


async def test_what_is_not_advertised_any_more_is_not_found():
    async with nodes() as (one, other):
        await advertise(one.manager, "p", print)
        assert await other.finds("p", one)
        await unadvertise(one.manager, "p")

        assert await other.finds("p")


async def test_a_service_is_found_for_as_long_as_it_is_there():
    async with nodes(3) as (_, one, other):
        await advertise(one.manager, "p", print, ttl=60)
        for _ in range(10):
            await asyncio.sleep(60.0)
            assert await other.finds("p", one)
        await one.node.stop()
        await asyncio.sleep(61.0)

        assert await other.finds("p")


async def test_whichever_server_is_killed_while_services_come_and_go_all_are_found_in_the_end():
    async with nodes() as (one, other):
        tasks = [asyncio.create_task(come_and_go(one, number)) for number in range(30)]
        for name in (ADVERTISEMENT_MANAGER, SERVICE_REGISTRY, ROUTING_SERVER) * 3:
            await asyncio.sleep(0.1)
            await kill(one.system.whereis(name))
        await asyncio.gather(*tasks)

        left = {each.procedure for each in await local_services(one.registry)}
        assert left == {f"p{number}" for number in range(30) if number % 3}
        for number in range(30):
            expected = (one,) * bool(number % 3)
            await until(lambda number=number, expected=expected: other.finds(f"p{number}", *expected))


async def come_and_go(node, number):
    await asyncio.sleep(number * 0.03)
    await advertise(node.manager, f"p{number}", print)
    for _ in range(number % 3 == 0):
        await unadvertise(node.manager, f"p{number}")
