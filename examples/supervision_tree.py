"""A tree of supervisors: who is started, in which order, and who falls with whom."""

import asyncio

from typing_extensions import override

from supervisors import ChildSpec, GenServer, Strategy, Supervisor, SupFlags, System
from supervisors.faults import kill
from supervisors.rendering import print_tree


class Part(GenServer):
    """Says when it starts and stops."""

    trap_exit = True  # else there would be no terminate when its supervisor stops it

    @override
    def init(self, what: str) -> None:
        self.what = what
        print("  starts", what)

    @override
    def terminate(self, reason: object) -> None:
        print("  stops ", self.what)


def part(name: str) -> ChildSpec:
    """Return the spec of a `Part`."""
    return Part.child_spec(name, name=name)


class Storage(Supervisor):
    """The index is made from the disk, and the cache from the index: each falls with those before it."""

    @override
    def init(self) -> tuple[SupFlags, list[ChildSpec]]:
        return SupFlags(Strategy.REST_FOR_ONE), [part("disk"), part("index"), part("cache")]


class Shop(Supervisor):
    """The storage is started first and stopped last."""

    @override
    def init(self) -> tuple[SupFlags, list[ChildSpec]]:
        return SupFlags(Strategy.ONE_FOR_ONE), [Storage.child_spec(), part("till"), part("door")]


async def main() -> None:
    """Start the tree, kill in it, stop it."""
    async with System("shop") as system:
        print("start, in order:")
        await system.start(Shop, name="shop_sup")
        print_tree(system)
        for victim in ("till", "index"):
            print("kill the", victim)
            await kill(victim).wait_exit()
            await asyncio.sleep(0.1)
        print_tree(system)
        print("stop, in reverse:")


if __name__ == "__main__":
    asyncio.run(main())
