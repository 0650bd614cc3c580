"""Blocking work in a supervised thread: a `pykka.ThreadingActor` as the child of a supervisor."""

import asyncio
import hashlib
import threading
from typing import Any

import pykka
from typing_extensions import override

from supervisors import Supervisor, SupFlags, System, call, cast, whereis
from supervisors.faults import kill
from supervisors.rendering import print_tree
from supervisors.thread_actor import child_spec

ROUNDS = 300_000  # some tenths of a second


class Hasher(pykka.ThreadingActor):
    """Derives keys, which would hold up the loop. A plain Pykka actor: it knows nothing of supervisors."""

    def __init__(self, salt: bytes) -> None:
        super().__init__()
        self.salt = salt

    @override
    def on_receive(self, message: Any) -> str:
        return hashlib.pbkdf2_hmac("sha256", message, self.salt, ROUNDS).hex()[:16]

    @override
    def on_stop(self) -> None:
        print("the thread", threading.current_thread().name, "stops as it was told")


async def count_ticks() -> int:
    """Count hundredths of a second until cancelled: a loop that is held up counts few."""
    ticks = 0
    try:
        while True:  # until it is cancelled
            await asyncio.sleep(0.01)
            ticks += 1
    except asyncio.CancelledError:
        return ticks


async def main() -> None:
    """Hash while the loop goes on; crash the thread, and kill it."""
    async with System() as system:
        children = [child_spec(Hasher, b"salt", name="hasher", shutdown=2.0)]
        await system.start(Supervisor, SupFlags(intensity=5), children, name="supervisor")

        ticking = asyncio.create_task(count_ticks())
        print("the key is", await call("hasher", b"secret"))
        ticking.cancel()
        print("meanwhile the loop went on:", await ticking > 3)

        cast("hasher", "no bytes")  # nobody waits for an answer, so the error ends the actor
        await asyncio.sleep(0.1)
        print("it crashed, and was started again:", whereis("hasher"))

        cast("hasher", b"something that nobody waits for")
        kill("hasher")  # no thread can be killed: it is left to end by itself, and another one started
        await asyncio.sleep(0.1)
        print_tree(system)
        print("and it works:", await call("hasher", b"secret"))


if __name__ == "__main__":
    asyncio.run(main())
