import asyncio

import pytest

from macula_actors.core.rpc.selector import Strategy
from macula_actors.errors import CallTimeoutError, CrashedError, OverloadedError, QuorumError
from macula_actors.messages.names import ROUTING_SERVER, SERVICE_REGISTRY
from macula_actors.messages.service_registry import (
    advertise_local,
    choose,
    choose_now,
    discover,
    forget_node,
    get_handler,
    handler_now,
    local_services,
    report_failed,
    stats,
    withdraw,
)
from supervisors import Normal, cast, get_state, restart_child, resume, send, send_request, suspend, terminate_child
from tests.macula_actors.actors.routing.mesh import identity
from tests.macula_actors.actors.services.stand_ins import Dht, services
from tests.support import Worker, finish, kill


def numbers_of(providers):
    """Return the numbers of the nodes that ``providers`` are."""
    known = {identity(number).node_id: number for number in range(1, 10)}
    return [known[provider.node_id] for provider in providers]


def node_id(number):
    return identity(number).node_id


async def a_process(system):
    return await system.start(Worker, "handler", [])


# Own services


async def test_an_own_service_is_what_a_call_goes_to():
    async with services() as node:
        await advertise_local(node.registry, "p", print, {"a": 1})

        assert await get_handler(node.registry, "p") is print
        assert await choose(node.registry, "p") is print
        assert [(each.procedure, each.handler, each.metadata) for each in await local_services(node.registry)] == [
            ("p", print, {"a": 1})
        ]
        assert not node.dht.counts


async def test_an_own_service_is_still_there_after_a_day():
    async with services() as node:
        await advertise_local(node.registry, "p", print)
        await asyncio.sleep(86_400.0)

        assert await get_handler(node.registry, "p") is print


async def test_a_service_that_is_withdrawn_is_gone():
    async with services() as node:
        await advertise_local(node.registry, "p", print)

        assert await withdraw(node.registry, "p")
        assert not await withdraw(node.registry, "p")
        assert await get_handler(node.registry, "p") is None
        assert await choose(node.registry, "p") == ()


async def test_one_own_service_too_many_is_refused():
    async with services(max_local=1) as node:
        await advertise_local(node.registry, "p", print)

        with pytest.raises(OverloadedError):
            await advertise_local(node.registry, "q", print)
        await advertise_local(node.registry, "p", repr)
        assert await get_handler(node.registry, "p") is repr


async def test_a_name_that_is_none_is_refused_at_once():
    async with services() as node:
        with pytest.raises(ValueError, match="procedure name"):
            await advertise_local(node.registry, "a..b", print)
        with pytest.raises(ValueError, match="procedure name"):
            await discover(node.registry, "*")
        with pytest.raises(ValueError, match="procedure name"):
            await choose(node.registry, "")


async def test_a_process_that_handles_calls_takes_its_service_with_it():
    async with services() as node:
        handler = await a_process(node.system)
        await advertise_local(node.registry, "p", handler)
        await advertise_local(node.registry, "q", handler)
        await advertise_local(node.registry, "other", print)
        assert await choose(node.registry, "p") is handler
        await finish(handler, Normal())

        assert [each.procedure for each in await local_services(node.registry)] == ["other"]


async def test_the_end_of_a_process_that_handles_calls_no_more_means_nothing():
    async with services() as node:
        first, second = [await a_process(node.system) for _ in range(2)]
        await advertise_local(node.registry, "p", first)
        await advertise_local(node.registry, "p", second)
        await kill(first)
        assert await get_handler(node.registry, "p") is second
        await advertise_local(node.registry, "p", print)
        await kill(second)

        assert await get_handler(node.registry, "p") is print


async def test_a_process_that_ends_while_the_registry_is_down_takes_its_service_with_it_all_the_same():
    async with services() as node:
        handler = await a_process(node.system)
        await advertise_local(node.registry, "p", handler)
        await terminate_child(node.supervisor, SERVICE_REGISTRY)
        await kill(handler)
        await restart_child(node.supervisor, SERVICE_REGISTRY)

        assert await get_handler(node.registry, "p") is None


# Discovery


async def test_providers_are_looked_up_once_and_cached():
    async with services() as node:
        node.dht.provide("p", 2, 3)

        assert numbers_of(await discover(node.registry, "p")) == [2, 3]
        assert numbers_of(await discover(node.registry, "p")) == [2, 3]
        assert node.dht.counts == {"LookUpValue": 1}
        counts = await stats(node.registry)
        assert (counts.cached, counts.hits, counts.misses, counts.lookups, counts.waiting) == (1, 1, 1, 0, 0)


async def test_a_hundred_callers_share_one_lookup():
    async with services() as node:
        node.dht.provide("p", 2)
        found = await asyncio.gather(*(discover(node.registry, "p") for _ in range(100)))

        assert {tuple(numbers_of(each)) for each in found} == {(2,)}
        assert node.dht.counts == {"LookUpValue": 1}


async def test_different_procedures_are_looked_up_at_the_same_time():
    async with services(Dht(delay=1.0)) as node:
        await asyncio.gather(*(discover(node.registry, f"p{number}") for number in range(50)))

        assert asyncio.get_running_loop().time() < 1.1
        assert node.dht.counts == {"LookUpValue": 50}


@pytest.mark.parametrize(("age", "lookups"), [(59.0, 1), (60.0, 2)])
async def test_cached_providers_expire(age, lookups):
    async with services() as node:
        node.dht.provide("p", 2)
        await discover(node.registry, "p")
        await asyncio.sleep(age)
        await discover(node.registry, "p")

        assert node.dht.counts["LookUpValue"] == lookups


async def test_a_provider_whose_record_expires_is_not_returned():
    async with services() as node:
        node.dht.provide("p", 2, ttl=10)
        await discover(node.registry, "p")
        await asyncio.sleep(10.0)
        node.dht.provide("p", 3)

        assert numbers_of(await discover(node.registry, "p")) == [3]


@pytest.mark.parametrize("ask", [discover, choose])
async def test_who_asks_after_it_was_advertised_finds_it_though_others_have_just_asked_in_vain(ask):
    async with services() as node:
        assert await ask(node.registry, "p") == ()
        node.dht.provide("p", 2)

        assert numbers_of(await ask(node.registry, "p")) == [2]
        assert asyncio.get_running_loop().time() < 0.4  # two lookups, of 0.1 s each, and a rest


async def test_who_asks_while_a_lookup_is_in_vain_is_not_told_of_what_was_before():
    async with services() as node:
        first = asyncio.create_task(discover(node.registry, "p"))
        await asyncio.sleep(0.05)
        later = [asyncio.create_task(discover(node.registry, "p")) for _ in range(3)]
        await first
        node.dht.provide("p", 2)

        assert first.result() == ()
        assert [numbers_of(await each) for each in later] == [[2]] * 3
        assert node.dht.counts["LookUpValue"] == 2
        counts = await stats(node.registry)
        assert (counts.waiting, counts.lookups) == (0, 0)


async def test_who_asks_in_vain_again_and_again_is_slow_and_burdens_nobody():
    async def ask_on():
        while True:
            assert await discover(node.registry, "p") == ()

    async with services(Dht(delay=0.0)) as node:
        tasks = [asyncio.create_task(ask_on()) for _ in range(20)]
        await asyncio.sleep(5.0)

        assert not any(task.done() for task in tasks)
        assert 30 <= node.dht.counts["LookUpValue"] <= 51
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_lookup_that_two_routing_servers_crash_at_is_not_begun_anew():
    async with services() as node:
        node.dht.is_crashing = True

        with pytest.raises(CrashedError):
            await discover(node.registry, "p")
        assert node.dht.counts["LookUpValue"] == 2


async def test_a_refresh_asks_although_providers_are_cached():
    async with services() as node:
        node.dht.provide("p", 2)
        await discover(node.registry, "p")
        node.dht.provide("p", 3)

        assert numbers_of(await discover(node.registry, "p", refresh=True)) == [3]
        assert numbers_of(await discover(node.registry, "p")) == [3]


async def test_a_lookup_that_fails_is_told_to_all_who_wait_and_not_cached():
    async with services() as node:
        node.dht.provide("p", 2)
        node.dht.errors = [QuorumError(0, 1)]
        outcomes = await asyncio.gather(
            *(ask(node.registry, "p") for ask in (discover, choose) * 5), return_exceptions=True
        )

        assert {type(outcome) for outcome in outcomes} == {QuorumError}
        assert numbers_of(await discover(node.registry, "p")) == [2]


async def test_while_the_routing_server_is_being_restarted_it_is_asked_again():
    async with services() as node:
        node.dht.provide("p", 2)
        await terminate_child(node.supervisor, ROUTING_SERVER)
        waiting = asyncio.create_task(discover(node.registry, "p"))
        await asyncio.sleep(1.0)
        await restart_child(node.supervisor, ROUTING_SERVER)

        assert numbers_of(await waiting) == [2]
        assert asyncio.get_running_loop().time() < 1.2


async def test_a_lookup_whose_server_crashes_is_begun_anew():
    async with services() as node:
        node.dht.provide("p", 2)
        waiting = asyncio.create_task(discover(node.registry, "p"))
        await asyncio.sleep(0.05)
        await node.kill(ROUTING_SERVER)

        assert numbers_of(await waiting) == [2]
        assert node.dht.counts["LookUpValue"] == 2


@pytest.mark.parametrize("timeout", [1.0, 5.0, 60.0])
async def test_without_a_routing_server_nobody_waits_for_ever(timeout):
    async with services() as node:
        await terminate_child(node.supervisor, ROUTING_SERVER)

        with pytest.raises(CallTimeoutError):
            await discover(node.registry, "p", timeout=timeout)
        assert asyncio.get_running_loop().time() == pytest.approx(min(timeout, 5.0), abs=0.01)
        await asyncio.sleep(5.0)
        counts = await stats(node.registry)
        assert (counts.waiting, counts.lookups) == (0, 0)


async def test_who_comes_late_to_a_silent_lookup_has_its_own_time():
    async with services() as node:
        node.dht.provide("p", 2)
        node.dht.is_silent = True
        first = asyncio.create_task(discover(node.registry, "p", timeout=60.0))
        await asyncio.sleep(4.0)
        second = asyncio.create_task(discover(node.registry, "p", timeout=60.0))
        await asyncio.sleep(0.5)
        node.dht.is_silent = False

        with pytest.raises(CallTimeoutError):
            await first
        assert numbers_of(await second) == [2]


async def test_each_who_waits_for_a_silent_lookup_is_told_at_its_time():
    async with services() as node:
        node.dht.is_silent = True
        assert await asyncio.gather(*(told_at(node, start) for start in (0.0, 4.0, 8.0))) == [5.0, 9.0, 13.0]


async def told_at(node, start):
    await asyncio.sleep(start)
    with pytest.raises(CallTimeoutError):
        await discover(node.registry, "p", timeout=60.0)
    return round(asyncio.get_running_loop().time(), 3)


async def test_an_answer_and_the_end_of_the_patience_may_come_at_the_same_time():
    async with services(Dht(delay=4.5)) as node:
        node.dht.provide("p", 2)
        registry = node.system.whereis(SERVICE_REGISTRY)
        asking = [asyncio.create_task(discover(node.registry, "p", timeout=60.0)) for _ in range(3)]
        await asyncio.sleep(4.0)
        await suspend(node.registry)
        await asyncio.sleep(2.0)
        again = asyncio.create_task(discover(node.registry, "p", refresh=True))
        await resume(node.registry)

        assert [numbers_of(await each) for each in (*asking, again)] == [[2]] * 4
        assert registry.is_alive()
        assert (await get_state(node.registry))["_discoveries"]._places == 0


@pytest.mark.parametrize("pause", [0.02, 0.04, 0.06])
async def test_an_end_of_the_patience_while_the_routing_server_is_down_leaves_nothing(pause):
    async with services(discovery_timeout=pause) as node:
        await terminate_child(node.supervisor, ROUTING_SERVER)
        for _ in range(10):
            with pytest.raises(CallTimeoutError):
                await discover(node.registry, "p", timeout=60.0)
        await asyncio.sleep(1.0)

        assert (await stats(node.registry)).lookups == 0


# Who waits


async def test_one_waiter_too_many_is_refused():
    async with services(max_waiting=3) as node:
        node.dht.provide("p", 2)
        outcomes = await asyncio.gather(*(discover(node.registry, "p") for _ in range(5)), return_exceptions=True)

        assert [type(outcome) for outcome in outcomes] == [tuple, tuple, tuple, OverloadedError, OverloadedError]
        assert numbers_of(await discover(node.registry, "p")) == [2]


async def test_who_has_given_up_makes_room():
    async with services(max_waiting=3) as node:
        node.dht.is_silent = True
        tasks = [asyncio.create_task(discover(node.registry, "p")) for _ in range(3)]
        await asyncio.sleep(0.1)
        node.dht.is_silent = False
        node.dht.provide("q", 2)
        with pytest.raises(OverloadedError):
            await discover(node.registry, "q")
        tasks[1].cancel()
        await asyncio.sleep(0.0)

        assert numbers_of(await discover(node.registry, "q")) == [2]
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in outcomes] == [CallTimeoutError, asyncio.CancelledError, CallTimeoutError]


async def test_more_lookups_than_may_wait_are_refused_even_if_nobody_waits_for_them():
    async with services(max_waiting=3) as node:
        node.dht.is_silent = True
        for number in range(3):
            with pytest.raises(CallTimeoutError):
                await discover(node.registry, f"p{number}", timeout=0.01)
        with pytest.raises(OverloadedError):
            await discover(node.registry, "q")
        await asyncio.sleep(5.0)

        with pytest.raises(CallTimeoutError):
            await discover(node.registry, "q")


async def test_callers_that_were_cancelled_leave_nothing():
    async with services() as node:
        node.dht.provide("p", 2)
        tasks = [asyncio.create_task(discover(node.registry, "p")) for _ in range(100)]
        await asyncio.sleep(0.05)
        assert (await stats(node.registry)).waiting == 100
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (await stats(node.registry)).waiting == 0
        await asyncio.sleep(0.1)

        counts = await stats(node.registry)
        assert (counts.waiting, counts.lookups, counts.cached) == (0, 0, 1)
        assert (await get_state(node.registry))["_discoveries"]._places == 0


async def test_a_lookup_that_nobody_waits_for_is_not_begun_anew():
    async with services() as node:
        await terminate_child(node.supervisor, ROUTING_SERVER)
        with pytest.raises(CallTimeoutError):
            await discover(node.registry, "p", timeout=0.01)
        await asyncio.sleep(0.1)

        assert (await stats(node.registry)).lookups == 0


# Choosing


async def test_providers_are_chosen_in_the_order_of_the_strategy():
    async with services(strategy=Strategy.ROUND_ROBIN) as node:
        node.dht.provide("p", 2, 3, 4)
        chosen = [numbers_of(await choose(node.registry, "p")) for _ in range(4)]

        assert chosen == [[2, 3, 4], [3, 4, 2], [4, 2, 3], [2, 3, 4]]
        assert node.dht.counts == {"LookUpValue": 1}


async def test_the_node_itself_is_discovered_but_not_chosen():
    async with services(strategy=Strategy.FIRST) as node:
        node.dht.provide("p", 1, 2)

        assert numbers_of(await discover(node.registry, "p")) == [1, 2]
        assert numbers_of(await choose(node.registry, "p")) == [2]


async def test_a_provider_that_failed_is_dropped_from_the_cache():
    async with services() as node:
        node.dht.provide("p", 2, 3)
        await discover(node.registry, "p")
        report_failed(node.registry, "p", node_id(2))

        assert numbers_of(await discover(node.registry, "p")) == [3]
        report_failed(node.registry, "p", node_id(3))
        assert numbers_of(await discover(node.registry, "p")) == [2, 3]
        assert node.dht.counts["LookUpValue"] == 2


async def test_a_node_that_is_gone_is_dropped_from_all_of_the_cache():
    async with services() as node:
        for procedure in "pq":
            node.dht.provide(procedure, 2, 3)
            await discover(node.registry, procedure)
        forget_node(node.registry, node_id(2))

        assert [numbers_of(await discover(node.registry, each)) for each in "pq"] == [[3], [3]]


async def test_what_has_expired_is_swept_away():
    async with services(sweep_interval=30.0) as node:
        await discover(node.registry, "p")
        assert (await stats(node.registry)).cached == 1
        await asyncio.sleep(31.0)

        assert (await stats(node.registry)).cached == 0


# Crashes


# Without a message


async def test_what_the_registry_knows_can_be_had_without_asking_it():
    async with services(strategy=Strategy.FIRST) as node:
        node.dht.provide("p", 2, 3)
        await discover(node.registry, "p")
        await advertise_local(node.registry, "q", print)

        assert choose_now(node.registry, "p") == choose_now(node.registry, "p") == await choose(node.registry, "p")
        assert choose_now(node.registry, "q") is handler_now(node.registry, "q") is print
        assert (await stats(node.registry)).hits == 3


async def test_what_the_registry_does_not_know_it_has_to_be_asked():
    async with services() as node:
        assert choose_now(node.registry, "p") is None
        assert handler_now(node.registry, "p") is None
        await advertise_local(node.registry, "p", print)
        await terminate_child(node.supervisor, SERVICE_REGISTRY)
        assert choose_now(node.registry, "p") is None


async def test_round_robin_goes_on_from_one_way_of_choosing_to_the_other():
    async with services(strategy=Strategy.ROUND_ROBIN) as node:
        node.dht.provide("p", 2, 3, 4)
        chosen = [await choose(node.registry, "p"), choose_now(node.registry, "p"), await choose(node.registry, "p")]

        assert [numbers_of(each)[0] for each in chosen] == [2, 3, 4]


async def test_an_own_service_takes_the_place_of_providers_at_once():
    async with services() as node:
        node.dht.provide("p", 2)
        await choose(node.registry, "p")
        assert numbers_of(choose_now(node.registry, "p")) == [2]
        await advertise_local(node.registry, "p", print)
        assert choose_now(node.registry, "p") is print
        await withdraw(node.registry, "p")

        assert numbers_of(choose_now(node.registry, "p")) == [2]
        assert handler_now(node.registry, "p") is None


async def test_a_provider_that_failed_is_chosen_no_more_once_the_registry_has_heard_of_it():
    async with services() as node:
        node.dht.provide("p", 2, 3)
        await discover(node.registry, "p")
        choose_now(node.registry, "p")
        report_failed(node.registry, "p", node_id(2))
        await asyncio.sleep(0)

        assert numbers_of(choose_now(node.registry, "p")) == [3]


async def test_providers_that_have_expired_are_chosen_for_a_moment_at_most():
    async with services() as node:
        node.dht.provide("p", 2)
        await discover(node.registry, "p")
        await asyncio.sleep(59.95)
        assert numbers_of(choose_now(node.registry, "p")) == [2]
        await asyncio.sleep(0.15)

        assert choose_now(node.registry, "p") is None


async def test_a_registry_that_is_killed_still_has_handlers_and_providers():
    async with services() as node:
        node.dht.provide("q", 2)
        await advertise_local(node.registry, "p", print)
        await discover(node.registry, "q")
        await node.kill(SERVICE_REGISTRY)

        assert await get_handler(node.registry, "p") is print
        assert numbers_of(await discover(node.registry, "q")) == [2]
        assert node.dht.counts["LookUpValue"] == 1


async def test_a_process_that_ends_after_the_registry_was_killed_takes_its_service_with_it():
    async with services() as node:
        handler = await a_process(node.system)
        await advertise_local(node.registry, "p", handler)
        await node.kill(SERVICE_REGISTRY)
        assert await get_handler(node.registry, "p") is handler
        await kill(handler)

        assert await get_handler(node.registry, "p") is None


async def test_a_registry_that_is_killed_again_and_again_loses_no_caller():
    async with services() as node:
        node.dht.provide("p", 2)
        asking = [asyncio.create_task(ask_at(node, number)) for number in range(100)]
        for _ in range(20):
            await asyncio.sleep(0.09)
            await node.kill(SERVICE_REGISTRY)

        assert {tuple(numbers_of(each)) for each in await asyncio.gather(*asking)} == {(2,)}


async def ask_at(node, number):
    await asyncio.sleep(number * 0.02)
    return await discover(node.registry, "p", refresh=True)


@pytest.mark.parametrize("send", [cast, send, send_request])
async def test_a_message_that_is_none_ends_it(send):
    async with services() as node:
        ref = node.system.whereis(SERVICE_REGISTRY)
        send(ref, "nonsense")
        await ref.wait_exit()
