"""A hundred thousand damaged datagrams, made of what two live endpoints send each other."""

import asyncio
import gc
import random
import tracemalloc

import pytest

from macula_actors.transport.endpoint import STRAYS
from tests.macula_actors.transport.nodes import World

CAPTURED = 200  # datagrams of each kind, handshake or not, that are kept to make others of
BATCH = 40  # datagrams between two looks at the endpoints
SOURCES = [(f"198.51.100.{number}", 1000 + number) for number in range(1, 30)]


class Tap:
    """Stands between a socket and its endpoint, and remembers some of what comes in.

    Only what has come in: who is first to deliver a datagram, and from elsewhere, may move the connection there (RFC
    9000, 9.3.2).
    """

    def __init__(self, endpoint, captured, rng):
        self.receive = endpoint.datagrams_received
        self._captured = captured
        self._rng = rng
        endpoint.datagrams_received = self.datagrams_received

    def datagrams_received(self, batch):
        self.receive(batch)
        for datagram, _ in batch:
            kept = self._captured[datagram[0] >> 7]
            if len(kept) < CAPTURED:
                kept.append(datagram)
            else:
                kept[self._rng.randrange(CAPTURED)] = datagram


def flipped(captured, rng):
    data = bytearray(rng.choice(captured))
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def flipped_header(captured, rng):
    data = bytearray(rng.choice(captured))
    data[rng.randrange(min(len(data), 40))] = rng.randrange(256)
    return bytes(data)


def cut(captured, rng):
    data = rng.choice(captured)
    return data[: rng.randrange(len(data) + 1)]


def spliced(captured, rng):
    one, other = rng.choices(captured, k=2)
    return one[: rng.randrange(len(one) + 1)] + other[rng.randrange(len(other) + 1) :]


def joined(captured, rng):
    return b"".join(rng.choices(captured, k=2))


def replayed(captured, rng):
    return rng.choice(captured)


def unlike(_captured, rng):
    return rng.randbytes(rng.choice([0, 1, 5, 6, 7, 20, 21, 40, 1200, 1500]))


def padded(captured, rng):
    return flipped_header(captured, rng).ljust(1200, b"\0")


KINDS = [flipped, flipped_header, cut, spliced, joined, replayed, unlike, padded]


async def fuzz(world, count, rng):
    """Give both ends of a live connection ``count`` damaged datagrams; exchange frames all the time."""
    one, other = world.node(), world.node()
    captured = [], []
    taps = {node: Tap(node.endpoint, captured, rng) for node in (one, other)}
    live, _ = await one.connect(other)
    await live.exchange()
    sizes = []
    for done in range(0, count, BATCH):
        node, peer = rng.sample((one, other), 2)
        pool = [*captured[0], *captured[1]]
        sources = [peer.address, *SOURCES]
        taps[node].receive([
            (rng.choice(KINDS)(pool, rng), rng.choice(sources[: rng.choice([1, 30])])) for _ in range(BATCH)
        ])
        assert await live.exchange() == b"hello"
        live.items.clear()
        if done % (20 * BATCH) == 0:  # new handshakes to be captured, and time for what is forgotten
            brief, there = await other.connect(one)
            await brief.exchange()
            brief.link.close()
            await there.lost_by()
            one.owners.clear()
            one.links.clear()
            await asyncio.sleep(1.0)
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
        other.owners[0].items.clear()
    return one, other, sizes


async def assert_alive(one, other):
    for node in (one, other):
        node.assert_counted()
        assert (node.endpoint.counters["broken"], node.endpoint.counters["engine_error"]) == (0, 0)
        await asyncio.sleep(30.0)  # whatever was half open is given up
        assert len(node.endpoint.connections) < 4
    fresh, _ = await other.connect(one)
    assert await fresh.exchange() == b"hello"


@pytest.mark.slow
@pytest.mark.parametrize("engine_name", ["aioquic", "qh3"])
async def test_two_thousand_damaged_datagrams_change_nothing(engine_name):
    async with World(engine_name, is_simulated=True) as world:
        one, other, _ = await fuzz(world, 2_000, random.Random(1))

        await assert_alive(one, other)
        refused = {name for node in (one, other) for name in STRAYS if node.endpoint.counters[name]}
        assert refused >= {"begun", "not_an_initial", "unknown_datagram", "reset_sent"}


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("engine_name", ["aioquic", "qh3"])
async def test_a_hundred_thousand_damaged_datagrams_change_nothing_and_leave_nothing(engine_name):
    tracemalloc.start()
    async with World(engine_name, is_simulated=True) as world:
        one, other, sizes = await fuzz(world, 100_000, random.Random(20251117))

        await assert_alive(one, other)
        quarter = len(sizes) // 4
        assert max(sizes[-quarter:]) < 1.2 * max(sizes[quarter : 2 * quarter]) + 1_048_576
    tracemalloc.stop()
