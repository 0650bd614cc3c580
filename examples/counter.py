"""A server that counts: the state is its attributes, and only its callbacks touch them."""

import asyncio
from typing import Any

from typing_extensions import override

from supervisors import From, GenServer, Reply, System, UnexpectedRequestError, call, cast


class Counter(GenServer):
    """Counts from ``start``."""

    @override
    def init(self, start: int = 0) -> None:
        self.count = start

    @override
    def handle_call(self, request: Any, from_: From) -> Reply:
        match request:
            case "value":
                return Reply(self.count)
            case "next":
                self.count += 1
                return Reply(self.count)
        raise UnexpectedRequestError(request, self.actor_ref)

    @override
    def handle_cast(self, request: Any) -> None:
        match request:
            case "add", int(number):
                self.count += number
            case _:
                raise UnexpectedRequestError(request, self.actor_ref)


async def main() -> None:
    """Count, alone and with many callers."""
    async with System() as system:
        await system.start(Counter, 10, name="counter")
        print("starts at", await call("counter", "value"))

        cast("counter", ("add", 5))  # nobody waits for it; but the messages of one sender keep their order
        print("after a cast of 5:", await call("counter", "value"))

        answers = await asyncio.gather(*(call("counter", "next") for _ in range(1000)))
        print("1000 callers at once got", len(set(answers)), "different numbers up to", max(answers))


if __name__ == "__main__":
    asyncio.run(main())
