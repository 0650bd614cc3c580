"""Three providers of one service; one of them is stopped while calls are made. No call fails."""

import asyncio
from collections import Counter
from functools import partial

from macula_actors import Mode, Node, NodeConfig

CALLS = 60


def edge(bootstrap: Node, name: str) -> Node:
    """Return a node that joins by ``bootstrap``."""
    return Node(NodeConfig(mode=Mode.EDGE, name=name, listen="127.0.0.1:0", bootstrap=[str(bootstrap.endpoint)]))


def answer(name: str, _: object) -> str:
    """Say who answers."""
    return name


async def main() -> None:
    """Call the service all the time, stop one of the three, and count who answered."""
    async with Node(NodeConfig(mode=Mode.BOOTSTRAP, listen="127.0.0.1:0")) as bootstrap:
        providers = [edge(bootstrap, f"provider {number}") for number in (1, 2, 3)]
        for provider in providers:
            await provider.start()
            await provider.advertise("weather.now", partial(answer, provider.config.name))
        async with edge(bootstrap, "caller") as caller:
            answers: Counter[str] = Counter()
            for number in range(CALLS):
                if number == CALLS // 3:
                    await providers[0].stop()
                    print(f"{providers[0].config.name} has stopped")
                answers[await caller.call("weather.now", timeout=5.0)] += 1
        for provider in providers:
            await provider.stop()
    print(f"{answers.total()} calls, answered by", ", ".join(f"{name}: {n}" for name, n in sorted(answers.items())))


if __name__ == "__main__":
    asyncio.run(main())
