import asyncio

import pytest

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.record import MAX_PAYLOAD_BYTES
from macula_actors.errors import CallTimeoutError, LocalProtocolError, OverloadedError, QuorumError
from macula_actors.messages.advertisement import active, advertise, changed, unadvertise
from macula_actors.messages.names import ADVERTISEMENT_MANAGER, PEER_CONNECTOR, ROUTING_SERVER, SERVICE_REGISTRY
from macula_actors.messages.peer import GatewaysChanged
from macula_actors.messages.service_registry import advertise_local, choose, get_handler, withdraw
from supervisors import cast, restart_child, send, send_request, terminate_child
from tests.macula_actors.actors.services.stand_ins import ENDPOINT, Dht, a_gateway, services
from tests.support import Worker, kill


async def names(node):
    return sorted(each.procedure for each in await active(node.manager))


def gateways_of(stored):
    """Return the hosts of the gateways that each stored payload names."""
    return [[Endpoint.parse(url).host for _, url in payload.get(b"gateways", ())] for payload, *_ in stored]


# Advertising


async def test_an_advertised_service_is_registered_here_and_stored_elsewhere_but_not_on_disk():
    async with services() as node:
        await advertise(node.manager, "p", print, ttl=100, metadata={"a": 1})

        assert await get_handler(node.registry, "p") is print
        [(payload, ttl, durable)] = node.dht.stored("p")
        assert (payload[b"endpoint"], payload[b"metadata"]) == (ENDPOINT.url.encode(), {b"a": 1})
        assert (ttl, durable) == (100, False)
        assert await names(node) == ["p"]


async def test_advertising_is_done_when_the_store_is():
    async with services(Dht(delay=2.0)) as node:
        await advertise(node.manager, "p", print)

        assert asyncio.get_running_loop().time() == pytest.approx(2.0, abs=0.01)
        [entry] = await active(node.manager)
        assert entry.is_stored


async def test_a_service_is_advertised_on_and_on_without_being_stored_by_the_manager_again():
    async with services() as node:
        await advertise(node.manager, "p", print)
        await asyncio.sleep(86_400.0)

        assert len(node.dht.stored("p")) == 1
        assert await choose(node.registry, "p") is print


async def test_advertising_again_replaces_the_handler_and_what_others_are_told():
    async with services() as node:
        await advertise(node.manager, "p", print)
        await advertise(node.manager, "p", repr, ttl=7)

        assert await get_handler(node.registry, "p") is repr
        assert [ttl for _, ttl, _ in node.dht.stored("p")] == [300, 7]
        assert await names(node) == ["p"]


@pytest.mark.parametrize(
    "how",
    [
        {"ttl": 0},
        {"ttl": 100_000},
        {"ttl": 300.0},
        {"ttl": "5"},
        {"metadata": {"a": b"x" * MAX_PAYLOAD_BYTES}},
        {"metadata": {1: 2}},
    ],
)
async def test_what_no_record_can_be_made_of_is_refused_and_leaves_nothing(how):
    async with services() as node:
        with pytest.raises(LocalProtocolError):
            await advertise(node.manager, "p", print, **how)

        assert await names(node) == []
        assert await get_handler(node.registry, "p") is None


@pytest.mark.parametrize(
    ("procedure", "handler", "how", "message"),
    [
        ("a.*", print, {}, "procedure name"),
        (None, print, {}, "procedure name is a NoneType; allowed is a text"),
        ("p", None, {}, "handler is None; allowed is a function"),
        ("p", 5, {}, "handler is 5"),
        ("p", print, {"metadata": ["a"]}, r"metadata is \['a'\]; allowed is a map"),
    ],
)
async def test_what_can_be_no_service_is_refused_at_once(procedure, handler, how, message):
    async with services() as node:
        with pytest.raises(ValueError, match=message):
            await advertise(node.manager, procedure, handler, **how)

        assert await names(node) == []


async def test_what_was_advertised_anew_is_not_withdrawn_with_what_was_before():
    async with services() as node:
        first = await advertise(node.manager, "p", print)
        second = await advertise(node.manager, "p", repr)

        assert not await unadvertise(node.manager, "p", first)
        assert await get_handler(node.registry, "p") is repr
        await node.kill(ADVERTISEMENT_MANAGER)
        assert not await unadvertise(node.manager, "p", first)
        assert await unadvertise(node.manager, "p", second)
        assert await get_handler(node.registry, "p") is None


async def test_one_advertisement_too_many_is_refused_but_not_one_that_is_there():
    async with services(max_local=1) as node:
        await advertise(node.manager, "p", print)

        with pytest.raises(OverloadedError):
            await advertise(node.manager, "q", print)
        await advertise(node.manager, "p", repr)


async def test_a_registry_that_has_no_room_refuses_and_nothing_is_left():
    async with services(max_local=2) as node:
        await advertise(node.manager, "p", print)
        await advertise(node.manager, "q", print)
        await unadvertise(node.manager, "q")
        await advertise_local(node.registry, "other", print)

        with pytest.raises(OverloadedError):
            await advertise(node.manager, "r", print)
        await asyncio.sleep(5.0)
        assert await names(node) == ["p"]
        assert node.dht.stored("r") == []


async def test_too_many_at_once_are_refused():
    async with services(max_waiting=3) as node:
        outcomes = await asyncio.gather(
            *(advertise(node.manager, f"p{number}", print) for number in range(5)), return_exceptions=True
        )

        assert [type(outcome) for outcome in outcomes].count(OverloadedError) == 2


@pytest.mark.parametrize("error", [QuorumError(0, 1), CallTimeoutError("x", 1.0)])
async def test_a_store_that_nobody_took_is_the_routing_servers_to_repeat(error):
    async with services() as node:
        node.dht.errors = [error]
        await advertise(node.manager, "p", print)
        await asyncio.sleep(600.0)

        assert node.dht.counts["StoreRecord"] == 1
        assert await get_handler(node.registry, "p") is print


async def test_a_store_for_which_there_was_no_room_is_tried_again():
    async with services() as node:
        node.dht.errors = [OverloadedError("lookups", 1)] * 3
        await advertise(node.manager, "p", print)
        assert node.dht.stored("p") == []
        await asyncio.sleep(4.0)

        assert len(node.dht.stored("p")) == 1


async def test_who_advertises_does_not_wait_for_a_silent_dht_for_ever():
    async with services(Dht(delay=60.0)) as node:
        await advertise(node.manager, "p", print)

        assert asyncio.get_running_loop().time() == pytest.approx(5.0, abs=0.01)
        assert await unadvertise(node.manager, "p")
        assert asyncio.get_running_loop().time() == pytest.approx(10.0, abs=0.01)


async def test_without_a_routing_server_a_service_is_there_at_once_and_stored_later():
    async with services() as node:
        await terminate_child(node.supervisor, ROUTING_SERVER)
        await advertise(node.manager, "p", print)
        assert await choose(node.registry, "p") is print
        await restart_child(node.supervisor, ROUTING_SERVER)
        await asyncio.sleep(2.0)

        assert len(node.dht.stored("p")) == 1


async def test_while_the_registry_is_being_restarted_who_advertises_waits():
    async with services() as node:
        await terminate_child(node.supervisor, SERVICE_REGISTRY)
        task = asyncio.create_task(advertise(node.manager, "p", print))
        await asyncio.sleep(1.0)
        assert not task.done()
        await restart_child(node.supervisor, SERVICE_REGISTRY)
        await task

        assert await get_handler(node.registry, "p") is print


# Unadvertising


async def test_a_service_that_is_not_advertised_any_more_is_gone_here_and_elsewhere():
    async with services() as node:
        await advertise(node.manager, "p", print)

        assert await unadvertise(node.manager, "p")
        assert await get_handler(node.registry, "p") is None
        assert node.dht.stored("p")[-1] is None
        assert await names(node) == []
        assert not await unadvertise(node.manager, "p")


async def test_it_is_deleted_later_if_the_routing_server_is_not_there():
    async with services() as node:
        await advertise(node.manager, "p", print)
        await terminate_child(node.supervisor, ROUTING_SERVER)
        assert await unadvertise(node.manager, "p")
        await node.kill(ADVERTISEMENT_MANAGER)
        await restart_child(node.supervisor, ROUTING_SERVER)
        await asyncio.sleep(2.0)

        assert node.dht.stored("p")[-1] is None
        assert len(node.dht.stored("p")) == 2


async def test_it_is_withdrawn_later_if_the_registry_is_not_there():
    async with services() as node:
        await advertise(node.manager, "p", print)
        await terminate_child(node.supervisor, SERVICE_REGISTRY)
        task = asyncio.create_task(unadvertise(node.manager, "p"))
        await asyncio.sleep(0.5)
        task.cancel()
        await restart_child(node.supervisor, SERVICE_REGISTRY)
        await asyncio.sleep(2.0)

        assert await get_handler(node.registry, "p") is None
        assert node.dht.stored("p")[-1] is None


async def test_of_advertising_and_unadvertising_at_the_same_time_the_last_one_counts():
    async with services() as node:
        await asyncio.gather(*(do for number in range(10) for do in (an(node, number), un(node, number))))
        await asyncio.gather(*(do for number in range(10) for do in (un(node, number), an(node, number))))
        await asyncio.sleep(5.0)

        assert await names(node) == [f"p{number}" for number in range(10)]
        assert [node.dht.stored(f"p{number}")[-1] is None for number in range(10)] == [False] * 10
        await asyncio.gather(*(do for number in range(10) for do in (an(node, number), un(node, number))))
        await asyncio.sleep(5.0)
        assert await names(node) == []
        assert [node.dht.stored(f"p{number}")[-1] is None for number in range(10)] == [True] * 10


async def an(node, number):
    await advertise(node.manager, f"p{number}", print)


async def un(node, number):
    await unadvertise(node.manager, f"p{number}")


# What changes


async def test_the_record_names_the_gateways_and_is_stored_again_when_they_change():
    async with services() as node:
        node.dht.gateways = (a_gateway(1),)
        changed(node.manager)
        await asyncio.sleep(0.1)
        await advertise(node.manager, "p", print)
        node.dht.gateways = (a_gateway(2), a_gateway(3))
        cast(node.manager, GatewaysChanged())
        await asyncio.sleep(1.0)

        assert gateways_of(node.dht.stored("p")) == [["10.1.0.1"], ["10.1.0.2", "10.1.0.3"]]


async def test_a_change_that_nobody_told_of_is_found_by_the_sweep():
    async with services(sweep_interval=60.0) as node:
        await advertise(node.manager, "p", print)
        node.dht.gateways = (a_gateway(1),)
        await asyncio.sleep(61.0)

        assert gateways_of(node.dht.stored("p")) == [[], ["10.1.0.1"]]


async def test_another_order_of_gateways_is_no_change():
    async with services() as node:
        node.dht.gateways = (a_gateway(1), a_gateway(2))
        await advertise(node.manager, "p", print)
        await asyncio.sleep(100.0)
        node.dht.gateways = (a_gateway(2), a_gateway(1))
        await asyncio.sleep(100.0)

        assert len(node.dht.stored("p")) <= 2
        assert gateways_of(node.dht.stored("p"))[-1] == ["10.1.0.1", "10.1.0.2"]


async def test_a_connector_that_is_not_there_does_not_change_what_is_advertised():
    async with services() as node:
        node.dht.gateways = (a_gateway(1),)
        changed(node.manager)
        await asyncio.sleep(0.1)
        await advertise(node.manager, "p", print)
        await terminate_child(node.supervisor, PEER_CONNECTOR)
        await node.kill(ADVERTISEMENT_MANAGER)
        await asyncio.sleep(100.0)

        assert gateways_of(node.dht.stored("p")) == [["10.1.0.1"]]


async def test_a_change_of_many_is_stored_few_at_a_time():
    async with services(Dht(delay=1.0)) as node:
        await asyncio.gather(*(advertise(node.manager, f"p{number}", print) for number in range(20)))
        node.dht.gateways = (a_gateway(1),)
        node.dht.counts.clear()
        changed(node.manager)
        await asyncio.sleep(0.5)
        assert node.dht.counts["StoreRecord"] == 8
        await asyncio.sleep(3.0)

        assert {len(node.dht.stored(f"p{number}")) for number in range(20)} == {2}


async def test_changes_in_quick_succession_all_arrive():
    async with services() as node:
        await advertise(node.manager, "p", print)
        for number in range(1, 5):
            node.dht.gateways = (a_gateway(number),)
            for _ in range(3):
                changed(node.manager)
            await asyncio.sleep(0.03)
        await asyncio.sleep(1.0)

        assert gateways_of(node.dht.stored("p"))[-1] == ["10.1.0.4"]


async def test_the_end_of_a_process_that_handles_calls_withdraws_its_service_everywhere():
    async with services() as node:
        handler = await node.system.start(Worker, "handler", [])
        await advertise(node.manager, "p", handler)
        assert await choose(node.registry, "p") is handler
        await kill(handler)
        await asyncio.sleep(0.5)

        assert node.dht.stored("p")[-1] is None
        assert await names(node) == []


async def test_a_service_that_ends_while_the_manager_is_comparing_is_found_at_once():
    async with services(sweep_interval=3600.0) as node:
        handler = await node.system.start(Worker, "handler", [])
        await advertise(node.manager, "p", handler)
        node.dht.connector_delay = 1.0
        changed(node.manager)
        await asyncio.sleep(0.5)
        await kill(handler)
        await asyncio.sleep(3.0)

        assert node.dht.stored("p")[-1] is None


async def test_what_is_advertised_while_the_manager_is_comparing_stays():
    async with services() as node:
        await asyncio.sleep(1.0)
        changed(node.manager)
        await advertise(node.manager, "p", print)
        await asyncio.sleep(10.0)

        assert await names(node) == ["p"]
        assert await get_handler(node.registry, "p") is print


async def test_a_service_that_the_registry_was_told_to_withdraw_is_found_by_the_sweep():
    async with services(sweep_interval=60.0) as node:
        await advertise(node.manager, "p", print)
        await withdraw(node.registry, "p")
        await asyncio.sleep(61.0)

        assert node.dht.stored("p")[-1] is None


# Crashes


async def test_a_manager_that_is_killed_still_knows_what_is_advertised_and_stores_nothing_twice():
    async with services() as node:
        await advertise(node.manager, "p", print)
        await node.kill(ADVERTISEMENT_MANAGER)
        await asyncio.sleep(100.0)

        assert await names(node) == ["p"]
        assert await get_handler(node.registry, "p") is print
        assert len(node.dht.stored("p")) == 1
        assert await unadvertise(node.manager, "p")


async def test_a_store_under_way_when_the_manager_is_killed_is_repeated():
    async with services(Dht(delay=1.0)) as node:
        task = asyncio.create_task(advertise(node.manager, "p", print))
        await asyncio.sleep(0.5)
        await node.kill(ADVERTISEMENT_MANAGER)
        await task

        [entry] = await active(node.manager)
        assert entry.is_stored


@pytest.mark.parametrize("victim", [ADVERTISEMENT_MANAGER, SERVICE_REGISTRY, ROUTING_SERVER])
async def test_whoever_is_killed_again_and_again_no_advertisement_is_lost(victim):
    async with services(Dht(delay=0.05)) as node:
        tasks = [asyncio.create_task(a_little_later(node, number)) for number in range(100)]
        for _ in range(20):
            await asyncio.sleep(0.11)
            await node.kill(victim)
        await asyncio.gather(*tasks)
        await asyncio.sleep(10.0)

        expected = sorted(f"p{number}" for number in range(100) if number % 3)
        assert await names(node) == expected
        assert [await get_handler(node.registry, procedure) for procedure in expected] == [print] * len(expected)
        assert await get_handler(node.registry, "p0") is None
        assert {node.dht.stored(procedure)[-1] is None for procedure in expected} == {False}
        assert node.dht.stored("p0")[-1] is None


async def a_little_later(node, number):
    """Advertise a service; every third is unadvertised again."""
    await asyncio.sleep(number * 0.02)
    await advertise(node.manager, f"p{number}", print)
    for _ in range(number % 3 == 0):
        await unadvertise(node.manager, f"p{number}")


@pytest.mark.parametrize("send", [cast, send, send_request])
async def test_a_message_that_is_none_ends_it(send):
    async with services() as node:
        ref = node.system.whereis(ADVERTISEMENT_MANAGER)
        send(ref, "nonsense")
        await ref.wait_exit()
