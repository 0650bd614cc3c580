"""Five whole nodes; each second one of their processes is killed, with 64 calls in flight to two providers."""

import asyncio
import random
import sys
from collections import Counter, defaultdict, deque
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest
from loguru import logger

from macula_actors import Mode, Node, NodeConfig
from macula_actors.messages.names import (
    GATEWAY_MESH,
    GATEWAY_RPC,
    MEMBERSHIP,
    PEER_CONNECTOR,
    ROUTING_SERVER,
    RPC_HANDLER,
    SERVICE_REGISTRY,
)
from supervisors import Kill, Killed, Ref, exit_signal
from supervisors.faults import walk
from supervisors.testing import outline, wait_until
from tests.fault_injection.leftovers import forgotten

pytestmark = pytest.mark.real_clock

WORK = "test.work"
IN_FLIGHT = 64
MOST_ERRORS = 10_000  # then there is no more to learn
DEADLINE = 5.0  # seconds that a caller gives
GRACE = 1.0  # seconds
TAKES = 0.2  # seconds that the handler takes: what is killed has calls under way
BETWEEN_KILLS = 1.0  # seconds
# The contract: more than 10 restarts in 60 s end a system, more than 10 in 5 s the root. The victims are chosen so that
# no supervisor has more than 10 children killed in 60 s; a crash besides would be one too many.
INTENSITY, PERIOD = 10, 60.0
GROWTH_KB = 4096  # of the third quarter of the time to the last; what each of 75 kills leaves behind would be 55 kB


class Reports:
    """Reads the reports of all nodes: who crashed by itself, and which supervisor gave up."""

    def __init__(self):
        self.crashed = []
        self.given_up = []

    def __call__(self, message):
        report = message.record["extra"]
        match report.get("report"), report.get("context"):
            case "crash", _ if report["reason"] != Killed():
                self.crashed.append((report["process"], report["reason"]))
            case "supervisor", "start_error" | "shutdown_error":
                self.crashed.append((report["offender"], report["reason"]))
            case "supervisor", "shutdown":
                self.given_up.append((report["supervisor"], report["offender"]))


@pytest.fixture
def reports():
    reader = Reports()
    logger.remove()  # pytest would keep what stderr gets
    logger.add(reader, level="INFO", format="{message}", catch=False)
    logger.enable("supervisors")
    yield reader
    logger.disable("supervisors")
    logger.remove()
    logger.add(sys.stderr)


class Victims:
    """Chooses whom to kill: any process of any node that has a name, supervisors too, but for those nobody restarts."""

    def __init__(self, nodes, rng):
        self.nodes = nodes
        self.killed = Counter()
        self._rng = rng
        self._times = defaultdict(deque)  # of the last kills, by node and supervisor

    def strike(self):
        """Kill one."""
        now = asyncio.get_running_loop().time()
        node, path, ref = self._rng.choice([each for each in self._all() if not self._is_at_its_limit(each, now)])
        self._times[node, path[-2]].append(now)
        self.killed[path[-1]] += 1
        exit_signal(ref, Kill())

    def _all(self):
        for node in self.nodes:
            for path, each in walk(node.system.tree()):
                if len(path) > 1 and isinstance(each.ref, Ref) and each.ref.name:
                    yield node, path, each.ref

    def _is_at_its_limit(self, victim, now):
        node, path, _ = victim
        times = self._times[node, path[-2]]
        while times and now - times[0] > PERIOD:
            times.popleft()
        return len(times) >= INTENSITY


class Calls:
    """Keeps so many calls of one node in flight, until `stop`."""

    def __init__(self, node):
        self.node = node
        self.made = 0
        self.slowest = 0.0  # seconds
        self.errors = []
        self._is_over = False

    def stop(self):
        self._is_over = True

    async def make(self):
        now = asyncio.get_running_loop().time
        while not self._is_over:
            began, number = now(), self.made
            try:
                assert await self.node.call(WORK, number, timeout=DEADLINE) == number
            except Exception as error:
                self.errors.append(error)
                self._is_over = self._is_over or len(self.errors) > MOST_ERRORS
            self.slowest = max(self.slowest, now() - began)
            self.made += 1


async def work(args):
    await asyncio.sleep(TAKES)
    return args


async def five_nodes(stack):
    """Start a bootstrap node, a gateway, two providers and a caller; the caller knows both providers."""

    async def start(name, mode, **settings):
        every = {"realm": "com.example", "listen": "127.0.0.1:0", "health_port": 0}
        return await stack.enter_async_context(Node(NodeConfig(name=name, mode=mode, **every, **settings)))

    bootstrap = await start("bootstrap", Mode.BOOTSTRAP)
    gateway = await start("gateway", Mode.GATEWAY, bootstrap=[str(bootstrap.endpoint)])
    known = {"bootstrap": [str(bootstrap.endpoint)], "gateways": [str(gateway.endpoint)]}
    edges = [await start(name, Mode.EDGE, **known) for name in ("provider1", "provider2", "caller")]
    for provider in edges[:2]:
        await provider.advertise(WORK, work)
    assert len(await edges[2].discover(WORK, refresh=True)) == 2
    return bootstrap, gateway, *edges


async def chaos(nodes, seconds, seed):
    """Kill and call for so long; return the calls, the kills, and the memory in kB after each kill."""
    calls, victims, memory = Calls(nodes[-1]), Victims(nodes, random.Random(seed)), []
    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(calls.make())
        for _ in range(int(seconds / BETWEEN_KILLS)):
            await asyncio.sleep(BETWEEN_KILLS)
            victims.strike()
            memory.append(resident_kb())
        calls.stop()
    return calls, victims, memory


def resident_kb():
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def fixed(node):
    """Return the outline of the processes of ``node`` that have names."""
    return {path: set(outline(each)) for path, each in walk(node.system.tree()) if named(each)}


def named(each):
    return isinstance(each.ref, Ref) and each.ref.name is not None and each.kind == "worker"


def under_way(node):
    """Return, by name, how much of each kind is under way at ``node``; nothing of it outlives what asked for it."""
    stats = node.stats()
    found = {(RPC_HANDLER, kind): getattr(stats[RPC_HANDLER], kind) for kind in ("busy", "queued")} | {
        (SERVICE_REGISTRY, kind): getattr(stats[SERVICE_REGISTRY], kind) for kind in ("waiting", "lookups")
    }
    found[ROUTING_SERVER, "lookups"] = stats[ROUTING_SERVER].lookups
    found[PEER_CONNECTOR, "waiters"] = stats[PEER_CONNECTOR].pool.waiters
    found[MEMBERSHIP, "relaying"] = stats[MEMBERSHIP].relaying
    found[GATEWAY_MESH, "relaying"] = getattr(stats.get(GATEWAY_MESH), "relaying", 0)
    found[GATEWAY_RPC, "calls"] = getattr(stats.get(GATEWAY_RPC), "calls", 0)
    return {what: number for what, number in found.items() if number}


async def assert_all_is_well(nodes, before, calls, reports):
    assert reports.given_up == []
    assert reports.crashed == []
    assert calls.slowest <= DEADLINE + GRACE
    assert len(calls.errors) <= calls.made / 1000, calls.errors
    for node, tree in zip(nodes, before, strict=True):
        await wait_until(lambda node=node, tree=tree: fixed(node) == tree)
        await wait_until(lambda node=node: under_way(node) == {})
        await wait_until(partial(lambda each: forgotten(each.system) == set(), node), timeout=20.0, every=0.5)
    assert await nodes[-1].call(WORK, "still there") == "still there"


@pytest.mark.slow
async def test_a_process_killed_each_second_costs_no_call_of_64_in_flight(reports):
    async with AsyncExitStack() as stack:
        nodes = await five_nodes(stack)
        before = [fixed(node) for node in nodes]

        calls, victims, _ = await chaos(nodes, 15.0, seed=5)

        assert victims.killed.total() == 15
        assert calls.made > 1000
        await assert_all_is_well(nodes, before, calls, reports)


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_five_minutes_of_a_kill_a_second_cost_no_call_of_64_in_flight_and_no_memory(reports):
    async with AsyncExitStack() as stack:
        nodes = await five_nodes(stack)
        before = [fixed(node) for node in nodes]

        calls, victims, memory = await chaos(nodes, 300.0, seed=1)

        quarter = len(memory) // 4
        assert victims.killed.total() == 300
        assert len(victims.killed) > 20
        assert calls.made > 20_000
        assert max(memory[-quarter:]) - max(memory[-2 * quarter : -quarter]) < GROWTH_KB
        await assert_all_is_well(nodes, before, calls, reports)
