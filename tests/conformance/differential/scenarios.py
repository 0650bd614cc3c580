"""Random supervision scenarios, run on our runtime; the Erlang twin is differential.erl.

A scenario is a tree of supervisors and workers and a list of operations. Both sides print the same lines: each
operation with its outcome, what workers logged, and what the tree looks like after it.
"""

import random
from dataclasses import dataclass, replace

from supervisors import (
    RESTARTING,
    AlreadyPresentError,
    AlreadyStartedError,
    AutoShutdown,
    ChildRestartingError,
    ChildRunningError,
    ChildSpecError,
    GenServer,
    Ignore,
    Kill,
    Normal,
    NotFoundError,
    Ref,
    Restart,
    ServerDownError,
    Shutdown,
    StartError,
    Stop,
    Strategy,
    Supervisor,
    SupFlags,
    System,
    delete_child,
    exit_signal,
    restart_child,
    start_child,
    terminate_child,
    which_children,
)
from supervisors.testing import wait_until_idle

REASONS = {"normal": Normal(), "shutdown": Shutdown(), "{shutdown,x}": Shutdown("x"), "boom": "boom"}
STRATEGIES = [Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE]


@dataclass(frozen=True)
class WorkerPlan:
    """A worker; ``fails`` says which of its starts do not go well: (attempt, "fail" | "ignore" | "once")."""

    id: str
    restart: Restart
    significant: bool
    fails: tuple = ()

    def term(self):
        fails = ",".join(f"{{{n},{how}}}" for n, how in self.fails)
        return f"{{worker,{self.id},{self.restart},{str(self.significant).lower()},[{fails}]}}"

    def spec(self, world):
        return Trapping.child_spec(
            self, world, id=self.id, name=self.id, restart=self.restart, significant=self.significant
        )


@dataclass(frozen=True)
class SupPlan:
    """A supervisor and its children; ``restart`` and ``significant`` are those of its own spec."""

    id: str
    strategy: Strategy
    intensity: int
    auto: AutoShutdown
    children: tuple
    restart: Restart = Restart.PERMANENT
    significant: bool = False

    def sup_term(self):
        children = ",".join(child.term() for child in self.children)
        return f"{{sup,{self.id},{self.strategy},{self.intensity},{self.auto},[{children}]}}"

    def term(self):
        return f"{{{self.sup_term()},{self.restart},{str(self.significant).lower()}}}"

    def args(self, world):
        flags = SupFlags(self.strategy, self.intensity, 3600.0, self.auto)
        return flags, [child.spec(world) for child in self.children]

    def spec(self, world):
        return Supervisor.child_spec(
            *self.args(world), id=self.id, name=self.id, restart=self.restart, significant=self.significant
        )


def scenario(seed):
    """Return a root plan and operations, as tuples of words and plans."""
    rng = random.Random(seed)
    ids = iter(f"c{n}" for n in range(100))
    sups, workers = [], []
    depth = rng.choice([0, 2])
    # Two supervisors at work at the same time race on real schedulers: a crash by itself only where there is one.
    troubles_known = ["fail", "fail", "ignore"] if depth else ["fail", "ignore", "once"]

    def significance(auto, restart):
        return auto is not AutoShutdown.NEVER and restart is not Restart.PERMANENT and rng.random() < 0.6

    def worker(auto, *, new=False):
        restart = rng.choice(list(Restart))
        troubles = tuple((n, rng.choice(troubles_known)) for n in (2, 3, 4) if rng.random() < 0.2)
        if new and rng.random() < 0.3:
            troubles = ((1, rng.choice(["fail", "ignore"])), *troubles)
        plan = WorkerPlan(next(ids), restart, significance(auto, restart), troubles)
        workers.append(plan.id)
        return plan

    def sup(levels, auto_above=AutoShutdown.NEVER):
        auto = rng.choice([AutoShutdown.NEVER, AutoShutdown.NEVER, *AutoShutdown])
        name = next(ids)
        children = tuple(
            sup(levels - 1, auto) if levels and rng.random() < 0.3 else worker(auto) for _ in range(rng.randint(1, 4))
        )
        restart = rng.choice(list(Restart))
        plan = SupPlan(name, rng.choice(STRATEGIES), rng.randint(0, 4), auto, children, restart)
        plan = replace(plan, significant=significance(auto_above, restart))
        sups.append(plan)
        return plan

    root = sup(depth)
    ops = []
    for _ in range(rng.randint(3, 10)):
        target = rng.choice(sups)
        child = rng.choice([c.id for c in target.children] + workers[:1])
        verb = rng.choice(["exit"] * 5 + ["terminate", "restart", "delete", "start"])
        match verb:
            case "exit":
                ops.append((verb, rng.choice(workers), rng.choice([*REASONS, "kill"])))
            case "start":
                old = [c for c in target.children if isinstance(c, WorkerPlan)]
                plan = rng.choice(old) if old and rng.random() < 0.4 else worker(target.auto, new=True)
                ops.append((verb, target.id, plan))
            case _:
                ops.append((verb, target.id, child))
    return root, ops


def term(number, root, ops):
    """Return the scenario as an Erlang term."""
    return f"{{scenario,{number},{root.sup_term()},[{','.join(map(op_term, ops))}]}}."


def op_term(op):
    verb, target, what = op
    return f"{{{verb},{target},{what.term() if isinstance(what, WorkerPlan) else what}}}"


class World:
    """What the workers of one scenario share."""

    def __init__(self):
        self.attempts = {}
        self.events = []

    def log(self, *words):
        self.events.append("{" + ",".join(words) + "}")


class Trapping(GenServer):
    """The worker of scenarios."""

    trap_exit = True

    def init(self, plan, world):
        self.plan, self.world = plan, world
        attempt = world.attempts[plan.id] = world.attempts.get(plan.id, 0) + 1
        how = dict(plan.fails).get(attempt, "start")
        world.log(how, plan.id)
        match how:
            case "ignore":
                return Ignore()
            case "fail":
                return Stop("bad")
            case "once":
                self.actor_ref.cast("boom")
        return None

    def handle_cast(self, reason):
        return Stop(reason)

    def terminate(self, reason):
        self.world.log("stop", self.plan.id, reason_term(reason))


def reason_term(reason):
    match reason:
        case Normal():
            return "normal"
        case Shutdown(None):
            return "shutdown"
        case Shutdown(detail):
            return f"{{shutdown,{detail}}}"
    return type(reason).__name__.lower() if not isinstance(reason, str) else reason


async def play(number, root, ops):
    """Run one scenario and return its lines."""
    lines = [f"scenario {number}"]
    world = World()
    async with System() as system:
        top = await system.start(Supervisor, *root.args(world), name=root.id)

        async def show():
            await wait_until_idle(system)
            lines.append(f"  log [{','.join(world.events)}]")
            world.events.clear()

        await show()
        lines.append(f"  tree {await tree(top)}")
        for op in ops:
            outcome = await perform(system, world, op)
            lines.append(f"{op_term(op)} {outcome}")
            await show()
            lines.append(f"  tree {await tree(top)}")
        was_alive = top.is_alive()
        exit_signal(top, Shutdown())
        lines.append(f"{'end' if was_alive else 'ended'} {reason_term(await top.wait_exit())}")
        await show()
    return lines


async def perform(system, world, op):
    verb, target, what = op
    ref = system.whereis(target)
    if verb == "exit":
        if ref is None:
            return "down"
        if what == "kill":
            exit_signal(ref, Kill())
        else:
            ref.cast(REASONS[what])
        await ref.wait_exit()
        return "ok"
    if ref is None:
        return "noproc"
    try:
        match verb:
            case "terminate":
                await terminate_child(ref, what)
                return "ok"
            case "delete":
                await delete_child(ref, what)
                return "ok"
            case "restart":
                started = await restart_child(ref, what)
            case _:
                started = await start_child(ref, what.spec(world))
    except Exception as error:
        return OUTCOMES[type(error)]
    return "ignored" if started is None else "started"


OUTCOMES = {
    AlreadyPresentError: "already_present",
    AlreadyStartedError: "already_started",
    ChildRunningError: "running",
    ChildRestartingError: "restarting",
    NotFoundError: "not_found",
    ChildSpecError: "bad_spec",
    StartError: "failed",
    ServerDownError: "down",
}


async def tree(sup):
    try:
        children = await which_children(sup)
    except ServerDownError:
        return "dead"
    return "[" + ",".join([await node(child) for child in reversed(children)]) + "]"


async def node(child):
    if child.ref is None:
        return f"{{{child.id},undefined}}"
    if child.ref is RESTARTING:
        return f"{{{child.id},restarting}}"
    assert isinstance(child.ref, Ref)
    return f"{{{child.id},{await tree(child.ref) if child.type == 'supervisor' else 'up'}}}"
