"""The processes of a tree are killed one after the other; see who is started again, and how fast.

The exit code is 0 if every kill was answered as it should be.
"""

import asyncio
import sys
import time
from contextlib import suppress
from dataclasses import dataclass

import supervisors as otp
from supervisors.faults import kill
from supervisors.rendering import print_tree
from supervisors.testing import wait_until

PAUSE = 0.2  # s; after each kill, for what should not happen


class Part(otp.GenServer):
    """Does nothing but live; started again, it is another process."""


def part(name: str, restart: otp.Restart = otp.Restart.PERMANENT) -> otp.ChildSpec:
    """Return the spec of a `Part`."""
    return Part.child_spec(name=name, restart=restart)


def section(name: str, strategy: otp.Strategy, *parts: otp.ChildSpec) -> otp.ChildSpec:
    """Return the spec of a supervisor that endures two restarts a minute."""
    return otp.Supervisor.child_spec(otp.SupFlags(strategy, intensity=2, period=60.0), parts, name=name)


async def start(system: otp.System) -> None:
    """Start the tree: a shop of three sections, and guests that come and go."""
    sections = [
        section("storage", otp.Strategy.REST_FOR_ONE, part("disk"), part("index"), part("cache")),
        section("kitchen", otp.Strategy.ONE_FOR_ALL, part("cook"), part("oven")),
        section("tills", otp.Strategy.ONE_FOR_ONE, part("till_1"), part("till_2")),
        otp.DynamicSupervisor.child_spec(name="guests"),
    ]
    await system.start(otp.Supervisor, otp.SupFlags(intensity=5, period=60.0), sections, name="shop")
    await otp.start_child("guests", part("ann"))
    await otp.start_child("guests", part("bob", otp.Restart.TEMPORARY))


@dataclass(frozen=True)
class Kill:
    """Whom to kill, what has to follow, and why. Names, separated by blanks."""

    victim: str
    why: str
    restarted: str = ""
    gone: str = ""


KILLS = [
    Kill("till_1", "one_for_one: it alone", restarted="till_1"),
    Kill("index", "rest_for_one: it and what was started after it", restarted="cache index"),
    Kill("cook", "one_for_all: all of the kitchen", restarted="cook oven"),
    Kill("ann", "a dynamic child, permanent: it alone", restarted="ann"),
    Kill("bob", "a dynamic child, temporary: never", gone="bob"),
    Kill("storage", "a supervisor: it and all below it", restarted="cache disk index storage"),
    Kill("till_1", "one_for_one again: the second restart of two", restarted="till_1"),
    Kill("till_2", "one too many: the supervisor falls, and the one above it restarts it", "till_1 till_2 tills"),
    Kill("guests", "a dynamic supervisor: it comes back empty", restarted="guests", gone="ann"),
]


def running(system: otp.System) -> dict[str, otp.Ref | None]:
    """Return the processes by name."""
    return {name: system.whereis(name) for name in system.registered()}


async def strike(order: Kill, system: otp.System) -> bool:
    """Kill, print what follows, and tell whether it was what had to."""
    before = running(system)

    def answer() -> tuple[str, str]:
        after = running(system)
        restarted = (name for name in before.keys() & after.keys() if before[name] is not after[name])
        return " ".join(sorted(restarted)), " ".join(sorted(before.keys() - after.keys()))

    wanted = (order.restarted, order.gone)
    begun = time.perf_counter()
    kill(order.victim)
    with suppress(TimeoutError):
        await wait_until(lambda: answer() == wanted, timeout=1.0, every=0.0)
    took = time.perf_counter() - begun
    await asyncio.sleep(PAUSE)
    restarted, gone = answer()
    print(f"kill {order.victim:8} {order.why}")
    print(f"     {'restarted:':9} {restarted or 'none'}" + f"; gone: {gone}" * bool(gone), f"({took * 1000:.1f} ms)")
    if answer() != wanted:
        print(f"     WRONG: restarted should be {order.restarted or 'none'}, gone {order.gone or 'none'}")
    return answer() == wanted


async def main() -> bool:
    """Show the tree, strike, show what became of it, and tell whether all was right."""
    async with otp.System("kills") as system:
        await start(system)
        print_tree(system)
        print()
        answers = [await strike(order, system) for order in KILLS]
        print()
        print_tree(system)
        print(f"\n{sum(answers)} of {len(answers)} kills were answered as they should be")
        return all(answers)


if __name__ == "__main__":
    sys.exit(not asyncio.run(main()))
