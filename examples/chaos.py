"""A monkey kills the processes of a shop while they work: every job accepted is done once. Argument: seconds (5)."""

import asyncio
import sys
from collections import Counter
from typing import Any

from typing_extensions import override

import supervisors as otp
from supervisors.faults import Monkey, MonkeyKill, kills
from supervisors.table import TableOwner

TIRELESS = otp.SupFlags(intensity=10_000)


class Queue(otp.GenServer):
    """Hands jobs out. Tables tell who has each open job, and the sums of what was accepted and done."""

    @override
    async def init(self) -> None:
        self.jobs = await TableOwner.claim("tables", "jobs", max_entries=50)  # number -> worker, None at first
        self.sums = await TableOwner.claim("tables", "sums", max_entries=3)
        self.sums.update({"accepted": 0, "done": 0, "results": 0} | dict(self.sums))

    @override
    def handle_call(self, request: Any, from_: otp.From) -> otp.Reply | otp.Refuse:
        match request:
            case "accept", number if number > self.sums["accepted"]:  # else the answer was lost: it is asked again
                try:
                    self.jobs[number] = None
                except otp.OverloadedError as error:
                    return otp.Refuse(error)
                self.sums["accepted"] = number
            case "take":
                free = (number for number, worker in self.jobs.items() if worker is None or not worker.is_alive())
                number = next(free, None)
                if number is not None:
                    self.jobs[number] = from_.ref
                return otp.Reply(number)
            case "done", number, result if self.jobs.get(number) is from_.ref:  # else another has got the job since
                del self.jobs[number]
                self.sums.update(done=self.sums["done"] + 1, results=self.sums["results"] + result)
        return otp.Reply(dict(self.sums))


class Worker(otp.GenServer):
    """Takes a job, works, tells the result, and so on. Without a queue it crashes."""

    @override
    def init(self, duration: float) -> otp.Continue:
        self.duration = duration
        return otp.Continue("work")

    @override
    async def handle_continue(self, term: str) -> otp.NoReply:
        number = await otp.call("queue", "take")
        await asyncio.sleep(self.duration)
        if number is not None:
            await otp.call("queue", ("done", number, number * number))
        return otp.NoReply(continue_=term)


async def ask(request: object, patience: float) -> Any:
    """Ask the queue until it answers: it may be dead, or full."""
    while True:
        try:
            return await otp.call("queue", request)
        except otp.CallError:
            await asyncio.sleep(patience)


async def work(
    seconds: float, *, rate: float = 20.0, seed: int = 0, duration: float = 0.01
) -> tuple[dict[str, int], list[MonkeyKill]]:
    """Have jobs of ``duration`` seconds done for so long under ``rate`` kills a second; return the sums and kills."""
    system = otp.System.current()
    floor = otp.Supervisor.child_spec(TIRELESS, [Worker.child_spec(duration, id=n) for n in range(4)], id="floor")
    children = [TableOwner.child_spec(name="tables"), Queue.child_spec(name="queue"), floor]
    await system.start(otp.Supervisor, TIRELESS, children, name="shop")
    await system.start(Monkey, "shop", rate=rate, seed=seed, supervisors=True, name="monkey")
    number, end = 0, system.now() + seconds
    while system.now() < end:
        number += 1
        await ask(("accept", number), duration)
    log = await kills("monkey")
    await otp.stop("monkey")
    while (sums := await ask("sums", duration))["done"] < number:  # noqa: ASYNC110 -- the queue has no event
        await asyncio.sleep(duration)
    return sums, log


async def main(seconds: float = 5.0) -> None:
    """Print what came of it."""
    async with otp.System("chaos"):
        sums, log = await work(seconds)
    print(f"{len(log)} kills in {seconds} s:", dict(Counter("/".join(kill.path) for kill in log)))
    print(f"{sums['accepted']} jobs accepted, {sums['done']} done")
    right = sum(number * number for number in range(sums["accepted"] + 1))
    print("every job was done once" if sums["results"] == right else "JOBS WERE LOST OR DONE TWICE")


if __name__ == "__main__":
    asyncio.run(main(*map(float, sys.argv[1:2])))
