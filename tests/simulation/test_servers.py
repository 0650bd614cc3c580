"""The real RoutingServer, in each of many Systems, at message level: what `DhtNode` stands for in larger networks."""

import asyncio

import pytest

from tests.simulation.meshes import keys_of, state
from tests.simulation.servers import servers

MINUTE = 60.0  # seconds
SETTLING = 30.0  # seconds, for the lookups of those who joined last
SIZES = [24, pytest.param(200, marks=pytest.mark.long)]


@pytest.mark.parametrize("size", SIZES)
async def test_servers_that_join_at_once_store_and_find_and_still_do_when_half_have_stopped(size):
    keys = keys_of(50)
    async with servers(size) as made:
        await asyncio.sleep(SETTLING)
        copies = await made.store(keys)
        whole, took = await made.found(keys * 2)
        await made.remove(made.sample(size // 2))
        half, took_half = await made.found(keys * 2)

        state(f"{size} servers: {whole:.1%} found, p50 {took[len(took) // 2]:.3f} s; half stopped: {half:.1%}")
        state(f"p50 {took_half[len(took_half) // 2]:.3f} s, p99 {took_half[int(len(took_half) * 0.99)]:.3f} s")
        assert min(copies) >= 20
        assert whole == 1.0
        assert half >= 0.99
        assert took_half[len(took_half) // 2] <= 0.2
        assert took_half[int(len(took_half) * 0.99)] <= 3.0


@pytest.mark.parametrize(("size", "minutes"), [(24, 2), pytest.param(200, 15, marks=pytest.mark.long)])
async def test_servers_find_records_while_a_tenth_of_them_is_replaced_each_minute(size, minutes):
    keys = keys_of(20)
    async with servers(size) as made:
        await asyncio.sleep(SETTLING)
        for key in keys:
            await made.nodes[0].store(key)
        churning = asyncio.create_task(made.churn(0.1, minutes))
        parts = []
        for _ in range(int(minutes * MINUTE / 5)):
            await asyncio.sleep(5.0)
            parts.append((await made.found(keys[:5]))[0])

        state(f"{size} servers, {await churning} replaced in {minutes} minutes: {sum(parts) / len(parts):.2%} found")
        assert sum(parts) / len(parts) >= 0.995


@pytest.mark.parametrize("size", SIZES)
async def test_servers_find_all_records_again_after_a_partition_of_ten_minutes_has_healed(size):
    keys = keys_of(20)
    async with servers(size, refresh_after=300.0) as made:
        await asyncio.sleep(SETTLING)
        await made.store(keys, ttl=7200)
        made.partition(made.nodes[::2], made.nodes[1::2])
        await asyncio.sleep(10 * MINUTE)
        made.network.heal()
        await asyncio.sleep(2 * 300.0)

        again, _ = await made.found(keys * 2)

        state(f"{size} servers: {again:.1%} found after the partition")
        assert again == 1.0


async def test_servers_that_were_started_together_do_not_refresh_together():
    async with servers(12, refresh_after=300.0) as made:
        await asyncio.sleep(SETTLING)
        sent = []
        for _ in range(30):
            before = made.network.counters.requests
            await asyncio.sleep(10.0)
            sent.append(made.network.counters.requests - before)

        state(f"requests in each ten seconds: {sent}")
        assert sum(sent) > 0
        assert max(sent) <= sum(sent) / 4
