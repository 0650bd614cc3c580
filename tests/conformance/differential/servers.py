"""Random gen_servers: what callbacks do and return, calls, time-outs, stop and sys; the Erlang twin is servers.erl.

Every message carries a script ``(number, actions, result)``: the callback that gets it logs the number, carries out
the actions one after the other and returns, or raises, the result. Both sides print the same lines: each operation's
outcome, what each server logged, and what became of it. Durations are milliseconds.
"""

import asyncio
import itertools
import random
from collections import deque
from contextvars import Context

from supervisors import (
    BadReturnValueError,
    CallbackFailedError,
    CallingSelfError,
    CallTimeoutError,
    Continue,
    Crashed,
    Exit,
    GenServer,
    Ignore,
    Kill,
    Killed,
    NoProcess,
    NoReply,
    Normal,
    ProcessExit,
    Ref,
    Reply,
    ServerDownError,
    Shutdown,
    StartError,
    Stop,
    System,
    Timeout,
    exit_signal,
    get_state,
    replace_state,
    reply,
    resume,
    stop,
    suspend,
)
from supervisors.life import Timeouts
from supervisors.process import _current
from supervisors.sys import terminate
from supervisors.testing import VirtualClockLoop
from tests.support import Runner, run_in

REASONS = {"normal": Normal(), "shutdown": Shutdown(), ("shutdown", "x"): Shutdown("x"), "boom": "boom", "kill": Kill()}
NAMES = {reason: name for name, reason in REASONS.items()} | {Killed(): "killed", NoProcess(): "noproc"}

GAP = 20  # ms between any two timers, more than Erlang is ever late: see `is_calm`
LONGEST = 60 * GAP  # that a scenario may take: on Erlang this time does pass
SCHEDULES = 12  # random ones, that must agree before a scenario is played
NEVER = 3_600_000  # ms; a time-out that no scenario waits for


def scenario(seed):
    """Return operations; the first ones start servers."""
    rng = random.Random(seed)
    while True:
        ops = Author(rng).scenario()
        if is_calm(ops):
            return (ops,)


def is_calm(ops):
    """Tell whether the lines are the same whichever of two processes goes first, and no two timers are due together."""
    first = lines_on(ChancyLoop(0), ops)
    return first is not None and all(first == lines_on(ChancyLoop(n), ops) for n in range(1, SCHEDULES))


def lines_on(loop, ops):
    """Return the lines of a scenario that is run on ``loop``; None where timers get in each other's way."""
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        lines = runner.run(play(0, ops, hesitant=True))
    return tuple(lines) if loop.is_calm and loop.time() * 1000 < LONGEST else None


class ChancyLoop(VirtualClockLoop):
    """Lets some processes go before others, by chance, and looks whether a timer is due just when another is."""

    def __init__(self, seed):
        super().__init__()
        self._rng = random.Random(seed)
        self._ranks = {}
        self.is_calm = True
        self.timeouts = []

    def _run_once(self):
        if self._rng.random() < 0.2:
            self._ranks = {}
        first = max(map(self._rank, self._ready), default=None)
        held = [handle for handle in self._ready if self._rank(handle) != first]
        self._ready = deque(handle for handle in self._ready if self._rank(handle) == first)
        super()._run_once()
        self._ready.extendleft(reversed(held))

    def _rank(self, handle):
        return self._ranks.setdefault(handle._context.get(_current, None), self._rng.random())

    def call_at(self, when, callback, *args, **kwargs):
        timer = super().call_at(when, callback, *args, **kwargs)
        if not is_shared(timer):
            self.expect(when, timer)
        return timer

    def expect(self, when, own=None):
        """Look whether something else than the timer ``own`` is due at about ``when``."""
        if when - self.time() > GAP / 2000:
            others = [timer.when() for timer in self.pending_timers() if timer is not own and not is_shared(timer)]
            others += [at for timeouts in self.timeouts for at in timeouts.pending()]
            self.is_calm &= all(abs(when - other) > GAP / 2000 for other in others)


def is_shared(timer):
    """Tell whether ``timer`` is that of many time-outs."""
    return isinstance(getattr(timer._callback, "__self__", None), SeenTimeouts)


class SeenTimeouts(Timeouts):
    """Time-outs of calls that a `ChancyLoop` sees one by one, though they share a timer of the loop."""

    def __init__(self, loop):
        super().__init__(loop, Context())
        loop.timeouts.append(self)

    def add(self, at, function, *args):
        self._loop.expect(at)
        return super().add(at, function, *args)

    def pending(self):
        """Return the instants of those that were not discarded."""
        return [at for at, serial in self._instants if serial in self._waiting]


class Author:
    """Makes up one scenario."""

    def __init__(self, rng):
        self.rng = rng
        self.numbers = itertools.count(1)
        self.ids = ["s1", "s2", "s3"][: rng.randint(1, 3)]

    def scenario(self):
        return [*map(self.start, self.ids), *(self.op() for _ in range(self.rng.randint(3, 12)))]

    def start(self, me):
        scripts = self.script("init", me, 2), self.script("terminate", me, 1)
        return "start", me, self.rng.random() < 0.5, *scripts, self.duration()

    def op(self):
        pick, to = self.rng.choice, self.anyone()
        verb = pick(OPS)
        match verb:
            case "call" | "ask":
                return verb, to, self.script("call", to, 3, outermost=True), self.duration()
            case "burst":
                return verb, [self.message(self.anyone() if pick([0, 1]) else to) for _ in range(pick([1, 2, 3]))]
            case "start":
                return self.start(pick(self.ids))
            case "wait":
                return verb, self.duration()
            case "stop" | "terminate":
                return verb, to, self.reason(), self.duration()
            case "replace":
                return verb, to, pick(["a", "b", "bad"]), self.duration()
            case "signal" | "order":
                return verb, to, self.reason()
        return verb, to, self.duration()

    def message(self, to):
        return self.rng.choice(["cast", "info"]), to, self.script("cast", to, 2)

    def script(self, callback, me, depth, *, outermost=False):
        actions = [self.action(callback, me, depth - 1) for _ in range(self.rng.choice([0, 0, 1, 1, 2]))]
        if outermost and self.rng.random() < 0.1:
            # Only here: the second of two replies stays as a message with a caller that is a process on Erlang.
            actions.append(("early", self.value()))
        return next(self.numbers), actions, self.result(callback, me, depth - 1)

    def action(self, callback, me, depth):
        pick, to = self.rng.choice, self.anyone()
        verb = pick(ACTIONS + SENDING * (depth > 0))
        match verb:
            case "call" | "must":
                return verb, to, self.script("call", to, depth), self.duration()
            case "cast" | "info":
                return verb, to, self.script("cast", to, depth)
            case "sleep":
                return verb, self.duration()
            case "answer" | "set":
                return verb, self.value()
            case "stop" | "terminate":
                return verb, to, self.reason(), self.duration()
            case "signal":
                return verb, pick([name for name in [*self.ids, "ghost"] if name != me]), self.reason()
        return verb, to, self.duration()

    def result(self, callback, me, depth):
        match self.rng.choice(RESULTS[callback]):
            case "reply":
                return "reply", self.value(), self.then(me, depth)
            case "stop_reply":
                return "stop_reply", self.reason(), self.value()
            case "noreply" | "ok" as name:
                return name, "none" if callback == "terminate" else self.then(me, depth)
            case "stop" | "exit" | "suicide" as name:
                return name, self.reason()
            case name:
                return (name,)

    def then(self, me, depth):
        if depth <= 0 or self.rng.random() < 0.5:
            return "none"
        if self.rng.random() < 0.4:
            return "continue", self.script("continue", me, depth)
        return "timeout", self.rng.choice([0, NEVER, self.duration(), self.duration()]), self.script("cast", me, depth)

    def anyone(self):
        return self.rng.choice(self.ids * 4 + ["ghost"])

    def value(self):
        return self.rng.choice(["a", "b", "c"])

    def reason(self):
        return self.rng.choice(list(REASONS))

    def duration(self):
        return self.rng.randint(1, 15) * GAP


OPS = [*["call"] * 8, *["ask"] * 5, *["burst"] * 6, *["wait"] * 5, *["start"] * 5, *["suspend", "resume"] * 2]
OPS += ["get_state", "replace", "signal", "order", "stop", "terminate"]
ACTIONS = [*["sleep", "answer", "set", "get_state"] * 3, "suspend", "resume", "signal", "stop", "terminate"]
SENDING = [*["call"] * 8, "must", *["cast", "info"] * 4]
ENDS = ["stop", "error", "exit", "bad", "suicide"]
RESULTS = {
    "init": [*["ok"] * 24, "ignore", "stop_reply", *ENDS],
    "call": [*["reply"] * 20, *["noreply"] * 12, *["stop_reply"] * 2, *ENDS],
    "cast": [*["noreply"] * 32, "reply", "stop_reply", *ENDS],
    "continue": [*["noreply"] * 32, "reply", "stop_reply", *ENDS],
    "terminate": [*["ok"] * 6, "error", "exit"],
}


def term(number, ops):
    """Return the scenario as an Erlang term."""
    return f"{erlang(('scenario', number, ops))}."


def erlang(value):
    """Return words, numbers, tuples and lists as Erlang writes them."""
    match value:
        case tuple():
            return f"{{{','.join(map(erlang, value))}}}"
        case list():
            return f"[{','.join(map(erlang, value))}]"
    return str(value).lower()


class World:
    """What the servers of one scenario share."""

    def __init__(self, ghost, hesitant):
        self.ghost, self.hesitant = ghost, hesitant
        self.refs = {}
        self._events = []

    def ref(self, name):
        return self.refs.get(name, self.ghost)

    def log(self, name, *words):
        self._events.append((name, words))

    def take(self, name):
        """Return what ``name`` logged since the last time. Who of two is first, schedulers decide."""
        taken = [words for who, words in self._events if who == name]
        self._events = [event for event in self._events if event[0] != name]
        return taken


class Oops(Exception):
    """What scripts raise."""


class Subject(GenServer):
    """A server of the scenarios; a script that waits for nothing runs in a plain callback, not a coroutine."""

    def init(self, name, trap, script, last, world):
        self.trap_exit = trap
        self.name, self.last, self.world = name, last, world
        self.pending, self.state, self.on_timeout = [], "a", None
        world.refs[name] = self.actor_ref
        return self.perform("init", script)

    def handle_call(self, script, from_):
        return self.perform("call", script, from_)

    def handle_cast(self, script):
        return self.perform("cast", script)

    def handle_continue(self, script):
        return self.perform("continue", script)

    def handle_info(self, info):
        match info:
            case Timeout():
                return self.perform("timeout", self.on_timeout)
            case Exit(_, reason):
                self.log("exit", name_of(reason))
                return NoReply()
        return self.perform("info", info)

    def terminate(self, reason):
        self.log("terminate", name_of(reason))
        return self.perform("last", self.last)

    def log(self, *words):
        self.world.log(self.name, *words)

    def perform(self, callback, script, from_=None):
        number, actions, result = script
        self.log(callback, number)
        if self.world.hesitant or any(verb in WAITING for verb, *_ in actions):
            return self.perform_waiting(actions, result, from_)
        for action in actions:
            self.act(action, from_)
        return self.finish(result, from_)

    async def perform_waiting(self, actions, result, from_):
        for action in actions:
            await self.hesitate()
            if action[0] in WAITING:
                await self.wait(action)
            else:
                self.act(action, from_)
        await self.hesitate()
        return self.finish(result, from_)

    async def hesitate(self):
        if self.world.hesitant:
            await asyncio.sleep(0)

    def act(self, action, from_):
        match action:
            case ("cast", to, script):
                self.world.ref(to).cast(script)
            case ("info", to, script):
                self.world.ref(to).send(script)
            case ("answer", value):
                if self.pending:
                    reply(self.pending.pop(0), value)
            case ("early", value):
                reply(from_, value)
            case ("set", value):
                self.state = value
            case ("signal", to, reason):
                exit_signal(self.world.ref(to), REASONS[reason])

    async def wait(self, action):
        match action:
            case ("sleep", duration):
                await asyncio.sleep(duration / 1000)
            case ("must", *args):
                self.log("must", await ask(self.world, ("call", *args)))
            case _:
                self.log(action[0], await outcome(ask(self.world, action)))

    def finish(self, result, from_):
        match result:
            case ("reply", value, then):
                return Reply(value, **self.then(then))
            case ("noreply", then):
                if from_ is not None:
                    self.pending.append(from_)
                return NoReply(**self.then(then))
            case ("ok", ("continue", script)):
                return Continue(script)
            case ("ok", ("timeout", *_) as then):
                return NoReply(**self.then(then))
            case ("ok", _):
                return None
            case ("ignore",):
                return Ignore()
            case ("stop", reason):
                return Stop(REASONS[reason])
            case ("stop_reply", reason, value):
                return Stop(REASONS[reason], value)
            case ("error",):
                raise Oops
            case ("exit", reason):
                raise ProcessExit(REASONS[reason])
            case ("suicide", reason):
                exit_signal(self.actor_ref, REASONS[reason])
                return NoReply()
        return "bad"

    def then(self, then):
        match then:
            case ("continue", script):
                return {"continue_": script}
            case ("timeout", limit, script):
                self.on_timeout = script
                return {"timeout": limit / 1000}
        return {}


WAITING = {"sleep", "call", "must", "stop", "terminate", "suspend", "resume", "get_state"}


async def ask(world, request):
    """Carry out what servers and we alike may ask of a server, and return the answer."""
    verb, to, *args, limit = request
    ref, timeout = world.ref(to), limit / 1000
    match verb:
        case "call":
            return await ref.call(*args, timeout=timeout)
        case "stop":
            return await stop(ref, REASONS[args[0]], timeout)
        case "terminate":
            return await terminate(ref, REASONS[args[0]], timeout)
        case "suspend":
            return await suspend(ref, timeout)
        case "resume":
            return await resume(ref, timeout)
        case "get_state":
            return await get_state(ref, timeout)
        case "replace":
            return await replace_state(ref, lambda _: args[0] if args[0] != "bad" else 1 / 0, timeout)
    raise AssertionError(request)


async def outcome(awaitable):
    """Return the answer that ``awaitable`` brings, or the name of its failure, as an Erlang term."""
    try:
        value = await awaitable
    except (ServerDownError, CallTimeoutError, CallingSelfError, CallbackFailedError, StartError) as error:
        return "error", name_of(Crashed(error))
    return "ok" if value is None else value


def name_of(reason):
    match reason:
        case Crashed(ServerDownError() | StartError() as error):
            return name_of(error.reason)
        case Crashed(error):
            return ERRORS[type(error)]
    return NAMES[reason]


ERRORS = {
    BadReturnValueError: "bad_return_value",
    CallbackFailedError: "callback_failed",
    CallTimeoutError: "timeout",
    CallingSelfError: "calling_self",
    Oops: "oops",
    TimeoutError: "timeout",  # of init
}


async def play(number, ops, *, hesitant=False):
    """Run one scenario and return its lines; where servers are ``hesitant``, others may run between any two actions."""
    lines = [f"scenario {number}"]
    clients = []
    async with System() as system:
        if isinstance(system.loop, ChancyLoop):
            system.run_queue.timeouts = SeenTimeouts(system.loop)
        parent = await system.start(Runner, True)
        ghost = await system.start(Runner)
        await stop(ghost)
        world = World(ghost, hesitant)
        started = {}

        async def show(said):
            await asyncio.sleep(1e-4)  # the clock moves when nothing else does
            lines.append(erlang(said))
            lines.extend(f"  {name} {erlang(world.take(name))}" for name in sorted(world.refs))
            lines.append(f"  clients {erlang(sorted(world.take('client')))}")
            lines.extend(f"  {name} {state(ref)}" for name, ref in sorted(started.items()))

        async def client(op):
            world.log("client", op[2][0], await outcome(ask(world, ("call", *op[1:]))))

        async def start(name, *args):
            if world.ref(name).is_alive():
                return "already_started"
            *args, limit = args
            starting = Subject.start_link(name, *args, world, timeout=limit / 1000)
            said = await run_in(parent, outcome, starting)
            if isinstance(said, Ref):
                started[name] = said
                return "started"
            return said

        async def perform(op):
            verb, *args = op
            match verb:
                case "start":
                    return await start(*args)
                case "wait":
                    await asyncio.sleep(args[0] / 1000)
                case "ask":
                    clients.append(asyncio.create_task(client(op)))
                case "burst":
                    for how, to, script in args[0]:
                        (world.ref(to).cast if how == "cast" else world.ref(to).send)(script)
                case "signal":
                    exit_signal(world.ref(args[0]), REASONS[args[1]])
                case "order":
                    await run_in(parent, exit_signal, world.ref(args[0]), REASONS[args[1]])
                case _:
                    return await outcome(ask(world, op))
            return "ok"

        for op in ops:
            await show((op[0], await perform(op)))
        for task in clients:
            task.cancel()
        for ref in world.refs.values():
            exit_signal(ref, Kill())
    await asyncio.gather(*clients, return_exceptions=True)
    return lines


def state(ref):
    return "alive" if ref.is_alive() else erlang(name_of(ref.exit_reason))
