"""Processes that tests are made of."""

import asyncio

from supervisors import (
    ChildSpec,
    GenServer,
    Kill,
    NoReply,
    Reply,
    Stop,
    Strategy,
    Supervisor,
    SupFlags,
    exit_signal,
    which_children,
)
from supervisors.life import IDLE
from supervisors.server_process import ServerProcess

PATIENT = {"intensity": 100, "period": 60.0}


class Worker(GenServer):
    """Traps exits and writes ``("start", id)`` and ``("stop", id, reason)`` into ``log``.

    Call it with a function of itself, and it returns what that returns as the callback's result; with anything else,
    and it echoes. ``on_init`` and ``on_terminate`` are functions of it too.
    """

    trap_exit = True

    def init(self, id, log, on_init=None, on_terminate=None):
        self.id, self.log, self.on_terminate = id, log, on_terminate
        self.infos = []
        log.append(("start", id))
        return on_init(self) if on_init else None

    def handle_call(self, request, from_):
        return request(self) if callable(request) else Reply(request)

    def handle_cast(self, request):
        return request(self) if callable(request) else NoReply()

    def handle_info(self, info):
        self.infos.append(info)

    def terminate(self, reason):
        self.log.append(("stop", self.id, reason))
        return self.on_terminate(self) if self.on_terminate else None


class Plain(Worker):
    """A `Worker` that does not trap exits."""

    trap_exit = False


class Runner(GenServer):
    """Runs any coroutine function in its own process: ``await run_in(ref, f, *args)``; keeps what it is sent."""

    def init(self, trap_exit=False):
        self.trap_exit = trap_exit
        self.infos = []

    async def handle_call(self, request, from_):
        function, args = request
        result = function(*args)
        return Reply(await result if asyncio.iscoroutine(result) else result)

    def handle_cast(self, request):
        return request(self)

    def handle_info(self, info):
        self.infos.append(info)


async def run_in(runner, function, *args, timeout=None):
    """Return ``function(*args)``, awaited if need be, as run in the process ``runner``."""
    return await runner.call((function, args), timeout=timeout)


async def infos_of(runner):
    """Return the messages that ``runner`` was sent."""
    return await run_in(runner, lambda: list(runner._process.server.infos))


def worker(id, log, *, kind=Worker, on_init=None, on_terminate=None, **spec):
    """Return the child spec of a `Worker`."""
    return kind.child_spec(id, log, on_init, on_terminate, id=id, **spec)


async def supervise(system, children, strategy=Strategy.ONE_FOR_ONE, **flags):
    """Start a supervisor of ``children`` as a root; intensity 100 in 60 s unless given."""
    return await system.start(Supervisor, SupFlags(strategy, **{**PATIENT, **flags}), children)


async def refs(supervisor):
    """Return ``{id: ref}`` of a supervisor's children."""
    return {child.id: child.ref for child in await which_children(supervisor)}


async def kill(ref):
    """Kill a process, and wait until it has ended."""
    exit_signal(ref, Kill())
    await ref.wait_exit()


def stops_with(reason):
    """Return a request that has a `Worker` stop with ``reason``."""
    return lambda _: Stop(reason)


async def outcome_in(runner, function, *args):
    """Return what ``function(*args)`` returns as run in the process ``runner``, or the exception that it raises."""

    async def attempt():
        try:
            result = function(*args)
            return await result if asyncio.iscoroutine(result) else result
        except Exception as error:
            return error

    return await run_in(runner, attempt)


async def finish(ref, reason):
    """Have a `Worker` stop with ``reason``, and wait until it has ended."""
    ref.cast(stops_with(reason))
    await ref.wait_exit()


def raises(error):
    """Return a function of anything that raises ``error``."""

    def function(*_args):
        raise error

    return function


def in_turn(*functions):
    """Return an ``on_init`` that is each of ``functions`` in turn, and the last one ever after."""
    left = list(functions)
    return lambda process: (left.pop(0) if len(left) > 1 else left[0])(process)


def nothing(_process):
    """Do nothing: the plain step of `in_turn`."""


async def start_with_extra(*args):
    """Start a `Worker`, as a start function that returns more than its ref."""
    return await Worker.start_link(*args), "extra"


def steps(log):
    """Return the log of `Worker`s as words: ``["start a", "stop a"]``."""
    return [f"{entry[0]} {entry[1]}" for entry in log]


class RawProcess(ServerProcess):
    def _live(self):
        self.started()
        while True:
            self._queue = None
            yield IDLE


class Raw(GenServer):
    """A process that traps exits, and drops all that it is sent, orders to exit as well."""

    trap_exit = True
    _actor_process_class = RawProcess


async def kill_child(sup, id):
    """Kill a child; what ``sup`` is asked next it answers after it has dealt with that."""
    await kill((await refs(sup))[id])


def subtree(id, children, strategy=Strategy.ONE_FOR_ONE, *, flags=(), **spec):
    """Return the child spec of a supervisor of ``children``; ``flags`` as those of `supervise`."""
    sup_flags = SupFlags(strategy, **{**PATIENT, **dict(flags)})
    return Supervisor.child_spec(sup_flags, children, id=id, **spec)


__all__ = [
    "PATIENT",
    "ChildSpec",
    "Plain",
    "Raw",
    "Runner",
    "Worker",
    "finish",
    "in_turn",
    "infos_of",
    "kill",
    "kill_child",
    "nothing",
    "outcome_in",
    "raises",
    "refs",
    "run_in",
    "start_with_extra",
    "steps",
    "stops_with",
    "subtree",
    "supervise",
    "worker",
]
