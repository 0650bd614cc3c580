"""Random links, monitors and exit signals among a few processes; the Erlang twin is signals.erl."""

import random

from supervisors import (
    Down,
    Exit,
    GenServer,
    Kill,
    Killed,
    NoProcess,
    Normal,
    Reply,
    ServerDownError,
    Shutdown,
    Stop,
    System,
    demonitor,
    exit_signal,
    link,
    monitor,
    unlink,
)
from supervisors.testing import wait_until_idle

REASONS = {"normal": Normal(), "shutdown": Shutdown(), "boom": "boom", "kill": Kill()}
NAMES = {Normal(): "normal", Shutdown(): "shutdown", Kill(): "kill", Killed(): "killed", NoProcess(): "noproc"}
VERBS = ["link"] * 4 + ["monitor"] * 3 + ["signal"] * 4 + ["unlink", "demonitor", "stop", "trap"]


def scenario(seed):
    """Return processes, as (id, traps exits), and operations, as (verb, who, whom, what)."""
    rng = random.Random(seed)
    ids = [f"p{n}" for n in range(rng.randint(2, 6))]
    processes = [(name, rng.random() < 0.5) for name in ids]

    def op():
        verb, who, whom = rng.choice(VERBS), rng.choice(ids), rng.choice(ids)
        match verb:
            case "signal":
                return verb, rng.choice([*ids, "outside"]), whom, rng.choice(list(REASONS))
            case "stop":
                return verb, who, whom, rng.choice(list(REASONS))
            case "trap":
                return verb, who, whom, rng.choice(["true", "false"])
        return verb, who, whom, "x"

    return processes, [op() for _ in range(rng.randint(4, 16))]


def term(number, processes, ops):
    """Return the scenario as an Erlang term."""
    procs = ",".join(f"{{{name},{str(trap).lower()}}}" for name, trap in processes)
    return f"{{scenario,{number},[{procs}],[{','.join(map(op_term, ops))}]}}."


def op_term(op):
    return f"{{{','.join(op)}}}"


class Subject(GenServer):
    """A process of the scenarios."""

    def init(self, trap):
        self.trap_exit = trap
        self.infos, self.monitors = [], {}

    def handle_call(self, request, from_):
        if request == "take":
            taken, self.infos = self.infos, []
            return Reply(taken)
        (verb, _, whom, what), refs = request
        match verb:
            case "link":
                link(refs[whom])
            case "unlink":
                unlink(refs[whom])
            case "monitor":
                self.monitors[whom] = monitor(refs[whom])
            case "demonitor":
                known = self.monitors.pop(whom, None)
                return Reply("none" if known is None else str(demonitor(known)).lower())
            case "signal":
                exit_signal(refs[whom], REASONS[what])
                return Reply("sent")
            case "stop":
                return Stop(REASONS[what])
            case "trap":
                before, self.trap_exit = self.trap_exit, what == "true"
                return Reply(str(before).lower())
        return Reply("ok")

    def handle_info(self, info):
        self.infos.append(info)


async def play(number, processes, ops):
    """Run one scenario and return its lines."""
    lines = [f"scenario {number}"]
    async with System() as system:
        refs = {name: await system.start(Subject, trap) for name, trap in processes}
        ids = {ref: name for name, ref in refs.items()}
        for op in ops:
            lines.append(f"{op_term(op)} {await perform(op, refs)}")
            await wait_until_idle(system)
            for name, ref in refs.items():
                lines.append(f"  {name} {await messages(ref, ids) if ref.is_alive() else 'dead'}")
        for ref in refs.values():
            exit_signal(ref, Kill())
    return lines


async def perform(op, refs):
    verb, who, whom, what = op
    if (verb, who) == ("signal", "outside"):
        exit_signal(refs[whom], REASONS[what])
        return "sent"
    if not refs[who].is_alive():
        return "dead"
    try:
        return await refs[who].call((op, refs))
    except ServerDownError as error:
        return f"{{exited,{reason_name(error.reason)}}}"


async def messages(ref, ids):
    return f"[{','.join(sorted(message_term(info, ids) for info in await ref.call('take')))}]"


def message_term(info, ids):
    match info:
        case Exit(ref, reason):
            return f"{{exit,{'outside' if ref is None else ids[ref]},{reason_name(reason)}}}"
        case Down(_, ref, reason):
            return f"{{down,{ids[ref]},{reason_name(reason)}}}"
    raise AssertionError(info)


def reason_name(reason):
    return NAMES.get(reason, reason)
