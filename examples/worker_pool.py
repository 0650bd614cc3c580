"""A pool: jobs wait for an idle worker; a worker that crashes fails its own job and no other."""

import asyncio
from collections import deque

from typing_extensions import override

import supervisors as otp

MAX_WAITING = 100  # jobs; everything that grows has a bound


class Worker(otp.GenServer):
    """Does one job after the other, and answers who asked for it."""

    @override
    def init(self) -> None:
        otp.cast("pool", otp.current())

    @override
    async def handle_cast(self, request: tuple[int, otp.From]) -> None:
        number, from_ = request
        await asyncio.sleep(0.05)
        from_.reply((100 // number, str(otp.current())))
        otp.cast("pool", otp.current())


class Pool(otp.GenServer):
    """Hands jobs to idle workers. It answers none itself: it says `NoReply`, and passes on who to answer."""

    @override
    def init(self) -> None:
        self.idle = deque[otp.Ref]()
        self.waiting = deque[otp.From]()
        self.busy: dict[otp.Ref, otp.From] = {}

    @override
    def handle_call(self, request: int, from_: otp.From) -> otp.NoReply | otp.Refuse:
        if len(self.waiting) == MAX_WAITING:
            return otp.Refuse(otp.OverloadedError(self.actor_ref, MAX_WAITING, request))
        self.waiting.append(from_)
        return self.hand_out()

    @override
    def handle_cast(self, request: otp.Ref) -> otp.NoReply:
        if self.busy.pop(request, None) is None:
            otp.monitor(request)  # a new one
        self.idle.append(request)
        return self.hand_out()

    @override
    def handle_info(self, info: object) -> None:
        match info:
            case otp.Down(_, otp.Ref() as worker, reason) if worker in self.busy:
                self.busy.pop(worker).refuse(RuntimeError(f"{worker} ended: {reason}"))
            case otp.Down(_, otp.Ref() as worker):
                self.idle.remove(worker)

    def hand_out(self) -> otp.NoReply:
        """Bring waiting jobs and idle workers together."""
        while self.idle and self.waiting:
            worker, job = self.idle.popleft(), self.waiting.popleft()
            self.busy[worker] = job
            worker.cast((job.request, job))
        return otp.NoReply()


async def main() -> None:
    """Give three workers ten jobs, one of them impossible."""
    crew = [Worker.child_spec(id=number) for number in range(3)]
    children = [Pool.child_spec(name="pool"), otp.Supervisor.child_spec(otp.SupFlags(intensity=10), crew)]
    async with otp.System() as system:
        await system.start(otp.Supervisor, otp.SupFlags(otp.Strategy.REST_FOR_ONE), children)
        jobs = (otp.call("pool", number) for number in range(10))
        for number, answer in enumerate(await asyncio.gather(*jobs, return_exceptions=True)):
            print(f"100 // {number}:", answer)


if __name__ == "__main__":
    asyncio.run(main())
