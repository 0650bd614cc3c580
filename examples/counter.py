"""A server that counts: the state is its attributes, and only its callbacks touch them."""

import asyncio
from typing import Any

from typing_extensions import override

from supervisors import From, GenServer, Reply, System, UnexpectedRequestError


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
        raise UnexpectedRequestError(request, self.ref)

    @override
    def handle_cast(self, request: Any) -> None:
        match request:
            case "add", int(number):
                self.count += number
            case _:
                raise UnexpectedRequestError(request, self.ref)


async def count() -> None:
    """Count, alone and with many callers."""
    async with System():
        counter = await System.current().start(Counter, 10, name="counter")
        assert counter is not None  # it would be, had init returned Ignore()
        print("starts at", await counter.call("value"))

        counter.cast(("add", 5))  # no answer; but messages of one sender keep their order
        print("after a cast of 5:", await counter.call("value"))

        answers = await asyncio.gather(*(counter.call("next") for _ in range(1000)))
        print("1000 callers at once got", len(set(answers)), "different numbers up to", max(answers))


def main() -> None:
    """Run it."""
    asyncio.run(count())


if __name__ == "__main__":
    main()
