"""A crash is no disaster: the supervisor starts the server again, with a fresh state."""

import asyncio
from typing import Any

from typing_extensions import override

from supervisors import From, GenServer, Reply, Restart, ServerDownError, Supervisor, SupFlags, System, call, whereis


class Divider(GenServer):
    """Divides 100 by what it is asked for, and remembers how often. It does not defend itself."""

    @override
    def init(self) -> None:
        self.divisions = 0

    @override
    def handle_call(self, request: Any, from_: From) -> Reply:
        quotient = 100 // request
        self.divisions += 1
        return Reply((quotient, self.divisions))


async def divide(divisor: int) -> None:
    """Ask once, and say what came of it."""
    try:
        quotient, divisions = await call("divider", divisor)
        print(f"100 // {divisor} = {quotient} (division {divisions} of {whereis('divider')})")
    except ServerDownError as down:
        print(f"100 // {divisor}: {down}")
        await asyncio.sleep(0.01)  # it is started again in less than that


async def main() -> None:
    """Crash a permanent server, then exhaust the patience of its supervisor."""
    async with System() as system:
        children = [Divider.child_spec(name="divider", restart=Restart.PERMANENT)]
        await system.start(Supervisor, SupFlags(intensity=1, period=5.0), children, name="supervisor")

        for divisor in (4, 5, 0, 5):  # the crash loses the count, and nothing else
            await divide(divisor)

        print("a second crash within 5 s is one too many:")
        await divide(0)
        print("processes left:", system.processes)


if __name__ == "__main__":
    asyncio.run(main())
